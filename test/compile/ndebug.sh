#!/usr/bin/env bash
# Two files of one program, one with NDEBUG and one without: each gets its own file's default checks in the forms that
# are promised, at -O0 and -O2, whichever file the linker sees first.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$GPA_SOURCE/test/compile

for level in -O0 -O2; do
  compiles -std=c++20 "${warnings[@]}" "$level" -c "$here/ndebug_forms.cpp" -o "$work/with.o" \
    -DNDEBUG -DFORMS=forms_with_ndebug -DFORMS_space=with_ndebug &&
    compiles -std=c++20 "${warnings[@]}" "$level" -c "$here/ndebug_forms.cpp" -o "$work/without.o" \
      -UNDEBUG -DFORMS=forms_without_ndebug -DFORMS_space=without_ndebug &&
    compiles -std=c++20 "${warnings[@]}" "$level" -c "$here/ndebug_main.cpp" -o "$work/main.o"
  verdict "the files compile at $level" $?
  for order in 'with without' 'without with'; do
    read -r first second <<<"$order"
    compiles "$work/$first.o" "$work/$second.o" "$work/main.o" -o "$work/program" \
      -L"$GPA_BUILD/lib" -lgpa -Wl,-rpath,"$GPA_BUILD/lib" &&
      "$work/program" $([ "$level" = -O0 ] && echo outlined) >"$work/messages" 2>&1
    verdict "each file gets its default at $level, linked $order" $?
  done
done
finish
