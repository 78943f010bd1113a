// Workloads of raw blocks: a tight pair, random churn, batches, and an arena's life.
#include "workloads/blocks.hpp"
#include "workloads/workloads.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <vector>

namespace gpa::bench {

namespace {

class pairs final : public job {
 public:
  pairs(heap& h, std::size_t bytes, std::size_t count) : r_(&h.resource()), bytes_(bytes), count_(count) {}

  void run(unsigned) override
  {
    std::pmr::memory_resource* const r = r_;
    const std::size_t bytes = bytes_;
    for (std::size_t i = 0, count = count_; i != count; ++i) {
      void* const p = r->allocate(bytes);
      write_first_word(p, i);
      r->deallocate(p, bytes);
    }
  }

 private:
  std::pmr::memory_resource* r_;
  std::size_t bytes_;
  std::size_t count_;
};

// Each step frees a random one of the live blocks and puts one of another size in its place.
class churn final : public job {
 public:
  churn(heap& h, churn_shape shape, std::size_t steps)
      : r_(&h.resource()), shape_(shape), steps_(steps), schedule_(schedule_of(shape))
  {}

  ~churn() override
  {
    for (unsigned thread = 0; thread != states_.size(); ++thread) drop(thread);
  }

  void prepare(unsigned thread) override
  {
    state& s = states_[thread];
    if (!s.live.empty()) return;
    // Two threads walk the same schedule, half of it apart.
    s.next = thread * (schedule_.size() / 2);
    s.live.resize(shape_.live);
    for (block& b : s.live) b = new_block(*r_, schedule_[s.next++ % schedule_.size()].bytes);
  }

  void run(unsigned thread) override
  {
    state& s = states_[thread];
    for (std::size_t i = 0; i != steps_; ++i) {
      const step now = schedule_[s.next++ % schedule_.size()];
      block& b = s.live[now.slot];
      free_block(*r_, b);
      b = new_block(*r_, now.bytes);
    }
  }

  void finish(unsigned thread) override
  {
    if (!shape_.keeps) drop(thread);
  }

 private:
  struct step {
    std::uint32_t slot;
    std::uint32_t bytes;
  };
  struct alignas(128) state {
    std::vector<block> live;
    std::size_t next = 0;
  };

  static std::vector<step> schedule_of(churn_shape shape)
  {
    std::mt19937 random(1);
    std::uniform_int_distribution<std::uint32_t> slot(0, static_cast<std::uint32_t>(shape.live - 1));
    std::uniform_int_distribution<std::uint32_t> words(shape.least_words, shape.most_words);
    std::vector<step> drawn(std::size_t{1} << 17);
    for (step& s : drawn) s = {slot(random), words(random) * 8};
    return drawn;
  }

  void drop(unsigned thread)
  {
    for (const block& b : states_[thread].live) free_block(*r_, b);
    states_[thread].live.clear();
  }

  std::pmr::memory_resource* r_;
  churn_shape shape_;
  std::size_t steps_;
  std::vector<step> schedule_;
  std::array<state, 2> states_;
};

class batch final : public job {
 public:
  batch(heap& h, std::size_t bytes, std::size_t count, order freed)
      : r_(&h.resource()), bytes_(bytes), order_(count), blocks_(count)
  {
    std::iota(order_.begin(), order_.end(), std::uint32_t{0});
    if (freed == order::lifo) std::ranges::reverse(order_);
    if (freed == order::random) std::ranges::shuffle(order_, std::mt19937(2));
  }

  void run(unsigned) override
  {
    for (std::size_t i = 0; i != blocks_.size(); ++i) {
      blocks_[i] = r_->allocate(bytes_);
      write_first_word(blocks_[i], i);
    }
    for (const std::uint32_t i : order_) r_->deallocate(blocks_[i], bytes_);
  }

 private:
  std::pmr::memory_resource* r_;
  std::size_t bytes_;
  std::vector<std::uint32_t> order_;
  std::vector<void*> blocks_;
};

// What monotonic resources are made for: nodes of one request, linked as they come, all dropped at its end. Others are
// given back node by node, as a container's destructor does; to a monotonic resource those are empty calls.
class arena final : public job {
 public:
  arena(heap& h, std::size_t count) : r_(&h.resource()), words_(count)
  {
    std::mt19937 random(6);
    std::uniform_int_distribution<std::uint32_t> words(2, 32);
    for (std::uint32_t& w : words_) w = words(random);
  }

  void run(unsigned) override
  {
    node* last = nullptr;
    for (const std::uint32_t words : words_) last = ::new (r_->allocate(words * 8, alignof(node))) node{last, words};
    while (last != nullptr) {
      node* const before = last->before;
      r_->deallocate(last, last->words * 8, alignof(node));
      last = before;
    }
  }

 private:
  struct node {
    node* before;
    std::size_t words;
  };

  std::pmr::memory_resource* r_;
  std::vector<std::uint32_t> words_;
};

}  // namespace

job_maker pairs_of(std::size_t bytes, std::size_t count)
{
  return [=](heap& h) { return std::make_unique<pairs>(h, bytes, count); };
}
job_maker batch_of(std::size_t bytes, std::size_t count, order freed)
{
  return [=](heap& h) { return std::make_unique<batch>(h, bytes, count, freed); };
}
job_maker churn_of(churn_shape shape, std::size_t steps)
{
  return [=](heap& h) { return std::make_unique<churn>(h, shape, steps); };
}
job_maker arena_of(std::size_t count)
{
  return [=](heap& h) { return std::make_unique<arena>(h, count); };
}

}  // namespace gpa::bench
