// What the language cannot say about a function, spelled once for both compilers.
#pragma once

/// Kept out of line: a slow path that must not make its caller spill registers.
#define GPA_NOINLINE __attribute__((noinline))
/// Rarely called: laid out away from the hot code.
#define GPA_COLD __attribute__((noinline, cold))
/// Reads or writes what the sanitizers were told is closed, or what is raced for on purpose. Such a function calls
/// no memcpy or memset: those are intercepted whatever the attribute says.
#define GPA_NO_SANITIZE __attribute__((no_sanitize("address", "thread")))
