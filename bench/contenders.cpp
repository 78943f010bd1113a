// The list of contenders: one line each, in the order of the tables.
#include "contenders.hpp"

#include <gpa/resource.hpp>

#include <array>
#include <utility>

namespace gpa::bench {

namespace {

template <class Resource>
class owned final : public heap {
 public:
  template <class... Arguments>
  explicit owned(Arguments&&... arguments) : r_(std::forward<Arguments>(arguments)...)
  {}

  std::pmr::memory_resource& resource() noexcept override { return r_; }

 private:
  Resource r_;
};

class new_delete final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return *std::pmr::new_delete_resource(); }
};

// It reuses nothing by itself, so it starts over after every pass; what it then faults in again is on the clock.
class monotonic final : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return r_; }
  void after_pass() override { r_.release(); }

 private:
  std::pmr::monotonic_buffer_resource r_{std::pmr::new_delete_resource()};
};

template <class Heap>
std::unique_ptr<heap> make()
{
  return std::make_unique<Heap>();
}

using unsynchronized = owned<std::pmr::unsynchronized_pool_resource>;
using synchronized = owned<std::pmr::synchronized_pool_resource>;

// Checks are chosen here, never by how this file is compiled. A mistake found in a benchmark aborts it, as it should.
std::unique_ptr<heap> checked()
{
  return std::make_unique<owned<resource>>(options{.name = "gpa", .checks = checks::always(), .stack_frames = 0});
}
std::unique_ptr<heap> with_stacks()
{
  return std::make_unique<owned<resource>>(options{.name = "gpa_stacks", .checks = checks::always()});
}
std::unique_ptr<heap> fast()
{
  return std::make_unique<owned<resource>>(options{.name = "gpa_never", .checks = checks::never()});
}

}  // namespace

std::span<const contender> contenders()
{
  static const std::array all{
      contender{"gpa", "gpa::resource, checks::always(), stack_frames = 0", 2, 1, checked},
      contender{"gpa_twin", "the same once more: what its ratio differs from 1 is noise", 2, 1, checked},
      contender{"new_delete", "std::pmr::new_delete_resource()", 2, 1, make<new_delete>},
      contender{"unsynchronized_pool", "std::pmr's, one thread only", 1, 1, make<unsynchronized>},
      contender{"synchronized_pool", "std::pmr's", 2, 1, make<synchronized>},
      contender{"monotonic", "std::pmr's, release() after every pass, one thread only", 1, 1, make<monotonic>},
      contender{"gpa_stacks", "gpa::resource, checks::always(), default stacks; every 8th round", 2, 8, with_stacks},
      contender{"gpa_never", "gpa::resource, checks::never()", 2, 1, fast},
  };
  return all;
}

}  // namespace gpa::bench
