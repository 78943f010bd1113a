// oneTBB's scalable_memory_resource(): one heap for the process, with caches for each thread.
#include "contenders/contenders.hpp"

#if GPA_BENCH_HAVE_TBB
#include <oneapi/tbb/scalable_allocator.h>
#endif

namespace gpa::bench {

#if GPA_BENCH_HAVE_TBB
namespace {

class scalable final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return *tbb::scalable_memory_resource(); }
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
