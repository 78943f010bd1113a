// Every form of code users rely on: compiles without a warning on g++ and clang++ (usage.sh), and runs.
#define BOOST_TEST_MODULE usage
#include <boost/test/unit_test.hpp>

#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>
#include <gpa/version.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

static_assert(std::is_base_of_v<std::pmr::memory_resource, gpa::resource>);
static_assert(std::is_final_v<gpa::resource>);
static_assert(!std::is_copy_constructible_v<gpa::resource> && !std::is_copy_assignable_v<gpa::resource>);
static_assert(!std::is_move_constructible_v<gpa::resource> && !std::is_move_assignable_v<gpa::resource>);
static_assert(!std::is_convertible_v<std::pmr::memory_resource*, gpa::resource>, "explicit, as std's pools");
static_assert(!std::is_convertible_v<const gpa::options&, gpa::resource>);
static_assert(!std::is_copy_constructible_v<gpa::default_resource_guard>);
static_assert(!std::is_move_constructible_v<gpa::default_resource_guard>);

static_assert(std::is_trivially_copyable_v<gpa::report>);
static_assert(std::is_trivially_copyable_v<gpa::stack_trace>);
static_assert(std::is_trivially_copyable_v<gpa::statistics>);

static_assert(std::is_copy_constructible_v<gpa::snapshot> && std::is_nothrow_move_constructible_v<gpa::snapshot>);
static_assert(!std::is_copy_constructible_v<gpa::tag_scope> && !std::is_convertible_v<std::string_view, gpa::tag_scope>);

static_assert(gpa::checks::always() != gpa::checks::never());
static_assert(gpa::checks::one_in(1) == gpa::checks::always());
static_assert(gpa::checks::one_in(0) == gpa::checks::never());
static_assert(gpa::checks::one_in(1000) != gpa::checks::always());
static_assert(gpa::checks{} != gpa::checks::by_build(), "undecided until a resource is constructed");
#ifdef NDEBUG
static_assert(gpa::checks::by_build() == gpa::checks::never());
#else
static_assert(gpa::checks::by_build() == gpa::checks::always());
#endif

static_assert(noexcept(gpa::process_resource()));
static_assert(noexcept(gpa::page_resource()));
static_assert(std::is_same_v<decltype(gpa::process_resource()), gpa::resource*>);
static_assert(std::is_same_v<decltype(gpa::page_resource()), std::pmr::memory_resource*>);

// The order of the fields is API: designated initialisers and braced lists both keep compiling.
constexpr auto order_of_options = [] {
  const gpa::options o{"parser", gpa::checks::always(), true, 1, 2, 3, gpa::after_mistake::carry_on, {}, false, 4,
                       gpa::environment::ignored, 512, true, gpa::protect_large::never};
  return o.leak_exit_status;
};

