// A workload that was recorded: the calls of a real program, in the order they were made.
//
// Calls of several threads are made by one here: in their order they are one schedule, the same for everybody, and a
// second thread would have to wait for the first at every free of a block that the other allocated.
#include "workloads/blocks.hpp"
#include "workloads/recording.hpp"
#include "workloads/workloads.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

namespace gpa::bench {

namespace {

class replay final : public job {
 public:
  replay(heap& h, const recording& recorded) : r_(&h.resource())
  {
    // Blocks share places, as those in a program share variables: a table of all blocks would fill the caches.
    std::vector<std::uint32_t> place_of(recorded.allocations);
    std::vector<std::uint32_t> empty;
    for (const recorded_call& c : recorded.calls) {
      const bool allocation = c.what == recorded_call::kind::allocation;
      if (!allocation) {
        empty.push_back(place_of[c.block]);
      } else if (!empty.empty()) {
        place_of[c.block] = empty.back();
        empty.pop_back();
      } else {
        place_of[c.block] = static_cast<std::uint32_t>(blocks_.size());
        blocks_.push_back({nullptr, 0, 0});
      }
      calls_.push_back({c.bytes, place_of[c.block], c.log2_alignment, allocation});
    }
  }

  void run(unsigned) override
  {
    for (const call& c : calls_) {
      held& b = blocks_[c.place];
      const std::size_t alignment = std::size_t{1} << c.log2_alignment;
      if (c.allocation) {
        b = {r_->allocate(c.bytes, alignment), c.bytes, alignment};
        if (c.bytes >= sizeof(std::size_t)) write_first_word(b.p, c.bytes);
      } else {
        r_->deallocate(b.p, c.bytes, alignment);
        b.p = nullptr;
      }
    }
  }

  // What the program never freed.
  void finish(unsigned) override
  {
    for (held& b : blocks_)
      if (void* const p = std::exchange(b.p, nullptr)) r_->deallocate(p, b.bytes, b.alignment);
  }

 private:
  struct call {
    std::size_t bytes;
    std::uint32_t place;
    std::uint8_t log2_alignment;
    bool allocation;
  };
  struct held {
    void* p;
    std::size_t bytes;
    std::size_t alignment;
  };

  std::pmr::memory_resource* r_;
  std::vector<call> calls_;
  std::vector<held> blocks_;
};

// So many calls, about, in a round.
constexpr std::size_t calls_a_round = 300'000;

}  // namespace

workload replay_of(const std::string& file, std::string name, const std::string& title)
{
  const recording recorded = read_recording(file);
  if (recorded.allocations == 0) throw std::runtime_error("the recording " + file + " has no allocation in it");
  const std::size_t passes = std::max<std::size_t>(1, calls_a_round / recorded.calls.size());
  return {.name = std::move(name),
          .title = title,
          .operation = "allocation and its free",
          .operations = recorded.allocations,
          .passes = static_cast<unsigned>(passes),
          .make = [file](heap& h) { return std::make_unique<replay>(h, read_recording(file)); }};
}

}  // namespace gpa::bench
