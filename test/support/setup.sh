# Installs what a script of this repository needs and is not there yet. Sourced by test/run and examples/run.
#
#   set_up PACKAGE...   all of them must be there afterwards; exits 2 if that cannot be
#   wish_for PACKAGE... installed together with the ones above where that works; their lack is no failure
#
# Call wish_for first. Asks dpkg only and touches no network when nothing is missing. Root installs with apt-get,
# anybody else through sudo, which is used for the installing command alone. `gpa_install=no` never installs.
# Needs no git, and nothing that Debian does not call essential.

gpa_install=${gpa_install:-yes}
gpa_wishes=()

wish_for() { gpa_wishes+=("$@"); }

missing_of() {
  local package
  for package in "$@"; do
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || printf '%s\n' "$package"
  done
}

# apt-get with what an unattended run needs: no questions, nothing merely recommended, patience with other apt runs.
gpa_apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

install_missing() {
  local -a as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || return 1
    as_root=(sudo)
    [ -t 0 ] || as_root+=(-n)
  fi
  local -a install=("${as_root[@]}" "${gpa_apt[@]}" install --no-install-recommends "$@")
  local -a update=("${as_root[@]}" "${gpa_apt[@]}" update)

  local package fresh=no
  for package in "$@"; do
    if ! apt-cache show "$package" >/dev/null 2>&1; then
      echo "\$ ${update[*]}"
      "${update[@]}" </dev/null || return 1
      fresh=yes
      break
    fi
  done
  echo "\$ ${install[*]}"
  "${install[@]}" </dev/null && return 0
  [ "$fresh" = no ] || return 1
  echo "once more, with a new list of packages:"
  echo "\$ ${update[*]}"
  "${update[@]}" </dev/null && "${install[@]}" </dev/null
}

set_up() {
  if ! command -v dpkg >/dev/null; then
    echo "set-up: no dpkg here, so nothing is installed; needed are Debian's: $*"
    return 0
  fi
  local -a needed wished
  mapfile -t needed < <(missing_of "$@")
  mapfile -t wished < <(missing_of "${gpa_wishes[@]}")
  if [ $((${#needed[@]} + ${#wished[@]})) -eq 0 ]; then
    echo "set-up: nothing is missing"
    return 0
  fi
  local -a missing=("${needed[@]}" "${wished[@]}")
  echo "set-up: missing: ${missing[*]}"
  if [ "$gpa_install" = yes ]; then
    install_missing "${needed[@]}" "${wished[@]}" && return 0
    # One package that this release does not have must not cost the others.
    [ ${#wished[@]} -ne 0 ] && { [ ${#needed[@]} -eq 0 ] || install_missing "${needed[@]}"; }
  fi
  mapfile -t needed < <(missing_of "$@")
  [ ${#needed[@]} -eq 0 ] && return 0
  echo "set-up: please run, as root:"
  echo "  apt-get update && apt-get install --no-install-recommends ${needed[*]}"
  exit 2
}
