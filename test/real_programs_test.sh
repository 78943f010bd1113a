#!/usr/bin/env bash
# Programs that know nothing of gpa, with its resource as their malloc, do what they do without: compilers, interpreters,
# threads and child processes, with every check, without any, and with one allocation in a hundred checked.
#
#   real_programs_test.sh LIBRARY    that of test/programs/malloc_of_gpa.cpp
#
# What is not installed here takes no part.
set -u
library=$(realpath "$1") || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
failed=0 compared=0
. "$(dirname "$0")/support/real_programs.sh"
make_work "$work" 1 || exit 1

# Runs a command, once as it is and once for each kind of checks, and compares what it prints and how it ends.
compare() {
  local checks name=$1
  shift
  "$@" >"$work/expected" 2>&1
  printf '\nexit status %s\n' $? >>"$work/expected"
  if ! grep -qax 'exit status 0' "$work/expected"; then
    echo "$name does not run here"
    failed=1
    return
  fi
  for checks in always never 100; do
    rm -f "$work/totals"
    GPA_TEST_CHECKS=$checks GPA_TEST_TOTALS=$work/totals LD_PRELOAD=$library "$@" >"$work/printed" 2>&1
    printf '\nexit status %s\n' $? >>"$work/printed"
    if ! cmp -s "$work/expected" "$work/printed"; then
      echo "$name differs with checks: $checks"
      diff "$work/expected" "$work/printed" | cat -v | cut -c1-200 | head -10
      failed=1
    elif ! awk '{ blocks += $1; mistakes += $2 } END { exit !(blocks >= 10 && mistakes == 0) }' "$work/totals"; then
      echo "$name did not run on gpa, or mistakes were found, with checks: $checks (blocks, mistakes):"
      cat "$work/totals"
      failed=1
    fi
    compared=$((compared + 1))
  done
}

for_each_program "$work" compare

echo "compared: $compared runs of real programs"
[ $compared -ge 12 ] && [ $failed -eq 0 ]
