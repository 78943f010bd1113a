// Two fast heaps, over the system and over an upstream, with two caches; what the front door does with them.
#pragma once

#include "base/tools.hpp"
#include "fast/fast_heap.hpp"

#include "support/upstreams.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::test {

class quiet_owner final : public detail::owner {
 public:
  void tell(gpa::report) noexcept override { ++told; }
  void heartbeat() noexcept override {}
  int told = 0;
};

struct fast_heaps {
  quiet_owner owner;
  recording_upstream upstream;
  detail::supply from_system{nullptr};
  detail::supply from_upstream{&upstream};
  std::array<detail::fast_heap::class_slabs, detail::class_count> classes_of_pages;
  std::array<detail::fast_heap::class_slabs, detail::class_count> classes_of_above;
  detail::fast_heap pages{owner, from_system, classes_of_pages};
  detail::fast_heap above{owner, from_upstream, classes_of_above};
  detail::fast_cache k;
  detail::fast_cache other;

  ~fast_heaps()
  {
    pages.check();
    above.check();
    check(k);
    check(other);
    detail::fast_heap::free_arrays(k);
    detail::fast_heap::free_arrays(other);
    BOOST_TEST(owner.told == 0);
  }
  static void check(const detail::fast_cache& cache)
  {
    for (const detail::fast_bin& b : cache.bins)
      BOOST_REQUIRE((b.base <= b.top && b.top <= b.end && b.end <= b.base + b.capacity));
  }
  [[nodiscard]] static std::byte* take(detail::fast_heap& h, detail::fast_cache& from, std::size_t bytes,
                                       std::size_t alignment = 8)
  {
    // What the front door does.
    void* p = nullptr;
    if (bytes < detail::fast_heap::quick_below) p = detail::fast_heap::allocate_quick(from, bytes, alignment);
    if (p == nullptr)
      p = alignment > 16 ? detail::fast_heap::allocate_over_aligned(from, bytes, alignment)
                         : detail::fast_heap::allocate_coarse(from, bytes);
    if (p == nullptr) p = h.allocate(from, bytes, alignment);
    BOOST_REQUIRE(p != nullptr);
    BOOST_REQUIRE(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
    detail::tools_open(p, bytes);
    return static_cast<std::byte*>(p);
  }
  static void give(detail::fast_heap& h, detail::fast_cache& to, void* p, std::size_t bytes, std::size_t alignment = 8)
  {
    if (bytes < detail::fast_heap::quick_below && detail::fast_heap::deallocate_quick(to, p, bytes, alignment)) return;
    if (alignment > 16 ? detail::fast_heap::deallocate_over_aligned(to, p, bytes, alignment)
                       : detail::fast_heap::deallocate_coarse(to, p, bytes)) return;
    h.deallocate(to, p, bytes, alignment);
  }
};

}  // namespace gpa::test
