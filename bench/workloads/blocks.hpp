// A block with its size, for workloads and memory shapes that hold many.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory_resource>

namespace gpa::bench {

// A user would not ask for a block and leave it alone.
inline void write_first_word(void* p, std::size_t word)
{
  std::memcpy(p, &word, sizeof word);
}

struct block {
  void* p;
  std::size_t bytes;
};

// The std pools return misaligned memory for sizes that are no multiple of the alignment: none are asked for.
inline constexpr std::size_t block_alignment = 8;

[[nodiscard]] inline block new_block(std::pmr::memory_resource& r, std::size_t bytes)
{
  const block b{r.allocate(bytes, block_alignment), bytes};
  write_first_word(b.p, bytes);
  return b;
}

inline void free_block(std::pmr::memory_resource& r, const block& b)
{
  r.deallocate(b.p, b.bytes, block_alignment);
}

}  // namespace gpa::bench
