// Snapshots: who holds the memory, by line, file, function, stack, size class and tag; and what changed.
#define BOOST_TEST_MODULE snapshot
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory_resource>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::by;

gpa::options always()
{
  return {.name = "snapshots", .checks = gpa::checks::always(), .environment = gpa::environment::ignored};
}

struct block {
  void* p;
  std::size_t bytes;
};

__attribute__((noinline)) block planted(std::pmr::memory_resource& r, std::size_t bytes)
{
  return {r.allocate(bytes), bytes};  // planted line
}
constexpr int planted_line = __LINE__ - 2;

// The cache that grows: each call stays, where the work beside it is freed.
__attribute__((noinline)) void serve(std::pmr::memory_resource& r, std::pmr::vector<block>& cache, int requests)
{
  for (int i = 0; i != requests; ++i) {
    const std::pmr::string work(1000, 'w', &r);
    cache.push_back(planted(r, 34));
  }
}

void give_back(gpa::resource& r, const std::vector<block>& blocks)
{
  for (const block& b : blocks) r.deallocate(b.p, b.bytes);
}

const gpa::snapshot_row* row_of(const std::vector<gpa::snapshot_row>& rows, std::string_view end)
{
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.place.ends_with(end); });
  return found == rows.end() ? nullptr : &*found;
}

std::string place_of_plant() { return "snapshot_test.cpp:" + std::to_string(planted_line); }

}  // namespace

BOOST_AUTO_TEST_CASE(control_characters_in_tags_reach_no_terminal)
{
  gpa::resource r({.checks = gpa::checks::always()});
  const gpa::tag_scope scope("red\n\x1b[31m");
  void* const p = r.allocate(24, 8);
  const auto rows = r.take_snapshot().statistics(gpa::by::tag);
  BOOST_TEST_REQUIRE(rows.size() == 1u);
  std::ostringstream text;
  text << rows.front();
  BOOST_TEST(text.str().find("red??[31m") != std::string::npos);
  r.deallocate(p, 24, 8);
}

BOOST_AUTO_TEST_CASE(a_tag_too_long_to_keep_ends_with_a_whole_character)
{
  gpa::resource r(always());
  const gpa::tag_scope scope(std::string(62, 't') + "\u00e9");
  const block b = planted(r, 24);
  BOOST_TEST(r.take_snapshot().statistics(by::tag).at(0).place == std::string(62, 't'));
  r.deallocate(b.p, b.bytes);
}

BOOST_AUTO_TEST_CASE(comparing_two_snapshots_names_the_line_of_a_cache_that_grows_first)
{
  gpa::resource r(always());
  std::pmr::vector<block> cache(std::pmr::new_delete_resource());
  serve(r, cache, 10);
  const gpa::snapshot before = r.take_snapshot();
  const std::pmr::string other(2000, 'o', &r);
  serve(r, cache, 100);
  const auto rows = r.take_snapshot().compare_to(before, by::line);
  BOOST_REQUIRE(!rows.empty());
  BOOST_TEST(rows[0].place.ends_with(place_of_plant()));
  BOOST_TEST(rows[0].size == 110u * 34);
  BOOST_TEST(rows[0].size_difference == 100 * 34);
  BOOST_TEST(rows[0].count == 110u);
  BOOST_TEST(rows[0].count_difference == 100);
  const std::string words = to_string(rows[0]);
  BOOST_TEST(words.ends_with(": size=3740 B (+3400 B), count=110 (+100), average=34 B"));
  for (const block& b : cache) r.deallocate(b.p, b.bytes);
}

BOOST_AUTO_TEST_CASE(a_row_of_which_nothing_is_left_is_told_as_a_loss)
{
  gpa::resource r(always());
  const block b = planted(r, 697);
  const gpa::snapshot before = r.take_snapshot();
  r.deallocate(b.p, b.bytes);
  const auto rows = r.take_snapshot().compare_to(before, by::line);
  BOOST_REQUIRE(rows.size() == 1u);
  BOOST_TEST(to_string(rows[0]).ends_with(":" + std::to_string(planted_line) + ": size=0 B (-697 B), count=0 (-1)"));
}

