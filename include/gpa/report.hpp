// A mistake as the handler receives it, and the words it is told in.
#pragma once

#include <gpa/export.hpp>
#include <gpa/stack_trace.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

namespace gpa {

/// What the user did wrong. The words users read are the enumerators' own: "double free".
enum class mistake : std::uint8_t {
  leak,                ///< live when the resource was deinitialised or destroyed, or when detect_leaks() looked
  double_free,         ///< freed before
  size_mismatch,       ///< freed with other bytes than it was allocated with
  alignment_mismatch,  ///< freed with another alignment than it was allocated with
  invalid_pointer,     ///< no block of any gpa::resource starts there
  wrong_resource,      ///< a block of another gpa::resource
  write_after_free,    ///< freed memory was written to
  overflow,            ///< bytes just behind, or just in front of, a block were written to
  use_after_deinit,    ///< the resource was deinitialised or destroyed before
  wrong_thread,        ///< `thread_safe = false` and this thread is not the owner
  invalid_alignment,   ///< an alignment that is not a power of two
  use_after_free,      ///< a fault at a freed block, or at a pointer read from one; told on stderr, not to `on_report`
  accidental_default,  ///< reserved: this version reports none
};

/// Memory as it was when a report was made.
struct memory_excerpt {
  std::size_t offset = 0;                ///< of bytes[0] from report::address
  std::size_t count = 0;                 ///< how many of `bytes` there are; 0: nothing was kept
  std::uint64_t changed = 0;             ///< bit i: bytes[i] is not what gpa had left there
  std::array<std::uint8_t, 64> bytes{};  ///< what was found
};

/// One mistake. Trivially copyable; its views stay valid for the life of the process.
struct report {
  gpa::mistake kind = gpa::mistake::leak;
  std::string_view resource = {};   ///< name of the resource that noticed
  std::string_view owner = {};      ///< name of the resource the block belongs to, where that is another
  std::string_view reason = {};     ///< a detail in words: "inside a block, 16 bytes from its start"
  const void* address = nullptr;    ///< the pointer given; of a leak group, its first block
  std::size_t bytes = 0;            ///< as allocated; of a leak group, the size of its first block
  std::size_t alignment = 0;        ///< as allocated
  std::size_t given_bytes = 0;      ///< as given to the call that was wrong
  std::size_t given_alignment = 0;  ///< as given to the call that was wrong
  std::size_t blocks = 1;           ///< leak: blocks of the group; else 1
  std::size_t total_bytes = 0;      ///< leak: bytes of the group; else `bytes`
  std::size_t offset = 0;           ///< overflow, write after free, interior pointer: bytes from the block's start
  std::size_t damaged = 0;          ///< overflow, write after free: bytes that changed, of those that are looked at
  gpa::stack_trace allocated = {};  ///< where the block was allocated
  gpa::stack_trace freed = {};      ///< where it was freed first
  gpa::stack_trace here = {};       ///< where the mistake was noticed; empty of a leak, and of damage found at the end
                                    ///< of a quarantine or by the destructor: see `allocated` and `freed`
  std::uint64_t number = 0;         ///< of the block's allocation, from 1 in each resource; 0 unless numbers are kept
  std::size_t owned_blocks = 0;     ///< leak: further blocks that only these lead to; each has its place in one report
  std::size_t owned_bytes = 0;      ///< leak: bytes of those
  const void* last = nullptr;       ///< leak: the group's block at the highest address; `address` is the lowest
  std::uint64_t last_number = 0;    ///< leak: its number, as `number`
  gpa::memory_excerpt memory = {};  ///< leak: how the first block begins; overflow, write after free: around the damage
  bool damaged_to_the_end = false;  ///< overflow: up to where nobody looks, so more may have been written
};

/// The verdict of gpa::resource::deinit(). `leak` wins over `misuse`.
enum class check : std::uint8_t { ok, leak, misuse };

/// The whole text of a report, as it would go to stderr, without colour, nor what becomes of the program. Reads debug
/// information: milliseconds.
/// Throws std::bad_alloc. Thread-safe.
[[nodiscard]] GPA_EXPORT std::string to_string(const gpa::report& r);

/// "double free" for mistake::double_free. Never throws. O(1).
[[nodiscard]] GPA_EXPORT std::string_view to_string(gpa::mistake m) noexcept;
/// "ok", "leak" or "misuse". Never throws. O(1).
[[nodiscard]] GPA_EXPORT std::string_view to_string(gpa::check c) noexcept;

/// Write what to_string() returns. Throw what the stream throws. O(1).
GPA_EXPORT std::ostream& operator<<(std::ostream& out, gpa::mistake m);
GPA_EXPORT std::ostream& operator<<(std::ostream& out, gpa::check c);

}  // namespace gpa

/// Called before anything else happens about a mistake (leaks included): a name to set a breakpoint on. Does nothing.
extern "C" GPA_EXPORT void gpa_on_mistake();
