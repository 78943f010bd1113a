#define BOOST_TEST_MODULE stacked
#include <gpa/resource.hpp>

#include "support/resident.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <memory_resource>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// Resources that stand on others.

namespace {

using gpa::test::witness;

gpa::options checked(witness& w, std::string_view name)
{
  return w.listening({.name = name, .checks = gpa::checks::always()});
}

// Hands on to another one, and remembers what that gave last.
class in_between final : public std::pmr::memory_resource {
 public:
  explicit in_between(gpa::resource& r) : under_(r) {}
  [[nodiscard]] void* last() const { return last_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    return last_ = under_.allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    under_.deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  gpa::resource& under_;
  void* last_ = nullptr;
};

}  // namespace

// Its slabs are cut from blocks of the lower one, and found first where an address is looked up.
BOOST_AUTO_TEST_CASE(blocks_that_another_resource_stands_on_are_leaks_like_others)
{
  witness w;
  gpa::resource lower(checked(w, "lower"));
  {
    gpa::resource upper(checked(w, "upper"), &lower);
    void* const small = upper.allocate(100, 8);
    void* const large = upper.allocate(200'000, 8);
    const std::size_t live = lower.stats().live_blocks;
    BOOST_TEST(live >= 2u);
    BOOST_TEST(lower.detect_leaks() == live);
    BOOST_TEST(w.count(gpa::mistake::leak) >= 1u);
    upper.deallocate(small, 100, 8);
    upper.deallocate(large, 200'000, 8);
  }
  static_cast<void>(w.take());
  BOOST_TEST(lower.detect_leaks() == 0u);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_block_that_another_resource_stands_on_can_be_asked_about_and_ignored)
{
  witness w;
  for (const gpa::checks checks : {gpa::checks::always(), gpa::checks::one_in(2)}) {
    gpa::resource lower(w.listening({.name = "lower", .checks = checks}));
    in_between between(lower);
    gpa::resource upper(checked(w, "upper"), &between);
    void* const p = upper.allocate(100, 8);
    BOOST_TEST_REQUIRE(between.last() != nullptr);
    if (checks.is_always()) BOOST_TEST(!lower.origin(between.last()).empty());
    lower.ignore(between.last());
    BOOST_TEST(w.count() == 0u);
    if (checks.is_always()) BOOST_TEST(lower.detect_leaks() == lower.stats().live_blocks - 1);
    upper.deallocate(p, 100, 8);
    static_cast<void>(w.take());
    BOOST_TEST(upper.deinit() == gpa::check::ok);
    BOOST_TEST(lower.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}

// What lies on a block comes and goes meanwhile.
BOOST_AUTO_TEST_CASE(leaks_are_looked_for_while_others_use_resources_that_stand_on_this_one)
{
  witness w;
  gpa::resource lower(checked(w, "lower"));
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  for (const gpa::checks checks : {gpa::checks::always(), gpa::checks::never()})
    busy.emplace_back([&, checks] {
      while (!done) {
        gpa::resource upper({.checks = checks, .stack_frames = 4}, &lower);
        std::vector<std::pair<void**, std::size_t>> blocks;
        for (std::size_t i = 0; i != 40; ++i) {
          const std::size_t bytes = i % 3 == 0 ? 100'000 : 16 + i * 70;
          auto** const p = static_cast<void**>(upper.allocate(bytes, 8));
          for (std::size_t word = 0; word != bytes / sizeof(void*); ++word)
            p[word] = blocks.empty() ? p : blocks[word % blocks.size()].first;
          blocks.emplace_back(p, bytes);
        }
        for (const auto& [p, bytes] : blocks) upper.deallocate(p, bytes, 8);
        upper.trim();
      }
    });
  for (int i = 0; i != (gpa::test::sanitized ? 10 : 60); ++i) static_cast<void>(lower.detect_leaks());
  done = true;
  for (std::thread& t : busy) t.join();
  static_cast<void>(w.take());
  BOOST_TEST(lower.detect_leaks() == 0u);
  BOOST_TEST(w.count() == 0u);
}
