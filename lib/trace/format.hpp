// The door to Abseil's formatting: `absl::Format(&text, "%s", view)` appends to a gpa::detail::text.
//
// Checked at compile time, locale-free, and without memory of its own.
#pragma once

#include "os/text.hpp"

#include <absl/strings/str_format.h>
