#define BOOST_TEST_MODULE containers
#include "support/modes.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::witness;

// Runs `body` over a resource of every mode, twice (the second time it starts with used memory), and over an upstream;
// nothing may be reported and nothing be left.
template <class Body>
void in_every_mode(Body body)
{
  for (const mode& m : every_mode()) {
    for (const bool upstream_of_user : {false, true}) {
      BOOST_TEST_CONTEXT(m.name << (upstream_of_user ? ", over an upstream" : ""))
      {
        witness w;
        gpa::test::recording_upstream upstream;
        {
          gpa::resource r(w.listening(m.options), upstream_of_user ? &upstream : nullptr);
          for (int round = 0; round != 2; ++round) {
            body(r);
            BOOST_TEST(r.stats().live_blocks == 0u);
            BOOST_TEST(r.stats().live_bytes == 0u);
          }
          BOOST_TEST(r.verify() == 0u);
          BOOST_TEST((r.deinit() == gpa::check::ok));
        }
        BOOST_TEST(w.count() == 0u);
        BOOST_TEST(upstream.live() == 0u);
        BOOST_TEST(upstream.wrong() == 0u);
      }
    }
  }
}

std::size_t digits_of(int n)
{
  return static_cast<std::size_t>(n % 60);
}

template <class Map>
void churn_map(Map& map)
{
  std::mt19937 random(1);
  std::map<int, std::size_t> model;
  for (int i = 0; i != 4'000; ++i) {
    const int key = static_cast<int>(random() % 700);
    if (random() % 3 == 0) {
      BOOST_REQUIRE(map.erase(key) == model.erase(key));
    } else {
      map[key].assign(digits_of(i), 'v');
      model[key] = digits_of(i);
    }
  }
  BOOST_REQUIRE(map.size() == model.size());
  for (const auto& [key, size] : model) BOOST_REQUIRE(map.at(key).size() == size);
}

}  // namespace

BOOST_AUTO_TEST_CASE(vectors_grow_shrink_and_keep_their_elements)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::vector<int> v(&r);
    for (int i = 0; i != 30'000; ++i) v.push_back(i);
    v.erase(v.begin(), v.begin() + 10'000);
    v.shrink_to_fit();
    v.insert(v.begin() + 5, 300, -1);
    BOOST_TEST(v.size() == 20'300u);
    BOOST_TEST(v.front() == 10'000);
    BOOST_TEST(v.back() == 29'999);
    BOOST_TEST(std::accumulate(v.begin(), v.end(), 0LL) == (10'000LL + 29'999) * 20'000 / 2 - 300);
  });
}

BOOST_AUTO_TEST_CASE(strings_move_between_small_and_large)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::string s(&r);
    for (int i = 0; i != 3'000; ++i) s += static_cast<char>('a' + i % 26);
    std::pmr::string copy(s, &r);
    for (int i = 0; i != 2'990; ++i) copy.pop_back();
    copy.shrink_to_fit();
    BOOST_TEST(copy == "abcdefghij");
    BOOST_TEST(s.size() == 3'000u);
    BOOST_TEST(s.substr(26, 3) == "abc");
  });
}

BOOST_AUTO_TEST_CASE(lists_and_deques_are_queues)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::list<std::size_t> list(&r);
    std::pmr::forward_list<std::size_t> stack(&r);
    std::pmr::deque<std::size_t> deque(&r);
    std::size_t sum = 0;
    for (std::size_t i = 0; i != 3'000; ++i) {
      list.push_back(i);
      deque.push_back(i);
      stack.push_front(i);
      if (i >= 100) {
        BOOST_REQUIRE(list.front() == i - 100);
        BOOST_REQUIRE(deque.front() == i - 100);
        sum += stack.front();
        list.pop_front();
        deque.pop_front();
        stack.pop_front();
      }
    }
    BOOST_TEST(sum == 2'900u * (100 + 2'999) / 2);
    list.sort(std::greater<>());
    BOOST_TEST(list.front() == 2'999u);
  });
}

BOOST_AUTO_TEST_CASE(maps_hold_strings)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::map<int, std::pmr::string> ordered(&r);
    churn_map(ordered);
    std::pmr::unordered_map<int, std::pmr::string> hashed(&r);
    churn_map(hashed);
  });
}

BOOST_AUTO_TEST_CASE(sets_and_multi_containers_hold_what_was_put_in)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::set<std::pmr::string> set(&r);
    std::pmr::multiset<int> multiset(&r);
    std::pmr::unordered_set<std::pmr::string> hashed(&r);
    std::pmr::multimap<int, int> multimap(&r);
    std::pmr::unordered_multimap<int, int> hashed_multimap(&r);
    for (int i = 0; i != 1'000; ++i) {
      set.emplace(digits_of(i), 's');
      hashed.emplace(digits_of(i), 'h');
      multiset.insert(i % 7);
      multimap.emplace(i % 7, i);
      hashed_multimap.emplace(i % 7, i);
    }
    BOOST_TEST(set.size() == 60u);
    BOOST_TEST(hashed.size() == 60u);
    BOOST_TEST(multiset.count(6) == 142u);
    BOOST_TEST(multimap.count(0) == 143u);
    BOOST_TEST(hashed_multimap.count(0) == 143u);
    auto node = set.extract(set.begin());
    node.value() += "a string that is long enough to be on the heap";
    BOOST_TEST(set.insert(std::move(node)).inserted);
  });
}