gpa::options quiet()
{
  return {.name = "usage", .checks = gpa::checks::always(), .on_report = [](const auto&) {}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_constructor_compiles)
{
  gpa::resource plain;
  gpa::resource over(&plain);
  gpa::resource named({.name = "parser", .checks = gpa::checks::always()});
  gpa::resource both(gpa::options{}, &plain);
  gpa::resource over_none(nullptr);
  gpa::resource braced{};
  const gpa::options kept{.name = "kept"};
  gpa::resource from_kept(kept);
  gpa::resource from_kept_over(kept, std::pmr::new_delete_resource());

  BOOST_TEST(named.options().name == "parser");
  BOOST_TEST(named.options().checks.is_always());
  BOOST_TEST(both.upstream_resource() == &plain);
  BOOST_TEST(over.upstream_resource() == &plain);
  BOOST_TEST(plain.upstream_resource() == gpa::page_resource());
  BOOST_TEST(over_none.upstream_resource() == gpa::page_resource());
  BOOST_TEST(plain.options().checks.decided());
  BOOST_TEST(from_kept_over.upstream_resource() == std::pmr::new_delete_resource());
}

BOOST_AUTO_TEST_CASE(a_single_option_is_set_without_a_warning)
{
  gpa::resource name({.name = "name"});
  gpa::resource checks({.checks = gpa::checks::never()});
  gpa::resource sampled({.checks = gpa::checks::one_in(1000)});
  gpa::resource by_build({.checks = gpa::checks::by_build()});
  gpa::resource single({.thread_safe = false});
  gpa::resource limited({.memory_limit = std::size_t{1} << 20});
  gpa::resource unlimited({.memory_limit = gpa::unlimited});
  gpa::resource never_reused({.quarantine_bytes = gpa::unlimited});
  gpa::resource usual({.quarantine_bytes = gpa::default_quarantine});
  gpa::resource no_stacks({.stack_frames = 0});
  gpa::resource patient({.after_mistake = gpa::after_mistake::carry_on});
  gpa::resource strict({.after_mistake = gpa::after_mistake::abort});
  gpa::resource handled({.on_report = [](const gpa::report&) {}});
  gpa::resource logging({.log_operations = false});
  gpa::resource exiting({.leak_exit_status = 3});
  gpa::resource poisoned({.poison_bytes = gpa::unlimited});
  gpa::resource with_history({.profile = true});
  gpa::resource filled({.protect_large = gpa::protect_large::never});
  gpa::resource final({.environment = gpa::environment::ignored});

  BOOST_TEST(checks.options().checks.is_never());
  BOOST_TEST(sampled.options().checks.interval() == 1000u);
  BOOST_TEST(!single.options().thread_safe);
  BOOST_TEST(limited.memory_limit() == std::size_t{1} << 20);
  BOOST_TEST(no_stacks.options().stack_frames == 0u);
  BOOST_TEST(exiting.options().leak_exit_status == 3);
  BOOST_TEST(poisoned.options().poison_bytes == gpa::unlimited);
  BOOST_TEST(with_history.options().profile);
  BOOST_TEST((filled.options().protect_large == gpa::protect_large::never));
  BOOST_TEST(order_of_options() == 4);
}

BOOST_AUTO_TEST_CASE(every_member_compiles)
{
  gpa::resource r(quiet());

  const gpa::options& in_effect = r.options();
  BOOST_TEST(in_effect.name == "usage");

  const gpa::ignore_scope scope;
  std::pmr::polymorphic_allocator<std::byte> bytes = r.allocator();
  std::pmr::polymorphic_allocator<int> ints = r.allocator<int>();
  int* const number = ints.allocate(1);
  ints.deallocate(number, 1);
  BOOST_TEST((*bytes.resource() == r));
  BOOST_TEST((r == *bytes.resource()));

  r.set_memory_limit(1000);
  const std::size_t limit = r.memory_limit();
  BOOST_TEST(limit == 1000u);

  void* const refused = r.try_allocate(1001);
  BOOST_TEST(refused == nullptr);
  void* const block = r.try_allocate(100);
  void* const aligned = r.try_allocate(64, 64);
  BOOST_TEST(block != nullptr);
  BOOST_TEST(aligned != nullptr);
  const bool resized = r.try_resize(block, 100, 99);
  const bool resized_aligned = r.try_resize(aligned, 64, 63, 64);
  r.deallocate(block, resized ? 99 : 100);
  r.deallocate(aligned, resized_aligned ? 63 : 64, 64);
  static_assert(noexcept(r.try_allocate(1))&& noexcept(r.try_resize(nullptr, 1, 2)));

  const gpa::statistics s = r.stats();
  BOOST_TEST(s.live_blocks == 0u);
  BOOST_TEST(s.live_bytes == 0u);
  BOOST_TEST(s.peak_blocks >= 1u);
  BOOST_TEST(s.peak_bytes >= 1u);
  BOOST_TEST(s.total_blocks >= 3u);
  BOOST_TEST(s.total_bytes >= 164u);
  BOOST_TEST(s.held_bytes >= s.live_bytes);
  BOOST_TEST(s.mistakes == 0u);
  BOOST_TEST(s.upstream_calls == 0u);

  const std::size_t leaks = r.detect_leaks();
  const std::size_t mistakes = r.verify();
  BOOST_TEST(leaks + mistakes == 0u);
  r.trim();
  r.release();
  const gpa::check verdict = r.deinit();
  BOOST_TEST(verdict == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(containers_take_its_address_and_its_allocator)
{
  gpa::resource r(quiet());
  {
    std::pmr::vector<std::pmr::string> by_address(&r);
    by_address.emplace_back("a text that is too long for the small string optimisation");
    std::pmr::vector<int> by_allocator({1, 2, 3}, r.allocator());
    std::pmr::vector<int> moved({4}, r.allocator<int>());
    moved.swap(by_allocator);
    BOOST_TEST(moved.size() == 3u);
  }
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(a_guard_makes_it_the_default)
{
  gpa::resource r(quiet());
  {
    [[maybe_unused]] gpa::default_resource_guard g(&r);
    BOOST_TEST(std::pmr::get_default_resource() == &r);
    [[maybe_unused]] gpa::default_resource_guard none(nullptr);
    BOOST_TEST(std::pmr::get_default_resource() == std::pmr::new_delete_resource());
  }
  BOOST_TEST(std::pmr::get_default_resource() == std::pmr::new_delete_resource());
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(the_immortal_resources_are_never_null)
{
  BOOST_TEST(gpa::process_resource() != nullptr);
  BOOST_TEST(gpa::page_resource() != nullptr);
}

BOOST_AUTO_TEST_CASE(a_report_tells_everything_in_std_types)
{
  gpa::report r{};
  r.kind = gpa::mistake::double_free;
  const std::array<std::string_view, 3> words{r.resource, r.owner, r.reason};
  const std::array<std::size_t, 8> numbers{r.bytes,  r.alignment,   r.given_bytes, r.given_alignment,
                                           r.blocks, r.total_bytes, r.offset,      r.damaged};
  const void* const address = r.address;
  const std::array<gpa::stack_trace, 3> stacks{r.allocated, r.freed, r.here};
  BOOST_TEST(words.size() + numbers.size() + stacks.size() == 14u);
  BOOST_TEST(address == nullptr);
  BOOST_TEST(r.here.empty());
  BOOST_TEST(r.here.frames().empty());
  const std::uint64_t thread = r.here.thread();
  BOOST_TEST(thread == 0u);

  const std::string text = gpa::to_string(r);
  BOOST_TEST(text.find("double free") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(enumerators_print_as_the_words_users_read)
{
  using gpa::mistake;
  const std::array<std::pair<mistake, std::string_view>, 13> table{{
      {mistake::leak, "leak"},
      {mistake::double_free, "double free"},
      {mistake::size_mismatch, "size mismatch"},
      {mistake::alignment_mismatch, "alignment mismatch"},
      {mistake::invalid_pointer, "invalid pointer"},
      {mistake::wrong_resource, "wrong resource"},
      {mistake::write_after_free, "write after free"},
      {mistake::overflow, "overflow"},
      {mistake::use_after_deinit, "use after deinit"},
      {mistake::wrong_thread, "wrong thread"},
      {mistake::invalid_alignment, "invalid alignment"},
      {mistake::use_after_free, "use after free"},
      {mistake::accidental_default, "accidental default"},
  }};
  for (const auto& [kind, words] : table) {
    std::ostringstream out;
    out << kind;
    BOOST_TEST(out.str() == words);
    BOOST_TEST(gpa::to_string(kind) == words);
  }
  std::ostringstream out;
  out << gpa::check::ok << ' ' << gpa::check::leak << ' ' << gpa::check::misuse;
  BOOST_TEST(out.str() == "ok leak misuse");
  BOOST_TEST(gpa::to_string(gpa::check::misuse) == "misuse");
}

BOOST_AUTO_TEST_CASE(there_is_a_name_to_break_on)
{
  gpa_on_mistake();
  void (*const name)() = &gpa_on_mistake;
  BOOST_TEST((name != nullptr));
}

BOOST_AUTO_TEST_CASE(the_version_is_a_string)
{
  BOOST_TEST(std::string_view(GPA_VERSION).find('.') != std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(it_lives_where_people_put_it)
{
  static gpa::resource in_a_function({.name = "static"});
  const auto on_the_heap =
      std::make_unique<gpa::resource>(gpa::options{.name = "heap", .checks = gpa::checks::always()});
  std::optional<gpa::resource> perhaps;
  perhaps.emplace(gpa::options{.name = "perhaps", .checks = gpa::checks::never()});
  struct owner {
    gpa::resource resource{{.name = "member"}};
    std::pmr::vector<int> numbers{&resource};
  };
  owner o;
  o.numbers.push_back(1);

  BOOST_TEST(on_the_heap->options().checks.is_always());
  BOOST_TEST(perhaps->options().checks.is_never());
  BOOST_TEST(in_a_function.options().name == "static");
  BOOST_TEST(o.resource.stats().live_blocks == 1u);
}

BOOST_AUTO_TEST_CASE(who_holds_the_memory)
{
  gpa::options o = quiet();
  o.profile = true;
  gpa::resource r(o);
  const gpa::resource& seen = r;
  const gpa::snapshot before = seen.take_snapshot();
  const gpa::tag_scope tag("parser");
  const std::pmr::vector<int> v(100, 1, &r);
  const gpa::snapshot now = r.take_snapshot();
  for (const gpa::by key : {gpa::by::line, gpa::by::file, gpa::by::function, gpa::by::stack, gpa::by::size_class,
                            gpa::by::tag}) {
    BOOST_TEST(now.statistics(key).size() == 1u);
    const std::vector<gpa::snapshot_row> rows = now.compare_to(before, key);
    std::ostringstream out;
    out << rows.front();
    BOOST_TEST(out.str() == to_string(rows.front()));
  }
  BOOST_TEST(now.filter({gpa::include("*"), gpa::exclude("*/nothing/*")}).live_bytes() == now.live_bytes());
  BOOST_TEST(!now.estimated());
  BOOST_TEST(now.profiled());
  BOOST_TEST(now.sites().front().average_lifetime() == 0.0);
  const gpa::traced_memory traced = seen.traced();
  BOOST_TEST(traced.current == 400u);
  BOOST_TEST(traced.peak >= traced.current);
  r.reset_peak();
  BOOST_TEST(!seen.origin(v.data()).empty());
  seen.write_report("/dev/null");
}
