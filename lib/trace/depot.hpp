// Every distinct call stack once, each with a 4-byte number: what records keep instead of addresses.
//
// A number is the place of the stack in one append-only arena, in units of 8 bytes:
//
//    arena   | (0) | tag,count,id | pc | pc | pc | tag,count,id | pc | ...     64 MiB in all, tables included
//                    ^ id                          ^ id
//    tables  1 Ki, 8 Ki, 64 Ki, 1 Mi slots {upper half of the hash, id}, in buckets of one cache line
//
// A look-up walks one bucket in each table, then a few more in the last; the first empty slot ends it, and that is
// where a new stack goes. Slots are never emptied, so whoever finds a stack always finds it in the same place: look-up
// takes no lock, insertion is one compare-exchange. Small tables first keep a program of a hundred stacks within a few
// pages. Costs 8 bytes a frame, 8 a stack and 8 a slot; nothing is mapped before the first stack.
//
// Bounded: the last eighth takes one-frame stacks only: a longer one is cut to its first frame, so that a late block
// still has its caller. When that is full too, the number is 0. Either way that is said on stderr, once, and
// depot_is_full() is true from then on. Never freed: reports outlive resources. (Open addressing after the stack depots
// of LLVM and Scudo, re-thought.)
//
// Invariants: D1 an id is published (in a slot, or by return) only after its frames and its header;
//             D2 a header holds its own id, so a number never given out is recognised.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

inline constexpr std::size_t depot_limit = std::size_t{64} << 20;

/// The number of this stack; 0 for an empty one or when there is no room left. O(frames). Leaves errno alone.
/// A stack with a tag (gpa::tag_scope) has another number than the same one without, and may be empty.
[[nodiscard]] std::uint32_t depot_intern(std::span<const std::uintptr_t> frames, std::uint16_t tag = 0) noexcept;

/// The stack of a number depot_intern() returned; empty for 0 and for numbers never given out. O(1).
[[nodiscard]] std::span<const std::uintptr_t> depot_frames(std::uint32_t id) noexcept;

/// The tag it was interned with; 0 without one, and for 0 and numbers never given out. O(1).
[[nodiscard]] std::uint16_t depot_tag(std::uint32_t id) noexcept;

/// Whether a stack could not be kept, or not whole.
[[nodiscard]] bool depot_is_full() noexcept;
/// What became of its memory then, for a hint: "the 64 MiB for call stacks are used up", or that they were refused.
[[nodiscard]] std::string_view depot_shortage() noexcept;

/// What the tables are searched by; here for the test that makes two stacks collide.
[[nodiscard]] std::uint64_t depot_hash(std::span<const std::uintptr_t> frames) noexcept;

}  // namespace gpa::detail
