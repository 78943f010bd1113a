// One byte too many: the terminating zero of a text copied into memory that fits the text alone.
//
// Behind every block stands at least one guard byte, so the overflow is found to the byte: when the block is freed,
// at verify(), or at deinit(). The instruction that wrote is not known.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <string_view>

namespace {

void copy_with_zero(std::string_view text, volatile char* to)
{
  for (std::size_t i = 0; i != text.size(); ++i) to[i] = text[i];
  to[text.size()] = '\0';
}

void greet(gpa::resource& r)
{
  constexpr std::string_view text = "sixty-four bytes hold sixty-four letters, and then not the zero!";
  static_assert(text.size() == 64);
  auto a = r.allocator<char>();
  char* const copy = a.allocate(text.size());  // the mistake: text.size() + 1
  copy_with_zero(text, copy);
  std::cout << copy << '\n';
  a.deallocate(copy, text.size());
}

}  // namespace

int main()
{
  gpa::resource r({.name = "texts", .after_mistake = gpa::after_mistake::carry_on});
  greet(r);
  std::cout << "mistakes: " << r.stats().mistakes << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::misuse ? 0 : 1;
}
