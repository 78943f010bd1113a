// Blocks of 64 KiB and more. Eight are live; each step replaces one of them, and writes the new one through or touches
// a word of every page of it: a large block that nobody writes to costs nothing and shows nothing.
#include "workloads/blocks.hpp"
#include "workloads/workloads.hpp"

#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace gpa::bench {

namespace {

constexpr std::size_t page = 4096;

class large final : public job {
 public:
  large(heap& h, large_shape shape, std::size_t count) : r_(&h.resource()), written_(shape.written), steps_(count)
  {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> logarithm(std::log2(static_cast<double>(shape.least)),
                                                     std::log2(static_cast<double>(shape.most)));
    std::uniform_int_distribution<std::size_t> slot(0, live_.size() - 1);
    for (step& s : steps_) {
      // Of both draws each time: one size takes the same slots as a mixture does.
      const auto bytes = static_cast<std::size_t>(std::exp2(logarithm(random)));
      s = {slot(random), (bytes + page / 2) / page * page};
    }
  }

  ~large() override
  {
    for (const block& b : live_)
      if (b.p != nullptr) free_block(*r_, b);
  }

  void run(unsigned) override
  {
    for (const step& s : steps_) {
      block& b = live_[s.slot];
      if (b.p != nullptr) free_block(*r_, b);
      b = new_block(*r_, s.bytes);
      if (written_)
        std::memset(b.p, 1, b.bytes);
      else
        for (std::size_t at = 0; at < b.bytes; at += page) write_first_word(static_cast<std::byte*>(b.p) + at, at);
    }
  }

 private:
  struct step {
    std::size_t slot;
    std::size_t bytes;
  };

  std::pmr::memory_resource* r_;
  bool written_;
  std::vector<step> steps_;
  std::array<block, 8> live_{};
};

}  // namespace

job_maker large_blocks(large_shape shape, std::size_t count)
{
  return [=](heap& h) { return std::make_unique<large>(h, shape, count); };
}

}  // namespace gpa::bench
