#include "trace/interned.hpp"

#include "base/mutex.hpp"
#include "os/containers.hpp"
#include "os/metadata.hpp"

#include <cstring>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_texts = 4096;

using text_set = hash_set<std::string_view>;

constinit mutex lock;
alignas(text_set) std::byte storage[sizeof(text_set)];
constinit text_set* known GPA_GUARDED_BY(lock) = nullptr;  // never destroyed: reports outlive static destructors

std::string_view copy_of(std::string_view words)
{
  auto* const place = static_cast<char*>(metadata_allocate(words.size()));
  if (place == nullptr) throw std::bad_alloc();
  std::memcpy(place, words.data(), words.size());
  return {place, words.size()};
}

}  // namespace

std::string_view interned(std::string_view words) noexcept
{
  if (words.empty()) return {};
  try {
    const mutex_guard guard(lock);
    if (known == nullptr) known = new (storage) text_set;
    if (const auto found = known->find(words); found != known->end()) return *found;
    if (known->size() >= most_texts) return "see the numbers of this report";
    return *known->insert(copy_of(words)).first;
  } catch (const std::bad_alloc&) {
    return "no memory for the details";
  }
}

void interned_lock() noexcept GPA_ACQUIRE(lock) { lock.lock(); }

void interned_unlock() noexcept GPA_RELEASE(lock) { lock.unlock(); }

}  // namespace gpa::detail
