// JSON documents of resources, read back by tests.
#pragma once

#include <gpa/resource.hpp>

#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>

namespace gpa::test {

using boost::property_tree::ptree;

/// A folder of its own, gone at the end.
struct folder {
  std::filesystem::path path;
  folder()
  {
    std::string name = (std::filesystem::temp_directory_path() / "gpa_report_XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file(std::string_view name) const { return (path / name).string(); }
  [[nodiscard]] std::size_t files() const
  {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }
};

/// Mistakes are noted and told to nobody.
inline gpa::options named(std::string_view name)
{
  gpa::options o = {.name = name, .checks = gpa::checks::always()};
  o.after_mistake = gpa::after_mistake::carry_on;
  o.on_report = [](const gpa::report&) {};
  return o;
}

inline ptree read(const std::string& file)
{
  ptree document;
  read_json(file, document);
  return document;
}

/// An element of an array.
inline const ptree& at(const ptree& array, std::size_t index)
{
  return std::next(array.begin(), static_cast<std::ptrdiff_t>(index))->second;
}

/// Whether a call of that name is in the stack.
inline bool calls(const ptree& document, std::size_t trace, std::string_view function)
{
  for (const ptree::value_type& number : at(document.get_child("traces"), trace)) {
    const ptree& frame = at(document.get_child("frames"), number.second.get_value<std::size_t>());
    for (const ptree::value_type& call : frame.get_child("calls"))
      if (call.second.get<std::string>("function").find(function) != std::string::npos) return true;
  }
  return false;
}

inline std::size_t sum(const ptree& sites, const char* key)
{
  std::size_t total = 0;
  for (const auto& [name, site] : sites) total += site.get<std::size_t>(key);
  return total;
}

}  // namespace gpa::test
