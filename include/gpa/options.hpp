// Every knob of a gpa::resource, with its unit and default.
#pragma once

#include <gpa/export.hpp>
#include <gpa/report.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>

namespace gpa {

/// How the user's file was compiled. Never spelled by users: the default arguments below do.
enum class build : std::uint8_t { debug, release };

namespace {
// The only place where NDEBUG is read. Internal linkage: two files of one program may disagree.
#ifdef NDEBUG
inline constexpr build build_of_this_file = build::release;
#else
inline constexpr build build_of_this_file = build::debug;
#endif
}  // namespace

/// No limit; as a quarantine, a resource reuses no address before release().
inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
/// Half of the second-level cache of this machine's CPU, 256 KiB at most.
inline constexpr std::size_t default_quarantine = unlimited - 1;
/// See options::poison_bytes.
inline constexpr std::size_t default_poison = 512;

/// Which allocations are checked. Immutable value.
class checks {
 public:
  /// Undecided: whoever constructs the resource decides as by_build() there.
  constexpr checks() noexcept = default;

  /// Every allocation: what you develop and test with.
  static constexpr checks always() noexcept { return checks(kind::always, 1); }
  /// None: blocks and bytes are still counted, nothing else.
  static constexpr checks never() noexcept { return checks(kind::never, 0); }
  /// One in `n` on average (n = 0 is never, 1 always): cheap enough for production. Those lie in a range of addresses that
  /// all resources of the process share; when it is full, no more are picked.
  static constexpr checks one_in(std::uint32_t n) noexcept
  {
    return n == 0 ? never() : n == 1 ? always() : checks(kind::sampled, n);
  }
  /// always(), or never() where the file that wrote this call was compiled with NDEBUG.
  static consteval checks by_build(build b = build_of_this_file) noexcept
  {
    return b == build::release ? never() : always();
  }

  [[nodiscard]] constexpr bool decided() const noexcept { return kind_ != kind::undecided; }
  [[nodiscard]] constexpr bool is_always() const noexcept { return kind_ == kind::always; }
  [[nodiscard]] constexpr bool is_never() const noexcept { return kind_ == kind::never; }
  /// n of one_in(n); 1 for always(), 0 for never() and when undecided.
  [[nodiscard]] constexpr std::uint32_t interval() const noexcept { return interval_; }

  friend constexpr bool operator==(const checks&, const checks&) noexcept = default;

 private:
  enum class kind : std::uint8_t { undecided, always, never, sampled };
  constexpr checks(kind k, std::uint32_t interval) noexcept : kind_(k), interval_(interval) {}

  kind kind_ = kind::undecided;
  std::uint32_t interval_ = 0;
};

/// What happens after a mistake (leaks excepted) was reported.
enum class after_mistake : std::uint8_t {
  abort,     ///< the text goes to stderr, handler or not, then std::abort()
  carry_on,  ///< the program goes on, its heap intact; what becomes of the wrong call README says of each mistake. A call
             ///< through a resource that nobody remembers any more aborts all the same
};

/// What becomes of a freed block above 32 KiB. One above 8 MiB or aligned to more than 64 KiB becomes inaccessible in any
/// case, and so do all of checks::one_in and with a quarantine of more than 64 MiB; and one above 192 KiB of which less
/// than half is in memory. In memory of a user's upstream none does: it is poisoned whole.
enum class protect_large : std::uint8_t {
  automatic,  ///< always; but where the machine takes microseconds to move a page, only the first 2 MiB of a process
  always,     ///< it becomes inaccessible: every access faults at once; not over a user's upstream
  never,      ///< it stays accessible, poisoned in places, and is used again after its quarantine
};

/// Whether the environment variable GPA_OPTIONS has a say in a resource's options. README, "GPA_OPTIONS".
enum class environment : std::uint8_t {
  wins,     ///< a field whose name GPA_OPTIONS gives a value has that value, whatever stands here
  ignored,  ///< these options are final, and so are where reports go (report_path) and free_trace; other keys that are no
            ///< fields of options still hold
};

/// Every knob. The order of the fields is API: they are only ever appended.
struct options {
  /// In every report. Copied; cut to 63 bytes. Empty = "resource".
  std::string_view name = {};
  /// Which allocations are checked. Undecided = by_build() where the resource is constructed.
  gpa::checks checks = {};
  /// false: one thread at a time owns the resource; checked mode reports calls of others, without checks nobody looks.
  bool thread_safe = true;
  /// Bytes users may hold at once, as they asked for them; inclusive and exact.
  std::size_t memory_limit = unlimited;
  /// How many bytes a thread frees after a block before the block's address is used again; 1 TiB at most; unlimited =
  /// never. Each block counts with the slot it took (its bytes and a guard byte, rounded up to a size class), and as a
  /// 15 360th of the whole at least, so no more blocks than that are promised to wait. By default half of the L2 cache,
  /// at most 256 KiB, of all of the thread's resources that have the default together. Blocks above 32 KiB have a
  /// quarantine of their own: of addresses; or where protect_large says so of these bytes, counted in multiples of 64
  /// KiB, 192 at least. Over an upstream of yours, which would have to lend them, those as large as all of it have none.
  std::size_t quarantine_bytes = default_quarantine;
  /// Frames of the call stacks kept for each allocation and each free; 0 = none; at most 64.
  std::size_t stack_frames = 32;
  /// What happens after a mistake.
  gpa::after_mistake after_mistake = gpa::after_mistake::abort;
  /// Receives every report but of leaks that are suppressed or known, on the thread that made the mistake, no lock
  /// held; it may use the resource. Empty = the whole text to stderr in one write. A handler that throws ends in
  /// std::terminate, the report already written.
  std::function<void(const gpa::report&)> on_report = {};
  /// One line an operation, to stderr or GPA_OPTIONS' log_path; and each allocation has a number, there and in reports.
  bool log_operations = false;
  /// Not 0: exit status of a process that would have returned 0 although this resource leaked. 1 to 255; of other
  /// numbers the parent sees the low eight bits, and 1 where these are 0.
  int leak_exit_status = 0;
  /// Who decides where GPA_OPTIONS says something else.
  gpa::environment environment = gpa::environment::wins;
  /// Freed blocks of up to this many bytes are poisoned whole, larger ones up to 32 KiB in their first 128 bytes, 64 in the
  /// middle and the last 48, still larger ones that are not protected in 64 bytes a page: there a write after free is
  /// seen. What counts is the slot, which is larger than a block that was made smaller by try_resize(), and may be for one
  /// that is aligned to more than 16 bytes. At least 512; unlimited = every byte of each.
  std::size_t poison_bytes = default_poison;
  /// Keeps the history of every call site, from the first allocation on: peak, total, temporary blocks, lifetimes (see
  /// <gpa/snapshot.hpp>). Of checked blocks; costs about 0.1 microseconds for an allocation and its free, and 8 bytes a
  /// slot.
  bool profile = false;
  /// Whether an access to a freed block above 32 KiB faults.
  gpa::protect_large protect_large = gpa::protect_large::automatic;
};

}  // namespace gpa

/// The program may define this function: what it returns is read as GPA_OPTIONS is, whose keys win over it. Called once, when
/// the first resource is made, perhaps before main(); the text is copied.
extern "C" GPA_EXPORT const char* gpa_default_options();
