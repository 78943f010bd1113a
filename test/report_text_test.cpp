#define BOOST_TEST_MODULE report_text
#include "trace/report_text.hpp"

#include "os/threads.hpp"
#include "trace/capture.hpp"
#include "trace/headline.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::mistake;

constexpr std::string_view golden_directory = GPA_TEST_DIR "/golden/";

// Paths in reports are relative to the current directory, and so are the golden ones.
struct in_golden_directory {
  in_golden_directory() { BOOST_REQUIRE(::chdir(std::string(golden_directory).c_str()) == 0); }
};

// ---- stacks with names that no compiler changes ----

enum stack_id : std::uint32_t { none, allocating, freeing, misusing, stripped, library_only, shallow, nameless };
enum thread_id : std::uint32_t { nobody, main_thread, worker_thread };

// The teller below finds both in the number of the stack.
gpa::stack_trace stack(stack_id id, thread_id thread = main_thread)
{
  return {static_cast<std::uint32_t>(id) | static_cast<std::uint32_t>(thread) << 8, 0};
}

struct place {
  std::string_view function;
  std::uint32_t line;
  std::uint32_t column;
};

void add_user(frame_list& to, place p, bool inlined = false)
{
  frame f;
  f.address = 0x55ad2c4a2000 + p.line * 0x10;
  f.function = p.function;
  f.file = std::string(golden_directory) + "session.cpp";
  f.line = p.line;
  f.column = p.column;
  f.module = "/opt/app/bin/parser";
  f.offset = 0x2000 + p.line * 0x10;
  f.inlined = inlined;
  to.push_back(f);
}

void add_stripped(frame_list& to, std::string_view function, std::uintptr_t offset)
{
  frame f;
  f.address = 0x55ad2c4a0000 + offset;
  f.function = function;
  f.module = std::string(golden_directory) + "bin/parser";
  f.offset = offset;
  to.push_back(f);
}

void add_library(frame_list& to, std::string_view function, std::string_view file = {})
{
  frame f;
  f.address = 0x7f31c2a00123;
  f.function = function;
  f.file = file;
  f.line = file.empty() ? 0 : 107;
  f.column = file.empty() ? 0 : 28;
  f.module = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";
  f.offset = 0x123;
  f.library = true;
  to.push_back(f);
}

told_stack tell(const gpa::stack_trace& s)
{
  told_stack told;
  frame_list& f = told.frames;
  constexpr std::string_view header = "/nowhere/include/c++/12/memory_resource";
  switch (static_cast<stack_id>(s.id() & 0xFF)) {
    case none: break;
    case allocating:
      add_library(f, "std::pmr::memory_resource::allocate(unsigned long, unsigned long)", header);
      add_user(f, {"cache::open(int)", 6, 28});
      add_user(f, {"main", 18, 22});
      add_library(f, "__libc_start_main");
      break;
    case freeing:
      add_library(f, "std::pmr::memory_resource::deallocate(void*, unsigned long, unsigned long)", header);
      add_user(f, {"cache::close(session*)", 13, 17}, true);
      add_user(f, {"main", 19, 10});
      break;
    case misusing:
      add_library(f, "std::pmr::memory_resource::deallocate(void*, unsigned long, unsigned long)", header);
      add_library(f, "std::pmr::unsynchronized_pool_resource::release()");
      add_user(f, {"cache::close(session*)", 13, 17}, true);
      add_user(f, {"main", 20, 10});
      break;
    case stripped:
      add_stripped(f, "cache::open(int)", 0x1234);
      add_stripped(f, {}, 0x1300);
      break;
    case library_only:
      add_library(f, {});
      add_library(f, "std::pmr::memory_resource::allocate(unsigned long, unsigned long)", header);
      told.addresses = 32;
      break;
    case shallow: add_library(f, "std::pmr::memory_resource::allocate(unsigned long, unsigned long)"); break;
    case nameless:
      f.emplace_back();
      f.back().address = 0x1000;
      break;
  }
  if (told.addresses == 0) told.addresses = f.size();
  switch (static_cast<thread_id>(s.id() >> 8)) {
    case nobody: break;
    case main_thread: told.thread = 4710; told.thread_name = "main"; break;
    case worker_thread: told.thread = 4711; told.thread_name = "worker"; break;
  }
  return told;
}

