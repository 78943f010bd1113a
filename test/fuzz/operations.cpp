// What a program may do.
#include "fuzz/session.hpp"

#include <gpa/snapshot.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

namespace gpa::fuzz {

namespace {

constexpr std::size_t most_blocks = 250;
constexpr std::size_t most_bytes = std::size_t{4} << 20;

std::size_t size_from(input& in)
{
  constexpr std::array<std::size_t, 20> edges = {0,      1,      15,     16,     17,     111,    112,
                                                 511,    512,    513,    1007,   1008,   1023,   1024,
                                                 32'767, 32'768, 32'769, 65'535, 65'536, 131'072};
  switch (in.below(8)) {
    case 0:
    case 1:
    case 2: return in.byte();
    case 3: return in.word() % 1100;
    case 4: return in.word() % 8192;
    case 5: return in.word() % 40'000;
    case 6: return in.one_of(edges);
    default: return in.word() * 3;  // up to 192 KiB
  }
}

std::size_t alignment_from(input& in)
{
  const std::size_t n = in.byte();
  return std::size_t{1} << (n < 200 ? n % 5 : n % 18);
}

}  // namespace

void session::fill(const block& b, std::size_t from) const
{
  if (b.bytes > from) std::memset(b.p + from, std::to_integer<int>(b.content), b.bytes - from);
}

void session::allocate()
{
  const std::size_t bytes = size_from(in_);
  const std::size_t alignment = alignment_from(in_);
  const bool throws = in_.flag();
  if (model_->live.size() >= most_blocks || model_->live_bytes() + bytes > most_bytes) return;
  listener_.note("allocate, bytes and alignment:", nullptr, bytes, alignment);
  void* p = nullptr;
  if (throws) {
    try {
      p = resource_->allocate(bytes, alignment);
    } catch (const std::bad_alloc&) {
    }
  } else {
    p = resource_->try_allocate(bytes, alignment);
  }
  const bool fits = model_->fits(bytes);
  listener_.require((p != nullptr) == fits, fits ? "refused below the limit" : "handed out above the limit");
  if (p == nullptr) return settle_unchanged();
  listener_.note("  handed out", p);
  // Which blocks were picked for a check is told by their call stacks alone.
  const bool stacks = setting_.options.stack_frames != 0;
  const bool checked = model_->checks_all() || (stacks && !resource_->origin(p).empty());
  if (stacks && model_->checks_all()) listener_.require(!resource_->origin(p).empty(), "a block without a call stack");
  settle();
  model_->add({.p = static_cast<std::byte*>(p),
               .bytes = bytes,
               .alignment = alignment,
               .content = static_cast<std::byte>(content_++ % 251 + 1),
               .checked = checked});
  fill(model_->live.back(), 0);
}

void session::free_at(std::size_t index)
{
  const block b = model_->live[index];
  model_->compare_contents(b, b.bytes);
  listener_.note("free", b.p, b.bytes, b.alignment);
  if (b.damage_due) listener_.expect({mistake::overflow}, b.p);
  resource_->deallocate(b.p, b.bytes, b.alignment);
  settle();
  model_->bury(index);
}

void session::free_one()
{
  if (block* const b = any_live(); b != nullptr) free_at(static_cast<std::size_t>(b - model_->live.data()));
}

void session::free_many()
{
  for (std::size_t n = in_.below(64); n != 0 && !model_->live.empty(); --n) free_at(n % model_->live.size());
  model_->compare(*resource_);
}

void session::resize()
{
  block* const b = any_live();
  const std::size_t kind = in_.below(4);
  const std::size_t bytes = kind == 0      ? size_from(in_)
                            : b == nullptr ? 0
                            : kind == 1    ? b->bytes + in_.below(17)
                            : kind == 2    ? b->bytes - std::min(b->bytes, in_.below(17))
                                           : b->bytes / (1 + in_.below(8));
  if (b == nullptr || model_->live_bytes() + bytes > most_bytes) return;
  listener_.note("resize to bytes, from bytes:", b->p, bytes, b->bytes);
  const bool done = resource_->try_resize(b->p, b->bytes, bytes, b->alignment);
  const bool same = bytes == b->bytes;
  listener_.require(done || !same, "resizing to the same bytes was refused");
  listener_.require(!done || same || bytes < b->bytes || model_->fits(bytes - b->bytes), "resized above the limit");
  listener_.require(!done || same || !b->damaged, "resized over a damaged guard byte");
  settle();
  model_->compare_contents(*b, std::min(b->bytes, done ? bytes : b->bytes));
  if (done && !same) {
    listener_.note("  done");
    const std::size_t before = b->bytes;
    model_->resize(*b, bytes);
    fill(*b, std::min(before, bytes));
  }
  model_->compare(*resource_);
}

void session::look()
{
  for (const block& b : model_->live) model_->compare_contents(b, b.bytes);
  model_->compare(*resource_);
}

void session::verify()
{
  listener_.note("verify");
  for (block& b : model_->live)
    if (b.damage_due) listener_.expect({mistake::overflow}, b.p);
  const std::size_t said = resource_->verify();
  listener_.require(said == settle(), "verify() returns another number than it told");
  for (block& b : model_->live) b.damage_due = false;
  model_->all_was_looked_at();
}

void session::trim()
{
  listener_.note("trim");
  for (block& b : model_->live)
    if (b.damage_due) listener_.expect({mistake::overflow}, b.p);
  resource_->trim();
  settle();
  for (block& b : model_->live) b.damage_due = false;
  model_->all_was_looked_at();
  model_->trim();
  look();
}

void session::release()
{
  if (in_.below(4) != 0) return;  // it ends much
  listener_.note("release");
  resource_->release();
  settle();
  model_->release();
  model_->compare(*resource_);
}

void session::limit()
{
  const std::size_t kind = in_.below(4);
  const std::size_t bytes = kind == 0   ? unlimited
                            : kind == 1 ? model_->live_bytes() + in_.byte()
                            : kind == 2 ? in_.word()
                                        : std::size_t{8} << 20;
  listener_.note("set_memory_limit", nullptr, bytes);
  resource_->set_memory_limit(bytes);
  settle();
  model_->set_limit(bytes);
  if (in_.below(4) == 0) {
    resource_->reset_peak();
    model_->reset_peak();
  }
  model_->compare(*resource_);
}

void session::ignore()
{
  block* const b = any_checked();
  if (b == nullptr) return;
  listener_.note("ignore", b->p);
  resource_->ignore(b->p);
  settle();
  b->ignored = true;
}

void session::snapshot()
{
  if (in_.below(4) != 0) return;
  listener_.note("take_snapshot");
  const gpa::snapshot s = resource_->take_snapshot();
  settle();
  const bool none = setting_.options.checks.is_never();
  if (!none && !model_->checks_all()) return;
  listener_.require(s.live_blocks() == (none ? 0 : model_->live.size()), "blocks of a snapshot");
  listener_.require(s.live_bytes() == (none ? 0 : model_->live_bytes()), "bytes of a snapshot");
  listener_.require(resource_->traced().current == model_->live_bytes(), "traced");
}

void session::detect_leaks()
{
  listener_.note("detect_leaks");
  const std::size_t said = resource_->detect_leaks();
  settle();
  const listener::leaks told = listener_.take_leaks();
  const listener::leaks right = model_->leaks();
  listener_.require(said == right.blocks, "detect_leaks() returns another number of blocks");
  listener_.require(told.blocks == right.blocks && told.bytes == right.bytes, "leaks were told with other sums");
}

}  // namespace gpa::fuzz
