#!/usr/bin/env bash
# A program with ThreadSanitizer whose libgpa has none: memory that passes from thread to thread is no race, and what is one
# is told.
#
#   thread_sanitizer_test.sh PROGRAM    that of test/programs/hands_over.cpp
#
# Skips (exit status 77) where no such program starts.
set -u
program=$1
export TSAN_OPTIONS=exitcode=66

# Old runtimes cannot place their shadow where the kernel randomises addresses widely.
starter=
said=$("$program" 2>&1)
status=$?
if [[ $said == *'unexpected memory mapping'* ]] || [ $status -eq 139 ]; then
  starter='setarch -R'
  said=$($starter "$program" 2>&1)
  status=$?
  if [[ $said == *'unexpected memory mapping'* ]] || [ $status -eq 127 ]; then
    echo 'not run here: a program with ThreadSanitizer (none starts)'
    exit 77
  fi
fi
if [ $status -ne 0 ]; then
  printf '%s\n' "$said" | head -60
  echo "$program: exit status $status, should be 0"
  exit 1
fi

said=$($starter "$program" race 2>&1)
status=$?
if [ $status -ne 66 ] || [[ $said != *'data race'*unguarded* ]]; then
  printf '%s\n' "$said" | head -60
  echo "$program race: exit status $status, should be 66, and the race of \`unguarded' told"
  exit 1
fi
