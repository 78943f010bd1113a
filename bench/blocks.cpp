// Workloads of raw blocks: a tight pair, random churn, and batches freed in random order.
#include "workloads.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

namespace gpa::bench {

namespace {

// A user would not ask for a block and leave it alone.
void write_first_word(void* p, std::size_t word)
{
  std::memcpy(p, &word, sizeof word);
}

class pairs final : public job {
 public:
  explicit pairs(std::pmr::memory_resource& r) : r_(&r) {}

  void run(unsigned) override
  {
    for (std::size_t i = 0; i != pairs_a_pass; ++i) {
      void* const p = r_->allocate(64);
      write_first_word(p, i);
      r_->deallocate(p, 64);
    }
  }

 private:
  std::pmr::memory_resource* r_;
};

// Each step frees a random one of 10 000 live blocks and puts one of another size in its place.
class churn final : public job {
 public:
  explicit churn(std::pmr::memory_resource& r) : r_(&r) {}

  void prepare(unsigned thread) override
  {
    state& s = states_[thread];
    // Two threads walk the same schedule, half of it apart.
    s.next = thread * (schedule().size() / 2);
    for (block& b : s.live) fill(b, schedule()[s.next++ % schedule().size()].bytes);
  }

  void run(unsigned thread) override
  {
    state& s = states_[thread];
    const std::vector<step>& steps = schedule();
    for (std::size_t i = 0; i != churn_a_pass; ++i) {
      const step now = steps[s.next++ % steps.size()];
      block& b = s.live[now.slot];
      r_->deallocate(b.p, b.bytes, alignment);
      fill(b, now.bytes);
    }
  }

  void finish(unsigned thread) override
  {
    for (const block& b : states_[thread].live) r_->deallocate(b.p, b.bytes, alignment);
  }

 private:
  static constexpr std::size_t live_blocks = 10'000;
  // The std pools return misaligned memory for sizes that are no multiple of the alignment: none are asked for.
  static constexpr std::size_t alignment = 8;

  struct block {
    void* p;
    std::size_t bytes;
  };
  struct step {
    std::uint32_t slot;
    std::uint32_t bytes;
  };
  struct alignas(128) state {
    std::vector<block> live = std::vector<block>(live_blocks);
    std::size_t next = 0;
  };

  static const std::vector<step>& schedule()
  {
    static const std::vector<step> steps = [] {
      std::mt19937 random(1);
      std::uniform_int_distribution<std::uint32_t> slot(0, live_blocks - 1);
      std::uniform_int_distribution<std::uint32_t> words(2, 128);  // of 8 bytes: 16 to 1 024
      std::vector<step> drawn(std::size_t{1} << 17);
      for (step& s : drawn) s = {slot(random), words(random) * 8};
      return drawn;
    }();
    return steps;
  }

  void fill(block& b, std::size_t bytes)
  {
    b = {r_->allocate(bytes, alignment), bytes};
    write_first_word(b.p, bytes);
  }

  std::pmr::memory_resource* r_;
  std::array<state, 2> states_;
};

template <std::size_t Count, std::size_t Bytes>
class batch final : public job {
 public:
  explicit batch(std::pmr::memory_resource& r) : r_(&r), order_(Count), blocks_(Count)
  {
    std::iota(order_.begin(), order_.end(), std::uint32_t{0});
    std::ranges::shuffle(order_, std::mt19937(2));
  }

  void run(unsigned) override
  {
    for (std::size_t i = 0; i != Count; ++i) {
      blocks_[i] = r_->allocate(Bytes);
      write_first_word(blocks_[i], i);
    }
    for (const std::uint32_t i : order_) r_->deallocate(blocks_[i], Bytes);
  }

 private:
  std::pmr::memory_resource* r_;
  std::vector<std::uint32_t> order_;
  std::vector<void*> blocks_;
};

}  // namespace

std::unique_ptr<job> make_pairs(std::pmr::memory_resource& r)
{
  return std::make_unique<pairs>(r);
}
std::unique_ptr<job> make_churn(std::pmr::memory_resource& r)
{
  return std::make_unique<churn>(r);
}
std::unique_ptr<job> make_batch(std::pmr::memory_resource& r)
{
  return std::make_unique<batch<batch_a_pass, 48>>(r);
}
std::unique_ptr<job> make_8_kib(std::pmr::memory_resource& r)
{
  return std::make_unique<batch<blocks_of_8_kib, 8192>>(r);
}

}  // namespace gpa::bench
