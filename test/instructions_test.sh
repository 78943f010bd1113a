#!/usr/bin/env bash
# Compares the instructions of a pair, counted by callgrind, with test/golden/instructions.txt.
#
#   instructions_test.sh PAIRS COMPILER    the program of test/programs/pairs.cpp, built for speed; "g++ 12", say
#
# Fails when a heap takes over 2 more than it did, says so when it takes fewer, and skips (exit status 77) where nothing
# can be compared. GPA_WRITE_GOLDEN=1 writes this compiler's lines anew.
set -u
pairs=$1 compiler=$2
golden=${BASH_SOURCE[0]%/*}/golden/instructions.txt
margin=2
fewer=20000 more=60000

skip() { echo "not run here: instructions: $1"; exit 77; }
command -v valgrind >/dev/null || skip 'valgrind is not installed'
# The checked heap reads poison with AVX2, so its counts are those of CPUs that have it.
grep -qw avx2 /proc/cpuinfo || skip 'this CPU has no AVX2'
[ "${GPA_WRITE_GOLDEN-}" = 1 ] || grep -q "^$compiler: " "$golden" || skip "no line for $compiler in $golden"

# counted HEAP: of a pair. Whatever a run does beside its pairs, both do.
collected() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$pairs" "$1" "$2" 2>&1 |
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}
counted() {
  local low high
  low=$(collected "$1" $fewer) high=$(collected "$1" $more)
  [ -n "$low" ] && [ -n "$high" ] && [ "$high" -gt "$low" ] || { echo "callgrind counted nothing of: $pairs $1" >&2; return 1; }
  awk -v low="$low" -v high="$high" -v n=$((more - fewer)) 'BEGIN { printf "%.1f\n", (high - low) / n }'
}

status=0
lines=()
for heap in empty fast fast_aligned alone checked checked_aligned checked_alone shared fine coarse traced; do
  now=$(counted $heap) || exit 1
  lines+=("$compiler: $heap $now")
  [ "${GPA_WRITE_GOLDEN-}" != 1 ] || continue
  before=$(sed -n "s/^$compiler: $heap //p" "$golden")
  case $(awk -v now="$now" -v before="${before:-0}" -v margin=$margin 'BEGIN {
      print (now > before + margin ? "more" : now < before - margin ? "fewer" : "same") }') in
    more) echo "$compiler, $heap: $now instructions a pair, were ${before:-none}: more than $margin too many"; status=1 ;;
    fewer) echo "$compiler, $heap: $now instructions a pair, were $before: write test/golden/instructions.txt anew" ;;
    same) echo "$compiler, $heap: $now instructions a pair, as before ($before)" ;;
  esac
done
if [ "${GPA_WRITE_GOLDEN-}" = 1 ]; then
  others=$(grep -v "^$compiler: " "$golden")
  printf '%s\n' "$others" "${lines[@]}" >"$golden"
  printf 'written: %s\n' "${lines[@]}"
fi
exit $status
