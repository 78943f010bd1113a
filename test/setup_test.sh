#!/usr/bin/env bash
# The set-up that test/run and examples/run share, over a Debian of our own making: a dpkg that knows what files in a
# folder say, and an apt-get, a sudo and an id that note how they were called.
set -u
setup=${1:?usage: setup_test.sh SETUP}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/real"
for tool in bash cat env grep touch; do ln -s "$(command -v $tool)" "$work/real/$tool"; done
cases=0 failures=0

stub() { { echo '#!/usr/bin/env bash'; cat; } >"$work/bin/$1" && chmod +x "$work/bin/$1"; }

# machine UID PACKAGE...: a new one, where these are installed.
machine() {
  rm -rf "$work/state" && mkdir -p "$work/state/installed" || exit 1
  user=$1
  shift
  local package
  for package in "$@"; do : >"$work/state/installed/$package"; done
  : >"$work/state/calls"
  stub dpkg <<'END'
[ "$1" = -s ] && [ -e "$state/installed/$2" ] && echo 'Status: install ok installed'
END
  stub id <<<'echo "$user"'
  stub apt-cache <<<'[ ! -e "$state/old_list" ]'
  stub apt-get <<'END'
echo "apt-get $*" >>"$state/calls"
[[ " $* " != *" update "* ]] || exec rm -f "$state/old_list"
packages=${*##*--no-install-recommends }
for package in $packages; do [ "$package" != unknown ] || exit 100; done
for package in $packages; do touch "$state/installed/$package"; done
END
  stub sudo <<'END'
echo "sudo" >>"$state/calls"
[ "$1" != -n ] || shift
exec "$@"
END
  ln -sf "$(command -v rm)" "$work/real/rm"
}

# set_up WISH... -- NEEDED...: what the scripts do; output in $work/messages, and leaves $status.
set_up() {
  env -i PATH="$work/bin:$work/real" state="$work/state" user="$user" ${install:+gpa_install=$install} bash -c '
    . "$0"
    while [ "$1" != -- ]; do wish_for "$1"; shift; done
    shift
    set_up "$@"' "$setup" "$@" >"$work/messages" 2>&1 </dev/null
  status=$?
}

calls() { grep -c . "$work/state/calls"; }
says() { grep -qF -e "$1" "$work/messages"; }
is_installed() { [ -e "$work/state/installed/$1" ]; }

# verdict TRUE_SENTENCE STATUS
verdict() {
  cases=$((cases + 1))
  [ "$2" -eq 0 ] && return
  failures=$((failures + 1))
  echo "not so: $1"
  cat "$work/messages" "$work/state/calls"
}
install=

machine 0 a b wish
set_up wish -- a b
[ $status -eq 0 ] && says 'nothing is missing' && [ "$(calls)" -eq 0 ]
verdict 'where nothing is missing, neither packages nor network are touched' $?

machine 0 a
set_up wish -- a b
[ $status -eq 0 ] && is_installed b && is_installed wish && [ "$(calls)" -eq 1 ] && says 'missing: b wish'
verdict 'root installs what is missing, in one call' $?
line=$(cat "$work/state/calls")
[[ $line == *' install --no-install-recommends b wish' && $line == *DPkg::Lock::Timeout=* && $line != *' a '* ]]
verdict 'it asks for nothing else, nothing that is merely recommended, and waits for the lock' $?
says "\$ env DEBIAN_FRONTEND=noninteractive $line"
verdict 'the exact command is shown' $?

machine 0
: >"$work/state/old_list"
set_up -- a
[ $status -eq 0 ] && is_installed a && [ "$(grep -c ' update$' "$work/state/calls")" -eq 1 ]
verdict 'a package that is not in the list is looked for in a new one' $?

machine 1000
set_up -- a
[ $status -eq 0 ] && is_installed a && [ "$(grep -c sudo "$work/state/calls")" -eq 1 ] && says '$ sudo '
verdict 'anybody else installs through sudo' $?

machine 1000
rm "$work/bin/sudo"
set_up -- a b
[ $status -eq 2 ] && [ "$(calls)" -eq 0 ] &&
  says 'apt-get update && apt-get install --no-install-recommends a b'
verdict 'without sudo the status is 2 and the command is shown' $?

for user in 0 1000; do
  machine $user b
  install=no
  set_up wish -- a b
  install=
  [ $status -eq 2 ] && [ "$(calls)" -eq 0 ] && says 'apt-get install --no-install-recommends a'
  verdict "with gpa_install=no user $user installs nothing and is told the command" $?
done

machine 0 a
install=no
set_up wish -- a
install=
[ $status -eq 0 ] && [ "$(calls)" -eq 0 ]
verdict 'a wish alone never stops anybody' $?

machine 0
set_up unknown -- a
[ $status -eq 0 ] && is_installed a
verdict 'a wish that this release does not have costs nothing else' $?

machine 0
set_up -- unknown
[ $status -eq 2 ] && says 'please run, as root'
verdict 'what is needed and cannot be had is status 2' $?

machine 0
rm "$work/bin/dpkg"
set_up -- a
[ $status -eq 0 ] && [ "$(calls)" -eq 0 ] && says "Debian's: a"
verdict 'elsewhere than on Debian the list is all there is' $?

echo "$cases cases, $failures wrong"
[ $failures -eq 0 ] && [ $cases -ne 0 ]
