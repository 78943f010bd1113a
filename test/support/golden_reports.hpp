// The reports that golden texts pin, one of each kind and then the other forms; their stacks have names that no
// compiler changes, and quote golden/session.cpp.
#pragma once

#include <gpa/report.hpp>

#include "support/golden_file.hpp"
#include "trace/report_text.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpa::test {

using detail::frame;
using detail::frame_list;
using detail::told_stack;

// ---- stacks with names that no compiler changes ----

enum stack_id : std::uint32_t { none, allocating, freeing, misusing, stripped, library_only, shallow, nameless, wide };
enum thread_id : std::uint32_t { nobody, main_thread, worker_thread };

// The teller below finds both in the number of the stack.
inline stack_trace stack(stack_id id, thread_id thread = main_thread)
{
  return {static_cast<std::uint32_t>(id) | static_cast<std::uint32_t>(thread) << 8, 0};
}

struct place {
  std::string_view function;
  std::uint32_t line;
  std::uint32_t column;
};

inline void add_user(frame_list& to, place p, bool inlined = false)
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

inline void add_stripped(frame_list& to, std::string_view function, std::uintptr_t offset)
{
  frame f;
  f.address = 0x55ad2c4a0000 + offset;
  f.function = function;
  f.module = std::string(golden_directory) + "bin/parser";
  f.offset = offset;
  f.build_id = "db2c72a4";
  to.push_back(f);
}

inline void add_library(frame_list& to, std::string_view function, std::string_view file = {})
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

inline told_stack tell(const stack_trace& s)
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
    case wide:
      add_user(f, {"decltype (visit(std::declval<table&>())) app::cache<std::pmr::map<std::pmr::string, std::pmr::vector<"
                   "std::pmr::string>>, app::lru>::visit<main::{lambda(auto:1&)#1}>(main::{lambda(auto:1&)#1})",
                   6, 28});
      add_user(f, {"app::cache<std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::string>>, app::lru>::fill("
                   "std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::string>> const&, unsigned long)",
                   13, 17});
      add_user(f, {"main", 18, 22});
      break;
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

inline told_stack tell_without_memory(const stack_trace&)
{
  throw std::bad_alloc();
}

// ---- reports ----

inline const void* const block_address = reinterpret_cast<const void*>(0x7f31c2a00240);

// What is seen from `offset` on: the user's letters, then guard bytes, and the changes.
inline memory_excerpt dump(std::size_t offset, std::size_t count,
                           std::initializer_list<std::pair<std::size_t, std::uint8_t>> changes)
{
  memory_excerpt m;
  m.offset = offset;
  m.count = count;
  for (std::size_t i = 0; i != count; ++i)
    m.bytes[i] = static_cast<std::uint8_t>(offset + i < 72 ? 'A' + (offset + i) % 26 : 0xD5);
  for (const auto& [at, value] : changes) {
    m.bytes[at - offset] = value;
    m.changed |= std::uint64_t{1} << (at - offset);
  }
  return m;
}

// "Ada", her number, and what has not been written.
inline memory_excerpt beginning()
{
  memory_excerpt m;
  m.count = 16;
  m.bytes = {'A', 'd', 'a', 0, 7, 0, 0, 0, 0xDF, 0xDF, 0xDF, 0xDF, 0xDF, 0xDF, 0xDF, 0xDF};
  return m;
}

inline report wrong_free(mistake kind)
{
  report r;
  r.kind = kind;
  r.resource = "parser";
  r.address = block_address;
  r.bytes = r.total_bytes = r.given_bytes = 72;
  r.alignment = r.given_alignment = 8;
  r.allocated = stack(allocating);
  r.here = stack(misusing);
  return r;
}

inline report changed(report r, void (*change)(report&))
{
  change(r);
  return r;
}

inline report allocation(mistake kind, std::size_t bytes)
{
  report r;
  r.kind = kind;
  r.resource = "parser";
  r.given_bytes = bytes;
  r.given_alignment = 8;
  r.here = stack(allocating);
  return r;
}

inline report leak(std::size_t blocks, std::size_t bytes)
{
  report r = wrong_free(mistake::leak);
  r.blocks = blocks;
  r.bytes = bytes / blocks;
  r.total_bytes = bytes;
  r.last = reinterpret_cast<const void*>(0x7f31c2a00240 + (blocks - 1) * 80);
  r.memory = beginning();
  r.memory.count = std::min(r.bytes, r.memory.count);
  r.here = {};
  return r;
}

struct golden_case {
  std::string_view file;
  gpa::report report;
};

