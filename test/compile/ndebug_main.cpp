// Judges what both files saw. Argument "outlined": inline functions are calls, so both files run the linker's copy.
#include "ndebug_forms.hpp"

#include <cstddef>
#include <iostream>

int main(int argc, char** argv)
{
  const bool outlined = argc == 2 && std::string_view(argv[1]) == "outlined";
  const std::vector<form> with = forms_with_ndebug();
  const std::vector<form> without = forms_without_ndebug();
  int wrong = with.size() == without.size() && !with.empty() ? 0 : 1;
  for (std::size_t i = 0; i != with.size() && i != without.size(); ++i) {
    const gpa::checks release = with[i].seen;
    const gpa::checks debug = without[i].seen;
    bool right = release.decided() && debug.decided();
    switch (with[i].promised) {
      case promise::own_file: right = release.is_never() && debug.is_always(); break;
      case promise::given_always: right = release.is_always() && debug.is_always(); break;
      case promise::given_never: right = release.is_never() && debug.is_never(); break;
      case promise::linkers_choice: right = right && (!outlined || release == debug); break;
    }
    if (right) continue;
    ++wrong;
    std::cout << "wrong: " << with[i].name << ": with NDEBUG " << (release.is_always() ? "always" : "never")
              << ", without " << (debug.is_always() ? "always" : "never") << '\n';
  }
  return wrong == 0 ? 0 : 1;
}
