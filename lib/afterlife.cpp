// What answers when a resource is called that is no more: its storage, where nothing else has it yet.
//
// The destructor leaves an object there whose front door is dead; each call through it is reported as use after deinit. A
// resource that was made by `new` lies in memory of ours, which goes to nobody else until so many more were deleted: what
// malloc writes into a block at free() would be the virtual table pointer's end.
#include <gpa/resource.hpp>

#include "base/attributes.hpp"
#include "front_door.hpp"
#include "late_handle.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <new>

namespace gpa {

namespace detail {
namespace {

// What stands in a resource's place after its destructor: the same front door, whose id is dead.
//
// The base class's destructor may have left the object's virtual table pointing at memory_resource's own, whose
// functions do not exist. afterlife's destructor runs after it and puts this class's table there instead.
class dead_resource final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] const void* table() const noexcept
  {
    const void* first = nullptr;
    std::memcpy(&first, static_cast<const void*>(this), sizeof first);
    return first;
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

static_assert(sizeof(with_front_door) == sizeof(gpa::resource) && sizeof(with_front_door) == sizeof(late_handle));

GPA_NOINLINE void* dead_resource::do_allocate(std::size_t bytes, std::size_t alignment)
{
  return allocate_or_throw(*this, bytes, alignment, __builtin_return_address(0));
}

GPA_NOINLINE void dead_resource::do_deallocate(void* p, std::size_t bytes, std::size_t alignment)
{
  deallocate_generally(*this, p, bytes, alignment, __builtin_return_address(0));
}

alignas(dead_resource) std::byte dead_storage[sizeof(dead_resource)];

// Resources made by `new`, 63 in a page of ours, so that it can be told whether a place is one of these. Pages are never
// given back.
struct page_of_objects {
  static constexpr std::size_t place_bytes = 64;
  static_assert(sizeof(gpa::resource) <= place_bytes && place_bytes * 64 == page_size);

  std::atomic<std::uint64_t> taken{1};  // a bit a place; this header has the first
  page_of_objects* next = nullptr;

  [[nodiscard]] void* place(unsigned i) noexcept { return reinterpret_cast<std::byte*>(this) + i * place_bytes; }
  [[nodiscard]] bool has(const void* p) const noexcept
  {
    return reinterpret_cast<std::uintptr_t>(p) / page_size == reinterpret_cast<std::uintptr_t>(this) / page_size;
  }
  [[nodiscard]] void* take() noexcept
  {
    std::uint64_t seen = taken.load(std::memory_order_relaxed);
    while (~seen != 0) {
      const auto i = static_cast<unsigned>(std::countr_one(seen));
      if (taken.compare_exchange_weak(seen, seen | std::uint64_t{1} << i, std::memory_order_acquire)) return place(i);
    }
    return nullptr;
  }
  void give_back(const void* p) noexcept
  {
    const auto i = reinterpret_cast<std::uintptr_t>(p) % page_size / place_bytes;
    taken.fetch_and(~(std::uint64_t{1} << i), std::memory_order_release);
  }
};
constinit std::atomic<page_of_objects*> objects{nullptr};

page_of_objects* page_of(const void* p) noexcept
{
  page_of_objects* page = objects.load(std::memory_order_acquire);
  while (page != nullptr && !page->has(p)) page = page->next;
  return page;
}

void* take_place() noexcept
{
  for (page_of_objects* page = objects.load(std::memory_order_acquire); page != nullptr; page = page->next)
    if (void* const p = page->take(); p != nullptr) return p;
  void* const room = metadata_allocate(page_size);
  if (room == nullptr) return nullptr;
  auto* const fresh = ::new (room) page_of_objects;
  void* const p = fresh->take();
  fresh->next = objects.load(std::memory_order_relaxed);
  while (!objects.compare_exchange_weak(fresh->next, fresh, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return p;
}

// Deleted last, and not given back yet; the oldest goes first. Aligned to a page, as the large tables, these stand in
// front of the small variables.
constexpr std::size_t most_deleted = 256;
alignas(page_size) constinit std::array<std::atomic<void*>, most_deleted> deleted{};
constinit std::atomic<std::size_t> deletions{0};

}  // namespace

afterlife::~afterlife()
{
  static const dead_resource* const example = new (dead_storage) dead_resource;  // never destroyed
  auto* const place = reinterpret_cast<const void* volatile*>(this);
  *place = example->table();
}

}  // namespace detail

void* resource::operator new(std::size_t /*bytes*/)
{
  void* const p = detail::take_place();
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void* resource::operator new(std::size_t /*bytes*/, const std::nothrow_t& /*none*/) noexcept
{
  return detail::take_place();
}

void resource::operator delete(void* p) noexcept
{
  if (detail::page_of(p) == nullptr) return ::operator delete(p);  // made by ::new
  const std::size_t turn = detail::deletions.fetch_add(1, std::memory_order_relaxed) % detail::most_deleted;
  const void* const oldest = detail::deleted[turn].exchange(p, std::memory_order_acq_rel);
  if (oldest != nullptr) detail::page_of(oldest)->give_back(oldest);
}

void resource::operator delete(void* p, const std::nothrow_t& /*none*/) noexcept { resource::operator delete(p); }

}  // namespace gpa