inline std::vector<golden_case> golden_cases()
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
                                     r.damaged = 2;
                                     r.reason = "found by verify()";
                                     r.memory = dump(0, 32, {{16, 0x01}, {17, 0x02}});
                                   })},
      {"overflow", changed(wrong_free(mistake::overflow),
                           [](auto& r) {
                             r.offset = 72;
                             r.damaged = 4;
                             r.reason = "found when the block was freed";
                             r.memory = dump(48, 32, {{72, 0x2A}, {73, 0}, {74, 0}, {75, 0}});
                           })},
      {"use_after_deinit", wrong_free(mistake::use_after_deinit)},
      {"wrong_thread", changed(wrong_free(mistake::wrong_thread),
                               [](auto& r) {
                                 r.bytes = r.alignment = r.total_bytes = 0;  // not looked up
                                 r.allocated = {};
                                 r.here = stack(misusing, worker_thread);
                               })},
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
                                    r.address = r.last = nullptr;
                                    r.memory = {};
                                    r.allocated = {};
                                    r.reason = "checks::never(), the default under NDEBUG, keeps totals only; "
                                               "GPA_OPTIONS=checks=always has all checked";
                                  })},
      {"leak.not_sampled", changed(leak(3, 300),
                                   [](auto& r) {
                                     r.address = r.last = nullptr;
                                     r.memory = {};
                                     r.allocated = {};
                                     r.reason = "blocks that were not sampled: totals only";
                                   })},
      {"leak.numbered", changed(leak(10, 720),
                                [](auto& r) {
                                  r.number = 3;
                                  r.last_number = 145;
                                })},
      {"leak.owning", changed(leak(10, 720),
                              [](auto& r) {
                                r.owned_blocks = 30;
                                r.owned_bytes = 1167;
                              })},
      {"leak.owning_one", changed(leak(1, 72), [](auto& r) { r.owned_blocks = r.owned_bytes = 1; })},
      {"leak.owned", changed(leak(30, 1170), [](auto& r) { r.reason = "owned: other leaked blocks point at these"; })},
      {"double_free.numbered", changed(wrong_free(mistake::double_free), [](auto& r) { r.number = 162; })},
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
                                      r.offset = 79;
                                      r.damaged = 1;
                                      r.memory = dump(48, 32, {{79, 0x41}});
                                      r.reason = "in front of the block at 0x7f31c2a00290; found by verify()";
                                    })},
      {"overflow.one_byte", changed(wrong_free(mistake::overflow),
                                    [](auto& r) {
                                      r.bytes = r.total_bytes = r.offset = 60;
                                      r.damaged = 1;
                                      r.reason = "found by verify()";
                                    })},
      {"overflow.never_handed_out",
       changed(wrong_free(mistake::overflow),
               [](auto& r) {
                 r.offset = 80;
                 r.damaged = 3;
                 r.reason = "memory behind the block that was never handed out; found by verify()";
                 r.memory = dump(64, 32, {{80, 'a'}, {81, 'd'}, {82, 'a'}});
               })},
      {"leak.wide_names", changed(leak(10, 720), [](auto& r) { r.allocated = stack(wide); })},
      {"write_after_free.at_the_end",
       changed(wrong_free(mistake::write_after_free),
               [](auto& r) {
                 r.freed = stack(freeing);
                 r.here = {};
                 r.damaged = 1;
                 r.reason = "found when the resource ended";
               })},
      {"write_after_free.in_front",
       changed(wrong_free(mistake::write_after_free),
               [](auto& r) {
                 r.freed = stack(freeing);
                 r.offset = 79;
                 r.damaged = 1;
                 r.reason = "or in front of the block at 0x7f31c2a00290; found when the slot was about to be handed out "
                            "again";
                 r.memory = dump(48, 32, {{79, 0}});
               })},
      {"invalid_pointer.ignore", changed(wrong_free(mistake::invalid_pointer),
                                         [](auto& r) {
                                           r.given_bytes = r.given_alignment = 0;
                                           r.freed = stack(freeing);
                                           r.reason = "no live block, so there is nothing to ignore";
                                         })},
      {"use_after_deinit.given_back", changed(wrong_free(mistake::use_after_deinit),
                                              [](auto& r) {
                                                r.allocated = {};
                                                r.reason = "no memory of this resource holds it: it was given back at deinit(), or was never this resource's";
                                              })},
      {"use_after_deinit.unknown_resource", changed(wrong_free(mistake::use_after_deinit),
                                                    [](auto& r) {
                                                      r.resource = {};
                                                      r.allocated = {};
                                                      r.reason = "no memory of this resource holds it: it was given back at deinit(), or was never this resource's";
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

}  // namespace gpa::test
