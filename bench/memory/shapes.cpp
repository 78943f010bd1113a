// The shapes in which memory is held.
#include "memory/memory.hpp"

#include "memory/resident.hpp"
#include "workloads/blocks.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace gpa::bench {

namespace {

using clock = std::chrono::steady_clock;

// The heap of one measurement, and its readings.
class held_heap {
 public:
  held_heap(const contender& c, held_memory& into) : into_(into), before_(resident_anonymous()), begin_(clock::now())
  {
    heap_ = c.make();
  }

  heap& get() { return *heap_; }
  std::pmr::memory_resource& resource() { return heap_->resource(); }

  void peak(std::size_t live, std::size_t blocks)
  {
    if (into_.blocks == 0)
      into_.microseconds = std::chrono::duration<double, std::micro>(clock::now() - begin_).count();
    const double held = beyond();
    if (held < into_.peak) return;
    into_.peak = held;
    into_.live = static_cast<double>(live);
    into_.blocks = static_cast<double>(blocks);
  }

  void all_freed()
  {
    heap_->after_pass();
    into_.at_rest = beyond();
    heap_->trim();
    into_.trimmed = beyond();
  }

 private:
  double beyond() const { return std::max(0.0, resident_anonymous() - before_); }

  held_memory& into_;
  double before_;
  clock::time_point begin_;
  std::unique_ptr<heap> heap_;
};

void fill_through(const block& b)
{
  std::memset(b.p, 1, b.bytes);
}

// All of `sizes` are allocated and written through, then freed in random order.
void burst(const contender& c, held_memory& into, const std::vector<std::size_t>& sizes)
{
  std::vector<block> blocks(sizes.size(), block{nullptr, 0});
  std::vector<std::uint32_t> order(sizes.size());
  for (std::uint32_t i = 0; i != order.size(); ++i) order[i] = i;
  std::ranges::shuffle(order, std::mt19937(21));
  held_heap h(c, into);
  std::size_t live = 0;
  for (std::size_t i = 0; i != sizes.size(); ++i) {
    fill_through(blocks[i] = new_block(h.resource(), sizes[i]));
    live += sizes[i];
  }
  h.peak(live, sizes.size());
  for (const std::uint32_t i : order) free_block(h.resource(), blocks[i]);
  h.all_freed();
}

void small_burst(const contender& c, held_memory& into)
{
  burst(c, into, std::vector<std::size_t>(1'000'000, 48));
}

void mixed_burst(const contender& c, held_memory& into)
{
  std::mt19937 random(22);
  std::uniform_int_distribution<std::size_t> words(2, 128);
  std::vector<std::size_t> sizes(200'000);
  for (std::size_t& bytes : sizes) bytes = words(random) * 8;
  burst(c, into, sizes);
}

void large_burst(const contender& c, held_memory& into)
{
  std::mt19937 random(23);
  std::uniform_real_distribution<double> logarithm(16, 22);
  std::vector<std::size_t> sizes(200);
  for (std::size_t& bytes : sizes) bytes = static_cast<std::size_t>(std::exp2(logarithm(random))) / 4096 * 4096;
  burst(c, into, sizes);
}

// 10 000 live blocks that change for a while: what they take when the heap has found its size.
void steady(const contender& c, held_memory& into)
{
  std::mt19937 random(24);
  std::uniform_int_distribution<std::size_t> words(2, 128);
  std::vector<block> live(10'000, block{nullptr, 0});
  held_heap h(c, into);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i != 1'000'000; ++i) {
    block& b = live[i < live.size() ? i : random() % live.size()];
    if (b.p != nullptr) free_block(h.resource(), b);
    bytes -= b.bytes;
    fill_through(b = new_block(h.resource(), words(random) * 8));
    bytes += b.bytes;
  }
  h.peak(bytes, live.size());
  for (const block& b : live) free_block(h.resource(), b);
  h.all_freed();
}

// A million blocks go from one thread to another. The queue is full nearly all the time, whoever is quicker: else what is
// live, and so the peak, is what the scheduler makes of it (2 to 7 MiB for one heap, in one afternoon).
void handed_over(const contender& c, held_memory& into)
{
  constexpr std::size_t count = 1'000'000, window = 10'000, waiting = window - 100;
  std::vector<block> ring(window, block{nullptr, 0});
  std::atomic<std::size_t> made{0}, taken{0};
  std::atomic<std::size_t> bytes{0}, most{0};
  held_heap h(c, into);
  std::thread consumer([&] {
    for (std::size_t i = 0; i != count; ++i) {
      while (made.load(std::memory_order_acquire) < std::min(i + waiting, count)) std::this_thread::yield();
      const block b = ring[i % window];
      taken.store(i + 1, std::memory_order_release);
      bytes.fetch_sub(b.bytes, std::memory_order_relaxed);
      free_block(h.resource(), b);
    }
  });
  std::mt19937 random(25);
  std::uniform_int_distribution<std::size_t> words(2, 128);
  for (std::size_t i = 0; i != count; ++i) {
    while (i - taken.load(std::memory_order_acquire) == window) std::this_thread::yield();
    const block b = new_block(h.resource(), words(random) * 8);
    fill_through(b);
    ring[i % window] = b;
    const std::size_t now = bytes.fetch_add(b.bytes, std::memory_order_relaxed) + b.bytes;
    if (now > most.load(std::memory_order_relaxed)) most.store(now, std::memory_order_relaxed);
    made.store(i + 1, std::memory_order_release);
    if (i % 100'000 == 99'999) h.peak(most, window);
  }
  consumer.join();
  h.all_freed();
}

// A thousand threads, one after the other, each with 100 blocks that it frees.
void many_threads(const contender& c, held_memory& into)
{
  held_heap h(c, into);
  for (int i = 0; i != 1'000; ++i) {
    std::thread([&, i] {
      std::vector<block> live;
      for (std::size_t b = 0; b != 100; ++b) live.push_back(new_block(h.resource(), 16 + b * 8));
      if (i % 100 == 99) h.peak(100 * 412, 100);
      for (const block& b : live) free_block(h.resource(), b);
    }).join();
  }
  h.all_freed();
}

// A thousand heaps with three blocks each.
void many_heaps(const contender& c, held_memory& into)
{
  held_heap h(c, into);
  std::vector<std::unique_ptr<heap>> heaps;
  std::vector<block> blocks;
  for (int i = 0; i != 1'000; ++i) {
    heaps.push_back(h.get().another());
    for (const std::size_t bytes : {std::size_t{24}, std::size_t{64}, std::size_t{200}})
      blocks.push_back(new_block(heaps.back()->resource(), bytes));
  }
  h.peak(blocks.size() * 96, blocks.size());
  for (std::size_t i = 0; i != blocks.size(); ++i) free_block(heaps[i / 3]->resource(), blocks[i]);
  heaps.clear();
  h.all_freed();
}

// The first three objects of a process.
void three_objects(const contender& c, held_memory& into)
{
  held_heap h(c, into);
  std::array<block, 3> blocks{};
  for (std::size_t i = 0; i != blocks.size(); ++i) blocks[i] = new_block(h.resource(), std::size_t{24} << i);
  h.peak(24 + 48 + 96, blocks.size());
  for (const block& b : blocks) free_block(h.resource(), b);
  h.all_freed();
}

}  // namespace

std::span<const memory_shape> memory_shapes()
{
  static constexpr std::array all{
      memory_shape{"hold_48", "1 000 000 x 48 B, freed in random order", 1, false, small_burst},
      memory_shape{"hold_mixed", "200 000 x 16-1024 B, freed in random order", 1, false, mixed_burst},
      memory_shape{"hold_large", "200 x 64 KiB-4 MiB, freed in random order", 1, false, large_burst},
      memory_shape{"hold_churn", "10 000 live blocks of 16-1024 B, a million replaced", 1, true, steady},
      memory_shape{"hold_handover", "a million blocks from thread to thread, 10 000 at once", 2, true, handed_over},
      memory_shape{"hold_threads", "1 000 short threads of 100 blocks each", 1, true, many_threads},
      memory_shape{"hold_heaps", "1 000 resources of 3 blocks each", 1, false, many_heaps},
      memory_shape{"hold_three", "the first three objects of a process", 1, false, three_objects, 15},
  };
  return all;
}

}  // namespace gpa::bench
