#!/usr/bin/env bash
# The house rules that no compiler checks: which way includes point, which file opens which door, what prose names.
# Looks at the files as they lie there; needs no git. Prints every breach; exit status 1 if there is one.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
set -u
shopt -s globstar nullglob

breaches=0 rules=0
rule() { rules=$((rules + 1)); current=$1; }
breach() { breaches=$((breaches + 1)); echo "$1: $current"; }
# each COMMAND...: every line it prints is a breach
each() { local line; while IFS= read -r line; do [ -z "$line" ] || breach "$line"; done < <("$@" 2>/dev/null); }

# What is committed: everything but builds and what tools keep beside it.
mapfile -t all < <(find . \( -path './build*' -o -path ./.git -o -path ./subprojects -o -path ./.cache \) -prune -o \
  -type f ! -name compile_commands.json ! -name '*.swp' -print | sed 's#^\./##' | sort)
select_files() { printf '%s\n' "${all[@]}" | grep -E "$1"; }
mapfile -t code < <(select_files '^(lib|include)/.*\.(cpp|hpp)$')
mapfile -t prose < <(select_files '\.md$')

# ---- which way includes point ----

rule 'includes point down only: top -> checked, fast, profile -> blocks -> trace -> os -> base; tools -> trace, os, base'
layer_of() {
  case $1 in
    base/*) echo 0 ;; os/*) echo 1 ;; trace/*) echo 2 ;; blocks/*) echo 3 ;; checked/* | fast/* | profile/*) echo 4 ;;
    tools/*) echo 6 ;; *) echo 5 ;;
  esac
}
for file in "${code[@]}"; do
  case $file in lib/*) ;; *) continue ;; esac
  from=${file#lib/}
  while IFS= read -r target; do
    up=no
    [ "$(layer_of "$target")" -le "$(layer_of "$from")" ] || up=yes
    case ${from%%/*}-${target%%/*} in
      checked-fast | checked-profile | fast-checked | fast-profile | profile-checked | profile-fast) up=yes ;;
      tools-tools | tools-trace | tools-base | tools-os) ;;
      tools-*) up=yes ;;
    esac
    [ $up = no ] || breach "$file includes $target"
    [ -e "lib/$target" ] || breach "$file includes $target, which does not exist under lib/"
  done < <(sed -nE 's/^ *# *include *"([^"]+)".*/\1/p' "$file")
done

rule 'base knows nothing of ours, public headers included'
each grep -rnE '^ *# *include *<gpa/' lib/base

rule 'the public headers include std and gpa headers only'
for file in include/gpa/*.hpp; do
  while IFS= read -r target; do
    case $target in
      '<gpa/'*) name=${target#<}; name=${name%>}
        [ -e "include/$name" ] || [ -e "include/$name.in" ] || breach "$file includes $target, which does not exist" ;;
      '"'* | *.h'>' | */*) breach "$file includes $target" ;;
    esac
  done < <(sed -nE 's/^ *# *include *([<"][^>"]+[>"]).*/\1/p' "$file")
done
each grep -nE '\b(absl|boost)::' include/gpa/*.hpp

# ---- doors: one file includes an outside thing ----

# door PATTERN FILES: only FILES (an extended regular expression) may include what PATTERN matches
door() {
  rule "only $2 may include <$1>"
  each sh -c 'grep -nE "^ *# *include *[<\"]('"$1"')" "$@" | grep -vE "^('"$2"'):"' sh "${code[@]}"
}
door 'sys/mman\.h' 'lib/os/pages\.cpp'
door 'link\.h' 'lib/(os/loader\.hpp|trace/(code_image|modules|symbol_table)\.cpp)'
door 'unwind\.h' 'lib/trace/capture\.cpp'
door 'elfutils/|dwarf\.h|libelf\.h|gelf\.h' 'lib/trace/libdw\.(hpp|cpp)'
door 'valgrind/|sanitizer/' 'lib/base/tools\.(hpp|cpp)'
door 'absl/' 'lib/(trace/format|os/containers)\.hpp|lib/tools/command_line\.cpp'
door 'nlohmann/' 'lib/tools/read_document\.cpp'
door 'zlib\.h' 'lib/tools/gzip\.cpp'
door 'boost/|execinfo\.h|libunwind' 'no file'

rule 'only lib/base/tools.* calls the sanitizers'
each sh -c 'grep -nE "__(asan|tsan|msan|lsan)_" "$@" | grep -v "^lib/base/tools\.[ch]pp:"' sh "${code[@]}"

rule 'NDEBUG is read in one line, of include/gpa/options.hpp'
[ "$(cat "${code[@]}" | grep -cE '^ *# *(el)?if.*\bNDEBUG\b')" -eq 1 ] || breach 'include, lib'
grep -qE '^ *# *if.*\bNDEBUG\b' include/gpa/options.hpp || breach 'include/gpa/options.hpp'
each grep -nE '^ *# *include *<(cassert|assert\.h)>' "${code[@]}"

# ---- files ----

rule 'a file under 400 lines owns one thing'
while IFS= read -r file; do
  [ "$(wc -l <"$file")" -lt 400 ] || breach "$file"
done < <(select_files '\.(cpp|hpp|h|sh|py|build)$|/run$')

rule 'a header starts with what it is, and has #pragma once'
for file in $(select_files '\.hpp(\.in)?$'); do
  grep -q '^#pragma once$' "$file" || breach "$file"
  head -n 1 "$file" | grep -q '^// ' || breach "$file"
done

rule 'every source is built'
for file in $(select_files '^lib/.*\.cpp$'); do
  case $file in
    lib/tools/*) grep -qF "'${file#lib/tools/}'" lib/tools/meson.build || breach "$file is missing in lib/tools/meson.build" ;;
    *) grep -qF "'${file#lib/}'" lib/meson.build || breach "$file is missing in lib/meson.build" ;;
  esac
done
for file in $(select_files '^include/gpa/.*\.hpp$'); do
  grep -qF "'${file#include/gpa/}'" include/gpa/meson.build || breach "$file is missing in include/gpa/meson.build"
done
for file in $(select_files '^test/[^/]*_test\.cpp$'); do
  name=${file#test/}
  grep -qF "'${name%_test.cpp}'" test/meson.build || breach "$file is missing in test/meson.build"
done
for file in $(select_files '^examples/[^/]*\.cpp$'); do
  name=${file#examples/}
  grep -qE "^${name%.cpp}(\.sh)?( |$)" examples/runs.txt || breach "$file is missing in examples/runs.txt"
done

rule 'every example has its real output beside it'
while read -r name argument; do
  expected=examples/expected/${name%.sh}${argument:+.$argument}.txt
  [ -e "$expected" ] || breach "$expected does not exist"
done <examples/runs.txt
for file in $(select_files '^examples/expected/'); do
  name=${file#examples/expected/}
  name=${name%.txt}
  grep -qE "^${name%%.*}(\.sh)?( ${name#*.})?$" examples/runs.txt || breach "$file belongs to no line of examples/runs.txt"
done

rule 'scripts with a first line that names their shell are executable'
for file in $(select_files '\.sh$|/run$'); do
  if head -n 1 "$file" | grep -q '^#!'; then [ -x "$file" ] || breach "$file"; fi
done
{ [ -x .ci/run ] && grep -q 'test/run' .ci/run; } || breach '.ci/run does not call test/run'

rule 'the top level holds what layout allows'
for name in * .[!.]*; do
  case $name in
    lib | include | test | bench | examples | meson.build | meson_options.txt | README.md | LICENSE) ;;
    build* | subprojects | compile_commands.json) ;;
    .*) ;;
    *) breach "$name" ;;
  esac
done

rule 'no path of one machine'
each grep -nE '(^|[^A-Za-z0-9_.*/-])/(work|root|home)/' "${all[@]}"

