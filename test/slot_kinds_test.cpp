// The unrolled forms of the short path do what poison.hpp and fill.hpp say, byte by byte, for every slot size.
#define BOOST_TEST_MODULE slot_kinds
#include "checked/avx2_moves.hpp"
#include "checked/avx512_moves.hpp"
#include "checked/slot_kinds.hpp"

#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr std::size_t guard = 64;

// A slot with bytes around it that nobody may touch, aligned to 16 and, if `odd`, to no more.
class place {
 public:
  explicit place(std::size_t size, std::size_t odd = 0) : size_(size), memory_(size + 3 * guard + odd, std::byte{1})
  {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory_.data()) + guard;
    slot_ = memory_.data() + guard + ((guard - begin % guard) % guard + odd);
  }
  [[nodiscard]] std::byte* slot() noexcept { return slot_; }
  void fill(std::uint8_t with) { std::fill_n(slot_, size_, std::byte{with}); }
  [[nodiscard]] std::vector<std::byte> all() const { return {slot_ - 16, slot_ + size_ + 16}; }

 private:
  std::size_t size_;
  std::vector<std::byte> memory_;
  std::byte* slot_ = nullptr;
};

record record_of(std::size_t bytes)
{
  return {make_word(encode(slot_state::poisoned, bytes, 8), 0), 0, 0, 0};
}

// Which bytes count: those that, changed, are noticed.
template <class Look>
std::vector<bool> noticed(std::byte* slot, std::size_t size, Look is_right)
{
  std::vector<bool> which(size);
  BOOST_REQUIRE(is_right());
  for (std::size_t i = 0; i != size; ++i) {
    const std::byte was = slot[i];
    slot[i] = was ^ std::byte{0x20};
    which[i] = !is_right();
    slot[i] = was;
  }
  return which;
}

template <class Slots>
void compare(std::size_t bytes, poison_rule rule, std::size_t odd, std::size_t alignment = 16)
{
  const std::size_t size = Slots::size_for(bytes, alignment);
  BOOST_TEST_CONTEXT(bytes << " bytes in a slot of " << size << ", whole up to " << rule.whole) {
    BOOST_REQUIRE(size == slot_size(size_class((bytes + alignment) / alignment * alignment)));
    place ours(size, odd);
    place theirs(size, odd);
    const record r = record_of(bytes);
    for (place* const p : {&ours, &theirs}) p->fill(7);
    Slots::write_poison(ours.slot(), size, bytes, rule);
    write_poison(theirs.slot(), size, bytes, rule);
    BOOST_TEST(ours.all() == theirs.all());
    BOOST_TEST(noticed(ours.slot(), size, [&] { return Slots::is_poison(ours.slot(), size, r, rule); }) ==
               noticed(theirs.slot(), size, [&] { return holds_poison(theirs.slot(), size, bytes, rule); }));
    Slots::write_redzone(ours.slot(), bytes, size);
    write_redzone(theirs.slot(), bytes, size);
    BOOST_TEST(ours.all() == theirs.all());
    BOOST_TEST(noticed(ours.slot(), size, [&] { return Slots::is_intact_behind(ours.slot(), bytes, size, rule); }) ==
               noticed(theirs.slot(), size, [&] { return behind_intact(theirs.slot(), bytes, size, rule); }));
  }
}

constexpr std::size_t places[] = {0, 16, 32, 48};

}  // namespace

BOOST_AUTO_TEST_CASE(tiny_slots_are_poisoned_and_looked_at_as_written_elsewhere)
{
  for (std::size_t bytes = 0; bytes != tiny_bytes; ++bytes)
    for (const std::size_t odd : places) compare<tiny_slots>(bytes, poison_rule(), odd);
}

// Of wider moves there is something to compare only where the CPU has them.
using every_moves = boost::mpl::list<sse2_moves, avx2_moves, avx512_moves>;
template <class Moves>
bool runs_here()
{
  return Moves::present();
}

