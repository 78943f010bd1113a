// Workloads of pmr containers, used as programs use them. Hashing, copying and growing are on the clock as well, the
// same for everybody: so ratios lie nearer to 1 here than between the bare calls.
#include "workloads.hpp"

#include <algorithm>
#include <cstdint>
#include <list>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace gpa::bench {

namespace {

// 16 to 79 characters: none fits into a string object itself.
const std::vector<std::string>& texts()
{
  static const std::vector<std::string> all = [] {
    std::mt19937 random(3);
    std::uniform_int_distribution<std::size_t> length(16, 79);
    std::vector<std::string> drawn;
    for (std::size_t i = 0; i != std::max(map_elements, strings_a_pass); ++i)
      drawn.emplace_back(length(random), static_cast<char>('a' + i % 26));
    return drawn;
  }();
  return all;
}

// Filled, then some elements chosen at random are erased and inserted anew, then dropped.
class map final : public job {
 public:
  explicit map(std::pmr::memory_resource& r) : r_(&r), keys_(map_elements)
  {
    std::iota(keys_.begin(), keys_.end(), 0);
    std::ranges::shuffle(keys_, std::mt19937(4));
  }

  void run(unsigned) override
  {
    std::pmr::unordered_map<int, std::pmr::string> m(r_);
    for (std::size_t i = 0; i != map_elements; ++i) m.emplace(static_cast<int>(i), text(i));
    for (std::size_t i = 0; i != map_replaced; ++i) {
      m.erase(keys_[i]);
      m.emplace(keys_[i], text(map_elements - 1 - i));
    }
  }

 private:
  static std::string_view text(std::size_t i) { return texts()[i]; }

  std::pmr::memory_resource* r_;
  std::vector<int> keys_;
};

// Nothing is reserved: the vector doubles again and again, past 32 KiB too, where gpa has large blocks.
class strings final : public job {
 public:
  explicit strings(std::pmr::memory_resource& r) : r_(&r) {}

  void run(unsigned) override
  {
    std::pmr::vector<std::pmr::string> v(r_);
    for (std::size_t i = 0; i != strings_a_pass; ++i) v.emplace_back(std::string_view(texts()[i]));
  }

 private:
  std::pmr::memory_resource* r_;
};

// 1 000 entries wait in it all the time.
class queue final : public job {
 public:
  explicit queue(std::pmr::memory_resource& r) : waiting_(&r) {}

  void prepare(unsigned) override { waiting_.assign(1'000, std::uint64_t{0}); }

  void run(unsigned) override
  {
    for (std::uint64_t i = 0; i != queue_a_pass; ++i) {
      waiting_.push_back(i);
      waiting_.pop_front();
    }
  }

  void finish(unsigned) override { waiting_.clear(); }

 private:
  std::pmr::list<std::uint64_t> waiting_;
};

}  // namespace

std::unique_ptr<job> make_map(std::pmr::memory_resource& r)
{
  return std::make_unique<map>(r);
}
std::unique_ptr<job> make_strings(std::pmr::memory_resource& r)
{
  return std::make_unique<strings>(r);
}
std::unique_ptr<job> make_queue(std::pmr::memory_resource& r)
{
  return std::make_unique<queue>(r);
}

}  // namespace gpa::bench
