// What a program may not do, where the README says that it is noticed. After each the heap must be as it was.
#include "fuzz/session.hpp"
#include "support/accomplices.hpp"
#include "support/suspects.hpp"

#include <array>

namespace gpa::fuzz {

using test::blunder;
using test::moved;
using test::stray_write;

// In quarantine it is a double free. After that the memory may have gone back: then it is nobody's block any more.
void session::free_again()
{
  const ghost* const g = any_ghost();
  const bool wrong_numbers = in_.below(8) == 0;
  if (g == nullptr) return;
  const block was = g->was;
  listener_.note("free again", was.p, was.bytes, was.alignment);
  if (model_->is_sure(*g) && !g->trimmed) {
    listener_.expect({mistake::double_free}, was.p);
  } else {
    listener_.expect({mistake::double_free, mistake::invalid_pointer}, was.p);
  }
  blunder(*resource_, was.p, was.bytes + (wrong_numbers ? 1 : 0), was.alignment);
  settle_unchanged();
}

void session::free_with_wrong_size()
{
  const block* const b = any_checked();
  const std::size_t kind = in_.below(6);
  const std::size_t other = in_.word();
  if (b == nullptr) return;
  const std::array<std::size_t, 6> sizes = {b->bytes + 1, b->bytes - 1, 0, unlimited, other, b->bytes + 65'536};
  const std::size_t bytes = sizes[kind];
  if (bytes == b->bytes) return;
  listener_.note("free with wrong size, right:", b->p, bytes, b->bytes);
  listener_.expect({mistake::size_mismatch}, b->p);
  blunder(*resource_, b->p, bytes, b->alignment);
  settle_unchanged();
}

void session::free_with_wrong_alignment()
{
  const block* const b = any_checked();
  const std::size_t kind = in_.below(5);
  if (b == nullptr) return;
  const std::array<std::size_t, 5> alignments = {b->alignment * 2, b->alignment / 2, 24, b->alignment + 8192, 16};
  const std::size_t alignment = alignments[kind];
  if (alignment == b->alignment) return;
  listener_.note("free with wrong alignment, right:", b->p, alignment, b->alignment);
  listener_.expect({mistake::alignment_mismatch}, b->p);
  blunder(*resource_, b->p, b->bytes, alignment);
  settle_unchanged();
}

void session::free_inside()
{
  const block* const b = any_checked();
  const std::size_t kind = in_.below(4);
  const std::size_t far = in_.word();
  if (b == nullptr || b->bytes == 0) return;
  const std::array<std::size_t, 4> offsets = {1, b->bytes, b->bytes / 2 + 1, far % b->bytes + 1};
  const std::size_t offset = offsets[kind];
  void* const p = moved(b->p, offset);
  listener_.note("free inside or past the end, block's bytes:", p, offset, b->bytes);
  listener_.expect({mistake::invalid_pointer}, p);
  blunder(*resource_, p, b->bytes - offset, b->alignment);
  settle_unchanged();
}

// Where only some blocks are checked, any other address is believed.
void session::free_foreign()
{
  static std::array<char, 256> global{};
  std::array<char, 64> local{};
  const std::size_t kind = in_.below(6);
  const std::size_t bytes = in_.word();
  if (!model_->checks_all()) return;
  const std::array<void*, 6> pointers = {nullptr, local.data(),      global.data() + 16,
                                         this,    moved(nullptr, 8), moved(nullptr, std::uintptr_t{1} << 63)};
  void* const p = pointers[kind];
  listener_.note("free foreign", p, bytes);
  listener_.expect({mistake::invalid_pointer}, p);
  blunder(*resource_, p, bytes);
  settle_unchanged();
}

// Both ways: a block of ours into the stranger, one of the stranger's into ours.
void session::free_elsewhere()
{
  const bool ours = in_.flag();
  const std::size_t bytes = in_.word() % 2000;
  if (ours) {
    const block* const b = any_live();
    if (b == nullptr) return;
    gpa::resource& other = stranger();
    listener_.note("free into the stranger", b->p, b->bytes, b->alignment);
    // Of a resource that does not check, single blocks are not known: what is known is whose memory it is.
    listener_.expect({mistake::wrong_resource}, b->p, "stranger");
    blunder(other, b->p, b->bytes, b->alignment);
  } else if (model_->checks_all()) {
    gpa::resource& other = stranger();
    void* const p = other.allocate(bytes);
    listener_.note("free the stranger's block", p, bytes);
    listener_.expect({mistake::wrong_resource}, p);
    blunder(*resource_, p, bytes);
    other.deallocate(p, bytes);
  }
  settle_unchanged();
}

void session::overflow()
{
  block* const b = any_checked();
  if (b == nullptr || b->damaged) return;
  listener_.note("write behind", b->p, b->bytes);
  stray_write(b->p, static_cast<std::ptrdiff_t>(b->bytes), 0);
  b->damaged = b->damage_due = true;
}

// Only where every byte is looked at, or one of those is that are. Which ones these are follows from the slot: where
// that is much larger than the block, aligned beyond 16 bytes or made smaller, from the first 128 bytes alone.
void session::write_after_free()
{
  ghost* const g = any_ghost();
  const std::size_t place = in_.word();
  if (g == nullptr || g->written || !model_->is_writable(*g)) return;
  const std::size_t bytes = g->was.bytes;
  const std::size_t whole = setting_.options.poison_bytes;
  std::size_t offset = place % bytes;
  if (g->was.home == home::slab && (g->was.alignment > 16 || g->was.shrunk)) {
    offset %= 128;
  } else if (bytes > whole && !(g->was.home == home::range && model_->over_upstream())) {
    const std::size_t last = g->was.home == home::slab ? 48 : 32;
    if (offset >= 128 && offset < bytes - last) offset = place % 2 == 0 ? offset % 128 : bytes - 1 - offset % last;
  }
  listener_.note("write after free, at", g->was.p, offset, bytes);
  stray_write(g->was.p, static_cast<std::ptrdiff_t>(offset), 0);
  g->written = g->write_due = true;
}

void session::resize_wrongly()
{
  const std::size_t bytes = in_.word();
  if (in_.flag()) {
    const ghost* const g = any_ghost();
    if (g == nullptr || !model_->is_sure(*g) || g->trimmed) return;
    listener_.note("resize a freed block", g->was.p, g->was.bytes, bytes);
    listener_.expect({mistake::double_free}, g->was.p);
    listener_.require(!resource_->try_resize(g->was.p, g->was.bytes, bytes, g->was.alignment),
                      "a freed block was resized");
  } else {
    const block* const b = any_checked();
    if (b == nullptr) return;
    listener_.note("resize with wrong size", b->p, b->bytes, bytes);
    listener_.expect({mistake::size_mismatch}, b->p);
    listener_.require(!resource_->try_resize(b->p, b->bytes + 1, bytes, b->alignment), "resized with a wrong size");
  }
  settle_unchanged();
}

void session::ask_for_wrong_alignment()
{
  constexpr std::array<std::size_t, 4> alignments = {0, 3, 24, 65'537};
  const std::size_t bytes = in_.word();
  const std::size_t alignment = in_.one_of(alignments);
  listener_.note("allocate, wrong alignment", nullptr, bytes, alignment);
  listener_.expect({mistake::invalid_alignment}, nullptr);
  listener_.require(resource_->try_allocate(bytes, alignment) == nullptr, "a wrong alignment was not refused");
  settle_unchanged();
}

void session::ignore_wrongly()
{
  const block* const b = any_checked();
  if (b == nullptr || b->bytes < 2 || !model_->checks_all()) return;
  listener_.note("ignore inside", b->p + 1);
  listener_.expect({mistake::invalid_pointer}, b->p + 1);
  resource_->ignore(b->p + 1);
  settle_unchanged();
}

}  // namespace gpa::fuzz
