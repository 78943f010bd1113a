// Makes pairs of calls for callgrind to count: pairs HEAP COUNT. HEAP is one of
// instructions.txt. See test/instructions_test.sh.
#include <gpa/resource.hpp>

#include <charconv>
#include <cstddef>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// What a pair costs before anybody does anything: two virtual calls.
class empty final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t, std::size_t) override { return this; }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override
  {
    return this == &other;
  }
};

// Not inlined, so that the compiler cannot know which resource it is.
__attribute__((noinline)) void make_pairs(std::pmr::memory_resource* r, unsigned count, std::size_t bytes = 64,
                                          std::size_t alignment = alignof(std::max_align_t))
{
  for (unsigned i = 0; i != count; ++i) r->deallocate(r->allocate(bytes, alignment), bytes, alignment);
}

}  // namespace

int main(int argc, char** argv)
{
  const std::string_view heap = argc == 3 ? argv[1] : "";
  const std::string_view digits = argc == 3 ? argv[2] : "";
  unsigned count = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), count).ec != std::errc{}) return 2;

  // The C library and gpa take shortcuts in a process that never had a second thread.
  std::thread([] {}).join();
  const std::size_t alignment = heap.ends_with("_aligned") ? 64 : alignof(std::max_align_t);
  if (heap == "empty") {
    empty r;
    make_pairs(&r, count);
  } else if (heap == "fast" || heap == "fast_aligned") {
    gpa::resource r({.name = "pairs", .checks = gpa::checks::never()});
    make_pairs(&r, count, 64, alignment);
  } else if (heap == "alone" || heap == "checked_alone") {
    const gpa::checks checks = heap == "alone" ? gpa::checks::never() : gpa::checks::always();
    gpa::resource r({.name = "pairs", .checks = checks, .thread_safe = false, .stack_frames = 0});
    make_pairs(&r, count);
  } else if (heap == "checked" || heap == "checked_aligned") {
    gpa::resource r({.name = "pairs", .checks = gpa::checks::always(), .stack_frames = 0});
    make_pairs(&r, count, 64, alignment);
  } else if (heap == "shared") {
    gpa::resource r({.name = "pairs", .checks = gpa::checks::always(), .stack_frames = 0});
    std::vector<void*> blocks(5'000);
    for (void*& p : blocks) p = r.allocate(64);
    // From now on all their slabs are two threads', and so much lies free in them that no new one is made.
    std::thread([&] { for (std::size_t i = 0; i < blocks.size(); i += 100) r.deallocate(blocks[i], 64); }).join();
    for (std::size_t i = 0; i != blocks.size(); ++i)
      if (i % 100 != 0) r.deallocate(blocks[i], 64);
    make_pairs(&r, count);
  } else if (heap == "fine" || heap == "coarse") {
    // How often a period ends depends on the quarantine, and that on the machine, where nobody says.
    gpa::resource r({.name = "pairs", .checks = gpa::checks::always(), .quarantine_bytes = 256 * 1024, .stack_frames = 0});
    make_pairs(&r, count, heap == "fine" ? 256 : 4096);
  } else if (heap == "traced") {
    gpa::resource r({.name = "pairs", .checks = gpa::checks::always()});
    make_pairs(&r, count);
  } else {
    return 2;
  }
  return 0;
}
