// The list of contenders: one line each, in the order of the tables. Those of gpa and of std are made here.
#include "contenders/contenders.hpp"

#include <gpa/resource.hpp>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace gpa::bench {

namespace {

// Checks are chosen here, never by how this file is compiled. A mistake found in a benchmark aborts it, as it should.
options checked()
{
  return {.name = "gpa", .checks = checks::always(), .stack_frames = 0};
}
options with_stacks()
{
  return {.name = "gpa_stacks", .checks = checks::always()};
}
options fast()
{
  return {.name = "gpa_never", .checks = checks::never()};
}
template <std::uint32_t Interval>
options sampled()
{
  return {.name = "gpa_sampled", .checks = checks::one_in(Interval)};
}

template <options (*Chosen)()>
class ours final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return r_; }
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<ours>(); }
  void trim() override { r_.trim(); }

 private:
  gpa::resource r_{Chosen()};
};

class new_delete final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return *std::pmr::new_delete_resource(); }
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<new_delete>(); }
};

// What a malloc can do at its best. libstdc++'s new_delete_resource() passes the alignment even where every malloc
// gives it anyway, and most answer that on a slower path; here they are called as `new` calls them, and told the size
// at the free.
class plain_new final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) [[likely]]
      return ::operator new(bytes);
    return ::operator new(bytes, std::align_val_t(alignment));
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) [[likely]]
      ::operator delete(p, bytes);
    else
      ::operator delete(p, bytes, std::align_val_t(alignment));
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override
  {
    return this == &other;
  }
};

// It reuses nothing by itself, so it starts over after every pass; what it then faults in again is on the clock.
class monotonic final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return r_; }
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<monotonic>(); }
  void after_pass() override { r_.release(); }

 private:
  std::pmr::monotonic_buffer_resource r_{std::pmr::new_delete_resource()};
};

// The same with its chunks from a fast gpa::resource, where they stay warm.
class monotonic_on_gpa final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return r_; }
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<monotonic_on_gpa>(); }
  void after_pass() override { r_.release(); }
  void trim() override { below_.trim(); }

 private:
  gpa::resource below_{fast()};
  std::pmr::monotonic_buffer_resource r_{&below_};
};

using std::pmr::synchronized_pool_resource;
using std::pmr::unsynchronized_pool_resource;

// clang-format off
std::vector<contender> all_of_them()
{
  constexpr auto none = "";
  return {
    {"gpa", "gpa::resource, checks::always(), stack_frames = 0", 2, true, none, make_heap<ours<checked>>, none},
    {"gpa_twin", "the same once more: what its ratio differs from 1 is noise", 2, true, none, make_heap<ours<checked>>, none},
    {"new_delete", "std::pmr::new_delete_resource() on glibc", 2, true, none, make_heap<new_delete>, none},
    {"unsynchronized_pool", "std::pmr's, one thread only", 1, true, none, make_heap<owned<unsynchronized_pool_resource>>, none},
    {"synchronized_pool", "std::pmr's", 2, true, none, make_heap<owned<synchronized_pool_resource>>, none},
    {"monotonic", "std::pmr's, release() after every pass, one thread only", 1, false, none, make_heap<monotonic>, none},
    {"gpa_stacks", "gpa::resource, checks::always(), default stacks", 2, true, none, make_heap<ours<with_stacks>>, none},
    {"gpa_never", "gpa::resource, checks::never()", 2, true, none, make_heap<ours<fast>>, none},
    {"gpa_never_twin", "the same once more: what its ratio differs from 1 is noise", 2, true, none, make_heap<ours<fast>>, none},
    {"gpa_1_in_10000", "gpa::resource, checks::one_in(10'000)", 2, true, none, make_heap<ours<sampled<10'000>>>, none},
    {"gpa_1_in_1000", "gpa::resource, checks::one_in(1'000)", 2, true, none, make_heap<ours<sampled<1'000>>>, none},
    {"monotonic_on_gpa", "std::pmr's monotonic over gpa_never, one thread only", 1, false, none, make_heap<monotonic_on_gpa>, none},
    {"glibc", "operator new and sized delete on glibc's malloc", 2, true, none, make_heap<owned<plain_new>>, none},
    {"mimalloc", "the same, libmimalloc preloaded", 2, true, "libmimalloc.so.2", make_heap<owned<plain_new>>, "libmimalloc2.0 is not installed"},
    {"jemalloc", "the same, libjemalloc preloaded", 2, true, "libjemalloc.so.2", make_heap<owned<plain_new>>, "libjemalloc2 is not installed"},
    {"tcmalloc", "the same, gperftools' libtcmalloc_minimal preloaded", 2, true, "libtcmalloc_minimal.so.4", make_heap<owned<plain_new>>, "libtcmalloc-minimal4 is not installed"},
    {"tbb_scalable", "oneTBB's scalable_memory_resource()", 2, true, none, tbb_scalable(), "built without libtbb-dev"},
    {"boost_unsynchronized", "Boost.Container's unsynchronized pool, one thread only", 1, true, none, boost_unsynchronized_pool(), "built without libboost-container-dev"},
    {"boost_synchronized", "Boost.Container's synchronized pool", 2, true, none, boost_synchronized_pool(), "built without libboost-container-dev"},
    {"zig_gpa", "Zig's std.heap.GeneralPurposeAllocator, ReleaseSafe, no stacks", 2, true, none, zig_gpa(), "bench/run found no zig on the PATH"},
    {"zig_gpa_stacks", "the same with its stacks of 6 frames", 2, true, none, zig_gpa_stacks(), "bench/run found no zig on the PATH"},
  };
}
// clang-format on

}  // namespace

std::span<const contender> contenders()
{
  static const std::vector<contender> all = all_of_them();
  return all;
}

std::size_t contender_named(std::string_view name)
{
  const auto found = std::ranges::find(contenders(), name, &contender::name);
  if (found == contenders().end()) throw std::invalid_argument("no contender is named " + std::string(name));
  return static_cast<std::size_t>(found - contenders().begin());
}

}  // namespace gpa::bench
