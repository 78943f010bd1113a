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

seq 1 60000 | sed 's/.*/& some words of line &/' >"$work/lines"
cat >"$work/program.cpp" <<'END'
#include <map>
#include <string>
int main()
{
  std::map<std::string, int> m;
  for (int i = 0; i != 100; ++i) m[std::to_string(i)] = i;
  return m.size() == 100 ? 0 : 1;
}
END
cat >"$work/program.py" <<'END'
import json, random, subprocess, threading
def work(k):
    rows = {str(i * k): [random.random() for _ in range(4)] for i in range(15000)}
    assert json.loads(json.dumps(rows)) == rows
    assert subprocess.run(["/bin/echo", str(k)], capture_output=True).stdout == b"%d\n" % k
threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 4)]
for t in threads: t.start()
for t in threads: t.join()
print("done")
END
cat >"$work/program.pl" <<'END'
my %h;
for (1..60000) { $h{"k$_"} = [1..3]; delete $h{"k".int($_/2)} if $_ % 3 == 0 }
print join(",", scalar(keys %h), map { "$_=@{$h{$_}}" } (sort keys %h)[0..9]), "\n";
END

# Runs a command, once as it is and once for each kind of checks, and compares what it prints and how it ends.
compare() {
  local checks name
  name=$(basename "$1")
  command -v "$1" >/dev/null || { echo "not compared: $name (not installed)"; return; }
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

compare g++ -std=c++20 -O1 -S -o - "$work/program.cpp"
compare clang++ -std=c++20 -O1 -S -o - "$work/program.cpp"
compare python3 "$work/program.py"
compare perl "$work/program.pl"
compare sort --parallel=2 -k 3 -r "$work/lines"
compare xz -T2 -c "$work/lines"
if command -v git >/dev/null; then
  repository=$work/repository
  git init -q "$repository" && cp "$work/lines" "$work/program.py" "$repository" && git -C "$repository" add . &&
    git -C "$repository" -c user.name=gpa -c user.email=gpa@example.org commit -qm 'Lines' || exit 1
fi
compare git -C "${repository-}" log -p --stat

echo "compared: $compared runs of real programs"
[ $compared -ge 12 ] && [ $failed -eq 0 ]
