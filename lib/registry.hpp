// Every resource that can still be asked about, by its birth number: alive, or dead with blocks still live, or dead
// for a short while. Thread exit, fork and late frees look here instead of trusting a pointer.
//
// Thread-safe: one lock. A core that was found stays while the caller has it pinned, or is inside the resource.
#pragma once

#include "os/containers.hpp"

#include <cstdint>
#include <string_view>

namespace gpa::detail {

class core;
struct thread_exit_handler;

/// A number never given out before.
[[nodiscard]] std::uint64_t next_number() noexcept;

/// Throws std::bad_alloc.
void register_core(core& c);

/// The core of that birth number, of a resource that lives; null when it is gone.
[[nodiscard]] core* find_core(std::uint64_t birth) noexcept;

/// The same of one that may end at any moment: for as long as this lives the core stays, and so do its heaps.
class pinned_core {
 public:
  explicit pinned_core(std::uint64_t birth) noexcept;
  ~pinned_core();
  pinned_core(const pinned_core&) = delete;
  pinned_core& operator=(const pinned_core&) = delete;

  explicit operator bool() const noexcept { return core_ != nullptr; }
  core* operator->() const noexcept { return core_; }

 private:
  core* core_ = nullptr;
};

/// What the registry keeps in each core, under its lock.
struct registry_entry {
  std::uint32_t pins = 0;
  std::uint32_t dropping = 0;   // serial of the thread that drops the heaps now
  bool retires_unpinned = false;  // when the last pin goes
};

/// Of every core there is. Without memory for the list, none.
void list_births(list_of<std::uint64_t>& births) noexcept;
/// The one of that birth number, entered; leave() follows. Null if it has ended; or if it is in release() for more than a
/// second, and then `busy` is its name.
[[nodiscard]] core* enter_core(std::uint64_t birth, std::string_view& busy) noexcept;

/// A dead core without blocks: it can be asked about a while longer (the last 128 of them), then it is destroyed.
void retire_core(core& c) noexcept;

/// What the thread caches ask at thread exit.
[[nodiscard]] const thread_exit_handler& registry_thread_exit_handler() noexcept;

}  // namespace gpa::detail
