// A type that owns memory: made, used and given back by scope, and copied and moved across resources.
//
// Shows S1-12 to S1-14: constructor and destructor are the pair; nobody has to remember the second half.
#include "buffer.hpp"

#include <gpa/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <string_view>
#include <utility>
#include <vector>

namespace {

int failures = 0;

void show(std::string_view what, bool holds)
{
  std::cout << what << ": " << (holds ? "yes" : "NO") << '\n';
  failures += holds ? 0 : 1;
}

void use(gpa::resource& here, gpa::resource& there)
{
  buffer b(1024, &here);
  show("1024 bytes, all zero",
       b.size() == 1024 && std::ranges::all_of(b.bytes(), [](std::byte x) { return x == std::byte{0}; }));
  b.bytes()[7] = std::byte{42};

  const buffer copy(b, &there);
  show("a copy lives where it is told to", copy.get_allocator() == &there && copy.bytes()[7] == std::byte{42});

  const std::size_t blocks = here.stats().total_blocks;
  buffer moved(std::move(b));
  show("a move takes the memory along", moved.get_allocator() == &here && here.stats().total_blocks == blocks);

  buffer target(10, &there);
  target = std::move(moved);
  show("assignment keeps the target's resource",
       target.get_allocator() == &there && target.bytes()[7] == std::byte{42});

  std::pmr::vector<buffer> row(&there);
  row.emplace_back(std::size_t{64});
  show("a container hands its resource down", row.front().get_allocator() == &there);
}

}  // namespace

int main()
{
  gpa::resource here({.name = "here"});
  gpa::resource there({.name = "there"});
  use(here, there);
  show("nothing is left", here.deinit() == gpa::check::ok && there.deinit() == gpa::check::ok);
  return failures == 0 ? 0 : 1;
}
