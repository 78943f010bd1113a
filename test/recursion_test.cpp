#define BOOST_TEST_MODULE recursion
#include <gpa/resource.hpp>

#include "support/outcome.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <list>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::witness;

const gpa::options checked{.checks = gpa::checks::always()};
constexpr std::size_t sizes[] = {1, 100, 5000, 40'000, 3'000'000};

void use(std::pmr::memory_resource& r)
{
  std::vector<void*> blocks;
  for (const std::size_t bytes : sizes) blocks.push_back(r.allocate(bytes));
  for (std::size_t i = 0; i != blocks.size(); ++i) r.deallocate(blocks[i], sizes[i]);
}

// Passes on, and works in the resource it serves while it is asked.
class calls_back final : public std::pmr::memory_resource {
 public:
  std::pmr::memory_resource* below = nullptr;
  int refused = 0;
  int served = 0;

 private:
  void call_back()
  {
    if (below == nullptr) return;
    try {
      void* const p = below->allocate(50'000);
      below->deallocate(p, 50'000);
      ++served;
    } catch (const std::bad_alloc&) {
      ++refused;
    }
  }
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    call_back();
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    call_back();
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

// An element that throws when it is copied, so that a container frees while the exception flies.
struct thrower {
  int value = 0;

  thrower() = default;
  thrower(int v) : value(v) {}
  thrower(const thrower& other) : value(other.value)
  {
    if (value == 7) throw std::runtime_error("seven");
  }
  thrower& operator=(const thrower&) = default;
};

}  // namespace

BOOST_AUTO_TEST_CASE(resources_stack_on_each_other)
{
  witness w;
  gpa::resource lowest(w.listening());
  {
    gpa::resource middle(w.listening(), &lowest);
    gpa::resource top(w.listening({.checks = gpa::checks::never()}), middle.allocator().resource());
    use(top);
    std::thread([&] { use(top); }).join();
    BOOST_TEST(top.stats().upstream_calls != 0u);
    BOOST_TEST(middle.stats().live_blocks != 0u);
    BOOST_TEST(lowest.stats().live_blocks != 0u);
    BOOST_TEST(top.deinit() == gpa::check::ok);
    BOOST_TEST(middle.stats().live_blocks == 0u);
    BOOST_TEST(middle.deinit() == gpa::check::ok);
  }
  BOOST_TEST(lowest.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_resource_stands_below_and_above_the_standard_ones)
{
  witness w;
  gpa::resource below(w.listening());
  {
    std::pmr::monotonic_buffer_resource arena(&below);
    std::pmr::unsynchronized_pool_resource pool(&below);
    use(arena);
    use(pool);
    gpa::resource above(w.listening(), &pool);
    use(above);
    BOOST_TEST(above.deinit() == gpa::check::ok);
  }
  BOOST_TEST(below.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(an_upstream_that_calls_back_is_refused_or_served_and_never_dead_locks)
{
  const outcome o = outcome_of([] {
    ::alarm(30);
    calls_back upstream;
    gpa::resource r(checked, &upstream);
    upstream.below = &r;
    use(r);
    use(r);
    if (upstream.refused + upstream.served == 0 || upstream.refused == 0) ::_exit(1);
    upstream.below = nullptr;
    if (r.deinit() != gpa::check::ok) ::_exit(2);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}

BOOST_AUTO_TEST_CASE(a_handler_may_use_the_resource_it_hears_about)
{
  const outcome o = outcome_of([] {
    ::alarm(30);
    gpa::resource* self = nullptr;
    int told = 0;
    std::size_t seen = 0;
    gpa::resource r({.checks = gpa::checks::always(),
                     .after_mistake = gpa::after_mistake::carry_on,
                     .on_report = [&](const gpa::report& report) {
                       ++told;
                       use(*self);
                       seen += self->stats().live_blocks + gpa::to_string(report).size();
                       if (told == 1) self->deallocate(self->allocate(10), 11);  // a mistake while one is told
                       if (told < 6) static_cast<void>(self->verify());
                     }});
    self = &r;
    for (const std::size_t bytes : sizes) {
      void* const p = r.allocate(bytes);
      r.deallocate(p, bytes);
      r.deallocate(p, bytes);
    }
    if (told != 1 + static_cast<int>(std::size(sizes)) || seen == 0) ::_exit(1);
    if (r.detect_leaks() != 1 || told != 2 + static_cast<int>(std::size(sizes))) ::_exit(2);
    if (r.deinit() != gpa::check::leak) ::_exit(3);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}

BOOST_AUTO_TEST_CASE(reports_are_named_while_the_resource_is_the_default)
{
  const outcome o = outcome_of([] {
    ::alarm(30);
    gpa::resource r({.name = "default", .checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on});
    const gpa::default_resource_guard guard(&r);
    void* const p = r.allocate(100);
    r.deallocate(p, 100);
    r.deallocate(p, 100);
    if (r.detect_leaks() != 0) ::_exit(1);
    if (r.stats().total_blocks != 1) ::_exit(2);  // naming took nothing from the user's resource
    if (r.deinit() != gpa::check::misuse) ::_exit(3);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.reports() == std::vector<std::string>{"double-free"}, boost::test_tools::per_element());
    BOOST_TEST(o.says("recursion_test.cpp:"));
  }
}

BOOST_AUTO_TEST_CASE(containers_free_rightly_while_an_exception_flies)
{
  witness w;
  gpa::resource r(w.listening());
  for (int round = 0; round != 100; ++round) {
    std::pmr::vector<thrower> numbers(&r);
    BOOST_CHECK_THROW(
        {
          for (int i = 0; i != 8; ++i) numbers.push_back(thrower(i));
        },
        std::runtime_error);
    const std::vector<thrower> source = [] {
      std::vector<thrower> s(8);
      s[5].value = 7;
      return s;
    }();
    BOOST_CHECK_THROW(std::pmr::list<thrower>(source.begin(), source.end(), &r), std::runtime_error);
  }
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_mistake_in_a_noexcept_destructor_during_unwinding_is_reported_and_the_exception_arrives)
{
  struct frees_wrongly {
    gpa::resource& r;
    void* p;
    ~frees_wrongly()
    {
      r.deallocate(p, 41);
      r.deallocate(p, 40);
    }
  };
  witness w;
  gpa::resource r(w.listening());
  const auto unwind = [&] {
    const frees_wrongly object{r, r.allocate(40)};
    throw std::runtime_error("in flight");
  };
  BOOST_CHECK_THROW(unwind(), std::runtime_error);
  BOOST_TEST(w.count(gpa::mistake::size_mismatch) == 1u);
  BOOST_TEST(w.count() == 1u);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
}

// Undefined for the frames it jumps over, some of them ours; what C libraries do all the same must not end in a dead lock.
BOOST_AUTO_TEST_CASE(a_handler_that_jumps_away_leaves_no_lock_held)
{
  const outcome o = outcome_of([] {
    static std::jmp_buf here;
    static int reports = 0;
    gpa::resource r({.checks = gpa::checks::always(),
                     .after_mistake = gpa::after_mistake::carry_on,
                     .on_report = [](const gpa::report& t) {
                       ++reports;
                       if (t.kind != gpa::mistake::leak) std::longjmp(here, 1);
                     }});
    for (const std::size_t bytes : sizes) {
      void* const p = r.allocate(bytes);
      if (setjmp(here) == 0) r.deallocate(p, bytes + 1);
      if (setjmp(here) == 0) r.deallocate(static_cast<std::byte*>(p) + bytes, bytes);
      r.deallocate(p, bytes);
      if (setjmp(here) == 0) r.deallocate(p, bytes);
      std::thread([&r] { use(r); }).join();
      use(r);
      r.verify();
      r.trim();
    }
    static_cast<void>(r.allocate(1));
    if (reports != 3 * static_cast<int>(std::size(sizes)) || r.detect_leaks() != 1) ::_exit(1);
    if (r.deinit() != gpa::check::leak) ::_exit(2);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST((o.status == 0 && o.err.empty()));
}

BOOST_AUTO_TEST_CASE(a_handler_that_throws_ends_in_terminate_with_the_report_written)
{
  for (const gpa::after_mistake after : {gpa::after_mistake::abort, gpa::after_mistake::carry_on}) {
    const outcome o = outcome_of([after] {
      gpa::resource r({.checks = gpa::checks::always(),
                       .after_mistake = after,
                       .on_report = [](const gpa::report&) { throw std::runtime_error("from the handler"); }});
      void* const p = r.allocate(100);
      try {
        r.deallocate(p, 99);
      } catch (...) {
        ::_exit(1);
      }
    });
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == -SIGABRT);
      BOOST_TEST(o.reports() == std::vector<std::string>{"size-mismatch"}, boost::test_tools::per_element());
    }
  }
}
