// Workloads of several threads, or of several heaps.
#include "workloads/blocks.hpp"
#include "workloads/workloads.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace gpa::bench {

namespace {

void relax() noexcept
{
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

std::vector<std::uint32_t> sizes_of(std::size_t count, unsigned seed)
{
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::uint32_t> words(2, 128);
  std::vector<std::uint32_t> drawn(count);
  for (std::uint32_t& bytes : drawn) bytes = words(random) * 8;
  return drawn;
}

// Producer and consumer: what thread 0 allocates, thread 1 frees. At most 1 024 blocks are on their way.
class producer_and_consumer final : public job {
 public:
  producer_and_consumer(heap& h, std::size_t blocks) : r_(&h.resource()), blocks_(blocks), sizes_(sizes_of(1 << 16, 8))
  {}

  void run(unsigned thread) override
  {
    if (thread == 0)
      produce();
    else
      consume();
  }

 private:
  void produce()
  {
    const std::size_t begin = made_.load(std::memory_order_relaxed);
    for (std::size_t i = begin; i != begin + blocks_; ++i) {
      const block b = new_block(*r_, sizes_[i % sizes_.size()]);
      while (i - taken_.load(std::memory_order_acquire) == ring_.size()) relax();
      ring_[i % ring_.size()] = b;
      made_.store(i + 1, std::memory_order_release);
    }
  }

  void consume()
  {
    const std::size_t begin = taken_.load(std::memory_order_relaxed);
    for (std::size_t i = begin; i != begin + blocks_; ++i) {
      while (made_.load(std::memory_order_acquire) == i) relax();
      const block b = ring_[i % ring_.size()];
      taken_.store(i + 1, std::memory_order_release);
      free_block(*r_, b);
    }
  }

  std::pmr::memory_resource* r_;
  std::size_t blocks_;
  std::vector<std::uint32_t> sizes_;
  std::array<block, 1024> ring_{};
  alignas(128) std::atomic<std::size_t> made_{0};
  alignas(128) std::atomic<std::size_t> taken_{0};
};

// After the benchmark known as larson: both threads put new blocks into slots they share and free what they find
// there, as often made by the other. A block's first word is its size.
class exchanging final : public job {
 public:
  exchanging(heap& h, std::size_t steps) : r_(&h.resource()), steps_(steps), sizes_(sizes_of(1 << 16, 9))
  {
    std::mt19937 random(10);
    std::uniform_int_distribution<std::uint32_t> slot(0, static_cast<std::uint32_t>(slots_.size() - 1));
    for (std::uint32_t& s : order_) s = slot(random);
  }

  void prepare(unsigned thread) override
  {
    for (std::size_t i = thread; i < slots_.size(); i += 2)
      slots_[i].store(new_block(*r_, sizes_[i]).p, std::memory_order_relaxed);
  }

  void run(unsigned thread) override
  {
    const std::size_t begin = thread * (order_.size() / 2);
    for (std::size_t i = begin; i != begin + steps_; ++i) {
      void* const mine = new_block(*r_, sizes_[i % sizes_.size()]).p;
      free_found(slots_[order_[i % order_.size()]].exchange(mine, std::memory_order_acq_rel));
    }
  }

  void finish(unsigned thread) override
  {
    for (std::size_t i = thread; i < slots_.size(); i += 2) free_found(slots_[i].load(std::memory_order_relaxed));
  }

 private:
  void free_found(void* p)
  {
    block b{p, 0};
    std::memcpy(&b.bytes, p, sizeof b.bytes);
    free_block(*r_, b);
  }

  std::pmr::memory_resource* r_;
  std::size_t steps_;
  std::vector<std::uint32_t> sizes_;
  std::vector<std::uint32_t> order_ = std::vector<std::uint32_t>(std::size_t{1} << 16);
  std::array<std::atomic<void*>, 2'000> slots_{};
};

// A thread a request: made, some blocks, gone. Most of the time is the operating system's.
class threads_that_end final : public job {
 public:
  threads_that_end(heap& h, std::size_t count, std::size_t blocks)
      : r_(&h.resource()), count_(count), sizes_(sizes_of(blocks, 11))
  {}

  void run(unsigned) override
  {
    for (std::size_t i = 0; i != count_; ++i)
      std::thread([this] {
        std::array<block, 256> live{};
        for (std::size_t b = 0; b != sizes_.size(); ++b) live[b % live.size()] = new_block(*r_, sizes_[b]);
        for (std::size_t b = 0; b != sizes_.size(); ++b) free_block(*r_, live[b % live.size()]);
      }).join();
  }

 private:
  std::pmr::memory_resource* r_;
  std::size_t count_;
  std::vector<std::uint32_t> sizes_;  // fewer than a thread has room for
};

// One thread that goes from resource to resource: what finding the right thread cache costs.
class in_turn final : public job {
 public:
  in_turn(heap& h, std::size_t heaps, std::size_t pairs) : pairs_(pairs), resources_{&h.resource()}
  {
    while (resources_.size() != heaps) {
      others_.push_back(h.another());
      resources_.push_back(&others_.back()->resource());
    }
  }

  void run(unsigned) override
  {
    std::size_t at = 0;  // a division for each pair would take longer than the pair
    for (std::size_t i = 0; i != pairs_; ++i) {
      std::pmr::memory_resource& r = *resources_[at];
      if (++at == resources_.size()) at = 0;
      void* const p = r.allocate(64);
      write_first_word(p, i);
      r.deallocate(p, 64);
    }
  }

  void finish(unsigned) override
  {
    for (const auto& other : others_) other->after_pass();
  }

 private:
  std::size_t pairs_;
  std::vector<std::unique_ptr<heap>> others_;
  std::vector<std::pmr::memory_resource*> resources_;
};

}  // namespace

job_maker handover(std::size_t blocks)
{
  return [=](heap& h) { return std::make_unique<producer_and_consumer>(h, blocks); };
}
job_maker exchange(std::size_t steps)
{
  return [=](heap& h) { return std::make_unique<exchanging>(h, steps); };
}
job_maker short_threads(std::size_t count, std::size_t blocks)
{
  return [=](heap& h) { return std::make_unique<threads_that_end>(h, count, blocks); };
}
job_maker heaps_in_turn(std::size_t heaps, std::size_t pairs)
{
  return [=](heap& h) { return std::make_unique<in_turn>(h, heaps, pairs); };
}

}  // namespace gpa::bench
