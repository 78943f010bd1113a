#include "checked/fill.hpp"

namespace gpa::detail {

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
}

}  // namespace

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
