#include <gpa/default_resource.hpp>

#include <cstddef>
#include <limits>
#include <new>

#include "base/bits.hpp"
#include "os/leak_roots.hpp"
#include "os/pages.hpp"

namespace gpa {

namespace {

// Bytes and alignment are rounded up to 64 KiB: what gpa asks for is a multiple of it anyway, and for anybody else a
// resource of whole pages is no place for small blocks.
class os_pages final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    if (bytes > std::numeric_limits<std::size_t>::max() / 2 || !detail::is_power_of_two(alignment))
      throw std::bad_alloc();
    void* const p = detail::map_pages(size_of(bytes), alignment < unit ? unit : alignment);
    if (p == nullptr) throw std::bad_alloc();
    detail::show_leak_sanitizer(p, size_of(bytes));
    return p;
  }

  void do_deallocate(void* p, std::size_t bytes, std::size_t) override { detail::unmap_pages(p, size_of(bytes)); }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  static constexpr std::size_t unit = detail::granule_size;

  /// 0 bytes get a unit of their own: the standard wants a pointer that no other block has.
  static std::size_t size_of(std::size_t bytes) noexcept
  {
    return detail::round_up(bytes == 0 ? std::size_t{1} : bytes, unit);
  }
};

}  // namespace

std::pmr::memory_resource* page_resource() noexcept
{
  // Placed, so that no destructor is registered: others may free in theirs.
  alignas(os_pages) static std::byte storage[sizeof(os_pages)];
  static os_pages* const immortal = ::new (static_cast<void*>(storage)) os_pages;
  return immortal;
}

}  // namespace gpa
