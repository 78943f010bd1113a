// Workloads of pmr containers, used as programs use them. Hashing, copying and growing are on the clock as well, the
// same for everybody: so ratios lie nearer to 1 here than between the bare calls.
#include "workloads/json.hpp"
#include "workloads/workloads.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
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
    for (std::size_t i = 0; i != 10'000; ++i) drawn.emplace_back(length(random), static_cast<char>('a' + i % 26));
    return drawn;
  }();
  return all;
}

std::string_view text(std::size_t i)
{
  return texts()[i % texts().size()];
}

// Filled, then some elements chosen at random are erased and inserted anew, then dropped.
class map final : public job {
 public:
  map(heap& h, std::size_t elements, std::size_t replaced) : r_(&h.resource()), keys_(elements), replaced_(replaced)
  {
    std::iota(keys_.begin(), keys_.end(), 0);
    std::ranges::shuffle(keys_, std::mt19937(4));
    static_cast<void>(texts());
  }

  void run(unsigned) override
  {
    std::pmr::unordered_map<int, std::pmr::string> m(r_);
    for (std::size_t i = 0; i != keys_.size(); ++i) m.emplace(static_cast<int>(i), text(i));
    for (std::size_t i = 0; i != replaced_; ++i) {
      m.erase(keys_[i]);
      m.emplace(keys_[i], text(keys_.size() - 1 - i));
    }
  }

 private:
  std::pmr::memory_resource* r_;
  std::vector<int> keys_;
  std::size_t replaced_;
};

// Every vector grows to a length of its own, 1 to 64; half of them are dropped on the way.
class vectors_in_a_map final : public job {
 public:
  vectors_in_a_map(heap& h, std::size_t elements) : r_(&h.resource()), keys_(elements)
  {
    std::iota(keys_.begin(), keys_.end(), 0);
    std::ranges::shuffle(keys_, std::mt19937(12));
  }

  void run(unsigned) override
  {
    std::pmr::map<int, std::pmr::vector<int>> m(r_);
    for (const int key : keys_) {
      std::pmr::vector<int>& v = m[key];
      for (int i = 0; i <= key % 64; ++i) v.push_back(i);
      if (key % 2 == 1) m.erase(key - 1);
    }
  }

 private:
  std::pmr::memory_resource* r_;
  std::vector<int> keys_;
};

// Nothing is reserved: the vector doubles again and again, past 32 KiB too, where gpa has large blocks.
class strings final : public job {
 public:
  strings(heap& h, std::size_t count) : r_(&h.resource()), count_(count) { static_cast<void>(texts()); }

  void run(unsigned) override
  {
    std::pmr::vector<std::pmr::string> v(r_);
    for (std::size_t i = 0; i != count_; ++i) v.emplace_back(text(i));
  }

 private:
  std::pmr::memory_resource* r_;
  std::size_t count_;
};

// 64 bytes: 8 in a chunk of a deque. Of plain numbers there are 64, and what is timed then is how quickly the CPU reads
// the deque's own pointers that it has just stored, now in 1 ns and now in 2, for whoever gave the chunk.
struct message {
  std::uint64_t number;
  std::array<std::uint64_t, 7> text{};
};

// 1 000 entries wait in it all the time.
template <class Container>
class queue final : public job {
 public:
  queue(heap& h, std::size_t count) : r_(&h.resource()), count_(count) {}

  void prepare(unsigned) override { waiting_.emplace(1'000, typename Container::value_type{0}, r_); }

  void run(unsigned) override
  {
    Container& waiting = *waiting_;
    for (std::uint64_t i = 0; i != count_; ++i) {
      waiting.push_back({i});
      waiting.pop_front();
    }
  }

  // Not clear(): a deque keeps its map of chunks.
  void finish(unsigned) override { waiting_.reset(); }

 private:
  std::pmr::memory_resource* r_;
  std::optional<Container> waiting_;
  std::size_t count_;
};

class growth final : public job {
 public:
  growth(heap& h, std::size_t elements) : r_(&h.resource()), elements_(elements) {}

  void run(unsigned) override
  {
    std::pmr::vector<std::uint64_t> v(r_);
    for (std::uint64_t i = 0; i != elements_; ++i) v.push_back(i);
  }

 private:
  std::pmr::memory_resource* r_;
  std::size_t elements_;
};

class tree final : public job {
 public:
  tree(heap& h, std::size_t records) : r_(&h.resource()), document_(json_document(records)) {}

  void run(unsigned) override
  {
    if (parse_json(document_, r_).children.empty()) throw std::logic_error("the JSON document has no record");
  }

 private:
  std::pmr::memory_resource* r_;
  std::string document_;
};

template <class Job>
job_maker made_with(std::size_t count)
{
  return [=](heap& h) { return std::make_unique<Job>(h, count); };
}

}  // namespace

job_maker map_of_strings(std::size_t elements, std::size_t replaced)
{
  return [=](heap& h) { return std::make_unique<map>(h, elements, replaced); };
}
job_maker map_of_vectors(std::size_t elements)
{
  return made_with<vectors_in_a_map>(elements);
}
job_maker strings_in_a_vector(std::size_t count)
{
  return made_with<strings>(count);
}
job_maker list_as_a_queue(std::size_t count)
{
  return made_with<queue<std::pmr::list<std::uint64_t>>>(count);
}
job_maker deque_as_a_queue(std::size_t count)
{
  return made_with<queue<std::pmr::deque<message>>>(count);
}
job_maker growing_vector(std::size_t elements)
{
  return made_with<growth>(elements);
}
job_maker json_tree(std::size_t records)
{
  return made_with<tree>(records);
}

}  // namespace gpa::bench
