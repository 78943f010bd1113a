// How long a snapshot of many live blocks takes, and for how long it stops the threads that go on allocating.
//
//   snapshot_pauses [BLOCKS [large] [profiled]]    10 000 000 blocks, without anything said
//
// Two threads allocate and free throughout, and look at the clock after every pair. Between two looks lies what the
// pair took, and whatever stopped the thread. The kernel counts why it did: a thread that had to wait, for a lock or a
// page, gave the CPU up of its own accord (waited); one that was set aside for another did not; and without either the
// thread kept it (no switch): code of ours, a page fault, or a virtual machine that was itself set aside, of which the
// thread's own clock knows where the kernel tells the two apart (computed: less than that). The same is measured while
// nobody takes a snapshot, and of two threads that do nothing but look at the clock: what the machine alone does.
//
// Twenty snapshots are taken. A thread that waits for one that was set aside waits for a scheduler's turn, in any of
// them, and when nobody looks too; what a snapshot itself would do to others, it would do in each. So the shortest and
// the middle one of the longest stops are told beside the longest, and how many of all are longer than a millisecond.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
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

microseconds computed()
{
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<microseconds>(used.tv_sec) * 1e6 + static_cast<microseconds>(used.tv_nsec) / 1e3;
}

struct switches {
  long waited = 0;
  long set_aside = 0;
  microseconds when = 0;
  microseconds computed_until = 0;

  static switches so_far()
  {
    rusage use{};
    ::getrusage(RUSAGE_THREAD, &use);
    return {use.ru_nvcsw, use.ru_nivcsw, now(), computed()};
  }
};

struct gaps {
  microseconds any = 0;    // the longest between two looks at the clock
  microseconds waited = 0;     // the longest in which the thread gave the CPU up
  microseconds no_switch = 0;  // the longest in which it kept it
  microseconds computed = 0;   // the longest of those, without what the thread did not run of the time since the last
  long long_waits = 0;         // of the former, those above a millisecond
  long long_runs = 0;          // of the last
  double pairs = 0;

  void add(microseconds gap, const switches& before, const switches& after)
  {
    constexpr microseconds too_long = 1000;
    if (after.waited != before.waited) {
      waited = std::max(waited, gap);
      long_waits += gap > too_long ? 1 : 0;
    } else if (after.set_aside == before.set_aside) {
      const microseconds stolen = (after.when - before.when) - (after.computed_until - before.computed_until);
      no_switch = std::max(no_switch, gap);
      computed = std::max(computed, gap - stolen);
      long_runs += gap - stolen > too_long ? 1 : 0;
    }
  }

  void add(const gaps& other)
  {
    any = std::max(any, other.any);
    waited = std::max(waited, other.waited);
    no_switch = std::max(no_switch, other.no_switch);
    computed = std::max(computed, other.computed);
    long_waits += other.long_waits;
    long_runs += other.long_runs;
    pairs += other.pairs;
  }
};

enum class load { only_clock, small, with_large };

// A thread that churns 1 000 blocks of 16 to 1 024 bytes, and if wanted large ones now and then; or does nothing.
class mutator {
 public:
  mutator(gpa::resource& r, load l) : load_(l), thread_([this, &r] { run(r); }) {}
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
      if (load_ != load::only_clock) {
        block& b = mine[(dice >> 8) % mine.size()];
        if (b.p != nullptr) r.deallocate(b.p, b.bytes);
        b.bytes = load_ == load::with_large && (dice & 0xFF0000) == 0 ? 65'536 : 16 + (dice >> 16) % 1009;
        b.p = r.allocate(b.bytes);
        ++seen.pairs;
      }
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

  load load_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> take_{false};
  std::atomic<bool> taken_{false};
  gaps last_;
  std::thread thread_;
};

using crew = std::array<std::unique_ptr<mutator>, 2>;

struct row {
  std::vector<microseconds> took = {};
  std::vector<microseconds> waited = {};
  std::vector<microseconds> no_switch = {};
  std::vector<microseconds> computed = {};
  std::vector<double> rate = {};
  gaps all = {};
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
    all.add(m->take());
  }
  out.took.push_back(took);
  out.waited.push_back(all.waited);
  out.no_switch.push_back(all.no_switch);
  out.computed.push_back(all.computed);
  out.rate.push_back(all.pairs / took);
  out.all.add(all);
}

void print(const char* what, row& r)
{
  for (auto* const column : {&r.took, &r.waited, &r.no_switch, &r.computed, &r.rate}) std::sort(column->begin(), column->end());
  const std::size_t middle = r.took.size() / 2;
  std::printf("%s: %.1f ms (%.1f to %.1f), %.2f M pairs/s; longest stop of a round: shortest, middle, longest\n", what,
              r.took[middle] / 1e3, r.took.front() / 1e3, r.took.back() / 1e3, r.rate[middle]);
  const auto line = [middle](const char* why, const std::vector<microseconds>& stops) {
    std::printf("  %-12s %6.0f %6.0f %6.0f us", why, stops.front(), stops[middle], stops.back());
  };
  line("waited", r.waited);
  std::printf("; %ld above 1 ms\n", r.all.long_waits);
  line("no switch", r.no_switch);
  std::printf("\n");
  line("  computed", r.computed);
  std::printf("; %ld above 1 ms\n", r.all.long_runs);
  std::printf("  with turns of other threads %.0f us\n", r.all.any);
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
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(300)); };
  {
    crew idle = {std::make_unique<mutator>(r, load::only_clock), std::make_unique<mutator>(r, load::only_clock)};
    row clock;
    for (int i = 0; i != 20; ++i) measure(clock, idle, sleep);
    print("two threads that only look at the clock", clock);
  }
  {
    const load l = large ? load::with_large : load::small;
    crew mutators = {std::make_unique<mutator>(r, l), std::make_unique<mutator>(r, l)};
    row alone;
    row snapshots;
    row reports;
    for (int i = 0; i != 20; ++i) {
      measure(alone, mutators, sleep);
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
