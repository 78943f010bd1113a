#define BOOST_TEST_MODULE system_calls
// What kinds of work ask of the system once they have run for a while: golden numbers of calls. Where there are none, pages
// are not faulted in either.
#include "support/modes.hpp"
#include "support/not_run.hpp"
#include "support/resident.hpp"
#include "support/system_calls.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <memory_resource>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using gpa::test::asked;

constexpr std::size_t KiB = 1024;

struct block {
  void* p;
  std::size_t bytes;
};

void write_through(void* p, std::size_t bytes) { std::memset(p, 1, bytes); }

void pairs(std::pmr::memory_resource& r, std::size_t bytes, int count)
{
  for (int i = 0; i != count; ++i) {
    void* const p = r.allocate(bytes);
    write_through(p, bytes);
    r.deallocate(p, bytes);
  }
}

void churn(std::pmr::memory_resource& r, std::size_t most)
{
  std::mt19937 random(1);
  std::vector<block> live;
  for (int i = 0; i != 4'000; ++i) {
    const std::size_t bytes = 16 + random() % most;
    if (live.size() < 1'000) {
      live.push_back({r.allocate(bytes), bytes});
      continue;
    }
    block& one = live[random() % live.size()];
    r.deallocate(one.p, one.bytes);
    one = {r.allocate(bytes), bytes};
  }
  for (const block& b : live) r.deallocate(b.p, b.bytes);
}

void batch(std::pmr::memory_resource& r, std::size_t bytes, std::size_t count)
{
  std::vector<void*> all(count);
  for (void*& p : all) p = r.allocate(bytes);
  std::shuffle(all.begin(), all.end(), std::mt19937(1));
  for (void* const p : all) r.deallocate(p, bytes);
}

