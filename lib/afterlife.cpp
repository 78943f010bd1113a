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

#include <array>
#include <atomic>
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

// Deleted last, and not given back yet; the oldest goes first.
constexpr std::size_t most_deleted = 256;
std::array<std::atomic<void*>, most_deleted> deleted{};
std::atomic<std::size_t> deletions{0};

}  // namespace

afterlife::~afterlife()
{
  static const dead_resource* const example = new (dead_storage) dead_resource;  // never destroyed
  auto* const place = reinterpret_cast<const void* volatile*>(this);
  *place = example->table();
}

}  // namespace detail

void* resource::operator new(std::size_t bytes)
{
  void* const p = detail::metadata_allocate(bytes);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void* resource::operator new(std::size_t bytes, const std::nothrow_t& /*none*/) noexcept
{
  return detail::metadata_allocate(bytes);
}

void resource::operator delete(void* p) noexcept
{
  const std::size_t place = detail::deletions.fetch_add(1, std::memory_order_relaxed) % detail::most_deleted;
  void* const oldest = detail::deleted[place].exchange(p, std::memory_order_acq_rel);
  if (oldest != nullptr) detail::metadata_free(oldest, sizeof(resource));
}

void resource::operator delete(void* p, const std::nothrow_t& /*none*/) noexcept { resource::operator delete(p); }

}  // namespace gpa
