#!/usr/bin/env bash
# A leak is told with function, file and line whatever way the program was built; without debug information with function,
# module, offset and build id. The fixture is built in each way by this build's compiler; what it cannot build is listed.
. "$(dirname "${BASH_SOURCE[0]}")/../compile/common.sh"
unset GPA_OPTIONS GITHUB_ACTIONS DEBUGINFOD_URLS
sources=$GPA_SOURCE/test/symbols
line=$(grep -n 'planted' "$sources/session.cpp" | cut -d: -f1)
gpa=(-L"$GPA_BUILD/lib" -lgpa -Wl,-rpath,"$GPA_BUILD/lib" -pthread -Wl,--build-id=sha1)
function='app::open_session\(gpa::resource&\)'
not_tried=()

# built NAME FLAGS...: the fixture as $work/NAME/fixture, its objects beside it as a build would have them.
built() {
  local name=$1
  shift
  mkdir -p "$work/$name" && cd "$work/$name" || exit 1
  compiles -std=c++20 "$@" -c "$sources/session.cpp" "$sources/main.cpp" &&
    compiles "$@" session.o main.o -o fixture "${gpa[@]}"
}

# Runs $work/NAME/fixture; its report is in $work/messages.
report_of() {
  cd "$work/$1" || exit 1
  shift
  env "$@" ./fixture 2>"$work/messages"
}

has_line() {
  head -n 1 "$work/messages" | grep -qE "session\.cpp:$line:[0-9]+: error: leak of 24 bytes in 1 block \[gpa-leak\]$" &&
    grep -qE "^    #0 0x[0-9a-f]+ in $function [^ ]*session\.cpp:$line:[0-9]+$" "$work/messages"
}

build_id() { readelf -n "$work/$1/fixture" 2>/dev/null | sed -nE 's/.*Build ID: //p'; }

# has_offset NAME FUNCTION: module, offset and build id; FUNCTION is what stands in front of them.
has_offset() {
  head -n 1 "$work/messages" | grep -qE "fixture\+0x[0-9a-f]+: error: leak of 24 bytes in 1 block \[gpa-leak\]$" &&
    grep -qE "^    #0 0x[0-9a-f]+$2 \([^ ]*fixture\+0x[0-9a-f]+\) \(BuildId: $(build_id "$1")\)$" "$work/messages"
}

while read -r name flags; do
  read -ra words <<<"$flags"
  if ! built "$name" "${words[@]}"; then
    not_tried+=("built with $flags")
    continue
  fi
  report_of "$name"
  has_line
  verdict "built with $flags, a report has function and line" $?
done <<'KINDS'
O0 -O0 -g
O1 -O1 -g
O2 -O2 -g
O3 -O3 -g
lines -O2 -g1
dwarf4 -O2 -gdwarf-4
dwarf5 -O2 -gdwarf-5
split -O2 -g -gsplit-dwarf
split4 -O2 -gdwarf-4 -gsplit-dwarf
zlib -O2 -g -gz
lto -O2 -g -flto
no_pie -O2 -g -no-pie -fno-pie
lld -O2 -g -fuse-ld=lld
KINDS

# stripped NAME: builds it, and moves its debug information to a file that only the link or the build id leads to.
stripped() {
  built "$1" -O2 -g && objcopy --only-keep-debug fixture apart && strip fixture
}

stripped debuglink && objcopy --add-gnu-debuglink=apart fixture && report_of debuglink && has_line
verdict 'stripped, with a debug file beside it, a report has function and line' $?

stripped folder && objcopy --add-gnu-debuglink=apart fixture && mkdir .debug && mv apart .debug/ &&
  report_of folder && has_line
verdict 'stripped, with a debug file in .debug, a report has function and line' $?

stripped by_id
id=$(build_id by_id)
place=/usr/lib/debug/.build-id/${id:0:2}
if mkdir -p "$place" 2>/dev/null && [ -w "$place" ] && [ -n "$id" ]; then
  cp apart "$place/${id:2}.debug"
  report_of by_id && has_line
  verdict 'stripped, with a debug file in the system folder by build id, a report has function and line' $?
  rm -f "$place/${id:2}.debug"
  rmdir "$place" 2>/dev/null
else
  not_tried+=("by build id: $place cannot be written")
fi

mkdir "$work/shared" && cd "$work/shared" &&
  compiles -std=c++20 -O2 -g -fPIC -shared "$sources/session.cpp" -o libsession.so "${gpa[@]}" &&
  compiles -std=c++20 -O2 -g "$sources/main.cpp" -o fixture -L. -lsession -Wl,-rpath,'$ORIGIN' "${gpa[@]}" &&
  report_of shared && has_line
verdict 'in a shared library, a report has function and line' $?

built plain -O2 && report_of plain && has_offset plain " in $function"
verdict 'without debug information, a report has function, module, offset and build id' $?

stripped bare && report_of bare && has_offset bare ''
verdict 'stripped of everything, a report has module, offset and build id' $?

# A libdw that cannot be loaded, as where there is none.
mkdir "$work/no_libdw" && : >"$work/no_libdw/libdw.so.1"
built names -O2 -g && report_of names LD_LIBRARY_PATH="$work/no_libdw" && has_offset names " in $function"
verdict 'without libdw, a report has function, module, offset and build id' $?

for kind in "${not_tried[@]}"; do echo "not run here: symbols: $kind"; done
finish
