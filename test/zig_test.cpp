// The tests of Zig's GeneralPurposeAllocator (T1 to T22) and the suite that Zig runs over every allocator, in their pmr
// form. Where Zig's own only ask that nothing crashes, these ask for the report as well.
#define BOOST_TEST_MODULE zig
#include "support/modes.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory_resource>
#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using gpa::mistake;
using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::witness;

constexpr std::size_t page = 4096;

// The resources every test of this file runs over: all modes, and checked ones over upstreams with dirty memory.
void over_every_resource(const std::function<void(gpa::resource&)>& body)
{
  const auto run = [&body](const char* name, gpa::options o, std::pmr::memory_resource* upstream) {
    BOOST_TEST_CONTEXT(name)
    {
      witness w;
      gpa::resource r(w.listening(std::move(o)), upstream);
      body(r);
      BOOST_TEST(r.stats().live_blocks == 0u);
      BOOST_TEST((r.deinit() == gpa::check::ok));
      BOOST_TEST(w.count() == 0u);
    }
  };
  for (const mode& m : every_mode()) run(m.name, m.options, nullptr);
  run("over new and delete", {.checks = gpa::checks::always()}, std::pmr::new_delete_resource());
  std::pmr::monotonic_buffer_resource arena;
  run("over a monotonic resource", {.checks = gpa::checks::always()}, &arena);
}

// Zig's realloc: in place where that is possible, else somewhere else. Returns where the block is now.
std::byte* reallocate(gpa::resource& r, std::byte* p, std::size_t old_bytes, std::size_t new_bytes,
                      std::size_t alignment, std::size_t new_alignment)
{
  if (alignment == new_alignment && r.try_resize(p, old_bytes, new_bytes, alignment)) return p;
  auto* const moved = static_cast<std::byte*>(r.allocate(new_bytes, new_alignment));
  std::memcpy(moved, p, std::min(old_bytes, new_bytes));
  r.deallocate(p, old_bytes, alignment);
  return moved;
}

std::byte* made(gpa::resource& r, std::size_t bytes, std::size_t alignment)
{
  auto* const p = static_cast<std::byte*>(r.allocate(bytes, alignment));
  p[0] = std::byte{0x12};
  if (bytes > 60) p[60] = std::byte{0x34};
  return p;
}

bool is_kept(const std::byte* p, std::size_t bytes)
{
  return p[0] == std::byte{0x12} && (bytes <= 60 || p[60] == std::byte{0x34});
}

// What std.heap's suite keeps in its hands: bytes that can be grown and shrunk.
class slice {
 public:
  slice(gpa::resource& r, std::size_t alignment) : r_(r), alignment_(alignment) {}
  ~slice()
  {
    if (p_ != nullptr) r_.deallocate(p_, bytes_, alignment_);
  }
  slice(const slice&) = delete;
  slice& operator=(const slice&) = delete;

  // Contents up to the smaller size stay, and the address is aligned.
  void become(std::size_t bytes)
  {
    p_ = p_ == nullptr ? static_cast<std::byte*>(r_.allocate(bytes, alignment_))
                       : reallocate(r_, p_, bytes_, bytes, alignment_, alignment_);
    std::size_t wrong = reinterpret_cast<std::uintptr_t>(p_) % alignment_ != 0;
    for (std::size_t i = 0; i != std::min(bytes, bytes_); ++i) wrong += p_[i] != value(i);
    for (std::size_t i = std::min(bytes, bytes_); i != bytes; ++i) p_[i] = value(i);
    bytes_ = bytes;
    BOOST_TEST(wrong == 0u, bytes << " bytes aligned to " << alignment_);
  }

 private:
  static std::byte value(std::size_t i) { return static_cast<std::byte>(i * 7 + 1); }

