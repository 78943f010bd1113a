#!/usr/bin/env bash
# Every form of usage_test.cpp compiles with the project's warnings as errors: as a developer builds, and as a release.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
for mode in '-O0 -g' '-O2 -DNDEBUG'; do
  read -ra flags <<<"$mode"
  compiles -std=c++20 "${warnings[@]}" "${flags[@]}" -DBOOST_TEST_DYN_LINK=1 -c -o "$work/usage.o" \
    "$GPA_SOURCE/test/compile/usage_test.cpp"
  verdict "usage_test.cpp compiles with $mode and no warning" $?
done
finish
