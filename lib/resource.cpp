// gpa::resource itself: its virtual functions and its late_handle.
//
// Whatever takes its return address is GPA_NOINLINE: inlined, under link-time optimisation, it would name the caller's
// caller, and stacks would begin one of the user's frames too late.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include "base/attributes.hpp"
#include "front_door.hpp"
#include "late_handle.hpp"
#include "profile/document.hpp"
#include "report_writing.hpp"

#include <string>
#include <system_error>

namespace gpa {

namespace detail {

late_handle::~late_handle() = default;

GPA_NOINLINE void* late_handle::do_allocate(std::size_t bytes, std::size_t alignment)
{
  return allocate_through(*this, bytes, alignment);
}

GPA_NOINLINE void late_handle::do_deallocate(void* p, std::size_t bytes, std::size_t alignment)
{
  deallocate_through(*this, p, bytes, alignment);
}

bool late_handle::do_is_equal(const std::pmr::memory_resource& other) const noexcept
{
  return is_door_of(door, other);
}

}  // namespace detail

resource::resource(build b) : resource(gpa::options{}, nullptr, b) {}

resource::resource(std::pmr::memory_resource* upstream, build b) : resource(gpa::options{}, upstream, b) {}

resource::resource(const gpa::options& o, build b) : resource(o, nullptr, b) {}

resource::resource(const gpa::options& o, std::pmr::memory_resource* upstream, build b)
{
  front_.heart = detail::core::create(front_, o, upstream, b);
}

resource::~resource() { front_.heart->end(*this); }

const gpa::options& resource::options() const noexcept { return front_.heart->options(); }

std::pmr::memory_resource* resource::upstream_resource() const noexcept { return front_.heart->upstream(); }

GPA_NOINLINE check resource::deinit() noexcept { return front_.heart->deinit(__builtin_return_address(0)); }

std::size_t resource::detect_leaks() noexcept { return front_.heart->detect_leaks(); }

statistics resource::stats() const noexcept { return front_.heart->stats(); }

void resource::set_memory_limit(std::size_t bytes) noexcept { front_.heart->set_memory_limit(bytes); }

std::size_t resource::memory_limit() const noexcept { return front_.heart->memory_limit(); }

GPA_NOINLINE bool resource::try_resize(void* p, std::size_t old_bytes, std::size_t new_bytes,
                                       std::size_t alignment) noexcept
{
  return front_.heart->try_resize(p, old_bytes, new_bytes, alignment, __builtin_return_address(0));
}

GPA_NOINLINE void* resource::try_allocate(std::size_t bytes, std::size_t alignment) noexcept
{
  return detail::allocate_generally(*this, bytes, alignment, __builtin_return_address(0));
}

GPA_NOINLINE std::size_t resource::verify() noexcept { return front_.heart->verify(__builtin_return_address(0)); }

GPA_NOINLINE void resource::trim() noexcept { front_.heart->trim(__builtin_return_address(0)); }

void resource::release() noexcept { front_.heart->release(); }

GPA_NOINLINE void resource::ignore(const void* p) noexcept { front_.heart->ignore(p, __builtin_return_address(0)); }

snapshot resource::take_snapshot() const { return front_.heart->take_snapshot(); }

traced_memory resource::traced() const noexcept { return front_.heart->traced(); }

void resource::reset_peak() noexcept { front_.heart->reset_peak(); }

void resource::write_report(std::string_view file) const
{
  detail::document d = front_.heart->describe("request");
  if (const int error = detail::write_document(d, file); error != 0)
    throw std::system_error(error, std::generic_category(),
                            "gpa::resource: cannot write the report " + std::string(file));
}

stack_trace resource::origin(const void* p) const noexcept { return front_.heart->origin(p); }

GPA_NOINLINE void* resource::do_allocate(std::size_t bytes, std::size_t alignment)
{
  return detail::allocate_through(*this, bytes, alignment);
}

GPA_NOINLINE void resource::do_deallocate(void* p, std::size_t bytes, std::size_t alignment)
{
  detail::deallocate_through(*this, p, bytes, alignment);
}

bool resource::do_is_equal(const std::pmr::memory_resource& other) const noexcept
{
  return detail::is_door_of(front_, other);
}

std::pmr::memory_resource* resource::target() noexcept { return front_.heart->handle(); }

namespace detail {

const front* front_of(const std::pmr::memory_resource& r) noexcept
{
  if (const auto* const handle = dynamic_cast<const late_handle*>(&r); handle != nullptr) return &handle->door;
  const auto* const whole = dynamic_cast<const gpa::resource*>(&r);
  return whole == nullptr ? nullptr : &whole->front_;
}

}  // namespace detail

}  // namespace gpa
