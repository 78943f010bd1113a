// What the shared library shows: GPA_EXPORT marks the classes and functions users may link to.
#pragma once

#if defined(__GNUC__)
#define GPA_EXPORT __attribute__((visibility("default")))
#else
#define GPA_EXPORT
#endif
