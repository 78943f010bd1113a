#!/usr/bin/env bash
# A throw takes as many instructions, counted by callgrind, in a program that uses gpa as in one that does not.
#
#   throw_cost_test.sh WITHOUT WITH    test/programs/throws.cpp, built both ways
#
# One percent is left to the loader: for each frame the unwinder asks it for the module, and it has some more to search.
set -u
command -v valgrind >/dev/null || { echo 'not run here: throw_cost: valgrind is not installed'; exit 77; }
fewer=50 more=250

collected() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null --error-exitcode=9 "$1" "$2" 2>&1 |
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}
# Of one throw: whatever else a run does, both do.
throw_of() {
  local low high
  low=$(collected "$1" $fewer) high=$(collected "$1" $more)
  [ -n "$low" ] && [ -n "$high" ] && [ "$high" -gt "$low" ] || { echo "callgrind counted nothing of $1" >&2; return 1; }
  echo $(((high - low) / (more - fewer)))
}

without=$(throw_of "$1") && with=$(throw_of "$2") || exit 1
echo "a throw through twelve frames: $without instructions without gpa, $with with it"
[ $((with * 100)) -le $((without * 101)) ]
