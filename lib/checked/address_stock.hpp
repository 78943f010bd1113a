// The addresses of one resource's checked large blocks: reserved, inaccessible, each handed out once.
//
//    | opened once, mostly closed again | being opened |      fresh      |
//    begin                       swept  |  <= 128 MiB  next              end
//
// Reserved in pieces that double from 64 MiB to 4 GiB. What was opened and closed again is one mapping with its closed
// neighbours, whatever their number; but the kernel keeps the page tables it had, 4 KiB for every 2 MiB of addresses, as
// long as anything is mapped there. So what is closed is counted, area by area of 2 MiB, and when 64 MiB more have been
// handed out, areas closed altogether are mapped anew: a system call for 64 MiB, in which the tables go.
//
// Not thread-safe: the lock of its large blocks is held.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class address_stock {
 public:
  /// The most that take() gives, which grows with what was taken.
  [[nodiscard]] std::size_t largest() const noexcept { return next_reserve_ / 4; }
  /// `bytes` a multiple of 64 KiB, largest() at most. Null when the system refuses.
  [[nodiscard]] std::byte* take(std::size_t bytes) noexcept;
  /// A range that was taken and opened is inaccessible again. From anywhere else: nothing happens.
  void note_closed(const std::byte* base, std::size_t bytes) noexcept { count(base, bytes, true); }
  /// One that was noted is about to be unmapped.
  void note_forgotten(const std::byte* base, std::size_t bytes) noexcept { count(base, bytes, false); }
  /// Unmaps what was never handed out.
  void release() noexcept;

 private:
  static constexpr std::size_t area_bytes = std::size_t{2} << 20;  // what one table of the kernel's maps
  static constexpr std::size_t areas_swept = 32;
  static constexpr std::size_t areas_counted = areas_swept * 2;

  void count(const std::byte* base, std::size_t bytes, bool closed) noexcept;
  void sweep() noexcept;
  [[nodiscard]] std::uint8_t& closed_in(std::size_t area) noexcept { return closed_[area % areas_counted]; }

  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
  std::size_t next_reserve_ = std::size_t{64} << 20;
  std::size_t first_area_ = 0;  // counted are areas_counted from here on: address / area_bytes
  std::array<std::uint8_t, areas_counted> closed_{};  // granules
};

}  // namespace gpa::detail
