#!/usr/bin/env bash
# `meson install` gives others all they need: a program outside the tree compiles with what pkg-config prints, against
# the shared library and the static one; nothing but gpa's names is exported; thread-local storage keeps its bound.
. "$GPA_SOURCE/test/compile/common.sh"
DESTDIR=$work/root meson install -C "$GPA_BUILD" --no-rebuild >"$work/messages" 2>&1
verdict 'meson install works' $?

pc=$(find "$work/root" -name gpa.pc)
[ -n "$pc" ]
verdict 'gpa.pc is installed' $?
# Installed below another root than configured for: pkg-config's own words for that.
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$work/root
libdir=$work/root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir gpa)
include=()  # from here on, what pkg-config says and nothing else

for header in "$GPA_SOURCE"/include/gpa/*.hpp version.hpp; do
  [ -n "$(find "$work/root" -path "*/include/gpa/${header##*/}")" ]
  verdict "${header##*/} is installed" $?
done

docs=$(find "$work/root" -path '*/share/doc/gpa/README.md' -printf '%h')
find "$docs" -name '*.md' -printf '%P\n' | while read -r page; do
  grep -oE '\]\([^)#]+' "$docs/$page" | cut -c3- | grep -v '^http' | while read -r link; do
    [ -e "$docs/$(dirname "$page")/$link" ] || echo "$page: $link"
  done
done >"$work/messages"
[ ! -s "$work/messages" ] && [ -e "$docs/lib/tools/README.md" ]
verdict 'no link in what is installed of the documentation is dead' $?

if [ -e "$GPA_BUILD/lib/tools/gpa-report" ]; then
  "$(find "$work/root" -path '*/bin/gpa-report')" --version >"$work/messages" 2>&1
  verdict 'gpa-report is installed and needs no libgpa.so' $?
fi

mkdir "$work/outside" && cp "$GPA_SOURCE/test/consumer/mistaken.cpp" "$work/outside" &&
  cp "$GPA_SOURCE/test/consumer/consumer.cpp" "$work/outside/x.cpp" && cd "$work/outside" || exit 1

# Words without spaces, as pkg-config prints them.
# shellcheck disable=SC2046
compiles -std=c++20 x.cpp $(pkg-config --cflags --libs gpa) -o shared
verdict 'a program compiles with pkg-config --cflags --libs gpa' $?
LD_LIBRARY_PATH=$libdir ./shared >"$work/messages" 2>&1
verdict 'and runs' $?

static=$(pkg-config --static --libs gpa | sed 's/-lgpa\b/-l:libgpa.a/')
# shellcheck disable=SC2046,SC2086
compiles -std=c++20 x.cpp $(pkg-config --cflags gpa) $static -o static
verdict 'a program links libgpa.a with pkg-config --static --libs gpa' $?
env -u LD_LIBRARY_PATH ./static >"$work/messages" 2>&1
verdict 'and runs without libgpa.so' $?

# shellcheck disable=SC2046
compiles -static -std=c++20 x.cpp $(pkg-config --cflags --static --libs gpa) -o whole
verdict 'a program links with -static' $?
./whole >"$work/messages" 2>&1
verdict 'and runs' $?
# shellcheck disable=SC2046
compiles -static -std=c++20 mistaken.cpp $(pkg-config --cflags --static --libs gpa) -o mistaken
./mistaken >"$work/messages" 2>&1 && grep -q 'free_twice' "$work/messages" && grep -q 'forget' "$work/messages"
verdict 'and its reports name the functions that made the mistakes' $?

library=$libdir/libgpa.so
# Typeinfo and instantiations of std templates are weak and merged: anybody has them.
nm -DC --defined-only "$library" | grep -vE ' [VWu] | (typeinfo|vtable)( name)? for gpa::| gpa::| gpa_on_mistake$' >"$work/messages"
[ ! -s "$work/messages" ]
verdict 'libgpa.so exports gpa:: names and gpa_on_mistake alone' $?
nm -DC --defined-only "$library" | grep -E ' [A-Za-z] ((typeinfo|vtable)( name)? for )?gpa::detail' |
  grep -v 'gpa::detail::afterlife' >"$work/messages"
[ ! -s "$work/messages" ]
verdict 'libgpa.so exports no other internal than afterlife' $?

tls=$(($(readelf -lW "$library" | awk '$1 == "TLS" { print $6 }')))
echo "$tls bytes" >"$work/messages"
[ "$tls" -le 128 ]
verdict 'libgpa.so has at most 128 bytes of thread-local storage' $?
readelf -dW "$library" | grep -E 'NEEDED.*\[(libunwind|libdw|libelf|libboost)' >"$work/messages"
[ ! -s "$work/messages" ]
verdict 'libgpa.so needs neither libdw nor libunwind' $?
finish
