// Who holds the memory: what a resource's blocks were allocated for, counted by call site; and what changed since.
//
//   gpa::snapshot before = r.take_snapshot();
//   serve(1000);
//   for (const gpa::snapshot_row& row : r.take_snapshot().compare_to(before, gpa::by::line))
//     std::cout << row << '\n';      // src/cache.cpp:21: size=697 B (+697 B), count=20 (+20), average=35 B
//
// The model is that of Python's tracemalloc. A snapshot is a copy of numbers: it keeps no block alive, names no
// function before it is asked for rows, and is still good when its resource is gone.
#pragma once

#include <gpa/export.hpp>
#include <gpa/receiver.hpp>
#include <gpa/stack_trace.hpp>
#include <gpa/tag_scope.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpa {

namespace detail {
struct snapshot_maker;
}

/// What rows are about.
enum class by : std::uint8_t {
  line,        ///< "src/cache.cpp:21", of the innermost call that is not a library's
  file,        ///< "src/cache.cpp", of that call
  function,    ///< "Cache::open(int)", of that call
  stack,       ///< the whole call stack
  size_class,  ///< "33 to 48 bytes"
  tag,         ///< the name of the gpa::tag_scope
};

/// Bytes that users hold, as they asked for them.
struct traced_memory {
  std::size_t current = 0;
  std::size_t peak = 0;  ///< since the resource was made or reset_peak() called; as exact as statistics::peak_bytes
};

/// Blocks of one call stack, one tag and one size class. With `options::profile` all numbers are kept; else those of
/// live blocks, and the rest are 0.
struct site {
  gpa::stack_trace allocated = {};
  std::string_view tag = {};         ///< valid for the life of the process; empty without a tag
  std::size_t size_class = 0;        ///< bytes, rounded up: to 16 up to 1 KiB, then to eight steps a doubling
  std::size_t live_bytes = 0;
  std::size_t live_blocks = 0;
  std::size_t peak_bytes = 0;        ///< the most bytes of this site live at once
  std::size_t total_bytes = 0;       ///< ever allocated
  std::size_t total_blocks = 0;
  std::size_t temporary = 0;         ///< blocks freed by the thread that allocated them before it allocated another
  std::uint64_t lifetime_sum = 0;    ///< microseconds that freed blocks lived, added up
  std::size_t peak_blocks = 0;       ///< live when the site held `peak_bytes`
  std::size_t at_peak_bytes = 0;     ///< live when the resource was at its peak: over all sites, they add up to it, but
                                     ///< for what other threads just allocated or freed then
  std::size_t at_peak_blocks = 0;    ///< their number

  /// Of freed blocks, in microseconds; 0 without any.
  [[nodiscard]] double average_lifetime() const noexcept
  {
    const std::size_t freed = total_blocks > live_blocks ? total_blocks - live_blocks : 0;
    return freed == 0 ? 0.0 : static_cast<double>(lifetime_sum) / static_cast<double>(freed);
  }
};

/// One row of a table: what is live, and in a comparison how much more than before.
struct snapshot_row {
  gpa::by key = by::line;
  std::string place = {};             ///< what the row is about
  std::size_t size = 0;               ///< live bytes
  std::size_t count = 0;              ///< live blocks
  std::ptrdiff_t size_difference = 0;
  std::ptrdiff_t count_difference = 0;
  bool compared = false;              ///< by compare_to(): the differences mean something
  gpa::stack_trace example = {};      ///< of `by::stack` the stack; else one of those counted
};

/// "src/cache.cpp:21: size=697 B (+697 B), count=20 (+20), average=35 B"; of `by::stack`, the frames in lines below.
/// Throws std::bad_alloc.
[[nodiscard]] GPA_EXPORT std::string to_string(const snapshot_row& row);
/// The same text. Throws std::bad_alloc, and what the stream throws.
GPA_EXPORT std::ostream& operator<<(std::ostream& out, const snapshot_row& row);

/// Which sites a filter keeps, by the source file of their place (`by::file`): its path as it is shown, or in full. Made by
/// include() and exclude().
struct snapshot_filter {
  bool keep = true;
  std::string pattern = {};  ///< '*' is any text, also of several directories, '?' any character
  bool any_frame = false;    ///< every frame of the user's is looked at, not only the place
};
/// Keep, or leave out, sites whose file matches. Throw std::bad_alloc. O(length).
[[nodiscard]] GPA_EXPORT snapshot_filter include(std::string_view pattern, bool any_frame = false);
[[nodiscard]] GPA_EXPORT snapshot_filter exclude(std::string_view pattern, bool any_frame = false);

/// What a resource held at one moment. A value: copies are independent; const use is thread-safe. Its members allocate
/// from the global heap and may throw std::bad_alloc. Whatever names lines reads debug information: milliseconds at the
/// first time.
class GPA_EXPORT snapshot {
 public:
  snapshot() = default;

  /// In no order. O(1).
  [[nodiscard]] std::span<const site> sites() const noexcept { return {sites_.get(), sites_ ? count_ : 0}; }
  /// The sum over all sites.
  [[nodiscard]] std::size_t live_bytes() const noexcept;
  [[nodiscard]] std::size_t live_blocks() const noexcept;

  /// One in n allocations was looked at (`checks::one_in(n)`); the numbers of sites are estimates, n times those seen.
  [[nodiscard]] bool estimated() const noexcept { return estimated_; }
  /// The resource has `options::profile`: every number of a site is there, not only what is live.
  [[nodiscard]] bool profiled() const noexcept { return profiled_; }

  /// What is live, most bytes first. O(sites * frames).
  [[nodiscard, gnu::always_inline]] inline std::vector<snapshot_row> statistics(by key) const
  {
    std::vector<snapshot_row> all;
    count(key, nullptr, detail::receiver_into(all));
    return all;
  }

  /// The same with the differences to an older snapshot, the largest difference in bytes first. Rows of which nothing
  /// is left are there, too. O(sites of both * frames).
  [[nodiscard, gnu::always_inline]] inline std::vector<snapshot_row> compare_to(const snapshot& older, by key) const
  {
    std::vector<snapshot_row> all;
    count(key, &older, detail::receiver_into(all));
    return all;
  }

  /// Sites whose place matches one of the include() patterns, if there are any, and none of the exclude() patterns. A
  /// site without debug information has the file "" and matches "*" only. O(sites * frames * patterns).
  [[nodiscard]] snapshot filter(std::initializer_list<snapshot_filter> filters) const;

 private:
  friend struct detail::snapshot_maker;
  void count(by key, const snapshot* older, detail::receiver<snapshot_row> taker) const;

  std::shared_ptr<const site[]> sites_ = {};  // never changed, so copies share them
  std::size_t count_ = 0;
  bool estimated_ = false;
  bool profiled_ = false;
};

}  // namespace gpa
