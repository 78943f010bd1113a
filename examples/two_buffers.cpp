// A constructor that fails half-way: the second of two buffers cannot be had. Who gives back the first?
//
// Shows S1-15, S1-16, S1-22 and S1-27. Each version is built with room for no, one and two buffers, so construction
// fails at every point where it can. raw_pair keeps plain pointers: when the second allocation throws, its destructor
// does not run, and gpa reports the first buffer. pair_of_buffers has members that own their memory: the language
// destroys the ones already made, which is what `errdefer` is written for elsewhere.
#include "buffer.hpp"

#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <new>
#include <string_view>

namespace {

constexpr std::size_t each = 1024;

class raw_pair {
 public:
  explicit raw_pair(std::pmr::polymorphic_allocator<> a)
      : allocator_(a), first_(allocator_.allocate_bytes(each)), second_(allocator_.allocate_bytes(each))
  {
  }
  raw_pair(const raw_pair&) = delete;
  raw_pair& operator=(const raw_pair&) = delete;
  ~raw_pair()
  {
    allocator_.deallocate_bytes(second_, each);
    allocator_.deallocate_bytes(first_, each);
  }

 private:
  std::pmr::polymorphic_allocator<> allocator_;
  void* first_;
  void* second_;
};

class pair_of_buffers {
 public:
  explicit pair_of_buffers(std::pmr::polymorphic_allocator<> a) : first_(each, a), second_(each, a) {}

 private:
  buffer first_;
  buffer second_;
};

template <class Pair>
gpa::check build(std::string_view name, std::size_t room)
{
  gpa::resource r({.name = name});
  r.set_memory_limit(room * each);
  std::cout << name << ", room for " << room << ": ";
  try {
    const Pair pair{r.allocator()};
    std::cout << "built, ";
  } catch (const std::bad_alloc&) {
    std::cout << "bad_alloc, ";
  }
  const gpa::check verdict = r.deinit();
  std::cout << verdict << '\n';
  return verdict;
}

}  // namespace

int main()
{
  bool as_expected = true;
  for (std::size_t room = 0; room <= 2; ++room) {
    const gpa::check expected = room == 1 ? gpa::check::leak : gpa::check::ok;
    as_expected = build<raw_pair>("raw pair", room) == expected && as_expected;
  }
  for (std::size_t room = 0; room <= 2; ++room)
    as_expected = build<pair_of_buffers>("pair of buffers", room) == gpa::check::ok && as_expected;
  return as_expected ? 0 : 1;
}