BOOST_AUTO_TEST_CASE_TEMPLATE(fine_slots_too_whole_and_in_places, Moves, every_moves)
{
  if (!runs_here<Moves>()) return;
  for (std::size_t bytes = tiny_bytes; bytes != fine_bytes; bytes += bytes % 16 == 15 ? 1 : 5) {
    compare<fine_slots<Moves>>(bytes, poison_rule(), places[bytes % 4]);
    compare<fine_slots<Moves>>(bytes, poison_rule::everywhere(), places[bytes % 4]);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(coarse_slots_too, Moves, every_moves)
{
  if (!runs_here<Moves>()) return;
  for (unsigned c = size_class(fine_bytes + 1); c != class_count; ++c) {
    const std::size_t most = std::min(slot_size(c) - 1, small_limit);
    for (const std::size_t less : {0U, 1U, 14U, 15U, 16U, 17U, 31U, 40U, 62U, 63U, 64U, 65U, 78U, 79U, 80U, 81U, 100U})
      if (size_class(most - less + 1) == c) compare<coarse_slots<Moves>>(most - less, poison_rule(), places[c % 4]);
  }
}

// Sizes of all kinds, and what the alignment adds to them. Poisoned whole, larger ones
// are left to the general path.
BOOST_AUTO_TEST_CASE_TEMPLATE(over_aligned_slots_too, Moves, every_moves)
{
  if (!runs_here<Moves>()) return;
  using slots = over_aligned_slots<Moves>;
  for (std::size_t alignment = 32; alignment <= small_alignment; alignment *= 2) {
    for (std::size_t bytes = 0; bytes <= small_limit; bytes += bytes < fine_bytes ? 23 : 2'503) {
      const std::size_t size = slots::size_for(bytes, alignment);
      BOOST_REQUIRE(size % alignment == 0);
      compare<slots>(bytes, poison_rule(), 0, alignment);
      if (size <= fine_bytes) compare<slots>(bytes, poison_rule::everywhere(), 0, alignment);
    }
  }
}

BOOST_AUTO_TEST_CASE(which_kind_serves_which_alignment)
{
  for (std::size_t alignment = 0; alignment != 10'000; ++alignment) {
    const bool power = alignment != 0 && (alignment & (alignment - 1)) == 0;
    BOOST_TEST(tiny_slots::serve(alignment) == (power && alignment <= 16));
    BOOST_TEST((alignment <= 16 || over_aligned_slots<sse2_moves>::serve(alignment) == (power && alignment <= small_alignment)));
  }
  BOOST_TEST(!tiny_slots::serve(std::size_t{1} << 32));
  BOOST_TEST(!over_aligned_slots<sse2_moves>::serve(std::size_t{1} << 63));
}

BOOST_AUTO_TEST_CASE(the_bin_of_an_over_aligned_block_is_that_of_its_class)
{
  checked_cache k;
  using slots = over_aligned_slots<sse2_moves>;
  for (unsigned c = 2; c != class_count; ++c) BOOST_TEST(&slots::bin_for(k, 0, slot_size(c)) == &k.bins[c]);
}

// A block that was shrunk where it stands, or has a slot of its alignment's class, has less than its slot has room for. Its
// free goes the general path; the slot's next allocation need not.
BOOST_AUTO_TEST_CASE_TEMPLATE(a_coarse_slot_may_have_held_a_small_block, Moves, every_moves)
{
  if (!runs_here<Moves>()) return;
  for (const std::size_t size : {1152U, 4608U, 36864U}) {
    for (const std::size_t bytes : {0U, 1U, 100U, 575U, 576U, 577U, 1000U}) {
      place p(size);
      const record r = record_of(bytes);
      p.fill(7);
      write_poison(p.slot(), size, bytes, poison_rule());
      BOOST_TEST(coarse_slots<Moves>::is_poison(p.slot(), size, r, poison_rule()));
    }
  }
}

// Then it is all poison, and that is the general path's.
BOOST_AUTO_TEST_CASE_TEMPLATE(a_coarse_slot_that_is_poisoned_whole_is_refused, Moves, every_moves)
{
  if (!runs_here<Moves>()) return;
  place p(1152);
  p.fill(poison_byte);
  const record r = record_of(1100);
  BOOST_TEST(!coarse_slots<Moves>::is_poison(p.slot(), 1152, r, poison_rule::everywhere()));
  coarse_slots<Moves>::write_redzone(p.slot(), 1100, 1152);
  BOOST_TEST(!coarse_slots<Moves>::is_intact_behind(p.slot(), 1100, 1152, poison_rule::everywhere()));
}

BOOST_AUTO_TEST_CASE(the_bin_of_a_size_is_that_of_its_class)
{
  checked_cache k;
  for (unsigned c = 1; c <= 64; ++c) BOOST_TEST(&k.bin_of(slot_size(c)) == &k.bins[c]);
}
