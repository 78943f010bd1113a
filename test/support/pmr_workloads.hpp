// Small programs over std::pmr containers whose calls differ in depth and shape: what call stacks are compared and
// timed in.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gpa::test {

/// A value as JSON has it: a text, or more values.
struct json_value {
  using allocator_type = std::pmr::polymorphic_allocator<>;

  explicit json_value(allocator_type a) : text(a), items(a), members(a) {}
  json_value(const json_value& other, allocator_type a)
      : text(other.text, a), items(other.items, a), members(other.members, a)
  {}
  json_value(json_value&& other, allocator_type a)
      : text(std::move(other.text), a), items(std::move(other.items), a), members(std::move(other.members), a)
  {}
  json_value(json_value&&) noexcept = default;
  json_value(const json_value&) = delete;
  json_value& operator=(const json_value&) = delete;
  json_value& operator=(json_value&&) = delete;
  ~json_value() = default;

  std::pmr::string text;
  std::pmr::vector<json_value> items;
  std::pmr::map<std::pmr::string, json_value> members;
};

inline void fill_json(json_value& v, unsigned depth, unsigned& seed)
{
  seed = seed * 1'664'525 + 1'013'904'223;
  const unsigned kind = seed >> 20;
  if (depth == 0 || kind % 4 == 0) {
    v.text.assign(16 + kind % 40, 'j');
    return;
  }
  for (unsigned i = 0; i != 2 + kind % 3; ++i) {
    if (kind % 2 == 0) {
      fill_json(v.items.emplace_back(), depth - 1, seed);
    } else {
      const auto [place, added] = v.members.try_emplace(std::pmr::string(20 + i, 'k', v.text.get_allocator()));
      fill_json(place->second, depth - 1, seed);
    }
  }
}

inline void json_tree(std::pmr::memory_resource& r)
{
  unsigned seed = 7;
  for (unsigned round = 0; round != 8; ++round) {
    json_value root{&r};
    fill_json(root, 7, seed);
    const json_value copy(root, &r);
  }
}

inline void map_of_strings(std::pmr::memory_resource& r)
{
  std::pmr::map<int, std::pmr::string> names(&r);
  for (int i = 0; i != 2'000; ++i) names.emplace(i * 7'919 % 2'000, std::string(24, 'm'));
  for (int i = 0; i != 1'000; ++i) names.erase(i * 2);
}

inline void vector_of_vectors(std::pmr::memory_resource& r)
{
  std::pmr::vector<std::pmr::vector<std::pmr::string>> rows(&r);
  for (int i = 0; i != 200; ++i) {
    auto& row = rows.emplace_back();
    for (int j = 0; j != 10; ++j) row.emplace_back(30, 'v');
  }
  const auto copy = rows;
  std::pmr::vector<std::pmr::vector<std::pmr::string>> other(copy, &r);
}

inline void unordered_map_of_lists(std::pmr::memory_resource& r)
{
  std::pmr::unordered_map<std::pmr::string, std::pmr::list<int>> index(&r);
  for (int i = 0; i != 2'000; ++i)
    index[std::pmr::string("a key that is long enough to be allocated ") + char('a' + i % 26)].push_back(i);
  for (auto& [key, numbers] : index) numbers.remove_if([](int n) { return n % 3 == 0; });
}

inline void sort_by_value(std::pmr::memory_resource& r)
{
  std::pmr::vector<std::pmr::string> words(&r);
  for (int i = 0; i != 400; ++i) words.emplace_back(20 + i * 37 % 41, static_cast<char>('a' + i * 11 % 26));
  std::sort(words.begin(), words.end(),
            // By value, so that each comparison allocates.
            [&r](const std::pmr::string& a, const std::pmr::string& b) {  // NOLINT
              return std::pmr::string(a, &r) < std::pmr::string(b, &r);
            });
}

inline void monotonic_above(std::pmr::memory_resource& r)
{
  for (int i = 0; i != 100; ++i) {
    std::pmr::monotonic_buffer_resource buffer(64, &r);
    std::pmr::vector<std::pmr::string> words(&buffer);
    for (int j = 0; j != 40; ++j) words.emplace_back(100, 'b');
  }
}

inline void pool_above(std::pmr::memory_resource& r)
{
  for (int i = 0; i != 20; ++i) {
    std::pmr::unsynchronized_pool_resource pool({.max_blocks_per_chunk = 4, .largest_required_pool_block = 256}, &r);
    std::pmr::list<std::pmr::string> words(&pool);
    for (int j = 0; j != 100; ++j) words.emplace_back(30 + j * 5, 'p');
  }
}

/// A binary tree whose every node is made at another call stack.
[[gnu::noinline]] inline void grow_tree(std::pmr::memory_resource& r, unsigned depth, unsigned& made)
{
  void* const node = r.allocate(48);
  ++made;
  if (depth != 0) {
    grow_tree(r, depth - 1, made);
    grow_tree(r, depth - 1, made);
  }
  r.deallocate(node, 48);
}

inline void deep_recursion(std::pmr::memory_resource& r)
{
  unsigned made = 0;
  grow_tree(r, 13, made);
}

struct named_workload {
  const char* name;
  void (*run)(std::pmr::memory_resource&);
};

inline constexpr std::array<named_workload, 8> pmr_workloads = {{
    {"JSON-like tree", json_tree},
    {"map of strings", map_of_strings},
    {"vector of vectors", vector_of_vectors},
    {"unordered_map of lists", unordered_map_of_lists},
    {"sort by value", sort_by_value},
    {"monotonic above", monotonic_above},
    {"pool above", pool_above},
    {"recursion, ever new stacks", deep_recursion},
}};

}  // namespace gpa::test