  gpa::resource& r_;
  std::size_t alignment_;
  std::byte* p_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(t1_t2_small_blocks_are_freed_in_either_order)
{
  over_every_resource([](gpa::resource& r) {
    for (const bool reversed : {false, true}) {
      for (const std::size_t count : {513U, 4097U}) {  // a slab of Zig's and one more, a slab of ours and one more
        std::vector<std::uint64_t*> list;
        for (std::size_t i = 0; i != count; ++i) list.push_back(::new (r.allocate(8, 8)) std::uint64_t{i});
        if (reversed) std::reverse(list.begin(), list.end());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i != count; ++i) {
          if (*list[i] != (reversed ? count - 1 - i : i)) ++wrong;
          r.deallocate(list[i], 8, 8);
        }
        BOOST_TEST(wrong == 0u);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(t3_large_blocks_are_freed_in_any_order)
{
  over_every_resource([](gpa::resource& r) {
    const std::size_t sizes[] = {42'768 * 8, 52'768 * 8, 62'768 * 8};
    std::byte* const a = made(r, sizes[0], 8);
    std::byte* const b = made(r, sizes[1], 8);
    r.deallocate(a, sizes[0], 8);
    std::byte* const c = made(r, sizes[2], 8);
    BOOST_TEST((is_kept(b, sizes[1]) && is_kept(c, sizes[2])));
    r.deallocate(c, sizes[2], 8);
    r.deallocate(b, sizes[1], 8);
  });
}

BOOST_AUTO_TEST_CASE(t4_the_impossible_is_out_of_memory_and_no_crash)
{
  over_every_resource([](gpa::resource& r) {
    for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - page, static_cast<std::size_t>(PTRDIFF_MAX)})
      BOOST_CHECK_THROW(static_cast<void>(r.allocate(bytes)), std::bad_alloc);
  });
}

BOOST_AUTO_TEST_CASE(t5_t6_small_blocks_grow_and_shrink_and_keep_their_contents)
{
  over_every_resource([](gpa::resource& r) {
    std::byte* p = made(r, 1, 4);
    BOOST_TEST(r.try_resize(p, 1, 2, 4));  // T5: the address stays
    BOOST_TEST(is_kept(p, 2));
    p = reallocate(r, p, 2, 17, 4, 4);
    BOOST_TEST(is_kept(p, 17));
    r.deallocate(p, 17, 4);

    p = made(r, 20, 1);
    std::iota(reinterpret_cast<unsigned char*>(p), reinterpret_cast<unsigned char*>(p) + 20, 0x12);
    BOOST_TEST(r.try_resize(p, 20, 17, 1));  // T6
    const std::size_t now = r.try_resize(p, 17, 16, 1) ? 16U : 17U;
    for (std::size_t i = 0; i != 16; ++i) BOOST_TEST((p[i] == static_cast<std::byte>(0x12 + i)));
    r.deallocate(p, now, 1);
  });
}

BOOST_AUTO_TEST_CASE(t7_t9_t14_large_blocks_grow_and_shrink_and_keep_their_contents)
{
  over_every_resource([](gpa::resource& r) {
    std::byte* p = made(r, page * 16 - 40, 16);
    BOOST_TEST(r.try_resize(p, page * 16 - 40, page * 16 - 20, 16));  // T7: within the last granule the address stays
    p = reallocate(r, p, page * 16 - 20, page * 16 + 20, 16, 16);
    BOOST_TEST(is_kept(p, page));
    p = reallocate(r, p, page * 16 + 20, page * 8 + 20, 16, 16);  // T9
    BOOST_TEST(is_kept(p, page));
    p = reallocate(r, p, page * 8 + 20, page * 32 + 50, 16, 32);  // T14
    BOOST_TEST(is_kept(p, page));
    p = reallocate(r, p, page * 32 + 50, page * 10 + 10, 32, page * 2);  // T10
    BOOST_TEST(is_kept(p, page));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(p) % (page * 2) == 0u);
    p = reallocate(r, p, page * 10 + 10, page * 33, page * 2, page * 16);
    BOOST_TEST(is_kept(p, page));
    r.deallocate(p, page * 33, page * 16);
  });
}

BOOST_AUTO_TEST_CASE(t8_t11_contents_survive_the_border_between_small_and_large)
{
  over_every_resource([](gpa::resource& r) {
    std::byte* p = made(r, 70, 1);
    p = reallocate(r, p, 70, page * 32 + 50, 1, 1);  // T8
    BOOST_TEST(is_kept(p, page));
    p = reallocate(r, p, page * 32 + 50, 19, 1, 1);  // T11
    BOOST_TEST(is_kept(p, 19));
    r.deallocate(p, 19, 1);
  });
}

BOOST_AUTO_TEST_CASE(t15_t16_an_answer_to_a_shrink_is_yes_or_no_and_never_an_exception)
{
  over_every_resource([](gpa::resource& r) {
    std::byte* const p = made(r, page * 20 + 3, 1);
    r.set_memory_limit(0);  // T15: no memory could be had for a move
    const std::size_t now = r.try_resize(p, page * 20 + 3, 4, 1) ? 4U : page * 20 + 3;
    r.set_memory_limit(gpa::unlimited);
    BOOST_TEST((p[0] == std::byte{0x12}));
    r.deallocate(p, now, 1);
  });
}

BOOST_AUTO_TEST_CASE(t17_sizes_beside_the_borders_of_classes_live_together)
{
  over_every_resource([](gpa::resource& r) {
    std::vector<std::pair<std::byte*, std::size_t>> live;
    for (const std::size_t border : {16U, 1024U, 2048U, 3072U, 32'768U, 36'864U, 65'536U})
      for (std::size_t bytes = border - 2; bytes != border + 3; ++bytes) {
        live.emplace_back(static_cast<std::byte*>(r.allocate(bytes, 1)), bytes);
        std::memset(live.back().first, static_cast<int>(bytes % 251), bytes);
      }
    std::size_t wrong = 0;
    for (const auto& [p, bytes] : live) {
      wrong += static_cast<std::size_t>(std::count_if(
          p, p + bytes, [expected = static_cast<std::byte>(bytes % 251)](std::byte b) { return b != expected; }));
      r.deallocate(p, bytes, 1);
    }
    BOOST_TEST(wrong == 0u);
  });
}

BOOST_AUTO_TEST_CASE(t18_t21_a_limit_and_the_totals_count_requested_bytes)
{
  over_every_resource([](gpa::resource& r) {
    r.set_memory_limit(1010);
    void* const small = r.allocate(4, 4);
    void* const big = r.allocate(1000, 1);
    BOOST_TEST(r.stats().live_bytes == 1004u);
    BOOST_CHECK_THROW(static_cast<void>(r.allocate(8, 8)), std::bad_alloc);
    r.deallocate(small, 4, 4);
    BOOST_TEST(r.stats().live_bytes == 1000u);
    r.deallocate(big, 1000, 1);
    void* const exact = r.allocate(1010, 1);
    r.deallocate(exact, 1010, 1);
    r.set_memory_limit(gpa::unlimited);

    std::byte* p = made(r, 16 * page + 1, 1);  // T21
    BOOST_TEST(r.stats().live_bytes == 16 * page + 1);
    p = reallocate(r, p, 16 * page + 1, 1, 1, 1);
    BOOST_TEST(r.stats().live_bytes == 1u);
    p = reallocate(r, p, 1, 2, 1, 1);
    BOOST_TEST(r.stats().live_bytes == 2u);
    r.deallocate(p, 2, 1);
    BOOST_TEST(r.stats().live_bytes == 0u);
  });
}

// One gpa backs another, so that what the checking itself needs is seen to be returned; and the reports are asked for.
BOOST_AUTO_TEST_CASE(t19_t20_double_frees_are_found_in_emptied_slabs_and_in_freed_large_blocks)
{
  witness ground_witness;
  gpa::resource ground(ground_witness.listening({.name = "ground", .checks = gpa::checks::always()}));
  {
    witness w;
    gpa::resource r(w.listening(), &ground);
    std::vector<std::size_t> sizes = {1, 8, 100, 1024, 30'000, 70'000, 2'000'000};
    std::size_t expected = 0;
    for (const std::size_t bytes : sizes) {
      void* const kept = r.allocate(bytes, 8);
      void* const p = r.allocate(bytes, 8);
      r.deallocate(p, bytes, 8);
      BOOST_TEST(w.count() == expected);
      r.deallocate(p, bytes, 8);
      r.deallocate(p, bytes, 8);
      expected += 2;
      BOOST_TEST(w.count(mistake::double_free) == expected);
      r.deallocate(kept, bytes, 8);
      r.deallocate(kept, bytes, 8);  // nothing of the slab is live any more
      BOOST_TEST(w.count(mistake::double_free) == ++expected);
    }
    BOOST_TEST(w.count() == expected);
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST((r.deinit() == gpa::check::misuse));
  }
  BOOST_TEST(ground.stats().live_blocks == 0u);
  BOOST_TEST((ground.deinit() == gpa::check::ok));
  BOOST_TEST(ground_witness.count() == 0u);
}

BOOST_AUTO_TEST_CASE(t19_an_emptied_slab_is_still_known_after_trim)
{
  witness w;
  gpa::resource r(w.listening());
  for (const std::size_t bytes : {24U, 30'000U, 70'000U}) {
    void* const p = r.allocate(bytes, 8);
    r.deallocate(p, bytes, 8);
    r.trim();
    r.deallocate(p, bytes, 8);
    const auto told = w.take();
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front().kind == mistake::double_free);
    BOOST_TEST(told.front().bytes == bytes);
    BOOST_TEST(!told.front().freed.empty());
  }
}

BOOST_AUTO_TEST_CASE(t22_no_address_twice_and_all_is_well)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = gpa::unlimited}));
  void* const first = r.allocate(8, 8);
  r.deallocate(first, 8, 8);
  void* const second = r.allocate(8, 8);
  r.deallocate(second, 8, 8);
  BOOST_TEST(first != second);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}