BOOST_AUTO_TEST_CASE(containers_in_containers_share_the_resource)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::list<std::pmr::string>>> nested(&r);
    for (int i = 0; i != 50; ++i) {
      auto& lists = nested[std::pmr::string(digits_of(i), 'k')];
      for (int j = 0; j != 5; ++j) lists.emplace_back().emplace_back(100, 'v');
    }
    const auto& deepest = nested.begin()->second.front().front();
    BOOST_TEST((deepest.get_allocator().resource() == &r));
    BOOST_TEST(deepest.size() == 100u);
  });
}

BOOST_AUTO_TEST_CASE(a_regex_and_a_shared_pointer_work_too)
{
  in_every_mode([](gpa::resource& r) {
    const auto p = std::allocate_shared<std::pmr::string>(r.allocator<std::pmr::string>(), std::size_t{1'000}, 'p');
    BOOST_TEST(p->size() == 1'000u);
    using results = std::pmr::match_results<std::pmr::string::const_iterator>;
    const std::pmr::string text("key=value and more text that is long", &r);
    results found(std::pmr::polymorphic_allocator<std::sub_match<std::pmr::string::const_iterator>>{&r});
    BOOST_TEST(std::regex_search(text, found, std::regex("(\\w+)=(\\w+)")));
    BOOST_TEST(found[2].length() == 5);
  });
}

BOOST_AUTO_TEST_CASE(a_copy_uses_the_default_resource)
{
  in_every_mode([](gpa::resource& r) {
    const std::pmr::vector<int> original(1'000, 7, &r);
    const std::size_t before = r.stats().live_blocks;
    const std::pmr::vector<int> copy(original);  // select_on_container_copy_construction
    BOOST_TEST((copy.get_allocator().resource() == std::pmr::get_default_resource()));
    BOOST_TEST(r.stats().live_blocks == before);
    BOOST_TEST((copy == original));
  });
}

BOOST_AUTO_TEST_CASE(a_move_takes_the_memory_and_a_move_across_resources_copies)
{
  in_every_mode([](gpa::resource& r) {
    gpa::resource other(gpa::options{.checks = gpa::checks::always()});
    std::pmr::vector<int> first(1'000, 7, &r);
    const int* const place = first.data();
    std::pmr::vector<int> second(std::move(first));
    BOOST_TEST((second.data() == place));

    std::pmr::vector<int> third(std::move(second), &other);
    BOOST_TEST((third.data() != place));
    BOOST_TEST(third.size() == 1'000u);
    std::pmr::vector<int> fourth(&r);
    fourth = std::move(third);
    BOOST_TEST((fourth.get_allocator().resource() == &r));
    BOOST_TEST(fourth.size() == 1'000u);
    third.clear();
    third.shrink_to_fit();
    BOOST_TEST(other.stats().live_blocks == 0u);
  });
}

BOOST_AUTO_TEST_CASE(containers_made_either_way_move_and_swap_as_equals)
{
  in_every_mode([](gpa::resource& r) {
    std::pmr::vector<int> plain(1'000, 1, &r);
    std::pmr::vector<int> handled(1'000, 2, r.allocator());
    const int* const one = plain.data();
    const int* const two = handled.data();
    plain.swap(handled);
    BOOST_TEST((plain.data() == two && handled.data() == one));
    plain = std::move(handled);
    BOOST_TEST((plain.data() == one));

    std::pmr::list<int> a({1, 2, 3}, &r);
    std::pmr::list<int> b({4, 5, 6}, r.allocator());
    const int* const node = &b.front();
    a.splice(a.end(), b);
    BOOST_TEST((&*std::next(a.begin(), 3) == node));
    BOOST_TEST(b.empty());
  });
}

BOOST_AUTO_TEST_CASE(what_throws_in_a_container_leaves_nothing_behind)
{
  struct thrower {
    explicit thrower(int n)
    {
      if (n == 37) throw 37;
    }
  };
  in_every_mode([](gpa::resource& r) {
    std::pmr::list<thrower> list(&r);
    int caught = 0;
    try {
      for (int i = 0; i != 100; ++i) list.emplace_back(i);
    } catch (int n) {
      caught = n;
    }
    BOOST_TEST(caught == 37);
    BOOST_TEST(list.size() == 37u);
    BOOST_TEST(r.stats().live_blocks == 37u);
  });
}
