#include "os/pages.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "base/attributes.hpp"
#include "base/bits.hpp"
#include "base/errno_keeper.hpp"
#include "base/tools.hpp"

namespace gpa::detail {

namespace {

constexpr int closed = PROT_NONE;
constexpr int opened = PROT_READ | PROT_WRITE;
constexpr int fresh = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
// From here on the system is asked whether there is as much memory at all: a program that wants 64 TiB is refused.
constexpr std::size_t accounted = std::size_t{1} << 30;

// Newer than some C libraries we build with. A kernel that does not know them answers EINVAL.
constexpr int mremap_dontunmap = 4;       // Linux 5.7
constexpr int madv_populate_write = 23;   // Linux 5.14
constexpr int madv_dontneed_locked = 24;  // Linux 5.18

std::byte* map(std::size_t bytes, int protection, void* wish = nullptr, int more_flags = 0) noexcept
{
  const int flags = protection == opened && bytes >= accounted ? fresh & ~MAP_NORESERVE : fresh;
  void* const p = ::mmap(wish, bytes, protection, flags | more_flags, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

void unmap(void* p, std::size_t bytes) noexcept
{
  if (bytes == 0 || ::munmap(p, bytes) == 0) return;
  // A hole splits a mapping in two, and the kernel refuses that at its limit of mappings. The addresses are lost,
  // the memory need not be.
  ::madvise(p, bytes, MADV_DONTNEED);
}

void* map_aligned(std::size_t bytes, std::size_t alignment, int protection, void* wish = nullptr) noexcept
{
  const errno_keeper keep;
  std::byte* const lucky = map(bytes, protection, wish);  // mostly: the kernel places a mapping right below the last one
  if (lucky == nullptr || is_aligned(lucky, alignment)) return lucky;
  // What lies right below is mostly free as well: then it is enough to move down by some pages.
  const std::size_t gap = address(lucky) % alignment;
  if (auto* const wish_below = reinterpret_cast<std::byte*>(address(lucky) - gap); wish_below != nullptr) {
    std::byte* const below = map(gap, protection, wish_below, MAP_FIXED_NOREPLACE);
    if (below == wish_below) {
      unmap(below + bytes, gap);
      return below;
    }
    if (below != nullptr) unmap(below, gap);  // before Linux 4.17 the address is only a wish
  }
  unmap(lucky, bytes);

  const std::size_t spare = alignment - page_size;
  if (bytes > std::numeric_limits<std::size_t>::max() - spare) return nullptr;
  std::byte* const wide = map(bytes + spare, protection);
  if (wide == nullptr) return nullptr;
  const std::size_t before = round_up(address(wide), alignment) - address(wide);
  unmap(wide, before);
  unmap(wide + before + bytes, spare - before);
  return wide + before;
}

// Under mlockall() only: byte by byte, because memset is intercepted by ASan and these pages may be poisoned.
GPA_NO_SANITIZE void zero_by_hand(void* p, std::size_t bytes) noexcept
{
  const tools_quiet quiet;
  auto* const words = static_cast<volatile std::uint64_t*>(p);
  for (std::size_t i = 0; i != bytes / sizeof(std::uint64_t); ++i) words[i] = 0;
}

bool page_is_readable(std::uintptr_t page) noexcept
{
  // sigprocmask reads its new mask, 8 bytes, before it looks at what to do with it, which here is nothing it knows:
  // EFAULT tells an unreadable page, EINVAL a readable one. No file descriptor, no permission, no filter in the way.
  // The end of the page, because a mask at address 0 would mean no mask.
  constexpr std::size_t mask_bytes = 8;
  const std::uintptr_t mask = page + page_size - mask_bytes;

  if (tools_present()) {  // Valgrind prints a line for each sigprocmask it cannot make sense of
    std::uint64_t copy = 0;
    const iovec here{&copy, mask_bytes};
    const iovec there{reinterpret_cast<void*>(mask), mask_bytes};
    if (::process_vm_readv(::getpid(), &here, 1, &there, 1, 0) != -1) return true;
    if (errno == EFAULT) return false;  // else it is not allowed here
  }
  constexpr long unknown_how = -1;
  const tools_quiet quiet;
  return ::syscall(SYS_rt_sigprocmask, unknown_how, mask, nullptr, mask_bytes) == 0 || errno != EFAULT;
}

}  // namespace

void* map_pages(std::size_t bytes, std::size_t alignment) noexcept
{
  return map_aligned(bytes, alignment, opened);
}

void* reserve_pages(std::size_t bytes, std::size_t alignment, void* wish) noexcept
{
  return map_aligned(bytes, alignment, closed, wish);
}

std::size_t most_addresses() noexcept
{
  const errno_keeper keep;
  rlimit bound{};
  return ::getrlimit(RLIMIT_AS, &bound) != 0 || bound.rlim_cur == RLIM_INFINITY ? static_cast<std::size_t>(-1)
                                                                                 : bound.rlim_cur;
}

void unmap_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  tools_open(p, bytes);  // whoever is given these addresses next did not close them
  unmap(p, bytes);
}

void discard_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  if (::madvise(p, bytes, MADV_DONTNEED) == 0) return;
  if (::madvise(p, bytes, madv_dontneed_locked) == 0) return;
  zero_by_hand(p, bytes);
}

void touch_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  static_cast<void>(::madvise(p, bytes, madv_populate_write));
}

