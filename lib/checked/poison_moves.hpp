// How the short path writes poison into memory, and looks whether it stands there: lines of 64 bytes, from anywhere on.
//
//    sse2_moves      16 bytes an instruction: here; every x86-64
//    avx2_moves      32 bytes an instruction: avx2_moves.hpp; where the CPU has AVX2
//    avx512_moves    64 bytes an instruction: avx512_moves.hpp; where the CPU has AVX-512 with half-precision numbers
//
// The functions they become part of are compiled for every x86-64, and must stay without a call and without a frame. So
// the two wider ones come as assembler text, each function one piece of it: between two pieces the compiler may use the
// same registers with instructions that know nothing of their upper halves.
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
  [[nodiscard]] static bool present() noexcept { return true; }

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

}  // namespace gpa::detail
