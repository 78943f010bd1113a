// Two threads hand memory to each other through a resource, and in no other way that ThreadSanitizer could see: hands_over
// [race]. Compiled with ThreadSanitizer, linked with a libgpa that is not. See test/thread_sanitizer_test.sh. Then four
// threads at once come the same ways, under the same names, and each other's call stacks and tags are what they find.
//
// What one thread freed, the other writes to. Every atomic of the program is relaxed, so that the only order between the
// two writes is what the resource tells of its locks. With `race`, a plain variable is written too, which is one.
#include <gpa/resource.hpp>
#include <gpa/tag_scope.hpp>

#include <atomic>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

std::atomic<unsigned> turn{0};
int unguarded = 0;

void work(gpa::resource& r, unsigned me, bool race)
{
  for (unsigned round = 0; round != 50; ++round) {
    while (turn.load(std::memory_order_relaxed) % 2 != me) std::this_thread::yield();
    std::vector<void*> blocks;
    blocks.reserve(3000);
    for (int i = 0; i != 3000; ++i) {
      blocks.push_back(r.allocate(64));
      std::memset(blocks.back(), static_cast<int>(me), 64);
    }
    for (void* const p : blocks) r.deallocate(p, 64);
    r.trim();  // what this thread keeps goes back to the slabs
    if (race) ++unguarded;
    turn.fetch_add(1, std::memory_order_relaxed);
  }
}

[[gnu::noinline]] void come_along(gpa::resource& r, unsigned depth)
{
  if (depth != 0) come_along(r, depth - 1);
  const gpa::tag_scope scope("depth " + std::to_string(depth));
  r.deallocate(r.allocate(64), 64);
}

}  // namespace

int main(int argc, char** argv)
{
  const bool race = argc == 2 && std::string_view(argv[1]) == "race";
  // Where slots are handed over by free bits as soon as they are free.
  gpa::resource checked({.checks = gpa::checks::always(), .quarantine_bytes = 0, .stack_frames = 0});
  gpa::resource fast({.checks = gpa::checks::never()});
  for (gpa::resource* const r : {&checked, &fast}) {
    turn.store(0, std::memory_order_relaxed);
    std::thread first([r, race] { work(*r, 0, race); });
    std::thread second([r, race] { work(*r, 1, race); });
    first.join();
    second.join();
  }
  for (int round = 0; round != 20; ++round) {
    gpa::resource traced({.checks = gpa::checks::always(), .profile = true});
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) threads.emplace_back([&traced] { come_along(traced, 40); });
    for (std::thread& t : threads) t.join();
  }
}
