// A recording may ask for any size, so each contender of the benchmark has to take it: TBB's refuses 0 bytes.
#include "contenders/contenders.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <new>

int main()
{
  const auto heap = gpa::bench::tbb_scalable()();
  std::pmr::memory_resource& r = heap->resource();
  for (const std::size_t bytes : std::array<std::size_t, 4>{0, 1, 24, 100'000}) {
    for (const std::size_t alignment : std::array<std::size_t, 3>{1, 16, 4096}) {
      try {
        void* const p = r.allocate(bytes, alignment);
        void* const other = r.allocate(bytes, alignment);
        if (p == nullptr || p == other) return std::printf("one block twice, of %zu bytes\n", bytes), 1;
        r.deallocate(other, bytes, alignment);
        r.deallocate(p, bytes, alignment);
      } catch (const std::bad_alloc&) {
        return std::printf("refuses %zu bytes, aligned to %zu\n", bytes, alignment), 1;
      }
    }
  }
  return heap->another()->resource() == r ? 0 : 1;
}
