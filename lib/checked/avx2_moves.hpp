// Poison with the 32-byte instructions of AVX2: see poison_moves.hpp.
//
// Each piece ends with vzeroupper, or the older instructions that follow would wait for the registers' upper halves.
#pragma once

#include "base/cpu.hpp"
#include "base/size_class.hpp"
#include "base/tools.hpp"
#include "checked/poison.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

// Of ymm0, which is poison; what is the same is collected in ymm1 and ymm2. `at` is the name of an operand.
#define GPA_POISON_LINE(at, offset)                     \
  "vmovdqu %%ymm0, " #offset "(%[" #at "])\n\t"         \
  "vmovdqu %%ymm0, 32+" #offset "(%[" #at "])\n\t"
#define GPA_LOOK_AT_FIRST_LINE(at)                      \
  "vpcmpeqb (%[" #at "]), %%ymm0, %%ymm1\n\t"           \
  "vpcmpeqb 32(%[" #at "]), %%ymm0, %%ymm2\n\t"
#define GPA_LOOK_AT_LINE(at, offset)                    \
  "vpcmpeqb " #offset "(%[" #at "]), %%ymm0, %%ymm3\n\t" \
  "vpcmpeqb 32+" #offset "(%[" #at "]), %%ymm0, %%ymm4\n\t" \
  "vpand %%ymm3, %%ymm1, %%ymm1\n\t"                    \
  "vpand %%ymm4, %%ymm2, %%ymm2\n\t"
// Where the compiler itself may keep something there, vzeroupper takes the upper halves of these too.
#ifdef __AVX__
#define GPA_UPPER_HALVES , "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#else
#define GPA_UPPER_HALVES
#endif
#define GPA_TAKE_POISON "vpbroadcastd %[poison], %%ymm0\n\t"
#define GPA_ALL_THE_SAME "vpand %%ymm1, %%ymm2, %%ymm2\n\tvpmovmskb %%ymm2, %[same]\n\tvzeroupper"

struct avx2_moves {
  static void write_up_to(std::byte* begin, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON
                 "1:\n\t"
                 GPA_POISON_LINE(p, 0)
                 "add $64, %[p]\n\t"
                 "cmp %[last], %[p]\n\t"
                 "jb 1b\n\t"
                 GPA_POISON_LINE(last, 0)
                 "vzeroupper"
                 : [p] "+&r"(begin)
                 : [last] "r"(last), [poison] "m"(poison)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES, "cc", "memory");
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON GPA_POISON_LINE(begin, 0) GPA_POISON_LINE(begin, 64) GPA_POISON_LINE(middle, 0)
                 GPA_POISON_LINE(last, 0) "vzeroupper"
                 :
                 : [begin] "r"(begin), [middle] "r"(middle), [last] "r"(last), [poison] "m"(poison)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES, "memory");
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* end, std::byte* last) noexcept
  {
    asm volatile(GPA_TAKE_POISON GPA_POISON_LINE(begin, 0) GPA_POISON_LINE(begin, 64) GPA_POISON_LINE(middle, 0)
                 GPA_POISON_LINE(end, 0) GPA_POISON_LINE(last, 0) "vzeroupper"
                 :
                 : [begin] "r"(begin), [middle] "r"(middle), [end] "r"(end), [last] "r"(last), [poison] "m"(poison)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES, "memory");
  }

  [[nodiscard]] static bool is_poison_up_to(const std::byte* begin, const std::byte* last) noexcept
  {
    std::uint32_t same = 0;
    const std::byte* p = begin;
    asm volatile(GPA_TAKE_POISON
                 GPA_LOOK_AT_FIRST_LINE(last)
                 "1:\n\t"
                 GPA_LOOK_AT_LINE(p, 0)
                 "add $64, %[p]\n\t"
                 "cmp %[last], %[p]\n\t"
                 "jb 1b\n\t"
                 GPA_ALL_THE_SAME
                 : [p] "+&r"(p), [same] "=r"(same)
                 : [last] "r"(last), [poison] "m"(poison), "m"(all_of(begin))
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES, "cc");
    return same == ~std::uint32_t{0};
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* last) noexcept
  {
    std::uint32_t same = 0;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE(begin) GPA_LOOK_AT_LINE(begin, 64) GPA_LOOK_AT_LINE(middle, 0)
                 GPA_LOOK_AT_LINE(last, 0) GPA_ALL_THE_SAME
                 : [same] "=r"(same)
                 : [begin] "r"(begin), [middle] "r"(middle), [last] "r"(last), [poison] "m"(poison), "m"(all_of(begin))
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES);
    return same == ~std::uint32_t{0};
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* end,
                                         const std::byte* last) noexcept
  {
    std::uint32_t same = 0;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE(begin) GPA_LOOK_AT_LINE(begin, 64) GPA_LOOK_AT_LINE(middle, 0)
                 GPA_LOOK_AT_LINE(end, 0) GPA_LOOK_AT_LINE(last, 0) GPA_ALL_THE_SAME
                 : [same] "=r"(same)
                 : [begin] "r"(begin), [middle] "r"(middle), [end] "r"(end), [last] "r"(last), [poison] "m"(poison),
                   "m"(all_of(begin))
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES);
    return same == ~std::uint32_t{0};
  }
  [[nodiscard]] static bool is_poison_line(const std::byte* line) noexcept
  {
    std::uint32_t same = 0;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE(line) GPA_ALL_THE_SAME
                 : [same] "=r"(same)
                 : [line] "r"(line), [poison] "m"(poison), "m"(all_of(line))
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES);
    return same == ~std::uint32_t{0};
  }
  [[nodiscard]] static std::uint64_t changed_bytes(const std::byte* line) noexcept
  {
    std::uint64_t lower = 0;
    std::uint64_t upper = 0;
    asm volatile(GPA_TAKE_POISON GPA_LOOK_AT_FIRST_LINE(line)
                 "vpmovmskb %%ymm1, %k[lower]\n\t"
                 "vpmovmskb %%ymm2, %k[upper]\n\t"
                 "vzeroupper"
                 : [lower] "=&r"(lower), [upper] "=r"(upper)
                 : [line] "r"(line), [poison] "m"(poison), "m"(all_of(line))
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4" GPA_UPPER_HALVES);
    return ~(upper << 32 | lower);
  }

  /// Whether the CPU has them. ThreadSanitizer does not see what assembler text writes, and is to see poison: a thread that
  /// still writes to a block which another one frees races with that.
  [[nodiscard]] static bool present() noexcept { return !watched_for_races && cpu_has_avx2(); }

 private:
  static constexpr std::uint32_t poison = poison_byte * 0x01010101U;

  // As an operand: whatever lies from there on may be read.
  using bytes = std::array<std::byte, largest_slot>;
  static const bytes& all_of(const std::byte* p) noexcept { return reinterpret_cast<const bytes&>(*p); }
};

#undef GPA_UPPER_HALVES
#undef GPA_POISON_LINE
#undef GPA_LOOK_AT_FIRST_LINE
#undef GPA_LOOK_AT_LINE
#undef GPA_TAKE_POISON
#undef GPA_ALL_THE_SAME

}  // namespace gpa::detail
