// Who a thread is: a small number for records, and the operating system's number and name behind it for reports.
//
// Numbers are handed out in order from 1 and never reused. Up to 65 534 threads are remembered by name; later ones
// share the number `unknown_thread`. That bounds the table, and a record needs 16 bits only. Who must tell them apart
// asks for the serial, which is the same number in 32 bits.
// After fork the child's threads get new numbers, so `first_number_of_this_process()` tells an inherited block.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace gpa::detail {

inline constexpr std::uint32_t unknown_thread = 0xFFFF;

/// This thread's serial once it has one, else 0. No constructor, no destructor: usable until the thread's last
/// instruction.
extern constinit thread_local std::uint32_t this_thread_cached_serial
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
[[nodiscard]] std::uint32_t number_this_thread() noexcept;

/// Whose alone it is, of the first 4 294 967 294 threads. Never 0.
[[nodiscard]] inline std::uint32_t this_thread_serial() noexcept
{
  const std::uint32_t serial = this_thread_cached_serial;
  if (serial != 0) [[likely]] return serial;
  return number_this_thread();
}

/// The calling thread's number; asks the system once a thread. 0 is never returned.
[[nodiscard]] inline std::uint32_t this_thread_number() noexcept
{
  const std::uint32_t serial = this_thread_serial();
  return serial < unknown_thread ? serial : unknown_thread;
}

/// The system's number of the thread; 0 if unknown.
[[nodiscard]] std::uint64_t system_thread(std::uint32_t number) noexcept;

/// Its name when it was numbered; empty if unknown. Valid for the life of the process.
[[nodiscard]] std::string_view thread_name(std::uint32_t number) noexcept;

/// Blocks of threads with a smaller number came from before the fork. Greater than all there are where they ran out by
/// then: what cannot be told from an inherited block is taken for one.
[[nodiscard]] std::uint32_t first_number_of_this_process() noexcept;

/// Whether, after a fork, blocks from before it count as this process's own; at first they do not.
void report_inherited_blocks(bool wanted) noexcept;
[[nodiscard]] bool inherited_blocks_are_reported() noexcept;

/// In the child of a fork: the calling thread, and all to come, get new numbers.
void renumber_threads_after_fork() noexcept;

}  // namespace gpa::detail