bool close_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  // One call where mprotect and madvise are two. It cannot leave a hole: an inaccessible mapping is charged to nobody,
  // and the kernel checks its limit of mappings before it takes the old one away.
  return ::mmap(p, bytes, closed, fresh | MAP_FIXED, -1, 0) != MAP_FAILED;
}

bool hide_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  return ::mprotect(p, bytes, closed) == 0;
}

bool open_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  return ::mprotect(p, bytes, opened) == 0;  // not mmap: if memory is refused, that leaves a hole
}

void prefer_huge_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keeper;
  ::madvise(p, bytes, MADV_HUGEPAGE);  // a wish: where it is refused, nothing is lost
}

void avoid_huge_pages(void* p, std::size_t bytes) noexcept
{
  const errno_keeper keeper;
  ::madvise(p, bytes, MADV_NOHUGEPAGE);
}

bool move_pages(void* from, void* to, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  constexpr int flags = MREMAP_MAYMOVE | MREMAP_FIXED | mremap_dontunmap;
  if (::mremap(from, bytes, bytes, flags, to) == MAP_FAILED) {
    // Some refusals come after the kernel has unmapped `to`: take the hole back, unless it is none.
    void* const p = ::mmap(to, bytes, closed, fresh | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != MAP_FAILED && p != to) ::munmap(p, bytes);  // before Linux 4.17 the address is only a wish
    return false;
  }
  // If this is refused, `from` stays open and reads as zeros; the move itself has happened.
  ::mmap(from, bytes, closed, fresh | MAP_FIXED, -1, 0);
  return true;
}

bool is_readable(const void* p, std::size_t bytes) noexcept
{
  if (bytes == 0) return true;
  const std::uintptr_t last = address(p) + (bytes - 1);
  if (last < address(p)) return false;

  const errno_keeper keep;
  for (std::uintptr_t page = round_down(address(p), page_size);; page += page_size) {
    if (!page_is_readable(page)) return false;
    if (page == round_down(last, page_size)) return true;
  }
}

bool copy_if_readable(void* to, const void* from, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  const iovec here{to, bytes};
  const iovec there{const_cast<void*>(from), bytes};
  const ssize_t copied = ::process_vm_readv(::getpid(), &here, 1, &there, 1, 0);
  if (copied != -1) return static_cast<std::size_t>(copied) == bytes;
  if (errno == EFAULT || !is_readable(from, bytes)) return false;
  const tools_quiet quiet;
  const auto* const source = static_cast<const volatile std::uint8_t*>(from);
  for (std::size_t i = 0; i != bytes; ++i) static_cast<volatile std::uint8_t*>(to)[i] = source[i];
  return true;
}

bool mostly_resident(const void* p, std::size_t bytes) noexcept
{
  const errno_keeper keep;
  std::array<unsigned char, 1024> resident;
  const std::uintptr_t begin = round_down(address(p), page_size);
  const std::size_t pages = (round_up(address(p) + bytes, page_size) - begin) / page_size;
  std::size_t count = 0;
  for (std::size_t done = 0; done < pages;) {
    const std::size_t part = std::min(pages - done, resident.size());
    auto* const first = reinterpret_cast<void*>(begin + done * page_size);
    if (::mincore(first, part * page_size, resident.data()) != 0) return true;
    for (std::size_t i = 0; i != part; ++i) count += resident[i] & 1U;
    done += part;
  }
  return count * 2 >= pages;
}

std::size_t second_level_cache_bytes() noexcept
{
  constinit static std::atomic<std::size_t> known{0};
  std::size_t bytes = known.load(std::memory_order_relaxed);
  if (bytes != 0) return bytes;

  bytes = std::size_t{1} << 20;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const errno_keeper keep;
  if (const long answer = ::sysconf(_SC_LEVEL2_CACHE_SIZE); answer > 0) bytes = static_cast<std::size_t>(answer);
#endif
  known.store(bytes, std::memory_order_relaxed);
  return bytes;
}

}  // namespace gpa::detail
