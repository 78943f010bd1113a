// oneTBB's scalable allocator: one heap for the process, with caches for each thread. It refuses blocks of 0 bytes,
// which a recording may have, and its scalable_memory_resource() does, too: this is the same but for that.
#include "contenders/contenders.hpp"

#if GPA_BENCH_HAVE_TBB
#include <oneapi/tbb/scalable_allocator.h>

#include <algorithm>
#include <new>
#endif

namespace gpa::bench {

#if GPA_BENCH_HAVE_TBB
namespace {

class scalable_resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    void* const p = ::scalable_aligned_malloc(std::max<std::size_t>(bytes, 1), alignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  void do_deallocate(void* p, std::size_t /*bytes*/, std::size_t /*alignment*/) override { ::scalable_free(p); }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override
  {
    return dynamic_cast<const scalable_resource*>(&other) != nullptr;
  }
};

class scalable final : public owned<scalable_resource> {
 public:
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<scalable>(); }
  void trim() override { static_cast<void>(::scalable_allocation_command(TBBMALLOC_CLEAN_ALL_BUFFERS, nullptr)); }
};

}  // namespace

maker tbb_scalable()
{
  return make_heap<scalable>;
}
#else
maker tbb_scalable()
{
  return nullptr;
}
#endif

}  // namespace gpa::bench