told_stack tell_without_memory(const gpa::stack_trace&)
{
  throw std::bad_alloc();
}

// ---- reports ----

const void* const block_address = reinterpret_cast<const void*>(0x7f31c2a00240);

gpa::report wrong_free(mistake kind)
{
  gpa::report r;
  r.kind = kind;
  r.resource = "parser";
  r.address = block_address;
  r.bytes = r.total_bytes = r.given_bytes = 72;
  r.alignment = r.given_alignment = 8;
  r.allocated = stack(allocating);
  r.here = stack(misusing);
  return r;
}

gpa::report changed(gpa::report r, void (*change)(gpa::report&))
{
  change(r);
  return r;
}

gpa::report allocation(mistake kind, std::size_t bytes)
{
  gpa::report r;
  r.kind = kind;
  r.resource = "parser";
  r.given_bytes = bytes;
  r.given_alignment = 8;
  r.here = stack(allocating);
  return r;
}

gpa::report leak(std::size_t blocks, std::size_t bytes)
{
  gpa::report r = wrong_free(mistake::leak);
  r.blocks = blocks;
  r.bytes = bytes / blocks;
  r.total_bytes = bytes;
  r.here = {};
  return r;
}

struct golden_case {
  std::string_view file;
  gpa::report report;
};

std::vector<golden_case> golden_cases()
{
  return {
      // one of each kind, named after it
      {"leak", leak(10, 720)},
      {"double_free", changed(wrong_free(mistake::double_free), [](auto& r) { r.freed = stack(freeing); })},
      {"size_mismatch", changed(wrong_free(mistake::size_mismatch), [](auto& r) { r.given_bytes = 40; })},
      {"alignment_mismatch", changed(wrong_free(mistake::alignment_mismatch), [](auto& r) { r.given_alignment = 16; })},
      {"invalid_pointer", changed(wrong_free(mistake::invalid_pointer),
                                  [](auto& r) {
                                    r.given_bytes = 24;
                                    r.offset = 16;
                                    r.reason = "inside a block, 16 bytes from its start";
                                  })},
      {"wrong_resource", changed(wrong_free(mistake::wrong_resource), [](auto& r) { r.owner = "lexer"; })},
      {"write_after_free", changed(wrong_free(mistake::write_after_free),
                                   [](auto& r) {
                                     r.freed = stack(freeing);
                                     r.offset = 16;
                                     r.damaged = 8;
                                   })},
      {"overflow", changed(wrong_free(mistake::overflow),
                           [](auto& r) {
                             r.offset = 72;
                             r.damaged = 4;
                           })},
      {"use_after_deinit", wrong_free(mistake::use_after_deinit)},
      {"wrong_thread", changed(wrong_free(mistake::wrong_thread),
                               [](auto& r) { r.here = stack(misusing, worker_thread); })},
      {"invalid_alignment", changed(allocation(mistake::invalid_alignment, 100),
                                    [](auto& r) { r.given_alignment = 24; })},
      {"use_after_free", changed(wrong_free(mistake::use_after_free),
                                 [](auto& r) {
                                   r.freed = stack(freeing);
                                   r.offset = 16;
                                 })},
      {"accidental_default", allocation(mistake::accidental_default, 24)},
      // the other forms of the same
      {"leak.one_block", leak(1, 72)},
      {"leak.one_byte", leak(1, 1)},
      {"leak.other_thread", changed(leak(2, 144),
                                    [](auto& r) {
                                      r.allocated = stack(allocating, worker_thread);
                                      r.here = stack(none);
                                    })},
      {"leak.not_traced", changed(leak(3, 300),
                                  [](auto& r) {
                                    r.address = nullptr;
                                    r.allocated = {};
                                    r.reason = "checks::never() counts blocks and remembers nothing else";
                                  })},
      {"double_free.other_threads", changed(wrong_free(mistake::double_free),
                                            [](auto& r) {
                                              r.allocated = stack(allocating, worker_thread);
                                              r.freed = stack(freeing, worker_thread);
                                            })},
      {"double_free.no_stacks", changed(wrong_free(mistake::double_free),
                                        [](auto& r) {
                                          r.here = stack(none);
                                          r.freed = stack(none, worker_thread);
                                          r.allocated = {};
                                        })},
      {"double_free.stripped", changed(wrong_free(mistake::double_free),
                                       [](auto& r) {
                                         r.here = stack(stripped);
                                         r.allocated = {};
                                       })},
      {"double_free.library_only", changed(wrong_free(mistake::double_free),
                                           [](auto& r) {
                                             r.here = stack(library_only);
                                             r.freed = stack(shallow);
                                             r.allocated = stack(nameless);
                                           })},
      {"size_mismatch.with_reason", changed(wrong_free(mistake::size_mismatch),
                                            [](auto& r) {
                                              r.given_bytes = 1;
                                              r.reason = "given to try_resize()";
                                            })},
      {"overflow.in_front", changed(wrong_free(mistake::overflow),
                                    [](auto& r) {
                                      r.damaged = 1;
                                      r.reason = "the byte in front of the block";
                                    })},
      {"invalid_pointer.null", changed(wrong_free(mistake::invalid_pointer),
                                       [](auto& r) {
                                         r.address = nullptr;
                                         r.allocated = {};
                                         r.reason = "the null pointer";
                                       })},
      {"use_after_deinit.allocation", allocation(mistake::use_after_deinit, 24)},
      {"wrong_thread.allocation", allocation(mistake::wrong_thread, 1)},
      {"accidental_default.block", wrong_free(mistake::accidental_default)},
  };
}

