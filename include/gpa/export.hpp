// What the shared library shows: GPA_EXPORT marks the classes and functions users may link to. Every header of gpa's
// but version.hpp includes this one, so each says what language it needs.
#pragma once

#if !defined(__cplusplus) || __cplusplus < 202002L
#error gpa needs -std=c++20
#endif

#if defined(__GNUC__)
#define GPA_EXPORT __attribute__((visibility("default")))
#else
#define GPA_EXPORT
#endif
