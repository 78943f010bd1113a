// What a general purpose allocator is for: many blocks, many sizes, given back in any order.
//
// Shows S2-1. Sizes from 1 byte to 64 KiB, from a fixed seed, so that every run does the same.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <random>
#include <utility>
#include <vector>

int main()
{
  gpa::resource r({.name = "any order"});
  std::mt19937 random(12);
  const auto below = [&random](std::size_t end) { return static_cast<std::size_t>(random()) % end; };

  struct block {
    void* address;
    std::size_t bytes;
  };
  std::vector<block> blocks;
  for (int i = 0; i != 2000; ++i) {
    const std::size_t bytes = 1 + below(std::size_t{1} << below(17));
    blocks.push_back({r.allocate(bytes), bytes});
  }
  std::cout << "live: " << r.stats().live_blocks << " blocks\n";

  while (!blocks.empty()) {
    std::swap(blocks[below(blocks.size())], blocks.back());
    r.deallocate(blocks.back().address, blocks.back().bytes);
    blocks.pop_back();
  }
  std::cout << "live: " << r.stats().live_blocks << " blocks of " << r.stats().total_blocks << '\n';

  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
