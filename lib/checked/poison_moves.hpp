// How the short path writes poison into memory, and looks whether it stands there: lines of 64 bytes, from anywhere on.
//
//    sse2_moves    16 bytes an instruction: every x86-64
//    avx2_moves    32 bytes an instruction: where the CPU has AVX2
//
// The functions they become part of are compiled for every x86-64, and must stay without a call and without a frame. So
// AVX2 comes as assembler text, each function one piece of it: between two pieces the compiler may use the same registers
// with instructions that know nothing of their upper halves. Each ends with vzeroupper, or the older instructions that
// follow would wait for those halves. (Registers 16 to 31 of AVX-512 need none, says the manual; pairs of 256 and of
// 4096 bytes took a third longer with them, on a Xeon of model 106.)
//
// Reading is exempt from sanitizers: the user may be writing where they must not, and finding that is our business.
#pragma once

#include "base/attributes.hpp"
#include "base/size_class.hpp"
#include "base/tools.hpp"
#include "checked/poison.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

#include <emmintrin.h>

namespace gpa::detail {

[[nodiscard]] inline __m128i poison_of_16() noexcept { return _mm_set1_epi8(static_cast<char>(poison_byte)); }

[[nodiscard]] GPA_NO_SANITIZE inline __m128i aligned_16(const std::byte* p) noexcept
{
  return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
}

[[nodiscard]] GPA_NO_SANITIZE inline __m128i anywhere_16(const std::byte* p) noexcept
{
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

/// Compares many bytes with poison: they all are if their conjunction is, and their disjunction. Two instructions for 16.
class poison_look {
 public:
  explicit poison_look(const std::byte* p) noexcept : all_(aligned_16(p)), any_(all_) {}
  void at(const std::byte* p) noexcept { take(aligned_16(p)); }
  void line(const std::byte* p) noexcept
  {
    for (std::size_t i = 0; i != poison_line; i += 16) at(p + i);
  }
  void line_anywhere(const std::byte* p) noexcept
  {
    for (std::size_t i = 0; i != poison_line; i += 16) take(anywhere_16(p + i));
  }
  [[nodiscard]] bool is_poison() const noexcept
  {
    const __m128i same = _mm_and_si128(_mm_cmpeq_epi8(all_, poison_of_16()), _mm_cmpeq_epi8(any_, poison_of_16()));
    return _mm_movemask_epi8(same) == 0xFFFF;
  }

 private:
  void take(__m128i seen) noexcept
  {
    all_ = _mm_and_si128(all_, seen);
    any_ = _mm_or_si128(any_, seen);
  }

  __m128i all_;
  __m128i any_;
};

inline void poison_16(std::byte* p) noexcept { _mm_store_si128(reinterpret_cast<__m128i*>(p), poison_of_16()); }
inline void poison_a_line(std::byte* p) noexcept
{
  for (std::size_t i = 0; i != poison_line; i += 16) poison_16(p + i);
}

/// Everything from `begin` to the end of the line at `last`, which begins there or later; both are multiples of 16. Or
/// the first two lines, the one in the middle, one `end` that begins anywhere, and the last.
struct sse2_moves {
  static constexpr bool wide = false;

  static void write_up_to(std::byte* begin, std::byte* last) noexcept
  {
    for (std::byte* p = begin; p < last; p += poison_line) {
      asm("" : "+r"(p));  // stays a loop: as a call of memset it would cost the caller its frame
      poison_a_line(p);
    }
    poison_a_line(last);
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* last) noexcept
  {
    poison_a_line(begin);
    poison_a_line(begin + poison_line);
    poison_a_line(middle);
    poison_a_line(last);
  }
  static void write_places(std::byte* begin, std::byte* middle, std::byte* end, std::byte* last) noexcept
  {
    write_places(begin, middle, last);
    for (std::size_t i = 0; i != poison_line; i += 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(end + i), poison_of_16());
  }

  [[nodiscard]] static bool is_poison_up_to(const std::byte* begin, const std::byte* last) noexcept
  {
    poison_look look(begin);
    for (const std::byte* p = begin; p < last; p += poison_line) look.line(p);
    look.line(last);
    return look.is_poison();
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* last) noexcept
  {
    poison_look look(begin);
    for (const std::byte* p : {begin, begin + poison_line, middle, last}) look.line(p);
    return look.is_poison();
  }
  [[nodiscard]] static bool is_poison_at(const std::byte* begin, const std::byte* middle, const std::byte* end,
                                         const std::byte* last) noexcept
  {
    poison_look look(begin);
    for (const std::byte* p : {begin, begin + poison_line, middle, last}) look.line(p);
    look.line_anywhere(end);
    return look.is_poison();
  }
  [[nodiscard]] static bool is_poison_line(const std::byte* p) noexcept
  {
    poison_look look(p);
    look.line(p);
    return look.is_poison();
  }
  /// One bit for each byte of a line that is no poison.
  [[nodiscard]] static std::uint64_t changed_bytes(const std::byte* p) noexcept
  {
    std::uint64_t same = 0;
    for (std::size_t i = poison_line; i != 0; i -= 16)
      same = same << 16 | static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(aligned_16(p + i - 16), poison_of_16())));
    return ~same;
  }
};

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
  static constexpr bool wide = true;

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
  [[nodiscard]] static bool present() noexcept { return !watched_for_races && __builtin_cpu_supports("avx2") != 0; }

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
