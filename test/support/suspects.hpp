// What tests of misuse have in common: writing and reading where nobody may, stacks looked at, and a heap that is
// asked whether it is still sound.
#pragma once

#include <gpa/resource.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

// Behind a call: the call is no tail call, and no other call is merged with it, so stacks name its line and function.
#define STAY asm volatile("# line %0" ::"i"(__LINE__) : "memory")
// A statement whose line is noted; keep it on one line.
#define AT(noted, statement) \
  do {                       \
    (noted) = __LINE__;      \
    statement;               \
    STAY;                    \
  } while (false)

#if defined(__SANITIZE_ADDRESS__)
#define GPA_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GPA_TEST_ASAN 1
#endif
#endif
#ifndef GPA_TEST_ASAN
#define GPA_TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define GPA_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GPA_TEST_TSAN 1
#endif
#endif
#ifndef GPA_TEST_TSAN
#define GPA_TEST_TSAN 0
#endif

namespace gpa::test {

/// `value`, which the compiler cannot know: a loop up to it is not unrolled, so a call in it is one place.
template <class Value>
[[nodiscard]] Value unknown(Value value) noexcept
{
  asm volatile("" : "+r"(value));
  return value;
}

/// A write nobody may make. Not instrumented, so that it is gpa that notices it, in every build.
[[gnu::noinline]] __attribute__((no_sanitize("address", "thread", "undefined"))) inline void stray_write(
    void* p, std::ptrdiff_t offset, unsigned char value = 0x41) noexcept
{
  static_cast<volatile unsigned char*>(p)[offset] = value;
}

/// A read nobody may make.
[[nodiscard]] [[gnu::noinline]] __attribute__((no_sanitize("address", "thread", "undefined"))) inline unsigned char
stray_read(const void* p, std::ptrdiff_t offset) noexcept
{
  return static_cast<const volatile unsigned char*>(p)[offset];
}

/// `p` moved by `offset` bytes, as a number: the result need not point anywhere.
[[nodiscard]] inline void* moved(const void* p, std::uintptr_t offset) noexcept
{
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(p) + offset);
}

/// Whether a frame of the stack is a function whose name contains `function`.
[[nodiscard]] inline bool shows(const gpa::stack_trace& stack, std::string_view function)
{
  const auto frames = stack.frames();
  return std::any_of(frames.begin(), frames.end(),
                     [function](const gpa::stack_frame& f) { return f.function.find(function) != std::string::npos; });
}

/// The changed bytes that a report shows: "40:0a 41:0b", offset and value.
[[nodiscard]] inline std::string changes(const gpa::report& r)
{
  std::string words;
  for (std::size_t i = 0; i != r.memory.count; ++i) {
    if ((r.memory.changed >> i & 1) == 0) continue;
    constexpr std::string_view digits = "0123456789abcdef";
    const std::uint8_t byte = r.memory.bytes[i];
    words += (words.empty() ? "" : " ") + std::to_string(r.memory.offset + i) + ':' + digits[byte >> 4] + digits[byte & 15];
  }
  return words;
}

/// The checked modes that every mistake is tried in.
[[nodiscard]] inline std::array<gpa::options, 3> checked_modes()
{
  return {gpa::options{.name = "safe", .checks = gpa::checks::always()},
          gpa::options{.name = "single", .checks = gpa::checks::always(), .thread_safe = false},
          gpa::options{
              .name = "filling", .checks = gpa::checks::always(), .protect_large = gpa::protect_large::never}};
}

/// Whether 1 000 blocks of each of some sizes are disjoint and keep what is written to them; frees them.
[[nodiscard]] inline bool is_sound(gpa::resource& r)
{
  struct block {
    unsigned char* place;
    std::size_t bytes;
  };
  std::vector<block> blocks;
  blocks.reserve(1000);
  for (std::size_t i = 0; i != 1000; ++i) {
    const std::size_t bytes = std::array<std::size_t, 8>{1, 24, 24, 61, 100, 16, 1000, 3000}[i % 8];
    blocks.push_back({static_cast<unsigned char*>(r.allocate(bytes)), bytes});
    std::memset(blocks.back().place, static_cast<int>(i % 251), bytes);
  }
  bool sound = true;
  for (std::size_t i = 0; i != 1000; ++i) {
    const block& b = blocks[i];
    sound = sound && std::all_of(b.place, b.place + b.bytes, [i](unsigned char c) { return c == i % 251; });
  }
  std::sort(blocks.begin(), blocks.end(), [](const block& a, const block& b) { return a.place < b.place; });
  for (std::size_t i = 1; i != 1000; ++i) sound = sound && blocks[i - 1].place + blocks[i - 1].bytes <= blocks[i].place;
  for (const block& b : blocks) r.deallocate(b.place, b.bytes);
  return sound;
}

}  // namespace gpa::test
