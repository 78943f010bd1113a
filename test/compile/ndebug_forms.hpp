// What two files of one program, one compiled with NDEBUG and one without, say about the resources they make.
#pragma once

#include <gpa/resource.hpp>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

/// What design and README promise of a form: its own file's default, the checks it was given, or, where the language
/// puts the default argument into inline code, whichever copy the linker keeps.
enum class promise { own_file, given_always, given_never, linkers_choice };

struct form {
  promise promised;
  std::string_view name;
  gpa::checks seen;
};

/// One type for both files: its implicit constructor is inline code.
struct implicitly_made {
  gpa::resource resource;
};

std::vector<form> forms_with_ndebug();
std::vector<form> forms_without_ndebug();
