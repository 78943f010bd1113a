#define BOOST_TEST_MODULE default_resource
#include <gpa/resource.hpp>

#include "support/outcome.hpp"

#include <boost/test/unit_test.hpp>

#include <memory_resource>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;

const gpa::options checked{.name = "mine", .checks = gpa::checks::always()};

constexpr std::string_view destroyed =
    "gpa: warning: resource \"mine\" is destroyed while it is the default resource; "
    "new_delete_resource() is the default again\n";
constexpr std::string_view other_choice =
    "gpa: warning: a default_resource_guard ends, but the default resource is another one by now; it stays\n";
constexpr std::string_view other_order =
    "gpa: warning: default_resource_guards end in another order than reverse; the newest choice stays\n";

bool is_default(const std::pmr::memory_resource* r) { return std::pmr::get_default_resource() == r; }
std::pmr::memory_resource* const new_delete = std::pmr::new_delete_resource();

/// Whether `work` leaves what it should and says exactly `words`.
template <class Work>
bool works_and_says(std::string_view words, Work work)
{
  const outcome o = outcome_of([&] {
    if (!work()) ::_exit(1);
  });
  if (o.status == 0 && o.err == words) return true;
  BOOST_TEST_MESSAGE(o);
  return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_resource_destroyed_while_it_is_the_default_says_so_and_new_delete_is_the_default_again)
{
  BOOST_TEST(works_and_says(destroyed, [] {
    {
      gpa::resource r(checked);
      std::pmr::set_default_resource(&r);
      const std::pmr::vector<int> numbers{1, 2, 3};
    }
    return is_default(new_delete);
  }));
  BOOST_TEST(works_and_says(destroyed, [] {
    {
      gpa::resource r(checked);
      std::pmr::set_default_resource(r.allocator().resource());
    }
    return is_default(new_delete);
  }));
}

BOOST_AUTO_TEST_CASE(a_resource_that_is_no_longer_the_default_ends_in_silence)
{
  BOOST_TEST(works_and_says("", [] {
    gpa::resource stays(checked);
    {
      gpa::resource r(checked);
      std::pmr::set_default_resource(&r);
      std::pmr::set_default_resource(&stays);
    }
    const bool right = is_default(&stays);
    std::pmr::set_default_resource(nullptr);
    return right;
  }));
}

BOOST_AUTO_TEST_CASE(guards_nest)
{
  BOOST_TEST(works_and_says("", [] {
    gpa::resource a(checked);
    gpa::resource b(checked);
    bool right = is_default(new_delete);
    {
      gpa::default_resource_guard outer(&a);
      right = right && is_default(&a);
      {
        gpa::default_resource_guard inner(&b);
        right = right && is_default(&b);
        {
          gpa::default_resource_guard again(&a);
          right = right && is_default(&a);
        }
        right = right && is_default(&b);
      }
      right = right && is_default(&a);
      const std::pmr::vector<int> numbers{1, 2, 3};
      right = right && a.stats().live_blocks == 1;
    }
    return right && is_default(new_delete);
  }));
}

BOOST_AUTO_TEST_CASE(a_guard_of_null_means_new_delete)
{
  BOOST_TEST(works_and_says("", [] {
    gpa::resource a(checked);
    gpa::default_resource_guard outer(&a);
    bool right = true;
    {
      gpa::default_resource_guard inner(nullptr);
      right = is_default(new_delete);
    }
    return right && is_default(&a);
  }));
}

BOOST_AUTO_TEST_CASE(a_guard_leaves_a_newer_choice_alone_and_says_so)
{
  BOOST_TEST(works_and_says(other_choice, [] {
    gpa::resource a(checked);
    gpa::resource newer(checked);
    {
      gpa::default_resource_guard guard(&a);
      std::pmr::set_default_resource(&newer);
    }
    const bool right = is_default(&newer);
    std::pmr::set_default_resource(nullptr);
    return right;
  }));
}

BOOST_AUTO_TEST_CASE(guards_that_end_out_of_order_say_so_and_still_lead_back_to_the_start)
{
  BOOST_TEST(works_and_says(other_order, [] {
    gpa::resource a(checked);
    gpa::resource b(checked);
    std::optional<gpa::default_resource_guard> outer(std::in_place, &a);
    std::optional<gpa::default_resource_guard> inner(std::in_place, &b);
    outer.reset();
    const bool right = is_default(&b);
    inner.reset();
    return right && is_default(new_delete);
  }));
  BOOST_TEST(works_and_says(other_order, [] {
    gpa::resource a(checked);
    gpa::resource b(checked);
    gpa::resource c(checked);
    std::optional<gpa::default_resource_guard> first(std::in_place, &a);
    std::optional<gpa::default_resource_guard> second(std::in_place, &b);
    std::optional<gpa::default_resource_guard> third(std::in_place, &c);
    second.reset();
    bool right = is_default(&c);
    third.reset();
    right = right && is_default(&a);
    first.reset();
    return right && is_default(new_delete);
  }));
}

BOOST_AUTO_TEST_CASE(containers_of_the_default_are_checked_while_a_guard_lives)
{
  const outcome o = outcome_of([] {
    gpa::resource r(checked);
    gpa::default_resource_guard guard(&r);
    static_cast<void>(std::pmr::get_default_resource()->allocate(40));
    if (r.stats().live_blocks != 1) ::_exit(1);
    r.release();
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}
