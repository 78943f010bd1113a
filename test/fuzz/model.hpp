// What must be true of a resource: its live blocks, what was freed and is surely not in use again, and the sums.
//
//    add() --> block --bury()--> ghost --> forgotten, when its address is in use again or nothing is known of it
//
// What the README promises is all that is asked for:
//   - A freed block of up to 32 KiB is surely in quarantine until its thread has freed quarantine_bytes or 15 000
//     blocks, or called trim(). Sizes are rounded up here, so this ends early rather than late. While it lasts the
//     address is not handed out, a second free is a double free, and a write is found. Large blocks: see is_sure().
//   - Later, and until the address is in use again, a second free is a double free, or, where the memory has been given
//     back, an invalid pointer.
//   - What was written after the free is told by the next verify(), trim() or deinit(), or before that by any call when
//     the memory is handed out again or given back; once a block.
//   - A byte written behind a block is told by its free, verify(), trim() or deinit(), once.
// Without checks, or when a block was not picked, only blocks and bytes are known.
#pragma once

#include "fuzz/listener.hpp"
#include "fuzz/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace gpa::fuzz {

enum class home : std::uint8_t { slab, either, range };  // range: a large block

struct block {
  std::byte* p = nullptr;
  std::size_t bytes = 0;
  std::size_t alignment = 1;
  std::byte content{};   // of every byte
  bool checked = false;  // as far as can be told
  bool ignored = false;
  bool damaged = false;     // a byte behind it was written to ...
  bool damage_due = false;  // ... and that is not told yet
  bool shrunk = false;
  fuzz::home home = home::either;

  [[nodiscard]] static constexpr fuzz::home home_of(std::size_t bytes, std::size_t alignment) noexcept
  {
    if (bytes > (32 << 10) || alignment > 4096) return home::range;
    return bytes <= 24'000 ? home::slab : home::either;
  }
};

struct ghost {
  block was;
  std::uint64_t clock = 0;  // the model's, before the free
  std::uint64_t frees = 0;
  bool trimmed = false;
  bool written = false;    // ...
  bool write_due = false;  // ... and that is not told yet
};

class model {
 public:
  /// `quarantine` is that of the resource, decided.
  model(const settings& s, std::size_t quarantine, listener& l)
      : setting_(s), listener_(l), quarantine_(quarantine), limit_(s.options.memory_limit)
  {}

  std::vector<block> live;
  std::vector<ghost> ghosts;  // the youngest is the last

  // ---- what happened ----

  /// A block was handed out: aligned, beside all others, at no address that is in quarantine.
  void add(const block& b);
  /// A live block was freed.
  void bury(std::size_t index);
  void resize(block& b, std::size_t bytes);
  void set_limit(std::size_t bytes) noexcept;
  void trim() noexcept;
  void release() noexcept;
  void reset_peak() noexcept { peak_ = live_bytes_; }
  void count_mistakes(std::size_t n) noexcept { mistakes_ += n; }
  /// The resource has looked everywhere.
  void all_was_looked_at() const;

  // ---- what must be so ----

  [[nodiscard]] bool fits(std::size_t more) const noexcept
  {
    return limit_ >= live_bytes_ && more <= limit_ - live_bytes_;
  }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::size_t live_bytes() const noexcept { return live_bytes_; }
  [[nodiscard]] std::size_t mistakes() const noexcept { return mistakes_; }
  [[nodiscard]] listener::leaks leaks() const noexcept;
  /// Whether a report that nobody waited for is right: a write after free.
  [[nodiscard]] bool explains(const gpa::report& r) noexcept;
  void compare(const gpa::resource& r) const;
  void compare_contents(const block& b, std::size_t bytes) const;

  /// Whether the freed block is surely in quarantine.
  [[nodiscard]] bool is_sure(const ghost& g) const noexcept;
  /// Whether it is, and can be written to: larger blocks may be inaccessible.
  [[nodiscard]] bool is_writable(const ghost& g) const noexcept;

  [[nodiscard]] bool checks_all() const noexcept { return setting_.options.checks.is_always(); }
  [[nodiscard]] bool over_upstream() const noexcept { return setting_.upstream; }
  [[nodiscard]] const gpa::options& options() const noexcept { return setting_.options; }

 private:
  [[nodiscard]] bool peak_is_exact() const noexcept;
  void forget_ghosts_under(const block& b);

  const settings& setting_;
  listener& listener_;
  std::map<const std::byte*, std::size_t> places_;  // of live blocks: at least a byte each
  std::size_t quarantine_;
  std::size_t limit_;
  std::size_t live_bytes_ = 0;
  std::size_t peak_ = 0;
  std::size_t total_blocks_ = 0;
  std::size_t mistakes_ = 0;
  std::uint64_t clock_ = 0;        // bytes freed in slots, rounded up
  std::uint64_t large_clock_ = 0;  // the same of large blocks
  std::uint64_t frees_ = 0;
  bool was_unlimited_ = false;
};

}  // namespace gpa::fuzz
