#!/usr/bin/env bash
# Runs one example, shows its real output, and compares it with expected/NAME.txt or expected/NAME.ARGUMENT.txt.
#
#   examples/check.sh BUILD_DIRECTORY NAME [ARGUMENT]
#
# GPA_COMPARE=headlines compares the reports' first lines, without columns, and the exit status: for other compilers.
# GPA_COMPARE=write writes the file anew. Exit status: 0 as expected, 77 cannot run here, else 1.
set -u
# What the caller's environment says of reports is not to show in what is compared.
unset GPA_OPTIONS GITHUB_ACTIONS
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/*}
build=$1 name=$2
shift 2
expected=$here/expected/$(IFS=.; echo "${name%.sh}${*:+.$*}").txt
compare=${GPA_COMPARE:-all}

output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT
ulimit -c 0

# Line by line as on a terminal, so that the two streams mix as a person would see them.
cd "$build" || exit 1
case $name in
  *.sh) GPA_BUILD_DIR=$build exec "$here/$name" "$@" ;;
  *) exec stdbuf -oL "$build/examples/$name" "$@" ;;
esac 2>&1 </dev/null | sed -u -E "s#$root/##g; s#(^|[ (])/?(\.\./)+(examples|include|lib)/#\1\3/#g" | tee "$output"
status=${PIPESTATUS[0]}
[ "$status" -eq 0 ] || echo "exit status $status" | tee -a "$output"
[ "$status" -ne 77 ] || exit 77

# What differs from run to run.
mask() { sed -E 's/0x[0-9a-f]+/0x*/g; s/^(    holds: ).*/\1*/; s/\b(thread|pid) [0-9]+/\1 */g' "$1"; }
headlines() { mask "$1" | grep -E '\[gpa-|^exit status' | sed -E 's/^([^ :]+:[0-9]+):[0-9]+:/\1:/'; }

case $compare in
  write) mkdir -p "$here/expected" && cp "$output" "$expected" && exit ;;
  headlines) filter=headlines ;;
  *) filter=mask ;;
esac
if [ ! -e "$expected" ]; then
  echo "(nothing to compare with: ${expected#"$root/"} does not exist)"
  exit 1
fi
if ! difference=$(diff -u --label expected --label now <($filter "$expected") <($filter "$output")); then
  printf '%s\n' "differs from ${expected#"$root/"}:" "$difference"
  exit 1
fi
