// malloc and its kin on one gpa::resource, to be preloaded into programs that know nothing of it:
// real_programs_test.sh.
//
//   GPA_TEST_CHECKS   always (what it is without), never, or n for one in n
//   GPA_TEST_TOTALS   a file that gets "BLOCKS MISTAKES", all there were, a line for each process that ends in exit()
//
// free() is told no size, so each block has a head in front of what the program sees. What the resource's constructor
// and reports allocate meanwhile comes from an array.
#include <gpa/resource.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>

namespace {

constexpr std::size_t least_alignment = 16;

struct head {
  std::size_t bytes;
  std::size_t alignment;  // and how far the block begins in front of what the program sees
};
static_assert(sizeof(head) == least_alignment);

alignas(4096) constinit std::array<std::byte, std::size_t{4} << 20> early{};
constinit std::atomic<std::size_t> early_bytes{0};

constinit std::atomic<gpa::resource*> the_resource{nullptr};
constinit std::atomic<bool> begun{false};
alignas(gpa::resource) constinit std::array<std::byte, sizeof(gpa::resource)> place{};

[[gnu::tls_model("initial-exec")]] constinit thread_local unsigned calls_inside = 0;  // of gpa, by this thread

// While it lives, what malloc is asked for is gpa's own wish.
struct inside {
  inside() { ++calls_inside; }
  ~inside() { --calls_inside; }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
};

gpa::checks wanted_checks()
{
  const char* const word = std::getenv("GPA_TEST_CHECKS");
  if (word == nullptr || std::strcmp(word, "always") == 0) return gpa::checks::always();
  if (std::strcmp(word, "never") == 0) return gpa::checks::never();
  return gpa::checks::one_in(static_cast<std::uint32_t>(std::strtoul(word, nullptr, 10)));
}

// Null while it is being made.
gpa::resource* resource()
{
  gpa::resource* const r = the_resource.load(std::memory_order_acquire);
  if (r != nullptr || calls_inside != 0 || begun.exchange(true)) return r;
  const inside making;
  the_resource.store(new (place.data()) gpa::resource({.name = "malloc", .checks = wanted_checks()}),
                     std::memory_order_release);
  return the_resource.load(std::memory_order_relaxed);
}

bool is_early(const void* p)
{
  return std::greater_equal<>()(p, early.data()) && std::less<>()(p, early.data() + early.size());
}

std::byte* early_block(std::size_t bytes, std::size_t alignment)
{
  std::size_t used = early_bytes.load(std::memory_order_relaxed);
  std::size_t at = 0;
  do {
    at = (used + sizeof(head) + alignment - 1) / alignment * alignment;
    if (at > early.size() || bytes > early.size() - at) std::abort();
  } while (!early_bytes.compare_exchange_weak(used, at + bytes));
  return early.data() + at;
}

head& head_of(void* p)
{
  return *reinterpret_cast<head*>(static_cast<std::byte*>(p) - sizeof(head));
}

void* make(std::size_t bytes, std::size_t alignment) noexcept
{
  alignment = std::max(alignment, least_alignment);
  std::byte* seen = nullptr;
  gpa::resource* const r = resource();
  if (r == nullptr) {
    seen = early_block(bytes, alignment);
  } else if (bytes > PTRDIFF_MAX - alignment) {
    errno = ENOMEM;
    return nullptr;
  } else {
    try {
      const inside call;
      seen = static_cast<std::byte*>(r->allocate(bytes + alignment, alignment)) + alignment;
    } catch (const std::bad_alloc&) {
      errno = ENOMEM;
      return nullptr;
    }
  }
  head_of(seen) = {bytes, alignment};
  return seen;
}

// Static storage is destroyed by then; the resource is not.
[[gnu::destructor]] void tell_totals()
{
  const char* const path = std::getenv("GPA_TEST_TOTALS");
  gpa::resource* const r = the_resource.load();
  if (path == nullptr || r == nullptr) return;
  const gpa::statistics s = r->stats();
  std::array<char, 64> line{};
  const int bytes = std::snprintf(line.data(), line.size(), "%zu %zu\n", s.total_blocks, s.mistakes);
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (file < 0 || ::write(file, line.data(), static_cast<std::size_t>(bytes)) != bytes) std::abort();
  ::close(file);
}

}  // namespace

extern "C" {

void* malloc(std::size_t bytes)
{
  return make(bytes, least_alignment);
}

void free(void* p)
{
  if (p == nullptr || is_early(p)) return;
  const int error = errno;
  const head h = head_of(p);
  const inside call;
  the_resource.load(std::memory_order_relaxed)
      ->deallocate(static_cast<std::byte*>(p) - h.alignment, h.bytes + h.alignment, h.alignment);
  errno = error;
}

void* calloc(std::size_t count, std::size_t bytes)
{
  std::size_t all = 0;
  if (__builtin_mul_overflow(count, bytes, &all)) {
    errno = ENOMEM;
    return nullptr;
  }
  void* const p = make(all, least_alignment);
  return p == nullptr ? nullptr : std::memset(p, 0, all);
}

void* realloc(void* p, std::size_t bytes)
{
  if (p == nullptr) return make(bytes, least_alignment);
  if (bytes == 0) {
    free(p);
    return nullptr;
  }
  const head h = head_of(p);
  if (!is_early(p) && bytes <= PTRDIFF_MAX - h.alignment) {
    const inside call;
    if (the_resource.load(std::memory_order_relaxed)
            ->try_resize(static_cast<std::byte*>(p) - h.alignment, h.bytes + h.alignment, bytes + h.alignment,
                         h.alignment)) {
      head_of(p).bytes = bytes;
      return p;
    }
  }
  void* const moved = make(bytes, least_alignment);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, p, std::min(bytes, h.bytes));
  free(p);
  return moved;
}

void* reallocarray(void* p, std::size_t count, std::size_t bytes)
{
  std::size_t all = 0;
  if (!__builtin_mul_overflow(count, bytes, &all)) return realloc(p, all);
  errno = ENOMEM;
  return nullptr;
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes)
{
  return make(bytes, alignment);
}
void* memalign(std::size_t alignment, std::size_t bytes)
{
  return make(bytes, alignment);
}
void* valloc(std::size_t bytes)
{
  return make(bytes, 4096);
}

int posix_memalign(void** p, std::size_t alignment, std::size_t bytes)
{
  if (!std::has_single_bit(alignment) || alignment < sizeof(void*)) return EINVAL;
  const int error = errno;
  void* const made = make(bytes, alignment);
  errno = error;
  if (made == nullptr) return ENOMEM;
  *p = made;
  return 0;
}

std::size_t malloc_usable_size(void* p)
{
  return p == nullptr ? 0 : head_of(p).bytes;
}
}
