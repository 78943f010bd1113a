#!/usr/bin/env bash
# Another Meson project takes gpa as a subproject: none of our tests, and no warning of gpa's is an error, although the
# project's own are.
. "$GPA_SOURCE/test/compile/common.sh"
unset CXXFLAGS CPPFLAGS
mkdir -p "$work/project/subprojects" && cd "$work/project" || exit 1
ln -s "$GPA_SOURCE" subprojects/gpa
cp "$GPA_SOURCE/test/consumer/consumer.cpp" main.cpp
cat >meson.build <<'END'
project('consumer', 'cpp', default_options: ['cpp_std=c++20', 'buildtype=debug', 'werror=true'])
gpa = dependency('gpa', fallback: ['gpa', 'gpa_dep'])
test('consumer', executable('consumer', 'main.cpp', dependencies: gpa))
END
# A gpa that is installed on this machine must not answer in its place. Without the symbolizer, which nothing else builds, and
# as a project may wish that builds its subprojects in one unit each.
meson setup build --force-fallback-for=gpa -Dgpa:symbolizer=disabled --unity=subprojects >"$work/messages" 2>&1
verdict 'a project with gpa as a subproject configures' $?
meson introspect build --targets | grep -q '_test"'
[ $? -ne 0 ]
verdict 'the subproject brings no tests along' $?
commands=$(tr -d '\n' <build/compile_commands.json | sed 's/}/}\n/g')
grep 'main\.cpp' <<<"$commands" | grep -q -e ' -Werror' &&
  ! grep 'subprojects/gpa/' <<<"$commands" | grep -v 'main\.cpp' | grep -q -e ' -Werror'
verdict 'warnings of the project are errors, those of gpa are not' $?
grep -q 'main\.cpp' <<<"$commands" && ! grep 'main\.cpp' <<<"$commands" | grep -q -e ' -O2' &&
  grep -q 'checked_door\.cpp' <<<"$commands" && ! grep 'checked_door\.cpp' <<<"$commands" | grep -qv -e ' -O2'
verdict 'in a debug build gpa is optimised, and the project is not' $?
ninja -C build >"$work/messages" 2>&1
verdict 'it builds' $?
meson test -C build --no-rebuild >"$work/messages" 2>&1
verdict 'its program runs' $?
finish
