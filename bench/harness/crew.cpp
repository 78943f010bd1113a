// The second thread: sleeps on an atomic, meets main in a spinning barrier before and after run().
#include "harness/crew.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace gpa::bench {

namespace {

// The n-th CPU this process may use; without that many, or where it is forbidden, the scheduler goes on choosing.
void pin(const cpu_set_t& allowed, unsigned n) noexcept
{
  for (unsigned cpu = 0; cpu != CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || n-- != 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
    return;
  }
}

class nothing final : public job {
 public:
  void run(unsigned) override {}
};

}  // namespace

crew::crew(bool alone)
{
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  pin(allowed, 0);
  if (alone) return;
  most_threads_ = CPU_COUNT(&allowed) < 2 ? 1 : 2;
  second_ = std::thread([this, allowed] {
    pin(allowed, 1);
    sleep_and_help();
  });
}

crew::~crew()
{
  if (!second_.joinable()) return;
  nothing last;
  ending_ = true;
  task_ = &last;
  task_.notify_one();
  second_.join();
}

double crew::pass(job& j, unsigned threads)
{
  if (threads > 1) {
    task_ = &j;
    task_.notify_one();
  }
  part(j, 0, threads);
  if (threads > 1) meet(threads);  // the second thread has finished too

  auto [start, end] = times_[0];
  for (unsigned thread = 1; thread != threads; ++thread) {
    start = std::min(start, times_[thread].start);
    end = std::max(end, times_[thread].end);
  }
  return std::chrono::duration<double, std::nano>(end - start).count();
}

void crew::part(job& j, unsigned thread, unsigned threads)
{
  j.prepare(thread);
  meet(threads);
  times_[thread].start = clock::now();
  j.run(thread);
  times_[thread].end = clock::now();
  meet(threads);
  j.finish(thread);
}

void crew::meet(unsigned threads) noexcept
{
  if (threads == 1) return;
  const unsigned before = meetings_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    arrived_.store(0, std::memory_order_relaxed);
    meetings_.store(before + 1, std::memory_order_release);
  } else {
    while (meetings_.load(std::memory_order_acquire) == before) {
    }
  }
}

void crew::sleep_and_help()
{
  for (;;) {
    task_.wait(nullptr);
    job& j = *task_.load();
    if (ending_) return;
    task_ = nullptr;
    part(j, 1, 2);
    meet(2);
  }
}

}  // namespace gpa::bench
