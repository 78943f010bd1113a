// The stage of the misuse table: a resource with three live blocks side by side, of which the middle one is misused.
#pragma once

#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gpa::test {

/// How far a child has come.
enum class stage { before, in_call, in_access, after_call, after_access };

/// Of a child, for its parent.
struct notes {
  stage at = stage::before;
  bool read_poison = false;
};

/// What is still live at its end is freed as it should be.
class scene {
 public:
  scene(const gpa::options& o, std::size_t block_bytes, bool is_twin, notes& n)
      : r(o), bytes(block_bytes), twin_(is_twin), notes_(n)
  {
    for (void*& place : blocks_) place = filled();
    std::sort(blocks_.begin(), blocks_.end());
    p = blocks_[1];
    next = blocks_[2];
  }
  ~scene()
  {
    for (void* const q : blocks_)
      if (q != nullptr) discard(r, q, bytes);
    for (void* const q : others_) discard(r, q, bytes);
  }
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;

  // ---- what is right ----

  void* filled()
  {
    void* const q = obtain(r, bytes);
    std::memset(q, 0x11, bytes);
    return q;
  }
  scene& free_block() { return put_away(1); }
  scene& free_front() { return put_away(0); }
  scene& free_next() { return put_away(2); }
  scene& free_all() { return put_away(0).put_away(1).put_away(2); }
  scene& trim()
  {
    r.trim();
    return *this;
  }
  /// Frees the block, and allocates until somebody has its address, 200 blocks at most.
  scene& lose_block()
  {
    free_block();
    do others_.push_back(filled());
    while (others_.back() != p && others_.size() != 200);
    return *this;
  }

  // ---- what is wrong; the twin leaves it out ----

  void wrong_free(void* q, std::size_t given_bytes, std::size_t alignment = usual_alignment)
  {
    if (twin_) return;
    notes_.at = stage::in_call;
    blunder(r, q, given_bytes, alignment);
    notes_.at = stage::after_call;
  }
  void wrong_write(void* q, std::ptrdiff_t offset, std::size_t count = 1)
  {
    if (twin_) return;
    notes_.at = stage::in_access;
    for (std::size_t i = 0; i != count; ++i) stray_write(q, offset + static_cast<std::ptrdiff_t>(i));
    notes_.at = stage::after_access;
  }
  void wrong_read(const void* q, std::ptrdiff_t offset)
  {
    if (twin_) return;
    notes_.at = stage::in_access;
    const unsigned char seen = stray_read(q, offset);
    notes_.read_poison = seen == 0xDF || seen == 0xD5;  // of free memory, of guard bytes
    notes_.at = stage::after_access;
  }
  /// Reads the pointer that should stand at the start of the block, and where that points.
  void wrong_follow()
  {
    if (twin_) return;
    notes_.at = stage::in_access;
    std::uintptr_t pointer = 0;
    for (std::ptrdiff_t i = 0; i != sizeof pointer; ++i) pointer = pointer << 8 | stray_read(p, i);
    static_cast<void>(stray_read(moved(nullptr, pointer), 0));
    notes_.at = stage::after_access;
  }
  void write(std::size_t offset, std::size_t count = 1) { wrong_write(p, static_cast<std::ptrdiff_t>(offset), count); }
  void read(std::size_t offset) { wrong_read(p, static_cast<std::ptrdiff_t>(offset)); }

  gpa::resource r;
  const std::size_t bytes;
  void* p = nullptr;
  void* next = nullptr;

 private:
  scene& put_away(std::size_t i)
  {
    discard(r, blocks_[i], bytes);
    blocks_[i] = nullptr;
    return *this;
  }

  const bool twin_;
  notes& notes_;
  std::array<void*, 3> blocks_{};
  std::vector<void*> others_;
};

}  // namespace gpa::test