rule 'nothing is left unfinished'
each grep -nwE 'TOD[O]|FIXM[E]|HAC[K]' "${all[@]}"

# ---- prose ----

# names_file NAME FOLDER: whether NAME, as written in a file of FOLDER, is there
names_file() {
  local name=${1%/} base
  for base in "$2" . include lib test; do
    compgen -G "$base/$name" >/dev/null || compgen -G "$base/$name.in" >/dev/null && return 0
  done
  case $name in
    */*) return 1 ;;
    *) printf '%s\n' "${all[@]}" | sed 's#.*/##' | grep -qxF -e "$name" -e "$name.in" ;;
  esac
}

rule 'every path that prose names exists'
for file in "${prose[@]}"; do
  folder=$(dirname "$file")
  # in backticks: begins with a folder of ours, or ends as our files do
  while IFS= read -r name; do
    names_file "$name" "$folder" || breach "$file names $name"
  done < <(sed '/^ *```/,/^ *```/d' "$file" | grep -oE '`[^` ]+`' | tr -d '`' | sed -E 's/:[0-9]+(:[0-9]+)?$//' |
    grep -E '^((lib|include|test|bench|examples|\.ci|gpa|base|os|trace|blocks|checked|fast)/[A-Za-z0-9_.*/-]*|[A-Za-z0-9_.-]+\.(cpp|hpp|sh|md|build|txt|golden))$' |
    sort -u)
  # links
  while IFS= read -r target; do
    case $target in http*) continue ;; esac
    path=${target%%#*}
    [ -z "$path" ] || [ -e "$folder/$path" ] || { breach "$file links to $target"; continue; }
    case $target in
      *'#'*)
        heading=${target#*#}
        sed -nE 's/^#+ +//p' "${path:+$folder/}${path:-$file}" | tr '[:upper:]' '[:lower:]' | tr -d '`.,:;!?()/"&+*=<>' |
          tr ' ' '-' | grep -qxF -e "$heading" ||
          grep -qF -e "id=\"$heading\"" -e "name=\"$heading\"" "${path:+$folder/}${path:-$file}" ||
          breach "$file links to $target: no such heading" ;;
    esac
  done < <(sed '/^ *```/,/^ *```/d' "$file" | grep -oE '\]\([^) ]+\)' | sed -E 's/^\]\(//; s/\)$//' | sort -u)
done

# <!-- from PATH --> before a fenced block: the block stands in PATH, word for word.
rule 'a quoted block stands in the file it is said to be from'
for file in "${prose[@]}"; do
  source='' inside=no block=''
  while IFS= read -r line; do
    if [[ $line =~ ^'<!-- from '([^ ]+)' -->'$ ]]; then
      source=${BASH_REMATCH[1]}
      [ -e "$source" ] || breach "$file quotes $source, which does not exist"
    elif [[ -n $source && $line == '```'* ]]; then
      if [ $inside = no ]; then
        inside=yes block=''
      else
        [[ ! -e $source || $(<"$source") == *"${block%$'\n'}"* ]] || breach "$file: the block from $source"
        source='' inside=no
      fi
    elif [ $inside = yes ]; then
      block+=$line$'\n'
    elif [[ -n $source && -n $line ]]; then
      breach "$file: no block follows <!-- from $source -->"
      source=''
    fi
  done <"$file"
done

echo "$rules rules, $breaches breaches"
[ $breaches -eq 0 ]
