// Exercise 3.4, all of the lesson in one program: make a resource, own memory by a type, survive a failure in the
// middle, free something twice and forget something, and read the verdict.
//
// Shows S1-29. The double free and the leak are reported on stderr; the program carries on and judges.
#include "buffer.hpp"

#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <new>

namespace {

class message {
 public:
  explicit message(buffer::allocator_type a) : head_(16, a), body_(500, a) {}
  [[nodiscard]] std::size_t size() const noexcept { return head_.size() + body_.size(); }

 private:
  buffer head_;
  buffer body_;
};

void free_twice(std::pmr::polymorphic_allocator<> a)
{
  void* const p = a.allocate_bytes(48);
  a.deallocate_bytes(p, 48);
  a.deallocate_bytes(p, 48);
}

void forget(std::pmr::polymorphic_allocator<> a) { static_cast<void>(a.allocate_bytes(80)); }

}  // namespace

int main()
{
  // 1. The options say: report mistakes and go on. Without them a mistake ends the program, which is what you want
  //    in a test.
  gpa::resource r({.name = "exercise", .after_mistake = gpa::after_mistake::carry_on});

  // 2. A type owns its memory; its scope gives it back.
  std::cout << "message of " << message(r.allocator()).size() << " bytes, live now: " << r.stats().live_blocks << '\n';

  // 3. The body does not fit: the head, already made, is given back.
  r.set_memory_limit(100);
  try {
    const message too_big(r.allocator());
  } catch (const std::bad_alloc&) {
    std::cout << "no memory for the body, live now: " << r.stats().live_blocks << '\n';
  }
  r.set_memory_limit(gpa::unlimited);

  // 4. Two mistakes, and the verdict: a leak outranks everything else.
  free_twice(&r);
  forget(&r);
  std::cout << "mistakes: " << r.stats().mistakes << ", live now: " << r.stats().live_blocks << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::leak ? 0 : 1;
}
