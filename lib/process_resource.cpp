// The immortal resource of the process, its report after the last static destructor, and the exit status leaks ask for.
//
// A shared library's finalisers run after the executable's static destructors, and an executable's own after all of
// its atexit handlers: so end_of_process() below is the last to look. The status the program exits with is known
// only to handlers of on_exit(), which run before; theirs is remembered. Another one is given last of all, by a handler
// that is registered at the end: what libraries we depend on still have to do, as flushing std::cout, comes before it.
#include <gpa/resource.hpp>

#include "front_door.hpp"
#include "report_writing.hpp"
#include "reporter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

extern "C" int __cxa_atexit(void (*)(void*), void*, void*) noexcept;  // glibc's; what atexit() calls

namespace gpa {

namespace detail {
namespace {

constinit std::atomic<int> demanded_status{0};
constinit std::atomic<int> program_status{0};
constinit std::atomic<bool> listening{false};
constinit std::atomic<core*> immortal{nullptr};

void remember_status(int status, void*) { program_status.store(status, std::memory_order_relaxed); }

void listen_for_status() noexcept
{
  if (!listening.exchange(true, std::memory_order_relaxed)) ::on_exit(remember_status, nullptr);
}

// From within an exit() glibc goes on with that one, and its status is the new one: what it does last, for files that
// are open, it does as ever.
void exit_with_demanded_status(void*)
{
  std::exit(demanded_status.load(std::memory_order_relaxed));
}

__attribute__((destructor)) void end_of_process()
{
  if (core* const c = immortal.load(std::memory_order_acquire); c != nullptr) c->report_at_exit();
  write_all_reports("exit");
  if (demanded_status.load(std::memory_order_relaxed) == 0) return;
  if (program_status.load(std::memory_order_relaxed) != 0) return;
  // Of no module, so that finalisers of none call it: all that was registered before goes first.
  if (__cxa_atexit(exit_with_demanded_status, nullptr, nullptr) != 0) exit_with_demanded_status(nullptr);
}

}  // namespace

void demand_exit_status(int status) noexcept
{
  if (status == 0) return;
  listen_for_status();
  demanded_status.store(status, std::memory_order_relaxed);
}

void forget_demanded_exit_status() noexcept
{
  demanded_status.store(0, std::memory_order_relaxed);
}

void watch_exit_status(int status) noexcept
{
  if (status != 0) listen_for_status();
}

void make_immortal(core& c) noexcept { immortal.store(&c, std::memory_order_release); }

}  // namespace detail

namespace {

alignas(resource) std::byte storage[sizeof(resource)];

resource* make_process_resource(build b) noexcept
{
  auto* const r = new (storage) resource({.name = "process"}, b);  // no memory so early: terminate says it all
  detail::make_immortal(*detail::find_core(detail::birth_of(*r)));
  return r;
}

}  // namespace

resource* process_resource(build b) noexcept
{
  static resource* const r = make_process_resource(b);
  return r;
}

}  // namespace gpa
