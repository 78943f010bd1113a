// The one range of addresses of the process in which blocks of checks::one_in(n) lie that were picked, whatever the
// resource and whatever its upstream: so a free knows most others by one comparison.
//
//    0          start                      end                                            2^47
//    +----------+--------------------------+----- - - - - - - - - - - - - - - - - - - - ----+
//    |          |  16 GiB, reserved        |   whatever else the process has               |
//    +----------+--------------------------+----- - - - - - - - - - - - - - - - - - - - ----+
//
// It is asked for at the bottom of the address space, where nothing else is put: whatever lies at or above its end was
// not picked. Where the system puts it somewhere else (under AddressSanitizer, say), more frees have to ask the page map
// and nothing is wrong. A program with a limit on its addresses (RLIMIT_AS) has a range of a 64th of that. Only what is
// used costs memory; one bit a granule says which are. A granule given back is the last to be used again.
//
// What is given back becomes inaccessible with its free neighbours once they are 4 MiB together. Fewer of them, between two
// that are used, would part these: a mapping more each time, of which a process has 65 530. They lose their pages, and stay
// as they are.
//
// When it is full, or the system refuses to reserve it, blocks are not picked.
//
// Thread-safe: one lock, held while bits are looked for, and while free neighbours are closed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// The end of the range, which never changes once it is known: what lies at or above it was certainly not picked. 0: there
/// is no range, and nothing will be picked.
[[nodiscard]] std::uintptr_t sampled_range_end() noexcept;

/// Inaccessible addresses; `bytes` a multiple of 64 KiB, `alignment` a power of two of at least 64 KiB. Null: no room.
[[nodiscard]] std::byte* take_sampled_range(std::size_t bytes, std::size_t alignment) noexcept;
/// What a range that is given back is by now. One that was never handed on has no page, and may be inaccessible in part.
enum class given_back : std::uint8_t { used, untouched, closed };
/// What take_sampled_range() returned. If it is closed it has no page.
void give_back_sampled_range(std::byte* p, std::size_t bytes, given_back as) noexcept;
/// How many runs of free granules there are that are accessible, and that are not.
[[nodiscard]] std::size_t open_runs_of_sampled_range() noexcept;
[[nodiscard]] std::size_t closed_runs_of_sampled_range() noexcept;

void sampled_range_lock() noexcept;
void sampled_range_unlock() noexcept;

}  // namespace gpa::detail
