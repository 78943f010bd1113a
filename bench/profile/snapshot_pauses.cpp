// How long a snapshot of many live blocks takes, and for how long it stops the threads that go on allocating.
//
//   snapshot_pauses [BLOCKS [large] [profiled]]    10 000 000 blocks, without anything said
//
// Two threads allocate and free throughout, and look at the clock after every pair. Between two looks lies what the
// pair took, and whatever stopped the thread. The kernel counts why it did: a thread that had to wait, for a lock or a
// page, gave the CPU up of its own accord; one that was set aside for another did not. So a gap is put down to the heap
// unless the thread was set aside in it and did not wait. The same is measured while nobody takes a snapshot.
//
// Twenty snapshots are taken. A thread that waits for one that was set aside waits for a scheduler's turn, in any of
// them, and when nobody looks too; what a snapshot itself would do to others, it would do in each. So the shortest and
// the middle one of the longest stops are told beside the longest.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using microseconds = double;

microseconds now()
{
  return std::chrono::duration<microseconds, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct switches {
  long waited = 0;
  long set_aside = 0;

  static switches so_far()
  {
    rusage use{};
    ::getrusage(RUSAGE_THREAD, &use);
    return {use.ru_nvcsw, use.ru_nivcsw};
  }
};

struct gaps {
  microseconds any = 0;    // the longest between two looks at the clock
  microseconds by_us = 0;  // the longest put down to us
  double pairs = 0;

  void add(microseconds gap, const switches& before, const switches& after)
  {
    const bool only_set_aside = after.waited == before.waited && after.set_aside != before.set_aside;
    if (!only_set_aside) by_us = std::max(by_us, gap);
  }
};

// A thread that churns 1 000 blocks of 16 to 1 024 bytes, and if wanted large ones now and then.
class mutator {
 public:
  mutator(gpa::resource& r, bool large) : large_(large), thread_([this, &r] { run(r); }) {}
  ~mutator()
  {
    stop_ = true;
    thread_.join();
  }

  /// What was seen since the last call.
  gaps take()
  {
    taken_ = false;
    for (take_ = true; !taken_;) std::this_thread::yield();
    return last_;
  }

 private:
  void run(gpa::resource& r)
  {
    constexpr microseconds worth_asking = 50;
    struct block {
      void* p = nullptr;
      std::size_t bytes = 0;
    };
    std::array<block, 1000> mine{};
    gaps seen;
    unsigned dice = 1;
    switches known = switches::so_far();
    microseconds before = now();
    while (!stop_.load(std::memory_order_relaxed)) {
      dice = dice * 1664525 + 1013904223;
      block& b = mine[(dice >> 8) % mine.size()];
      if (b.p != nullptr) r.deallocate(b.p, b.bytes);
      b.bytes = large_ && (dice & 0xFF0000) == 0 ? 65'536 : 16 + (dice >> 16) % 1009;
      b.p = r.allocate(b.bytes);
      ++seen.pairs;
      const microseconds after = now();
      seen.any = std::max(seen.any, after - before);
      if (after - before > worth_asking) {
        const switches then = switches::so_far();
        seen.add(after - before, known, then);
        known = then;
      }
      before = after;
      if (!take_.load(std::memory_order_acquire)) continue;
      last_ = std::exchange(seen, {});
      take_ = false;
      taken_ = true;
      known = switches::so_far();
      before = now();
    }
    for (const block& b : mine)
      if (b.p != nullptr) r.deallocate(b.p, b.bytes);
  }

  bool large_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> take_{false};
  std::atomic<bool> taken_{false};
  gaps last_;
  std::thread thread_;
};

using crew = std::array<std::unique_ptr<mutator>, 2>;

struct row {
  std::vector<microseconds> took = {};
  std::vector<microseconds> any = {};
  std::vector<microseconds> by_us = {};
  std::vector<double> rate = {};
};

template <class Work>
void measure(row& out, crew& mutators, Work work)
{
  for (auto& m : mutators) static_cast<void>(m->take());
  const microseconds begin = now();
  work();
  const microseconds took = now() - begin;
  gaps all;
  for (auto& m : mutators) {
    const gaps g = m->take();
    all.any = std::max(all.any, g.any);
    all.by_us = std::max(all.by_us, g.by_us);
    all.pairs += g.pairs;
  }
  out.took.push_back(took);
  out.any.push_back(all.any);
  out.by_us.push_back(all.by_us);
  out.rate.push_back(all.pairs / took);
}

void print(const char* what, row& r)
{
  for (auto* const column : {&r.took, &r.any, &r.by_us, &r.rate}) std::sort(column->begin(), column->end());
  const std::size_t middle = r.took.size() / 2;
  std::printf("%-20s %7.1f ms (%.1f to %.1f)  %5.2f M pairs/s  "
              "longest stop: shortest %.0f, middle %.0f, longest %.0f us; with turns of other threads %.0f us\n",
              what, r.took[middle] / 1e3, r.took.front() / 1e3, r.took.back() / 1e3, r.rate[middle], r.by_us.front(),
              r.by_us[middle], r.by_us.back(), r.any.back());
}

bool says(int argc, char** argv, std::string_view word)
{
  return std::any_of(argv + 1, argv + argc, [word](const char* argument) { return argument == word; });
}

}  // namespace

int main(int argc, char** argv)
{
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  gpa::options o = {.name = "snapshots", .checks = gpa::checks::always()};
  o.profile = says(argc, argv, "profiled");
  const bool large = says(argc, argv, "large");
  gpa::resource r(o);
  std::vector<void*> blocks(count);
  for (std::size_t i = 0; i != count; ++i) blocks[i] = r.allocate(16 + i % 5 * 16);
  std::printf("%zu live blocks%s; two threads at work%s\n", count, o.profile ? ", profiled" : "",
              large ? ", large blocks too" : "");
  {
    crew mutators = {std::make_unique<mutator>(r, large), std::make_unique<mutator>(r, large)};
    row alone;
    row snapshots;
    row reports;
    for (int i = 0; i != 20; ++i) {
      measure(alone, mutators, [] { std::this_thread::sleep_for(std::chrono::milliseconds(300)); });
      std::size_t seen = 0;
      measure(snapshots, mutators, [&] { seen = r.take_snapshot().live_blocks(); });
      if (seen < count) return 1;
      measure(reports, mutators, [&] { r.write_report("/dev/null"); });
    }
    print("nobody looks", alone);
    print("a snapshot", snapshots);
    print("a JSON document", reports);
  }
  for (std::size_t i = 0; i != count; ++i) r.deallocate(blocks[i], 16 + i % 5 * 16);
}
