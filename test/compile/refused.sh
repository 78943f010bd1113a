#!/usr/bin/env bash
# What refused.cpp plants does not compile, each for the reason named here, and the file does without it.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
file=$GPA_SOURCE/test/compile/refused.cpp
strict=(-std=c++20 -Wall -Wextra -Werror=unused-result -Werror=unused-value -fsyntax-only)

compiles "${strict[@]}" "$file"
verdict 'refused.cpp compiles with nothing planted' $?

# refused CASE REASON: the compiler's words, an extended regular expression
refused() {
  compiles "${strict[@]}" -D"$1" "$file"
  [ $? -ne 0 ] && grep -E 'error' "$work/messages" | grep -qE "$2"
  verdict "$1 is refused: $2" $?
  grep -qw "$1" "$file"
  verdict "$1 stands in refused.cpp" $?
}
nodiscard='nodiscard|unused-result|unused-value'
deleted='deleted'
refused IGNORED_DEINIT "$nodiscard"
refused IGNORED_GUARD "$nodiscard"
refused IGNORED_TRY_ALLOCATE "$nodiscard"
refused IGNORED_TRY_RESIZE "$nodiscard"
refused COPIED_RESOURCE "$deleted"
refused MOVED_RESOURCE "$deleted"
refused COPY_ASSIGNED_RESOURCE "$deleted"
refused MOVE_ASSIGNED_RESOURCE "$deleted"
refused COPIED_GUARD "$deleted"
refused IGNORED_SCOPE "$nodiscard"
refused COPIED_SCOPE "$deleted"
refused IGNORED_TAG "$nodiscard"
refused COPIED_TAG "$deleted"
refused COPIED_RECORDER "$deleted"
refused IGNORED_ORIGIN "$nodiscard"
refused IGNORED_SNAPSHOT "$nodiscard"
refused DERIVED_FROM 'final'
refused BOOL_FOR_BUILD 'no matching|could not convert|cannot convert'
refused IMPLICIT_UPSTREAM 'explicit|could not convert|no viable|conversion'
finish
