// Objects that die one by one against objects that die together.
//
// Shows S2-11 to S2-13. Mixed lifetimes need the general purpose allocator itself, and each allocation its own
// release. What one parser run makes dies in one moment: an arena (std's monotonic_buffer_resource) on top of gpa
// gives it back as a whole, and an arena that is itself forgotten is a leak like any other.
#include <gpa/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct user {
  int id;
  int visits;
};

void mixed(gpa::resource& r)
{
  std::pmr::polymorphic_allocator<> a = r.allocator();
  user* const ada = a.new_object<user>(user{1, 0});
  void* const page = a.allocate_bytes(4096);
  std::cout << "user and page: " << r.stats().live_bytes << " bytes live\n";

  a.deallocate_bytes(page, 4096);  // the page first,
  ada->visits += 1;
  std::cout << "user alone: " << r.stats().live_bytes << " bytes live, " << ada->visits << " visit\n";
  a.delete_object(ada);  // the user when it is no longer needed
}

struct node {
  std::size_t first_token;
  std::size_t tokens;
};

void shared(gpa::resource& r)
{
  std::pmr::monotonic_buffer_resource arena(&r);
  std::pmr::vector<std::string_view> tokens(&arena);
  std::pmr::vector<node> nodes(&arena);
  std::pmr::vector<std::pmr::string> names(&arena);

  constexpr std::string_view source = "let arena_of_the_parser_run = node names tokens";
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t end = std::min(source.find(' ', at), source.size());
    nodes.push_back({tokens.size(), 1});
    tokens.push_back(source.substr(at, end - at));
    names.emplace_back(tokens.back());
    at = end + 1;
  }
  std::cout << tokens.size() << " tokens, " << nodes.size() << " nodes, " << names.size() << " names; ";
  std::cout << "the arena holds memory of gpa: " << (r.stats().live_blocks != 0 ? "yes" : "no") << '\n';
}  // all of it ends here, in one step

}  // namespace

int main()
{
  gpa::resource r({.name = "lifetimes"});
  mixed(r);
  shared(r);
  std::cout << "after both: " << r.stats().live_blocks << " blocks live\n";
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
