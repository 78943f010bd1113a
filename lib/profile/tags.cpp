#include "profile/tags.hpp"

#include "base/tools.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/text.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>

namespace gpa::detail {

namespace {

constexpr std::size_t most_letters = 63;

struct kept_name {
  std::size_t size;
  char letters[most_letters + 1];
  [[nodiscard]] std::string_view view() const noexcept { return {letters, size}; }
};

// In the order of their numbers, from 1. Aligned to a page, large tables stand in front of the small variables.
alignas(page_size) constinit std::array<std::atomic<const kept_name*>, most_tags> names{};

const kept_name* kept(std::string_view name) noexcept
{
  auto* const k = static_cast<kept_name*>(metadata_allocate(sizeof(kept_name)));
  if (k == nullptr) return nullptr;
  k->size = name.size();
  std::memcpy(k->letters, name.data(), name.size());
  return k;
}

void drop(const kept_name* k) noexcept
{
  if (k != nullptr) metadata_free(const_cast<kept_name*>(k), sizeof(kept_name));
}

// As much of it as is kept.
std::string_view kept_part(std::string_view name, std::array<char, most_letters>& to) noexcept
{
  name = shortened_to(name, most_letters);
  std::transform(name.begin(), name.end(), to.begin(), printable);
  return {to.data(), name.size()};
}

}  // namespace

std::uint16_t tag_number(std::string_view name) noexcept
{
  std::array<char, most_letters> letters;
  name = kept_part(name, letters);
  if (name.empty()) return 0;
  const kept_name* ours = nullptr;
  for (std::uint16_t number = 1; number <= most_tags; ++number) {
    std::atomic<const kept_name*>& place = names[number - 1U];
    const kept_name* seen = place.load(std::memory_order_acquire);
    if (seen == nullptr) {
      if (ours == nullptr) ours = kept(name);
      if (ours == nullptr) return other_tags;
      tools_release(&place);  // TSan sees memcpy() and memcmp() in a library that it knows nothing else of
      if (place.compare_exchange_strong(seen, ours, std::memory_order_acq_rel)) return number;
    }
    tools_acquired(&place);
    if (seen->view() == name) {
      drop(ours);
      return number;
    }
  }
  drop(ours);
  return other_tags;
}

std::string_view tag_name(std::uint16_t number) noexcept
{
  if (number == 0) return {};
  const kept_name* const k = number > most_tags ? nullptr : names[number - 1].load(std::memory_order_acquire);
  if (k == nullptr) return "other tags";
  tools_acquired(&names[number - 1]);
  return k->view();
}

}  // namespace gpa::detail