std::string text_of(const gpa::report& r)
{
  text out;
  append_report(out, r, &tell);
  return std::string(out.view());
}

std::string summary_of(const leak_summary& s)
{
  text out;
  append_leak_summary(out, s);
  return std::string(out.view());
}

// GPA_WRITE_GOLDEN=1 writes the files anew, for a person to read the difference; no test passes then.
void test_golden(std::string_view name, const std::string& actual)
{
  const std::string path = std::string(golden_directory) + std::string(name) + ".txt";
  if (std::getenv("GPA_WRITE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    BOOST_ERROR(path + " was written, not compared");
    return;
  }
  std::ifstream file(path);
  const std::string expected(std::istreambuf_iterator<char>(file), {});
  BOOST_TEST_CONTEXT(path) BOOST_TEST(actual == expected);
}

// The stack of a mistake as the library takes it.
[[gnu::noinline]] gpa::stack_trace stack_from_caller()
{
  return {capture_stack(32, __builtin_return_address(0)), this_thread_number()};
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(in_golden_directory);

BOOST_AUTO_TEST_CASE(every_report_reads_as_its_golden_text)
{
  for (const golden_case& c : golden_cases()) test_golden(c.file, text_of(c.report));
}

BOOST_AUTO_TEST_CASE(every_mistake_has_a_golden_text_of_its_name)
{
  std::set<mistake> seen;
  for (const golden_case& c : golden_cases()) {
    seen.insert(c.report.kind);
    std::string words(gpa::to_string(c.report.kind));
    std::replace(words.begin(), words.end(), ' ', '_');
    BOOST_TEST(c.file.substr(0, c.file.find('.')) == words);
  }
  for (int kind = 0; gpa::to_string(static_cast<mistake>(kind)) != "unknown mistake"; ++kind)
    BOOST_TEST_CONTEXT(gpa::to_string(static_cast<mistake>(kind))) BOOST_TEST(seen.contains(static_cast<mistake>(kind)));
  BOOST_TEST(seen.size() == 13u);
}

BOOST_AUTO_TEST_CASE(the_headline_is_a_diagnostic_of_gcc_and_begins_with_the_words_of_the_enumerator)
{
  const std::regex diagnostic(R"(([^ :]+):(\d+):(\d+): error: (.*) \[(gpa-[a-z-]+)\])");
  for (const golden_case& c : golden_cases()) {
    if (c.report.here.id() == stack(stripped).id() || c.report.here.id() == stack(library_only).id()) continue;
    if (c.report.here.id() == stack(none).id() && c.report.kind != mistake::leak) continue;
    if (c.report.allocated.empty() && c.report.kind == mistake::leak) continue;
    const std::string whole = text_of(c.report);
    const std::string headline = whole.substr(0, whole.find('\n'));
    std::smatch parts;
    BOOST_TEST_CONTEXT(headline)
    {
      BOOST_TEST_REQUIRE(std::regex_match(headline, parts, diagnostic));
      BOOST_TEST(parts[1].str() == "session.cpp");
      BOOST_TEST(parts[4].str().starts_with(gpa::to_string(c.report.kind)));
    }
  }
}

BOOST_AUTO_TEST_CASE(every_mistake_but_a_leak_says_what_happened_and_where_to_read_on)
{
  for (const golden_case& c : golden_cases()) {
    const std::string anchor = "see README: " + std::string(gpa::to_string(c.report.kind)) + "\n";
    const bool has_anchor = text_of(c.report).find(anchor) != std::string::npos;
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(has_anchor == (c.report.kind != mistake::leak));
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(consequence(c.report).empty() == (c.report.kind == mistake::leak));
  }
}

BOOST_AUTO_TEST_CASE(without_memory_a_report_is_its_words)
{
  text out;
  append_report(out, wrong_free(mistake::double_free), &tell_without_memory);
  BOOST_TEST(out.view() == "gpa: error: double free of 72 bytes at 0x7f31c2a00240 [gpa-double-free]\n");

  out.clear();
  gpa::report r = wrong_free(mistake::double_free);
  r.here = stack_from_caller();
  append_report(out, r, &tell_without_memory);
  std::size_t lines = 0;
  for (const char c : out.view()) lines += c == '\n' ? 1u : 0u;
  BOOST_TEST(lines == 2u);  // and addresses
  BOOST_TEST(out.view().find("]\n    0x") != std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(making_a_text_keeps_errno)
{
  errno = ERANGE;
  const std::string made = text_of(wrong_free(mistake::double_free));
  BOOST_TEST(errno == ERANGE);
  BOOST_TEST(!made.empty());
}

BOOST_AUTO_TEST_CASE(summaries_read_as_their_golden_text)
{
  leak_summary s;
  s.resource = "default";
  s.blocks = 40;
  s.bytes = 1887;
  s.groups = s.groups_shown = 3;
  s.peak_bytes = 2076;
  s.total_blocks = 165;
  std::string all = summary_of(s);

  s.groups_shown = 1;
  s.still_usable = true;
  all += "\n" + summary_of(s);

  s = {};
  s.resource = "one";
  s.blocks = s.bytes = s.groups = s.groups_shown = s.peak_bytes = s.total_blocks = 1;
  s.upstream_gone = true;
  all += "\n" + summary_of(s);

  s.upstream_gone = false;
  s.at_exit = true;
  s.groups = 13;
  s.reachable_blocks = 5;
  s.reachable_bytes = 500;
  all += "\n" + summary_of(s);

  test_golden("summary", all);
}

BOOST_AUTO_TEST_CASE(a_report_of_this_program_points_at_this_file)
{
  gpa::report r = wrong_free(mistake::double_free);
  r.here = stack_from_caller(); const int line = __LINE__;
  r.allocated = r.freed = {};
  const std::string made = gpa::to_string(r);
  BOOST_TEST_CONTEXT(made)
  {
    BOOST_TEST(made.find(" error: double free of 72 bytes at 0x7f31c2a00240 [gpa-double-free]\n") != std::string::npos);
    const auto frames = r.here.frames();
    BOOST_REQUIRE(!frames.empty());
    if (frames[0].file.empty()) {  // built without -g, or without libdw
      BOOST_TEST(made.find("report_text_test+0x") != std::string::npos);
    } else {
      const std::string place = "report_text_test.cpp:" + std::to_string(line) + ":";
      BOOST_TEST(made.substr(0, made.find(' ')).find(place) != std::string::npos);
      BOOST_TEST(made.find(" |   r.here = stack_from_caller();") != std::string::npos);
      BOOST_TEST(made.find("#0 0x") != std::string::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_words_of_the_enumerators_can_be_printed)
{
  std::ostringstream out;
  out << mistake::write_after_free << ", " << gpa::check::ok << ", " << gpa::check::leak << ", " << gpa::check::misuse;
  BOOST_TEST(out.str() == "write after free, ok, leak, misuse");
  BOOST_TEST(gpa::to_string(static_cast<gpa::check>(99)) == "unknown check");
}
