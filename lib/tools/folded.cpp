// One line a stack, outermost function first: `main;parse(char const*);Cache::open(int) 697`. The same stack stands
// there once. The format has no escapes: a `;` in a name becomes `:`.

#include "tools/exports.hpp"

#include <map>

namespace gpa::tools {

std::string to_folded(const document& d, measure what)
{
  require(d, what);
  std::map<std::string, std::uint64_t> lines;
  for (const site& s : d.sites) {
    if (bytes_of(s, what) == 0) continue;
    std::vector<const call*> calls;
    for_each_call(d, s.trace, [&](const call& c) { calls.push_back(&c); });
    std::string line;
    for (auto c = calls.rbegin(); c != calls.rend(); ++c) {
      if (!line.empty()) line += ';';
      for (const char letter : (*c)->function.empty() ? std::string("??") : (*c)->function)
        line += letter == ';' ? ':' : letter;
    }
    std::uint64_t& sum = lines[line];
    sum = sum_of(sum, bytes_of(s, what));
  }
  std::string out;
  for (const auto& [line, bytes] : lines) out += line + " " + std::to_string(bytes) + "\n";
  return out;
}

}  // namespace gpa::tools
