// Boost.Container's pools. Its memory_resource is a class of its own, so a call takes one more, direct call.
#include "contenders/contenders.hpp"

#if GPA_BENCH_HAVE_BOOST
#include <boost/container/pmr/synchronized_pool_resource.hpp>
#include <boost/container/pmr/unsynchronized_pool_resource.hpp>
#endif

namespace gpa::bench {

#if GPA_BENCH_HAVE_BOOST
namespace {

template <class Pool>
class adapted final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return pool_.allocate(bytes, alignment); }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    pool_.deallocate(p, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override
  {
    return this == &other;
  }

  Pool pool_;
};

}  // namespace

maker boost_unsynchronized_pool()
{
  return make_heap<owned<adapted<boost::container::pmr::unsynchronized_pool_resource>>>;
}
maker boost_synchronized_pool()
{
  return make_heap<owned<adapted<boost::container::pmr::synchronized_pool_resource>>>;
}
#else
maker boost_unsynchronized_pool()
{
  return nullptr;
}
maker boost_synchronized_pool()
{
  return nullptr;
}
#endif

}  // namespace gpa::bench
