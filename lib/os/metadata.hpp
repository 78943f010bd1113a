// Memory for gpa's own records: from the operating system, never from the user's heap, upstream or default resource.
//
// Powers of two from 64 bytes, and below a page what lies in the middle between two (192, 384 ... 3 072), each with a
// list of returned pieces; carved from arenas of 4 MiB (the first: 1 MiB) that begin and end with an inaccessible page, so
// that no overrun of user memory can walk into them. Before the first of them, half a MiB of our own static storage
// serves: a program that needs little asks the system for nothing. Pieces above 1 MiB are mappings of their own, given
// back when freed. Arenas are never given back, but of returned pieces of a page and more only 4 MiB keep their contents:
// the pages of others go back to the system, and their addresses wait in lists beside them, as those of all do after
// metadata_trim(), small ones where they fill a page. The price is at most half a piece of waste, and until then the small
// pieces that the peak once needed.
//
// Thread-safe: one lock, held for a few list operations, and never for a system call but that of a new arena. metadata_lock()
// exists for fork.
#pragma once

#include <cstddef>
#include <limits>
#include <new>

namespace gpa::detail {

/// Zeroed memory, aligned to 64 bytes and to any smaller power of two that divides its size. Null when refused.
[[nodiscard]] void* metadata_allocate(std::size_t bytes) noexcept;
/// The same, but what is in it is anything: for arrays that are read only where they were written.
[[nodiscard]] void* metadata_allocate_unset(std::size_t bytes) noexcept;
/// `bytes` as they were asked for.
void metadata_free(void* p, std::size_t bytes) noexcept;
/// The same, of memory that came zeroed and is zero still from `touched` bytes on: so much less is to be zeroed again.
void metadata_free(void* p, std::size_t bytes, std::size_t touched) noexcept;
/// Gives pages back on which nothing but returned pieces stands.
void metadata_trim() noexcept;
/// Bytes of addresses held from the operating system now, guard pages included; fewer are resident.
[[nodiscard]] std::size_t metadata_held() noexcept;

/// Whether `p` lies in the static storage that serves first: what is there are no variables of the program.
[[nodiscard]] bool is_static_metadata(const void* p) noexcept;

void metadata_lock() noexcept;
void metadata_unlock() noexcept;

/// The standard allocator over it, for containers of our own. Throws std::bad_alloc.
template <class T>
struct metadata_allocator {
  using value_type = T;

  metadata_allocator() noexcept = default;
  template <class U>
  metadata_allocator(const metadata_allocator<U>&) noexcept
  {
  }

  [[nodiscard]] T* allocate(std::size_t count)
  {
    static_assert(alignof(T) <= 64);
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
    void* const p = metadata_allocate(count * sizeof(T));
    if (p == nullptr) throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t count) noexcept { metadata_free(p, count * sizeof(T)); }

  template <class U>
  friend bool operator==(const metadata_allocator&, const metadata_allocator<U>&) noexcept
  {
    return true;
  }
};

}  // namespace gpa::detail
