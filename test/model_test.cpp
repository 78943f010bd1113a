#define BOOST_TEST_MODULE model
#include "core.hpp"
#include "late_handle.hpp"
#include "registry.hpp"

#include "support/modes.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::witness;

struct block {
  std::byte* p;
  std::size_t bytes;
  std::size_t alignment;
  std::byte content;
};

constexpr std::size_t largest = 300'000;

// The heap's own invariants; nobody else may be inside.
void check_invariants(const gpa::resource& r)
{
  gpa::detail::core* const core = gpa::detail::find_core(gpa::detail::birth_of(r));
  BOOST_REQUIRE(core != nullptr);
  core->checked().check();
}

// Does at random what a program may do, and knows at each moment what must be true.
class walker {
 public:
  walker(gpa::resource& r, unsigned seed) : r_(r), random_(seed) {}

  void step()
  {
    const auto dice = random_() % 100;
    if (dice < 45 || live_.empty()) {
      allocate();
    } else if (dice < 85 || live_.size() > 2'000) {
      free_one();
    } else if (dice < 99) {
      resize();
    } else if (random_() % 8 == 0) {
      r_.trim();
    } else {
      reports += r_.verify();
    }
  }

  void free_all()
  {
    while (!live_.empty()) free_one();
  }

  // The sums a resource must agree with.
  std::size_t live_blocks() const { return live_.size(); }
  std::size_t live_bytes = 0;
  std::size_t total_blocks = 0;
  std::size_t changed = 0;  // blocks whose contents were not what was written
  std::size_t misaligned = 0;
  std::size_t reports = 0;
  std::size_t grown = 0;

