#include "trace/interned.hpp"

#include "base/mutex.hpp"
#include "os/containers.hpp"
#include "os/metadata.hpp"

#include <cstdint>
#include <cstring>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_reasons = 4096;

using text_set = hash_set<std::string_view>;

constinit mutex lock;
alignas(text_set) std::byte storage[sizeof(text_set)];
constinit std::size_t reasons GPA_GUARDED_BY(lock) = 0;
constinit text_set* known GPA_GUARDED_BY(lock) = nullptr;  // never destroyed: reports outlive static destructors

std::string_view copy_of(std::string_view words)
{
  auto* const place = static_cast<char*>(metadata_allocate(words.size()));
  if (place == nullptr) throw std::bad_alloc();
  std::memcpy(place, words.data(), words.size());
  return {place, words.size()};
}

enum class text_kind : std::uint8_t { reason, name };

std::string_view kept(std::string_view words, text_kind kind) noexcept
{
  if (words.empty()) return {};
  try {
    const mutex_guard guard(lock);
    if (known == nullptr) known = new (storage) text_set;
    if (const auto found = known->find(words); found != known->end()) return *found;
    if (kind == text_kind::reason && reasons == most_reasons) return "see the numbers of this report";
    const std::string_view copy = *known->insert(copy_of(words)).first;
    if (kind == text_kind::reason) ++reasons;
    return copy;
  } catch (const std::bad_alloc&) {
    return kind == text_kind::name ? "resource" : "no memory for the details";
  }
}

}  // namespace

std::string_view interned(std::string_view words) noexcept { return kept(words, text_kind::reason); }

std::string_view interned_name(std::string_view words) noexcept { return kept(words, text_kind::name); }

void interned_lock() noexcept GPA_ACQUIRE(lock) { lock.lock(); }

void interned_unlock() noexcept GPA_RELEASE(lock) { lock.unlock(); }

}  // namespace gpa::detail
