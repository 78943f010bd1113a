#include <gpa/stack_trace.hpp>

#include "os/threads.hpp"
#include "trace/depot.hpp"
#include "trace/symbolize.hpp"

namespace gpa {

std::uint64_t stack_trace::thread() const noexcept
{
  return detail::system_thread(thread_);
}

std::string_view stack_trace::thread_name() const noexcept
{
  return detail::thread_name(thread_);
}

std::span<const std::uintptr_t> stack_trace::addresses() const noexcept
{
  return detail::depot_frames(id_);
}

void stack_trace::name_frames(detail::receiver<stack_frame> taker) const
{
  for (const detail::frame& f : detail::symbolize(addresses())) {
    taker.take(taker.container, stack_frame{.address = f.address,
                                            .function = std::string(f.function),
                                            .file = std::string(f.file),
                                            .line = f.line,
                                            .column = f.column,
                                            .module = std::string(f.module),
                                            .offset = f.offset,
                                            .inlined = f.inlined,
                                            .library = f.library});
  }
}

}  // namespace gpa