// testAllocator
BOOST_AUTO_TEST_CASE(std_heap_objects_and_arrays_of_them)
{
  over_every_resource([](gpa::resource& r) {
    std::pmr::vector<int*> pointers(&r);
    for (std::size_t count : {100U, 20'000U}) {
      while (pointers.size() < count)
        pointers.push_back(::new (r.allocate(sizeof(int), alignof(int))) int(static_cast<int>(pointers.size())));
      std::size_t wrong = 0;
      for (std::size_t i = 0; i != pointers.size(); ++i) wrong += *pointers[i] != static_cast<int>(i);
      BOOST_TEST(wrong == 0u);
    }
    for (int* const p : pointers) r.deallocate(p, sizeof(int), alignof(int));
    for (const std::size_t count : {50U, 25U, 0U, 10U, 0U}) {
      pointers.resize(count);
      pointers.shrink_to_fit();
    }
    void* const a = r.allocate(0, 8);
    void* const b = r.allocate(0, 8);
    BOOST_TEST(a != b);
    r.deallocate(a, 0, 8);
    r.deallocate(b, 0, 8);
  });
}

// testAllocatorAligned and testAllocatorLargeAlignment
BOOST_AUTO_TEST_CASE(std_heap_aligned_bytes_grow_and_shrink)
{
  over_every_resource([](gpa::resource& r) {
    for (std::size_t alignment = 1; alignment <= 64; alignment *= 2) {
      slice s(r, alignment);
      for (const std::size_t bytes : {10U, 100U, 10U, 0U, 100U, 0U}) s.become(bytes);
    }
    slice s(r, page / 2);
    for (const std::size_t bytes : {500U, 100U, 5'000U, 10U, 20'000U}) s.become(bytes);
  });
}

// testAllocatorAlignedShrink: a block whose address happens to be aligned to no more than it was asked for.
BOOST_AUTO_TEST_CASE(std_heap_a_badly_aligned_block_shrinks_with_its_contents)
{
  over_every_resource([](gpa::resource& r) {
    std::vector<void*> stuff;
    std::byte* p = made(r, page * 2 + 50, 16);
    for (int i = 0; i != 20 && reinterpret_cast<std::uintptr_t>(p) % (page * 2) == 0; ++i) {
      stuff.push_back(p);
      p = made(r, page * 2 + 50, 16);
    }
    p = reallocate(r, p, page * 2 + 50, page + 10, 16, page / 2);
    BOOST_TEST(is_kept(p, page));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(p) % (page / 2) == 0u);
    r.deallocate(p, page + 10, page / 2);
    for (void* const q : stuff) r.deallocate(q, page * 2 + 50, 16);
  });
}