BOOST_AUTO_TEST_CASE(statistics_count_what_is_live_and_nothing_else)
{
  gpa::resource r(always());
  std::vector<block> blocks;
  for (const std::size_t bytes : {1u, 24u, 1000u, 32'768u, 200'000u, 5u << 20}) {
    blocks.push_back(planted(r, bytes));
    const block freed = planted(r, bytes);
    r.deallocate(freed.p, freed.bytes);
  }
  const gpa::snapshot s = r.take_snapshot();
  BOOST_TEST(s.live_bytes() == r.stats().live_bytes);
  BOOST_TEST(s.live_blocks() == 6u);
  BOOST_TEST(!s.estimated());
  BOOST_TEST(!s.profiled());
  const auto rows = s.statistics(by::line);
  BOOST_REQUIRE(rows.size() == 1u);
  BOOST_TEST(rows[0].place.ends_with(place_of_plant()));
  BOOST_TEST(rows[0].size == s.live_bytes());
  const std::string words = to_string(rows[0]);
  BOOST_TEST(words.substr(words.find(": size")) == ": size=5348 KiB, count=6, average=891 KiB");
  give_back(r, blocks);
  BOOST_TEST(r.take_snapshot().sites().empty());
}

BOOST_AUTO_TEST_CASE(however_many_large_blocks_there_are_each_is_counted_once)
{
  gpa::resource r(always());
  std::vector<block> blocks;
  for (int i = 0; i != 700; ++i) blocks.push_back(planted(r, 40'000));
  for (int i = 0; i != 3; ++i) BOOST_TEST(r.take_snapshot().live_blocks() == 700u);
  give_back(r, blocks);
  BOOST_TEST(r.take_snapshot().live_blocks() == 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(rows_are_by_file_function_stack_and_size_class_too)
{
  gpa::resource r(always());
  const std::vector<block> blocks = {planted(r, 33), planted(r, 48), planted(r, 49), planted(r, 1025)};
  const gpa::snapshot s = r.take_snapshot();

  const auto files = s.statistics(by::file);
  BOOST_REQUIRE(files.size() == 1u);
  BOOST_TEST(files[0].place.ends_with("snapshot_test.cpp"));

  const auto functions = s.statistics(by::function);
  BOOST_REQUIRE(functions.size() == 1u);
  BOOST_TEST(functions[0].place.find("planted(") != std::string::npos);

  const auto stacks = s.statistics(by::stack);
  BOOST_TEST(stacks.size() == 4u);  // four calls of planted()
  BOOST_TEST(to_string(stacks[0]).find("\n    #0 ") != std::string::npos);
  BOOST_TEST(to_string(stacks[0]).find("planted(") != std::string::npos);

  const auto classes = s.statistics(by::size_class);
  BOOST_REQUIRE(classes.size() == 3u);
  BOOST_TEST(classes[0].place == "1025 to 1152 bytes");
  BOOST_TEST(classes[1].place == "33 to 48 bytes");
  BOOST_TEST(classes[1].count == 2u);
  BOOST_TEST(classes[2].place == "49 to 64 bytes");
  give_back(r, blocks);

  const block empty = planted(r, 0);
  const auto smallest = r.take_snapshot().statistics(by::size_class);
  BOOST_REQUIRE(smallest.size() == 1u);
  BOOST_TEST(smallest[0].place == "0 to 16 bytes");
  r.deallocate(empty.p, empty.bytes);
}

BOOST_AUTO_TEST_CASE(a_tag_is_the_innermost_scopes_and_its_threads)
{
  gpa::resource r(always());
  std::vector<block> blocks = {planted(r, 10)};
  {
    const gpa::tag_scope outer("parser");
    blocks.push_back(planted(r, 20));
    {
      const gpa::tag_scope inner("lexer");
      blocks.push_back(planted(r, 30));
    }
    blocks.push_back(planted(r, 40));
    std::thread([&] { blocks.push_back(planted(r, 50)); }).join();
  }
  blocks.push_back(planted(r, 60));
  // A slot that held a tagged block forgets the tag with it.
  r.deallocate(blocks[1].p, blocks[1].bytes);
  blocks.erase(blocks.begin() + 1);
  const auto rows = r.take_snapshot().statistics(by::tag);
  BOOST_REQUIRE(rows.size() == 3u);
  BOOST_REQUIRE(row_of(rows, "(no tag)") != nullptr);
  BOOST_TEST(row_of(rows, "(no tag)")->size == 10u + 50 + 60);
  BOOST_REQUIRE(row_of(rows, "parser") != nullptr);
  BOOST_TEST(row_of(rows, "parser")->size == 40u);
  BOOST_REQUIRE(row_of(rows, "lexer") != nullptr);
  BOOST_TEST(row_of(rows, "lexer")->size == 30u);
  give_back(r, blocks);
}

BOOST_AUTO_TEST_CASE(tags_are_kept_without_call_stacks_too)
{
  gpa::options o = always();
  o.stack_frames = 0;
  gpa::resource r(o);
  const gpa::tag_scope scope("parser");
  const block b = planted(r, 100);
  const gpa::snapshot s = r.take_snapshot();
  BOOST_REQUIRE(s.sites().size() == 1u);
  BOOST_TEST(s.sites()[0].tag == "parser");
  BOOST_TEST(s.statistics(by::line)[0].place == "(no call stack)");
  r.deallocate(b.p, b.bytes);
}

BOOST_AUTO_TEST_CASE(a_tagged_block_keeps_its_stack_and_is_freed_as_any_other)
{
  gpa::resource r(always());
  const gpa::tag_scope scope("parser");
  const block b = planted(r, 100);
  const auto frames = r.origin(b.p).frames();
  BOOST_TEST(std::any_of(frames.begin(), frames.end(), [](const auto& f) { return f.line == planted_line; }));
  r.deallocate(b.p, b.bytes);
  BOOST_CHECK(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(names_beyond_the_last_are_other_tags)
{
  gpa::resource r(always());
  std::vector<block> blocks;
  for (int i = 0; i != 1100; ++i) {
    const gpa::tag_scope scope("phase " + std::to_string(i));
    blocks.push_back(planted(r, 16));
  }
  const auto rows = r.take_snapshot().statistics(by::tag);
  BOOST_TEST(rows.size() <= 1024u);
  BOOST_REQUIRE(row_of(rows, "other tags") != nullptr);
  BOOST_TEST(row_of(rows, "other tags")->count > 70u);
  BOOST_TEST(row_of(rows, "phase 7")->count == 1u);
  give_back(r, blocks);
}

BOOST_AUTO_TEST_CASE(filters_keep_and_leave_out_by_file)
{
  gpa::resource r(always());
  const block b = planted(r, 100);
  const gpa::snapshot s = r.take_snapshot();
  BOOST_TEST(s.filter({gpa::include("*snapshot_test.cpp")}).live_bytes() == 100u);
  BOOST_TEST(s.filter({gpa::include("*snapshot_t?st.c*")}).live_bytes() == 100u);
  BOOST_TEST(s.filter({gpa::include("*/cache.cpp")}).live_bytes() == 0u);
  BOOST_TEST(s.filter({gpa::include("*/cache.cpp"), gpa::include("*_test.cpp")}).live_bytes() == 100u);
  BOOST_TEST(s.filter({gpa::exclude("*snapshot_test.cpp")}).live_bytes() == 0u);
  BOOST_TEST(s.filter({gpa::exclude("*/cache.cpp")}).live_bytes() == 100u);
  BOOST_TEST(s.filter({gpa::include("*"), gpa::exclude("*snapshot*")}).live_bytes() == 0u);
  BOOST_TEST(s.filter({}).live_bytes() == 100u);
  BOOST_TEST(s.filter({gpa::include("*snapshot_test.cpp", true)}).live_bytes() == 100u);
  // A file below the current directory has two names, and either is matched.
  namespace fs = std::filesystem;
  const auto frames = r.origin(b.p).frames();
  const auto own = std::find_if(frames.begin(), frames.end(), [](const gpa::stack_frame& f) { return f.file.ends_with("snapshot_test.cpp"); });
  BOOST_REQUIRE((own != frames.end()));
  const fs::path full = fs::path(own->file).lexically_normal();
  const fs::path before = fs::current_path();
  fs::current_path(full.parent_path());
  for (const bool any_frame : {false, true}) {
    BOOST_TEST(s.filter({gpa::include("snapshot_test.cpp", any_frame)}).live_bytes() == 100u);
    BOOST_TEST(s.filter({gpa::include(full.string(), any_frame)}).live_bytes() == 100u);
  }
  fs::current_path(before);
  r.deallocate(b.p, b.bytes);
}

BOOST_AUTO_TEST_CASE(the_origin_of_a_block_is_where_it_was_allocated)
{
  gpa::resource r(always());
  gpa::resource stranger(always());
  for (const std::size_t bytes : {24u, 200'000u}) {
    const gpa::tag_scope tagged(bytes == 24 ? "" : "large");
    const block b = planted(r, bytes);
    const auto frames = r.origin(b.p).frames();
    BOOST_TEST(std::any_of(frames.begin(), frames.end(), [](const auto& f) { return f.line == planted_line; }));
    BOOST_TEST(r.origin(static_cast<std::byte*>(b.p) + 1).empty());
    BOOST_TEST(stranger.origin(b.p).empty());
    r.deallocate(b.p, b.bytes);
    BOOST_TEST(r.origin(b.p).empty());
  }
  int local = 0;
  BOOST_TEST(r.origin(&local).empty());
  BOOST_TEST(r.origin(nullptr).empty());
  BOOST_TEST(r.origin(reinterpret_cast<const void*>(0xDEAD'0000'0000'0010)).empty());  // no address at all
}

BOOST_AUTO_TEST_CASE(traced_memory_is_current_and_peak_and_the_peak_starts_again)
{
  gpa::options o = always();
  o.thread_safe = false;  // exact peaks
  gpa::resource r(o);
  const block a = planted(r, 1000);
  const block b = planted(r, 5000);
  r.deallocate(b.p, b.bytes);
  BOOST_TEST(r.traced().current == 1000u);
  BOOST_TEST(r.traced().peak == 6000u);
  r.reset_peak();
  BOOST_TEST(r.traced().peak == 1000u);
  const block c = planted(r, 500);
  r.deallocate(c.p, c.bytes);
  BOOST_TEST(r.traced().peak == 1500u);
  BOOST_TEST(r.stats().peak_bytes == 1500u);
  r.deallocate(a.p, a.bytes);
}

BOOST_AUTO_TEST_CASE(without_checks_there_are_totals_only)
{
  gpa::options o = always();
  o.checks = gpa::checks::never();
  gpa::resource r(o);
  const gpa::tag_scope scope("parser");
  const block b = planted(r, 1000);
  BOOST_TEST(r.take_snapshot().sites().empty());
  BOOST_TEST(r.traced().current == 1000u);
  BOOST_TEST(r.origin(b.p).empty());
  r.deallocate(b.p, b.bytes);
}

BOOST_AUTO_TEST_CASE(of_a_sampled_resource_snapshots_are_estimates)
{
  gpa::options o = always();
  o.checks = gpa::checks::one_in(10);
  gpa::resource r(o);
  std::vector<block> blocks;
  for (int i = 0; i != 20'000; ++i) blocks.push_back(planted(r, 100));
  const gpa::snapshot s = r.take_snapshot();
  BOOST_TEST(s.estimated());
  BOOST_TEST(s.live_blocks() % 10 == 0u);
  BOOST_TEST(s.live_blocks() > 18'000u);
  BOOST_TEST(s.live_blocks() < 22'000u);
  BOOST_TEST(s.live_bytes() == s.live_blocks() * 100);
  give_back(r, blocks);
}

BOOST_AUTO_TEST_CASE(a_snapshot_is_good_when_its_resource_is_gone)
{
  gpa::snapshot s;
  {
    gpa::resource r(always());
    const block b = planted(r, 100);
    s = r.take_snapshot();
    r.deallocate(b.p, b.bytes);
  }
  BOOST_TEST(s.statistics(by::line)[0].place.ends_with(place_of_plant()));
}

// Blocks that are live throughout are in every snapshot; small and large ones, while other threads come and go.
BOOST_AUTO_TEST_CASE(snapshots_are_taken_while_others_allocate_and_free)
{
  gpa::resource r(always());
  std::vector<block> kept;
  for (int i = 0; i != 600; ++i) kept.push_back(planted(r, i % 3 == 0 ? 100'000 : 100));
  std::size_t bytes = 0;
  for (const block& b : kept) bytes += b.bytes;
  std::atomic<bool> stop{false};
  const auto churn = [&r, &stop](std::size_t most) {
    std::vector<block> mine;
    for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      mine.push_back({r.allocate(1 + i % most), 1 + i % most});
      if (mine.size() < 50) continue;
      r.deallocate(mine[i % 50].p, mine[i % 50].bytes);
      mine[i % 50] = mine.back();
      mine.pop_back();
    }
    for (const block& b : mine) r.deallocate(b.p, b.bytes);
  };
  std::thread small(churn, 2000);
  std::thread large(churn, 150'000);
  for (int i = 0; i != 50; ++i) {
    const auto rows = r.take_snapshot().filter({gpa::include("*snapshot_test.cpp")}).statistics(by::line);
    const gpa::snapshot_row* const row = row_of(rows, place_of_plant());
    BOOST_REQUIRE(row != nullptr);
    BOOST_TEST_REQUIRE(row->size == bytes);
    BOOST_TEST_REQUIRE(row->count == kept.size());
  }
  stop = true;
  small.join();
  large.join();
  give_back(r, kept);
  BOOST_CHECK(r.deinit() == gpa::check::ok);
}
