#include "checked/fill.hpp"

#include <immintrin.h>

namespace gpa::detail {

// 128 bytes a turn, the last 128 whatever the rest is: no second loop whose end the CPU would have to guess.
[[gnu::target("avx2")]] GPA_NO_SANITIZE bool is_poison_avx2(const std::byte* p, std::size_t bytes) noexcept
{
  const __m256i poison = _mm256_set1_epi8(static_cast<char>(poison_byte));
  __m256i changed = _mm256_setzero_si256();
  const std::byte* const last = p + bytes - 128;
  for (;; p = p + 128 < last ? p + 128 : last) {
    const auto* const words = reinterpret_cast<const __m256i*>(p);
    const __m256i a = _mm256_xor_si256(_mm256_loadu_si256(words), poison);
    const __m256i b = _mm256_xor_si256(_mm256_loadu_si256(words + 1), poison);
    const __m256i c = _mm256_xor_si256(_mm256_loadu_si256(words + 2), poison);
    const __m256i d = _mm256_xor_si256(_mm256_loadu_si256(words + 3), poison);
    changed = _mm256_or_si256(changed, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    if (p == last) return _mm256_testz_si256(changed, changed) != 0;
  }
}

namespace {

// What belongs at `offset` of a slot whose first `bytes` are the user's (bytes = 0 and no redzone: a free slot).
constexpr std::uint8_t expected_behind(std::size_t offset, std::size_t bytes) noexcept
{
  return offset < bytes + redzone_bytes ? redzone_byte : poison_byte;
}

void note(damage& d, std::size_t offset) noexcept
{
  if (d.count == 0) d.first = offset;
  d.last = offset;
  ++d.count;
  if (offset - d.first < 64) d.changed |= std::uint64_t{1} << (offset - d.first);
}

}  // namespace

GPA_NO_SANITIZE void write_poison_unwatched(std::byte* p, std::size_t bytes) noexcept
{
  auto* const place = reinterpret_cast<volatile std::uint8_t*>(p);
  for (std::size_t i = 0; i != bytes; ++i) place[i] = poison_byte;
}

GPA_NO_SANITIZE damage find_damage_of_poison(const std::byte* slot, std::size_t size) noexcept
{
  damage found;
  const auto* const seen = reinterpret_cast<const volatile std::uint8_t*>(slot);
  for (std::size_t i = 0; i != size; ++i)
    if (seen[i] != poison_byte) note(found, i);
  return found;
}

GPA_NO_SANITIZE damage find_damage_behind(const std::byte* slot, std::size_t bytes, std::size_t size) noexcept
{
  damage found;
  const auto* const seen = reinterpret_cast<const volatile std::uint8_t*>(slot);
  for (std::size_t i = bytes; i != size; ++i)
    if (seen[i] != expected_behind(i, bytes)) note(found, i);
  return found;
}

}  // namespace gpa::detail