 private:
  std::size_t random_bytes()
  {
    const auto kind = random_() % 100;
    if (kind < 80) return random_() % 600;
    return random_() % (kind < 98 ? 40'000 : largest);
  }

  void allocate()
  {
    const std::size_t bytes = random_bytes();
    const std::size_t alignment = std::size_t{1} << (random_() % 20 == 0 ? random_() % 17 : random_() % 5);
    auto* const p =
        static_cast<std::byte*>(random_() % 2 == 0 ? r_.allocate(bytes, alignment) : r_.try_allocate(bytes, alignment));
    if (p == nullptr || reinterpret_cast<std::uintptr_t>(p) % alignment != 0) {
      ++misaligned;
      return;
    }
    live_.push_back({p, bytes, alignment, static_cast<std::byte>(random_())});
    fill(live_.back(), 0);
    live_bytes += bytes;
    ++total_blocks;
  }

  void free_one()
  {
    std::swap(live_[random_() % live_.size()], live_.back());
    const block b = live_.back();
    live_.pop_back();
    look(b, b.bytes);
    r_.deallocate(b.p, b.bytes, b.alignment);
    live_bytes -= b.bytes;
  }

  void resize()
  {
    block& b = live_[random_() % live_.size()];
    const std::size_t bytes =
        random_() % 4 == 0 ? random_bytes() : b.bytes + random_() % 17 - std::min<std::size_t>(b.bytes, random_() % 17);
    const bool done = r_.try_resize(b.p, b.bytes, bytes, b.alignment);
    look(b, std::min(b.bytes, done ? bytes : b.bytes));
    if (!done) return;
    live_bytes += bytes - b.bytes;
    const std::size_t before = b.bytes;
    b.bytes = bytes;
    if (bytes > before) {
      fill(b, before);
      ++grown;
    }
  }

  static void fill(const block& b, std::size_t from)
  {
    std::memset(b.p + from, std::to_integer<int>(b.content), b.bytes - from);
  }
  void look(const block& b, std::size_t bytes)
  {
    if (!std::all_of(b.p, b.p + bytes, [&b](std::byte seen) { return seen == b.content; })) ++changed;
  }

  gpa::resource& r_;
  std::mt19937 random_;
  std::vector<block> live_;
};

void compare(const gpa::resource& r, const walker& model)
{
  const gpa::statistics s = r.stats();
  BOOST_REQUIRE(s.live_blocks == model.live_blocks());
  BOOST_REQUIRE(s.live_bytes == model.live_bytes);
  BOOST_REQUIRE(s.total_blocks == model.total_blocks);
  BOOST_REQUIRE(s.held_bytes >= model.live_bytes);
  BOOST_REQUIRE(s.peak_bytes >= model.live_bytes);  // stats() itself looks
  BOOST_REQUIRE(s.mistakes == 0u);
  check_invariants(r);
}

// Sanitizers take ten times as long; what one thread does alone says nothing to ThreadSanitizer.
constexpr int alone(int steps) { return steps / (GPA_TEST_TSAN != 0 ? 12 : gpa::test::sanitized ? 3 : 1); }
constexpr int together(int steps) { return gpa::test::sanitized ? steps / 3 : steps; }

void walk(gpa::resource& r, unsigned seed, int steps)
{
  walker model(r, seed);
  for (int i = 0; i != steps; ++i) {
    model.step();
    if (i % 1'000 == 0) compare(r, model);
  }
  model.free_all();
  compare(r, model);
  BOOST_TEST(model.changed == 0u);
  BOOST_TEST(model.misaligned == 0u);
  BOOST_TEST(model.reports == 0u);
  BOOST_TEST(model.grown > 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_random_walk_agrees_with_its_model_in_every_mode)
{
  unsigned seed = 0;
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      witness w;
      gpa::resource r(w.listening(m.options));
      walk(r, ++seed, alone(12'000));
      BOOST_TEST((r.deinit() == gpa::check::ok));
      BOOST_TEST(w.count() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_random_walk_over_an_upstream_agrees_with_its_model_and_returns_all)
{
  unsigned seed = 100;
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      witness w;
      gpa::test::recording_upstream upstream;
      {
        gpa::resource r(w.listening(m.options), &upstream);
        walk(r, ++seed, alone(6'000));
      }
      BOOST_TEST(upstream.live() == 0u);
      BOOST_TEST(upstream.wrong() == 0u);
      BOOST_TEST(w.count() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_that_walk_on_one_resource_add_up)
{
  unsigned seed = 200;
  for (const mode& m : every_mode()) {
    if (!m.options.thread_safe) continue;
    BOOST_TEST_CONTEXT(m.name)
    {
      witness w;
      gpa::resource r(w.listening(m.options));
      std::array<walker, 2> models = {walker(r, ++seed), walker(r, ++seed)};
      for (int round = 0; round != 3; ++round) {
        std::vector<std::thread> threads;
        for (walker& model : models)
          threads.emplace_back([&model] {
            for (int i = 0; i != together(3'000); ++i) model.step();
          });
        for (std::thread& t : threads) t.join();
        const gpa::statistics s = r.stats();
        BOOST_TEST(s.live_blocks == models[0].live_blocks() + models[1].live_blocks());
        BOOST_TEST(s.live_bytes == models[0].live_bytes + models[1].live_bytes);
        BOOST_TEST(s.total_blocks == models[0].total_blocks + models[1].total_blocks);
        check_invariants(r);
      }
      std::thread([&models] { models[0].free_all(); }).join();  // by a third thread
      models[1].free_all();
      for (const walker& model : models) {
        BOOST_TEST(model.changed == 0u);
        BOOST_TEST(model.misaligned == 0u);
        BOOST_TEST(model.reports == 0u);
      }
      BOOST_TEST(r.stats().live_blocks == 0u);
      BOOST_TEST((r.deinit() == gpa::check::ok));
      BOOST_TEST(w.count() == 0u);
    }
  }
}

// Blocks made by one thread and freed by another, in both directions at once.
BOOST_AUTO_TEST_CASE(blocks_that_change_hands_keep_their_contents)
{
  for (const mode& m : every_mode()) {
    if (!m.options.thread_safe) continue;
    BOOST_TEST_CONTEXT(m.name)
    {
      witness w;
      gpa::resource r(w.listening(m.options));
      std::mutex lock;
      std::vector<block> exchange;
      std::array<std::size_t, 2> changed{};
      const auto work = [&](std::size_t self) {
        std::mt19937 random(static_cast<unsigned>(self) + 1);
        for (int i = 0; i != together(5'000); ++i) {
          const std::size_t bytes = random() % (i % 50 == 0 ? 100'000 : 500);
          const auto content = static_cast<std::byte>(random());
          block mine{static_cast<std::byte*>(r.allocate(bytes, 16)), bytes, 16, content};
          std::memset(mine.p, std::to_integer<int>(content), bytes);
          {
            const std::lock_guard guard(lock);
            exchange.push_back(mine);
            if (exchange.size() < 200) continue;
            std::swap(exchange[random() % exchange.size()], exchange.back());
            mine = exchange.back();
            exchange.pop_back();
          }
          if (!std::all_of(mine.p, mine.p + mine.bytes, [&](std::byte b) { return b == mine.content; }))
            ++changed[self];
          r.deallocate(mine.p, mine.bytes, mine.alignment);
        }
      };
      std::thread other(work, 1);
      work(0);
      other.join();
      for (const block& b : exchange) r.deallocate(b.p, b.bytes, b.alignment);
      BOOST_TEST(changed[0] + changed[1] == 0u);
      BOOST_TEST(r.stats().total_blocks == static_cast<std::size_t>(2 * together(5'000)));
      check_invariants(r);
      BOOST_TEST(r.verify() == 0u);
      BOOST_TEST((r.deinit() == gpa::check::ok));
      BOOST_TEST(w.count() == 0u);
    }
  }
}
