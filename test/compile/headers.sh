#!/usr/bin/env bash
# Every public header compiles alone, twice in one file, without exceptions and RTTI, and shows std types only.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
for header in "$GPA_SOURCE"/include/gpa/*.hpp "$GPA_BUILD/include/gpa/version.hpp"; do
  name=gpa/${header##*/}
  printf '#include <%s>\n#include <%s>\n' "$name" "$name" >"$work/alone.cpp"
  compiles -std=c++20 "${warnings[@]}" -fno-exceptions -fno-rtti -fsyntax-only "$work/alone.cpp"
  verdict "$name compiles alone" $?
done

echo '#include <gpa/resource.hpp>' >"$work/old.cpp"
compiles -std=c++17 -fsyntax-only "$work/old.cpp"
[ $? -ne 0 ] && grep -m 1 'error' "$work/messages" | grep -q 'gpa needs -std=c++20'
verdict 'with -std=c++17 the first error is: gpa needs -std=c++20' $?
finish
