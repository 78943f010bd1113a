# What the scripts of this folder share: the compiler, the flags, and how a failure is told. Sourced.
# Environment: CXX, GPA_SOURCE, GPA_BUILD; test/compile/meson.build sets them.
set -u
read -ra cxx <<<"${CXX:?run this through meson test}"
include=(-I"$GPA_SOURCE/include" -I"$GPA_BUILD/include")
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cases=0 failures=0

# compiles ARGUMENTS...: whether it does; messages in $work/messages.
compiles() { "${cxx[@]}" "${include[@]}" "$@" >"$work/messages" 2>&1; }

# verdict TRUE_SENTENCE STATUS
verdict() {
  cases=$((cases + 1))
  [ "$2" -eq 0 ] && return
  failures=$((failures + 1))
  echo "not so: $1"
  [ ! -e "$work/messages" ] || head -n 30 "$work/messages"
}

finish() {
  echo "$cases cases, $failures wrong"
  [ $failures -eq 0 ] && [ $cases -ne 0 ]
  exit
}
