// What is remembered of each slot: 16 bytes, out of the user's reach, and the arithmetic of its tag.
//
//    word    63           32 31 29 28      16 15            0
//           +---------------+-----+----------+---------------+
//           | trace of free |state| alignment|     bytes     |      the low half is the tag
//           +---------------+-----+----------+---------------+
//
// fresh -> live by a plain store of the thread that hands the slot out; live -> freed by ONE claim (claim.hpp) of the
// thread that frees it, whose expected value is what {live, given alignment, given bytes} encodes to. It writes only
// when the free is right, so nothing is ever restored and a racing innocent is never accused; on failure the value
// seen goes to judge(). freed -> poisoned once the poison is written; poisoned -> live when handed out again. A slot is
// poisoned before it is handed out for the first time, and is freed again when its page is dropped (shedding.cpp).
//
// Bytes and alignment stand as they are, not as logarithms: an alignment of 24 or 0 has no twin among the right ones,
// and a size or alignment out of range is refused by encodable(), so 24 + 65 536 never passes for 24.
//
// `inspected` states are taken by verify() for the moment it looks twice, so that whoever frees or hands out the slot
// meanwhile is noticed. `ignored` blocks are no leaks.
//
// Any thread may read a record at any time; writers are as above.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

enum class slot_state : std::uint8_t {
  fresh,               // never touched
  live,                // the user's
  freed,               // free, but without poison: a free is still writing it, or its page was dropped
  poisoned,            // free, with poison where poison.hpp says: of a larger slot in places
  live_ignored,        // as live, and meant to stay
  live_inspected,      // as live, verify() is looking
  ignored_inspected,   // as live_ignored, verify() is looking
  poisoned_inspected,  // as poisoned, verify() is looking
};

using tag = std::uint32_t;

/// Whether these can be those of a block in a slab at all.
constexpr bool encodable(std::size_t bytes, std::size_t alignment) noexcept
{
  return ((bytes >> 16) | (alignment >> 13)) == 0;
}

constexpr tag encode(slot_state state, std::size_t bytes, std::size_t alignment) noexcept
{
  // Sums, of numbers without a common bit: one instruction adds a constant and leaves the operand as it was.
  return (static_cast<tag>(state) << 29) + ((static_cast<tag>(alignment) << 16) + static_cast<tag>(bytes));
}

/// Turns a freed word into a poisoned one.
inline constexpr std::uint64_t poisoned_bit = std::uint64_t{1} << 29;

constexpr slot_state state_of(tag t) noexcept { return static_cast<slot_state>(t >> 29); }
constexpr std::size_t bytes_of(tag t) noexcept { return t & 0xFFFF; }
constexpr std::size_t alignment_of(tag t) noexcept { return (t >> 16) & 0x1FFF; }
constexpr tag with_state(tag t, slot_state state) noexcept
{
  return (t & 0x1FFFFFFF) | static_cast<tag>(state) << 29;
}

constexpr bool is_live(slot_state s) noexcept
{
  return s == slot_state::live || s == slot_state::live_ignored || s == slot_state::live_inspected ||
         s == slot_state::ignored_inspected;
}
constexpr bool is_ignored(slot_state s) noexcept
{
  return s == slot_state::live_ignored || s == slot_state::ignored_inspected;
}
constexpr bool is_poisoned(slot_state s) noexcept
{
  return s == slot_state::poisoned || s == slot_state::poisoned_inspected;
}

constexpr tag tag_of(std::uint64_t word) noexcept { return static_cast<tag>(word); }
constexpr std::uint32_t free_trace_of(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word >> 32); }
constexpr std::uint64_t make_word(tag t, std::uint32_t free_trace) noexcept
{
  return std::uint64_t{free_trace} << 32 | t;
}

struct record {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint32_t> alloc_trace;
  std::atomic<std::uint16_t> alloc_thread;
  std::atomic<std::uint16_t> free_thread;
};
static_assert(sizeof(record) == 16, "the price quoted on top of this file and in the README");
static_assert(encode(slot_state::fresh, 0, 0) == 0, "zero pages are fresh records");

}  // namespace gpa::detail
