#include "os/metadata.hpp"

#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/bits.hpp"
#include "base/mutex.hpp"
#include "os/page_tally.hpp"
#include "os/pages.hpp"
#include "os/piece_size.hpp"

namespace gpa::detail {

namespace {

// The first arena serves programs that need little; being smaller than a huge page it can never become one.
constexpr std::size_t first_arena = std::size_t{1} << 20;
constexpr std::size_t later_arena = std::size_t{4} << 20;
static_assert(later_arena - 2 * page_size >= largest_piece);

/// Larger blocks than this have guard pages of their own.
constexpr std::size_t guarded_mapping = std::size_t{4} << 20;

/// What stands in a piece on a list. Everything from `used` to the end of the piece is still zero.
struct returned_piece {
  returned_piece* next;
  std::size_t used;
};
static_assert(sizeof(returned_piece) <= smallest_piece);

/// Returned pieces of a page and more keep their pages up to here. Then those of other sizes go first, a few at a time: what
/// was returned now is wanted again sooner than what a program's last part left.
constexpr std::size_t most_kept = std::size_t{4} << 20;
constexpr unsigned most_emptied = 8;

/// Addresses of returned pieces of one size whose pages went back: they are zero.
struct emptied_pieces {
  static constexpr std::size_t capacity = page_size / sizeof(void*) - 2;
  emptied_pieces* next;
  std::size_t count;
  void* places[capacity];
};
static_assert(sizeof(emptied_pieces) == page_size);

alignas(page_size) constinit std::byte static_arena[std::size_t{1} << 20] = {};

/// What the first resource and its first blocks take of it.
constexpr std::size_t touched_at_first = 6 * page_size;

struct pieces {
  mutex lock;
  returned_piece* returned[piece_sizes] GPA_GUARDED_BY(lock) = {};
  emptied_pieces* emptied[piece_sizes] GPA_GUARDED_BY(lock) = {};
  std::size_t kept GPA_GUARDED_BY(lock) = 0;  // bytes of returned pieces of a page and more
  std::size_t emptied_last GPA_GUARDED_BY(lock) = 0;  // index of a size
  std::byte* next GPA_GUARDED_BY(lock) = static_arena;  // of the current arena: [next, end) was never handed out
  std::byte* end GPA_GUARDED_BY(lock) = static_arena + sizeof static_arena;
  std::byte* small_next GPA_GUARDED_BY(lock) = nullptr;  // of the page that small pieces are cut from: never handed out
  std::byte* small_end GPA_GUARDED_BY(lock) = nullptr;
  std::atomic<std::size_t> held{0};
};
constinit pieces all;

returned_piece*& list_of(std::size_t size) noexcept GPA_REQUIRES(all.lock) { return all.returned[piece_index(size)]; }

void put(void* p, std::size_t size, std::size_t used) noexcept GPA_REQUIRES(all.lock)
{
  returned_piece*& list = list_of(size);
  list = ::new (p) returned_piece{list, used < sizeof(returned_piece) ? sizeof(returned_piece) : used};
  if (size >= page_size) all.kept += size;
}

/// Cuts what was never handed out, from `next` up to `limit`, into pieces for the lists: each as large as its address
/// is aligned and as fits.
void cut_up_to(std::byte*& next, const std::byte* limit) noexcept GPA_REQUIRES(all.lock)
{
  while (next != limit) {
    const std::size_t left = static_cast<std::size_t>(limit - next);
    const std::size_t lowest_bit = address(next) & (~address(next) + 1);
    std::size_t size = std::bit_floor(left);
    if (lowest_bit < page_size && lowest_bit < size) size = lowest_bit;
    if (size > largest_piece) size = largest_piece;
    put(next, size, 0);
    next += size;
  }
}

bool map_arena() noexcept GPA_REQUIRES(all.lock)
{
  const std::size_t size = all.held.load(std::memory_order_relaxed) == 0 ? first_arena : later_arena;
  auto* const arena = static_cast<std::byte*>(map_pages(size, page_size));
  if (arena == nullptr) return false;
  cut_up_to(all.next, all.end);
  // A guard that the kernel refuses costs us the guard, not the arena.
  close_pages(arena, page_size);
  close_pages(arena + size - page_size, page_size);
  all.next = arena + page_size;
  all.end = arena + size - page_size;
  all.held.fetch_add(size, std::memory_order_relaxed);
  return true;
}

/// Of a page and more: `next` stays at the beginning of one. Null when refused.
std::byte* carve_pages(std::size_t size) noexcept GPA_REQUIRES(all.lock)
{
  while (static_cast<std::size_t>(all.end - all.next) < size) {
    if (!map_arena()) return nullptr;
  }
  std::byte* const p = all.next;
  if (p == static_arena) touch_pages(static_arena, touched_at_first);
  all.next += size;
  return p;
}

void* take_emptied(std::size_t size) noexcept GPA_REQUIRES(all.lock)
{
  emptied_pieces*& head = all.emptied[piece_index(size)];
  if (head == nullptr) return nullptr;
  void* const p = head->places[--head->count];
  if (head->count == 0) put(std::exchange(head, head->next), page_size, page_size);
  return p;
}

/// Small ones stand close together on pages of their own: few pages are touched.
void* carve(std::size_t size) noexcept GPA_REQUIRES(all.lock)
{
  if (size >= page_size) return carve_pages(size);
  const auto start_in_page = [size]() GPA_REQUIRES(all.lock) {
    return round_up(address(all.small_next), piece_alignment(size));
  };
  if (start_in_page() + size > address(all.small_end)) {
    cut_up_to(all.small_next, all.small_end);
    void* const emptied = take_emptied(page_size);
    all.small_next = emptied != nullptr ? static_cast<std::byte*>(emptied) : carve_pages(page_size);
    all.small_end = all.small_next == nullptr ? nullptr : all.small_next + page_size;
    if (all.small_next == nullptr) return nullptr;
  }
  cut_up_to(all.small_next, all.small_next + (start_in_page() - address(all.small_next)));
  void* const p = all.small_next;
  all.small_next += size;
  return p;
}

/// To remember others by. Returned ones first: a page would be carved each time that a size has its first one again.
void* page_for_emptied() noexcept GPA_REQUIRES(all.lock)
{
  returned_piece*& list = list_of(page_size);
  if (list == nullptr) {
    void* const emptied = take_emptied(page_size);
    return emptied != nullptr ? emptied : carve(page_size);
  }
  all.kept -= page_size;
  return std::exchange(list, list->next);
}

/// False: no memory to remember it by.
bool put_emptied(void* p, std::size_t size) noexcept GPA_REQUIRES(all.lock)
{
  emptied_pieces*& head = all.emptied[piece_index(size)];
  if (head == nullptr || head->count == emptied_pieces::capacity) {
    void* const place = page_for_emptied();
    if (place == nullptr) return false;
    head = ::new (place) emptied_pieces{head, 0, {}};
  }
  head->places[head->count++] = p;
  return true;
}

/// `fresh`: never handed out before, or emptied since, so it is zero; it is told of a refusal too.
void* take(std::size_t size, bool& fresh) noexcept
{
  const mutex_guard guard(all.lock);
  returned_piece*& list = list_of(size);
  fresh = list == nullptr;
  if (fresh) {
    void* const emptied = take_emptied(size);
    return emptied != nullptr ? emptied : carve(size);
  }
  returned_piece* const piece = list;
  list = piece->next;
  if (size >= page_size) all.kept -= size;
  return piece;
}

/// A block with a mapping of its own: the bytes in the middle, and a guard page at each end if it is large.
struct own_mapping {
  std::size_t middle;
  std::size_t guard;