void growth(std::pmr::memory_resource& r)
{
  std::pmr::vector<int> v(&r);
  for (int i = 0; i != 200'000; ++i) v.push_back(i);
}

void three_strings(std::pmr::memory_resource& r)
{
  std::pmr::vector<std::pmr::string> all(&r);
  for (int i = 0; i != 3; ++i) all.emplace_back("a string that is longer than what fits into its own object");
}

struct kind_of_work {
  const char* name;
  std::function<void(gpa::resource&)> once;
  const char* fast;     // what ten rounds ask for
  const char* checked;  // with protect_large::never, whatever the machine; "at most": where it is luck how addresses fit
  const char* closing;  // with protect_large::always, but for what their records take now and then
};

const std::vector<kind_of_work>& kinds_of_work()
{
  static const std::vector<kind_of_work> all{
      {"pairs of 64 B", [](auto& r) { pairs(r, 64, 1'000); }, "nothing", "nothing", "nothing"},
      {"pairs of 16 KiB", [](auto& r) { pairs(r, 16 * KiB, 200); }, "nothing", "nothing", "nothing"},
      {"churn of 1 000 live blocks of 16-1024 B", [](auto& r) { churn(r, 1'008); }, "nothing", "nothing", "nothing"},
      {"5 000 x 48 B, freed in random order", [](auto& r) { batch(r, 48, 5'000); }, "nothing", "nothing", "nothing"},
      {"200 x 8 KiB, freed in random order", [](auto& r) { batch(r, 8 * KiB, 200); }, "nothing", "nothing", "nothing"},
      {"10 x 64 KiB, written through", [](auto& r) { pairs(r, 64 * KiB, 10); }, "nothing", "nothing", "mmap 100, mremap 100"},
      {"1 MiB, written through", [](auto& r) { pairs(r, 1'024 * KiB, 1); }, "nothing", "nothing", "mmap 10, mremap 10"},
      {"growth of one vector to 1 MiB", [](auto& r) { growth(r); }, "nothing", "nothing", "mmap 50, mremap 50"},
      {"release()", [](auto& r) { three_strings(r), r.release(); }, "nothing", "mprotect 20", "mprotect 20"},
      {"a resource of its own for three strings",
       [](auto& r) {
         gpa::resource own(r.options());
         three_strings(own);
       },
       "nothing", "mprotect 20", "mprotect 20"},
      {"a resource of its own for 3 MiB",
       [](auto& r) {
         gpa::resource own(r.options());
         batch(own, 1 * KiB, 3 * KiB);
       },
       "nothing", "at most 140", "at most 140"},
  };
  return all;
}

asked asked_by(const gpa::options& o, const kind_of_work& kind)
{
  const auto prepare = [&] {
    auto r = std::make_unique<gpa::resource>(o);
    for (int i = 0; i != 300; ++i) kind.once(*r);
    return r;
  };
  return gpa::test::asked_of_system(prepare, [&](const std::unique_ptr<gpa::resource>& r) {
    for (int i = 0; i != 10; ++i) kind.once(*r);
  }, 1);
}

void compare(const asked& seen, std::string_view expected)
{
  constexpr std::string_view bounded = "at most ";
  if (expected.starts_with(bounded)) {
    BOOST_TEST(seen.total() <= std::stol(std::string(expected.substr(bounded.size()))), seen << " is not " << expected);
  } else {
    BOOST_TEST(seen.text() == expected);
  }
}

// What every child can do: a few calls that are known.
bool can_trace()
{
  static const bool can = [] {
    const asked known = gpa::test::asked_of_system([] { return 3; }, [](int times) {
      for (int i = 0; i != times; ++i) {
        void* const p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *static_cast<volatile char*>(p) = 1;
        ::munmap(p, 4096);
      }
    });
    return known.could_trace && known.ended_well && known.text() == "mmap 3, munmap 3" && known.page_faults >= 3;
  }();
  return can;
}

boost::test_tools::assertion_result children_can_be_traced(boost::unit_test::test_unit_id)
{
  return gpa::test::runs_if(!gpa::test::sanitized && can_trace(), "children cannot be traced, or ask for memory of a sanitizer");
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_runs_for_a_while_asks_the_system_for_what_is_written_here,
                     *boost::unit_test::precondition(children_can_be_traced))
{
  for (const kind_of_work& kind : kinds_of_work()) {
    BOOST_TEST_CONTEXT(kind.name)
    {
      const asked fast = asked_by({.checks = gpa::checks::never()}, kind);
      const asked checked = asked_by({.checks = gpa::checks::always(), .protect_large = gpa::protect_large::never}, kind);
      asked closing = asked_by({.checks = gpa::checks::always(), .protect_large = gpa::protect_large::always}, kind);
      BOOST_TEST((fast.ended_well && checked.ended_well && closing.ended_well));
      if (const auto mmaps = closing.calls.find("mmap"); mmaps != closing.calls.end() && mmaps->second % 10 != 0)
        mmaps->second -= std::min(mmaps->second % 10, 4L);  // records
      compare(fast, kind.fast);
      compare(checked, kind.checked);
      compare(closing, kind.closing);
      BOOST_TEST(fast.page_faults == 0);
      BOOST_TEST((checked.page_faults == 0 || !checked.calls.empty()));
      BOOST_TEST_MESSAGE(kind.name << ": " << fast << " | " << checked << " | " << closing);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_first_resource_with_three_strings_asks_for_little,
                     *boost::unit_test::precondition(children_can_be_traced))
{
  const auto asked_at_first = [](gpa::checks c) {
    return gpa::test::asked_of_system([] { return 0; }, [c](int) {
      gpa::resource first({.checks = c});
      three_strings(first);
    });
  };
  const asked fast = asked_at_first(gpa::checks::never());
  const asked checked = asked_at_first(gpa::checks::always());
  compare(fast, "at most 4");
  compare(checked, "at most 12");
  BOOST_TEST_MESSAGE("at first: " << fast << " | " << checked);
}
