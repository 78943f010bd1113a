#include "fuzz/listener.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace gpa::fuzz {

listener::listener(std::string setting) : setting_(std::move(setting))
{
  if (shows_all) std::fprintf(stderr, "%s\n", setting_.c_str());
}

std::size_t listener::settle(const std::function<bool(const gpa::report&)>& explains)
{
  std::size_t mistakes = 0;
  for (const gpa::report& r : std::exchange(heard_, {})) {
    if (r.kind == mistake::leak) {
      leaks_.blocks += r.blocks + r.owned_blocks;
      leaks_.bytes += r.total_bytes + r.owned_bytes;
      continue;
    }
    if (r.resource == "fuzzed") ++mistakes;
    const auto found = std::find_if(due_.begin(), due_.end(), [&r](const due& d) {
      return d.p == r.address && d.resource == r.resource &&
             std::find(d.kinds.begin(), d.kinds.end(), r.kind) != d.kinds.end();
    });
    if (found != due_.end()) {
      due_.erase(found);
    } else if (!explains(r)) {
      fail("unexpected: " + gpa::to_string(r));
    }
  }
  if (!due_.empty()) {
    std::string words = "missing: ";
    words += gpa::to_string(due_.front().kinds.front());
    char place[40];
    std::snprintf(place, sizeof place, " at %p, and ", due_.front().p);
    fail(words + place + std::to_string(due_.size() - 1) + " more");
  }
  return mistakes;
}

listener::leaks listener::take_leaks()
{
  return std::exchange(leaks_, {});
}

void listener::fail(std::string_view words) const
{
  std::fprintf(stderr, "a resource with %s\n", setting_.c_str());
  for (const entry& e : notes_) print(e);
  std::fprintf(stderr, "is not as its model: %.*s\n", static_cast<int>(words.size()), words.data());
  std::abort();
}

void listener::print(const entry& e)
{
  std::fprintf(stderr, "  %s %p %zu %zu\n", e.what, e.p, e.first, e.second);
}

}  // namespace gpa::fuzz
