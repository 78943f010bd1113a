// Poison with the 64-byte instructions of AVX-512: see poison_moves.hpp.
//
// A line is one instruction: written, or compared with poison, what differs kept with what did before (vpternlogd). In
// registers 16 to 31, after which no vzeroupper is needed. With AVX2 (2 CPUs, Xeon of model 207, 2026-11-30) pairs of 1
// KiB took 9 % more, of 16 KiB 5, of 4 KiB 4, of 256 B 3. On a Xeon of model 106 it was they that took a third longer; so
// they are for CPUs whose AVX-512 knows half-precision numbers, which are younger: not that these were wanted. A thread
// that used these registers has a KiB more to be kept while another one runs.
#pragma once

#include "base/cpu.hpp"
#include "base/size_class.hpp"
#include "base/tools.hpp"
#include "checked/poison.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

// Where the compiler itself may keep something there.
#ifdef __AVX512F__
#define GPA_WIDE_REGISTERS "xmm16", "xmm17", "k1"
#define GPA_AND_WIDE_REGISTERS , GPA_WIDE_REGISTERS
#else
#define GPA_WIDE_REGISTERS
#define GPA_AND_WIDE_REGISTERS
#endif
#define GPA_TAKE_POISON "vpbroadcastd %[poison], %%zmm16\n\t"
#define GPA_POISON_LINE(place) "vmovdqu64 %%zmm16, " place "\n\t"
#define GPA_LOOK_AT_FIRST_LINE(place) "vpxord " place ", %%zmm16, %%zmm17\n\t"
#define GPA_LOOK_AT_LINE(place) "vpternlogd $0xf6, " place ", %%zmm16, %%zmm17\n\t"  // zmm17 | (zmm16 ^ place)
#define GPA_ALL_THE_SAME "vptestmd %%zmm17, %%zmm17, %%k1\n\tkortestw %%k1, %%k1"

struct avx512_moves {
  static void write_up_to(std::byte* begin, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON "1:\n\t"
                 GPA_POISON_LINE("(%[p])")
                 "add $64, %[p]\n\t"
                 "cmp %[last], %[p]\n\t"
                 "jb 1b\n\t"
                 GPA_POISON_LINE("(%[last])")
                 : [p] "+&r"(begin)
                 : [last] "r"(last), [poison] "m"(poison)
                 : "cc", "memory" GPA_AND_WIDE_REGISTERS);
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON GPA_POISON_LINE("%[begin]")
                 GPA_POISON_LINE("%[second]")
                 GPA_POISON_LINE("%[middle]")
                 GPA_POISON_LINE("%[last]")
                 : [begin] "=m"(*line_at(begin)), [second] "=m"(*line_at(begin + poison_line)),
                   [middle] "=m"(*line_at(middle)), [last] "=m"(*line_at(last))
                 : [poison] "m"(poison)
                 : "memory" GPA_AND_WIDE_REGISTERS);
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* end, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON GPA_POISON_LINE("%[begin]")
                 GPA_POISON_LINE("%[second]")
                 GPA_POISON_LINE("%[middle]")
                 GPA_POISON_LINE("%[end]")
                 GPA_POISON_LINE("%[last]")
                 : [begin] "=m"(*line_at(begin)), [second] "=m"(*line_at(begin + poison_line)),
                   [middle] "=m"(*line_at(middle)), [end] "=m"(*line_at(end)), [last] "=m"(*line_at(last))
                 : [poison] "m"(poison)
                 : "memory" GPA_AND_WIDE_REGISTERS);
  }

  [[nodiscard]] static bool is_poison_up_to(const std::byte* begin, const std::byte* last) noexcept
  {
    bool same = false;
    const std::byte* p = begin;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE("(%[last])")
                 "1:\n\t"
                 GPA_LOOK_AT_LINE("(%[p])")
                 "add $64, %[p]\n\t"
                 "cmp %[last], %[p]\n\t"
                 "jb 1b\n\t"
                 GPA_ALL_THE_SAME
                 : [p] "+&r"(p), "=@ccz"(same)
                 : [last] "r"(last), [poison] "m"(poison), "m"(all_of(begin))
                 : GPA_WIDE_REGISTERS);
    return same;
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* last) noexcept
  {
    bool same = false;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE("%[begin]")
                 GPA_LOOK_AT_LINE("%[second]")
                 GPA_LOOK_AT_LINE("%[middle]")
                 GPA_LOOK_AT_LINE("%[last]")
                 GPA_ALL_THE_SAME
                 : "=@ccz"(same)
                 : [begin] "m"(*line_at(begin)), [second] "m"(*line_at(begin + poison_line)), [middle] "m"(*line_at(middle)),
                   [last] "m"(*line_at(last)), [poison] "m"(poison)
                 : GPA_WIDE_REGISTERS);
    return same;
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* end,
                                         const std::byte* last) noexcept
  {
    bool same = false;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE("%[begin]")
                 GPA_LOOK_AT_LINE("%[second]")
                 GPA_LOOK_AT_LINE("%[middle]")
                 GPA_LOOK_AT_LINE("%[end]")
                 GPA_LOOK_AT_LINE("%[last]")
                 GPA_ALL_THE_SAME
                 : "=@ccz"(same)
                 : [begin] "m"(*line_at(begin)), [second] "m"(*line_at(begin + poison_line)), [middle] "m"(*line_at(middle)),
                   [end] "m"(*line_at(end)), [last] "m"(*line_at(last)), [poison] "m"(poison)
                 : GPA_WIDE_REGISTERS);
    return same;
  }
  [[nodiscard]] static bool is_poison_line(const std::byte* line) noexcept
  {
    bool same = false;
    asm volatile(GPA_TAKE_POISON "vpcmpneqb %[line], %%zmm16, %%k1\n\t"
                 "kortestq %%k1, %%k1"
                 : "=@ccz"(same)
                 : [line] "m"(*line_at(line)), [poison] "m"(poison)
                 : GPA_WIDE_REGISTERS);
    return same;
  }
  [[nodiscard]] static std::uint64_t changed_bytes(const std::byte* line) noexcept
  {
    std::uint64_t changed = 0;
    asm volatile(GPA_TAKE_POISON "vpcmpneqb %[line], %%zmm16, %%k1\n\t"
                 "kmovq %%k1, %[changed]"
                 : [changed] "=r"(changed)
                 : [line] "m"(*line_at(line)), [poison] "m"(poison)
                 : GPA_WIDE_REGISTERS);
    return changed;
  }

  /// See avx2_moves.
  [[nodiscard]] static bool present() noexcept { return !watched_for_races && cpu_has_avx512_fp16(); }

 private:
  static constexpr std::uint32_t poison = poison_byte * 0x01010101U;
  using bytes = std::array<std::byte, largest_slot>;
  static const bytes& all_of(const std::byte* p) noexcept { return reinterpret_cast<const bytes&>(*p); }
  struct a_line {  // clang takes no std::array that is written
    std::byte bytes[poison_line];
  };
  static const a_line* line_at(const std::byte* p) noexcept { return reinterpret_cast<const a_line*>(p); }
  static a_line* line_at(std::byte* p) noexcept { return reinterpret_cast<a_line*>(p); }
};

#undef GPA_WIDE_REGISTERS
#undef GPA_AND_WIDE_REGISTERS
#undef GPA_TAKE_POISON
#undef GPA_POISON_LINE
#undef GPA_LOOK_AT_FIRST_LINE
#undef GPA_LOOK_AT_LINE
#undef GPA_ALL_THE_SAME

}  // namespace gpa::detail
