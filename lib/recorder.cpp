// gpa::recorder: passes calls on, and tells a recording of them.
#include <gpa/recorder.hpp>

#include "os/metadata.hpp"
#include "os/text.hpp"
#include "recording.hpp"

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <system_error>

namespace gpa {

namespace {

detail::recording* begin(std::string_view file)
{
  void* const place = detail::metadata_allocate(sizeof(detail::recording));
  if (place == nullptr) throw std::bad_alloc();
  try {
    return ::new (place) detail::recording(file);
  } catch (...) {
    detail::metadata_free(place, sizeof(detail::recording));
    throw;
  }
}

}  // namespace

recorder::recorder(std::string_view file, std::pmr::memory_resource* upstream)
    : upstream_(upstream != nullptr ? upstream : std::pmr::get_default_resource()), recording_(begin(file))
{}

recorder::~recorder()
{
  // In the child of a fork another thread may have held a lock of ours: everything is left as it is.
  if (!recording_->is_ours()) return;
  if (const int error = recording_->close(); error != 0) {
    detail::text line;
    line.append("gpa: warning: the recording ");
    line.append(recording_->file());
    line.append(" is not complete: ");
    line.append(::strerrordesc_np(error));
    line.append("\n");
    line.write_to_stderr();
  }
  std::destroy_at(recording_);
  detail::metadata_free(recording_, sizeof(detail::recording));
}

void recorder::close()
{
  if (!recording_->is_ours()) return;
  if (const int error = recording_->close(); error != 0)
    throw std::system_error(error, std::generic_category(),
                            "gpa::recorder: the recording " + std::string(recording_->file()) + " is not complete");
}

void* recorder::do_allocate(std::size_t bytes, std::size_t alignment)
{
  void* const p = upstream_->allocate(bytes, alignment);
  if (recording_->is_ours()) recording_->add_allocation(p, bytes, alignment);
  return p;
}

// Written down first: once the upstream has the block, another thread may be given its address.
void recorder::do_deallocate(void* p, std::size_t bytes, std::size_t alignment)
{
  if (recording_->is_ours()) recording_->add_free(p);
  upstream_->deallocate(p, bytes, alignment);
}

bool recorder::do_is_equal(const std::pmr::memory_resource& other) const noexcept
{
  return this == &other;
}

}  // namespace gpa
