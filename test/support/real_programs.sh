# shellcheck shell=bash
# Real programs, and something for them to do: what real_programs_test.sh and bench/real_programs run. Sourced.
#
#   make_work FOLDER SIZE            writes what they work on; SIZE 1 takes each a second or less
#   for_each_program FOLDER COMMAND  calls COMMAND NAME PROGRAM ARGUMENT... for each that is installed
#
# All of them print the same every time.

make_work() {
  local work=$1 size=$2
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1  # nobody's wish to sign, say
  seq 1 $((60000 * size)) | sed 's/.*/& some words of line &/' >"$work/lines"
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
import json, random, subprocess, sys, threading
def work(k):
    rows = {str(i * k): [random.random() for _ in range(4)] for i in range(15000 * int(sys.argv[1]))}
    assert json.loads(json.dumps(rows)) == rows
    assert subprocess.run(["/bin/echo", str(k)], capture_output=True).stdout == b"%d\n" % k
threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 4)]
for t in threads: t.start()
for t in threads: t.join()
print("done")
END
  cat >"$work/program.pl" <<'END'
my %h;
for (1..60000 * $ARGV[0]) { $h{"k$_"} = [1..3]; delete $h{"k".int($_/2)} if $_ % 3 == 0 }
print join(",", scalar(keys %h), map { "$_=@{$h{$_}}" } (sort keys %h)[0..9]), "\n";
END
  echo "$size" >"$work/size"
  command -v git >/dev/null || return 0
  git init -q "$work/repository" && cp "$work/lines" "$work/program.py" "$work/repository" &&
    git -C "$work/repository" add . &&
    git -C "$work/repository" -c user.name=gpa -c user.email=gpa@example.org commit -qm 'Lines'
}

for_each_program() {
  local work=$1 command=$2 size
  size=$(cat "$work/size")
  call_if_installed() {
    if command -v "$2" >/dev/null; then "$command" "$@"; else echo "not here: $1"; fi
  }
  call_if_installed 'g++' g++ -std=c++20 -O1 -S -o - "$work/program.cpp"
  call_if_installed 'clang++' clang++ -std=c++20 -O1 -S -o - "$work/program.cpp"
  call_if_installed 'python3' python3 "$work/program.py" "$size"
  call_if_installed 'perl' perl "$work/program.pl" "$size"
  call_if_installed 'sort' sort --parallel=2 -k 3 -r "$work/lines"
  call_if_installed 'xz' xz -T2 -c "$work/lines"
  call_if_installed 'git' git -C "$work/repository" log -p --stat
}
