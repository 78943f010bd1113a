// The door to the operating system's pages: the one place that includes <sys/mman.h>.
//
// Every function leaves errno as it found it: an allocator that fails quietly must not disturb its caller.
// Thread-safe: no state but the kernel's, and one remembered number.
#pragma once

#include <cstddef>

namespace gpa::detail {

inline constexpr std::size_t page_size = 4096;
inline constexpr std::size_t huge_page_size = std::size_t{2} << 20;
/// The unit of the page map, of slabs and of what upstreams are asked for.
inline constexpr std::size_t granule_size = std::size_t{64} << 10;

/// Maps `bytes` (a multiple of 4 KiB) of zeroed, readable and writable memory aligned to `alignment` (a power of two
/// of at least 4 KiB). Returns null when refused. A page costs memory only once it is touched.
[[nodiscard]] void* map_pages(std::size_t bytes, std::size_t alignment = granule_size) noexcept;

/// As map_pages(), but inaccessible until opened. At `wish` if nothing is there and the system likes it.
[[nodiscard]] void* reserve_pages(std::size_t bytes, std::size_t alignment = granule_size,
                                  void* wish = nullptr) noexcept;

/// How many bytes of addresses this process may have; the largest number where there is no limit.
[[nodiscard]] std::size_t most_addresses() noexcept;

/// Gives back what map_pages() or reserve_pages() returned, or whole pages of it. When the kernel has too many
/// mappings to make a hole, the memory goes back and the addresses do not.
void unmap_pages(void* p, std::size_t bytes) noexcept;

/// Drops the contents of accessible pages; the next read gives zeros. Keeps the address range.
void discard_pages(void* p, std::size_t bytes) noexcept;

/// Has accessible pages there before they are touched: one system call, where each first touch is a page fault. A wish:
/// Linux grants it from 5.14 on.
void touch_pages(void* p, std::size_t bytes) noexcept;

/// Drops the contents and makes every access fault. Keeps the address range. False when the kernel refuses.
bool close_pages(void* p, std::size_t bytes) noexcept;

/// Makes every access fault, and keeps the contents. False when the kernel refuses.
bool hide_pages(void* p, std::size_t bytes) noexcept;

/// Makes a range of reserve_pages() or close_pages() accessible, zeroed, or one of hide_pages() as it was. False when the
/// kernel refuses.
bool open_pages(void* p, std::size_t bytes) noexcept;

/// Asks for pages of 2 MiB where the system grants them on request; `p` and `bytes` are multiples of that. One such page
/// takes the place of 512 in the table the CPU looks addresses up in. The first touch costs all of it.
void prefer_huge_pages(void* p, std::size_t bytes) noexcept;
/// What was asked for there is asked for no more. Those that are there stay.
void avoid_huge_pages(void* p, std::size_t bytes) noexcept;

/// Moves the physical pages of `from` to `to` and makes `from` inaccessible; `to` becomes accessible. `from` is
/// accessible and part of one mapping, `to` as large, inaccessible and not overlapping. Two system calls, no page
/// copied. False: nothing was changed. (Should the kernel's limit of mappings be reached in between, the pages have
/// moved and `from` stays accessible, reading as zeros.)
bool move_pages(void* from, void* to, std::size_t bytes) noexcept;

/// Whether at least half of the pages of a mapped range are in memory, as far as the system tells. A system call for
/// each 4 MiB.
[[nodiscard]] bool mostly_resident(const void* p, std::size_t bytes) noexcept;

/// Whether `bytes` readable bytes start at `p`. A system call; never faults.
[[nodiscard]] bool is_readable(const void* p, std::size_t bytes) noexcept;

/// Copies `bytes` bytes, if all are readable while it does. False: they are not, and `to` has none or some. Never faults,
/// whoever unmaps or closes pages meanwhile, but where the system forbids process_vm_readv().
[[nodiscard]] bool copy_if_readable(void* to, const void* from, std::size_t bytes) noexcept;

/// Bytes of this machine's second-level cache; 1 MiB where it cannot be told.
[[nodiscard]] std::size_t second_level_cache_bytes() noexcept;

}  // namespace gpa::detail