  explicit own_mapping(std::size_t bytes) noexcept
      : middle(round_up(bytes, page_size)), guard(middle >= guarded_mapping ? page_size : 0)
  {
  }
  [[nodiscard]] std::size_t size() const noexcept { return middle + 2 * guard; }
};

void* map_own(std::size_t bytes) noexcept
{
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;  // the sums below cannot overflow
  const own_mapping shape(bytes);
  auto* const start = static_cast<std::byte*>(map_pages(shape.size(), page_size));
  if (start == nullptr) return nullptr;
  if (shape.guard != 0) {
    close_pages(start, shape.guard);
    close_pages(start + shape.guard + shape.middle, shape.guard);
  }
  all.held.fetch_add(shape.size(), std::memory_order_relaxed);
  return start + shape.guard;
}

void unmap_own(void* p, std::size_t bytes) noexcept
{
  const own_mapping shape(bytes);
  unmap_pages(static_cast<std::byte*>(p) - shape.guard, shape.size());
  all.held.fetch_sub(shape.size(), std::memory_order_relaxed);
}

std::size_t count_small_pieces() noexcept GPA_REQUIRES(all.lock)
{
  std::size_t count = 0;
  for (std::size_t i = 0; i != piece_index(page_size); ++i)
    for (const returned_piece* piece = all.returned[i]; piece != nullptr; piece = piece->next) ++count;
  return count;
}

/// Small pieces leave their lists where they are all that stands on a page. The table says which pages these are.
void take_whole_pages(page_tally& table) noexcept GPA_REQUIRES(all.lock)
{
  const std::size_t sizes = piece_index(page_size);
  for (std::size_t i = 0; i != sizes; ++i)
    for (returned_piece* piece = all.returned[i]; piece != nullptr; piece = piece->next) table.of(piece).bytes += piece_size_at(i);
  for (std::size_t i = 0; i != sizes; ++i) {
    for (returned_piece** link = &all.returned[i]; *link != nullptr;) {
      if (table.of(*link).bytes == page_size) {
        *link = (*link)->next;
      } else {
        link = &(*link)->next;
      }
    }
  }
}

/// Pieces of other sizes leave their lists, until one of `size` may be kept or they are a few. Of each, `used` is its size.
returned_piece* take_others(std::size_t size) noexcept GPA_REQUIRES(all.lock)
{
  returned_piece* taken = nullptr;
  unsigned count = 0;
  for (std::size_t sizes = 0; sizes != piece_sizes; ++sizes) {
    const std::size_t other = piece_size_at(all.emptied_last);
    returned_piece*& list = all.returned[all.emptied_last];
    while (list != nullptr && other != size && other >= page_size) {
      if (all.kept + size <= most_kept || count++ == most_emptied) return taken;
      returned_piece* const piece = std::exchange(list, list->next);
      all.kept -= other;
      *piece = {taken, other};
      taken = piece;
    }
    all.emptied_last = (all.emptied_last + 1) % piece_sizes;
  }
  return taken;
}

/// What was taken from the lists, a page or more, is zero afterwards and has no page. False: no memory to remember it by.
bool empty(void* piece, std::size_t size) noexcept
{
  discard_pages(piece, size);  // nobody else knows the piece meanwhile
  const mutex_guard guard(all.lock);
  if (put_emptied(piece, size)) return true;
  put(piece, size, 0);
  return false;
}

void empty_small_pages() noexcept
{
  all.lock.lock();
  page_tally table(count_small_pieces());
  if (table.has_memory()) take_whole_pages(table);
  all.lock.unlock();
  for (const page_tally::row& r : table)
    if (r.bytes == page_size) (void)empty(r.page, page_size);
}

}  // namespace

void* metadata_allocate(std::size_t bytes) noexcept
{
  if (bytes > largest_piece) return map_own(bytes);
  bool fresh = false;
  void* const piece = take(piece_size(bytes), fresh);
  if (!fresh) std::memset(piece, 0, static_cast<returned_piece*>(piece)->used);
  return piece;
}

void* metadata_allocate_unset(std::size_t bytes) noexcept
{
  if (bytes > largest_piece) return map_own(bytes);
  bool fresh = false;
  void* const piece = take(piece_size(bytes), fresh);
  if (fresh) return piece;
  // What lies behind `bytes` must be zero when the piece comes back.
  const std::size_t used = static_cast<returned_piece*>(piece)->used;
  if (used > bytes) std::memset(static_cast<std::byte*>(piece) + bytes, 0, used - bytes);
  return piece;
}

void metadata_free(void* p, std::size_t bytes) noexcept { metadata_free(p, bytes, bytes); }

void metadata_free(void* p, std::size_t bytes, std::size_t touched) noexcept
{
  if (p == nullptr) return;
  if (bytes > largest_piece) return unmap_own(p, bytes);
  const std::size_t size = piece_size(bytes);
  returned_piece* others = nullptr;
  bool kept = true;
  {
    const mutex_guard guard(all.lock);
    if (size >= page_size) {
      if (all.kept + size > most_kept) others = take_others(size);
      kept = all.kept + size <= most_kept;
    }
    if (kept) put(p, size, touched);
  }
  if (!kept) (void)empty(p, size);
  while (others != nullptr) {
    const returned_piece other = *others;
    (void)empty(std::exchange(others, other.next), other.used);
  }
}

void metadata_trim() noexcept
{
  empty_small_pages();
  for (std::size_t size = page_size; size <= largest_piece; size *= 2) {
    for (;;) {
      returned_piece* piece = nullptr;
      {
        const mutex_guard guard(all.lock);
        returned_piece*& list = list_of(size);
        piece = list;
        if (piece == nullptr) break;
        list = piece->next;
        all.kept -= size;
      }
      if (!empty(piece, size)) return;
    }
  }
}

bool is_static_metadata(const void* p) noexcept
{
  return address(p) - address(static_arena) < sizeof static_arena;
}

std::size_t metadata_held() noexcept
{
  return all.held.load(std::memory_order_relaxed);
}

void metadata_lock() noexcept GPA_ACQUIRE(all.lock)
{
  all.lock.lock();
}

void metadata_unlock() noexcept GPA_RELEASE(all.lock)
{
  all.lock.unlock();
}

}  // namespace gpa::detail
