#!/usr/bin/env bash
# Why not just AddressSanitizer? Builds why_not_asan.cpp with and without -fsanitize=address, makes six mistakes, and
# none for comparison, in three kinds of memory, and prints who reported what. Every cell is a run.
#
#   GPA_BUILD_DIR=build examples/why_not_asan.sh     the library of a Meson build directory
#   examples/why_not_asan.sh                         the installed library, found by pkg-config
#
# CXX chooses the compiler (g++). Exit status: 0 when gpa reported all six, 1 when not, 2 when something is missing,
# 77 when the comparison cannot be made here: the sanitizer does not link, reports a program without a mistake, or
# reports nothing even for new and delete; or the library itself is a sanitizer build.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cxx=${CXX:-g++}

if [ -n "${GPA_BUILD_DIR:-}" ]; then
  built=$(cd "$GPA_BUILD_DIR" && pwd) || exit 2
  flags="-I$here/../include -I$built/include -L$built/lib -lgpa -Wl,-rpath,$built/lib"
elif flags=$(pkg-config --cflags --libs gpa 2>/dev/null); then
  flags="$flags -Wl,-rpath,$(pkg-config --variable=libdir gpa)"
else
  echo "why_not_asan.sh: no gpa: set GPA_BUILD_DIR to a build directory, or install the library" >&2
  exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

not_run_here() { echo "not run here: $1"; exit 77; }

# build PROGRAM OPTION...: the compiler's words go to a file. CXX and what pkg-config prints are lists of words.
build() {
  local program=$1
  shift
  # shellcheck disable=SC2086
  $cxx -std=c++20 -g -O1 "$@" "$here/why_not_asan.cpp" $flags -o "$work/$program" 2>"$work/messages"
}

if ! build plain || ! "$work/plain" --help >/dev/null 2>>"$work/messages"; then
  ! grep -Eq '__(asan|tsan|ubsan)_|ASan|Sanitizer' "$work/messages" || not_run_here 'the library is a sanitizer build'
  cat "$work/messages" >&2
  exit 2
fi
build asan -fsanitize=address || not_run_here "$cxx -fsanitize=address does not link"

# Prints "reported" when a run says so in the words of its tool, the exit status when it died without a word, else "-".
judge() {  # PROGRAM KIND MISTAKE
  exec 2>/dev/null  # where the shell itself says "Aborted"
  status=0
  (ulimit -c 0; ASAN_OPTIONS=detect_leaks=1 "$work/$1" "$2" "$3") >/dev/null 2>"$work/error" || status=$?
  if grep -Eq 'ERROR: (AddressSanitizer|LeakSanitizer)|error: .*\[gpa-' "$work/error"; then
    echo reported
  elif [ "$status" -ne 0 ]; then
    echo "exit $status"
  else
    echo -
  fi
}

in_control=0 in_pool=0 in_gpa=0 all=0
row() { printf '%-18s%-22s%-22s%s\n' "$@"; }
row '' 'new and delete,' 'std pool,' 'gpa::resource,'
row mistake 'ASan + LSan' 'ASan + LSan' 'no sanitizer'
for mistake in none write-after-free double-free overrun wrong-size wrong-alignment leak; do
  control=$(judge asan new-delete "$mistake")
  pool=$(judge asan pool "$mistake")
  gpa=$(judge plain gpa "$mistake")
  row "$mistake" "$control" "$pool" "$gpa"
  if [ "$mistake" = none ]; then
    [ "$control$pool" = -- ] || not_run_here 'the sanitizer reports a program without a mistake'
    [ "$gpa" = - ] || exit 1
    continue
  fi
  all=$((all + 1))
  [ "$control" != reported ] || in_control=$((in_control + 1))
  [ "$pool" != reported ] || in_pool=$((in_pool + 1))
  [ "$gpa" != reported ] || in_gpa=$((in_gpa + 1))
done
row reported "$in_control of $all" "$in_pool of $all" "$in_gpa of $all"

[ "$in_control" -ne 0 ] || not_run_here 'the sanitizer reports nothing even for new and delete'
[ "$in_gpa" -eq "$all" ]
