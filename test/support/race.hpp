// Several threads that do something at the same moment, again and again.
#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace gpa::test {

// Everybody leaves at the same moment: spinning, so that nobody is late by a wake-up.
class starting_line {
 public:
  explicit starting_line(unsigned threads) : threads_(threads) {}
  void wait() noexcept
  {
    const unsigned round = round_.load();
    if (waiting_.fetch_add(1) + 1 == threads_) {
      waiting_.store(0);
      round_.store(round + 1);
      return;
    }
    while (round_.load() == round) std::this_thread::yield();
  }

 private:
  const unsigned threads_;
  std::atomic<unsigned> waiting_{0};
  std::atomic<unsigned> round_{0};
};

// Each round, `prepare` alone, then `act(thread)` on all threads at once, then `judge` alone.
template <class Prepare, class Act, class Judge>
void race(unsigned threads, std::size_t rounds, Prepare prepare, Act act, Judge judge)
{
  starting_line line(threads);
  const auto run = [&](unsigned self) {
    for (std::size_t i = 0; i != rounds; ++i) {
      if (self == 0) prepare();
      line.wait();
      act(self);
      line.wait();
      if (self == 0) judge();
      line.wait();
    }
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t != threads; ++t) others.emplace_back(run, t);
  run(0);
  for (std::thread& t : others) t.join();
}

}  // namespace gpa::test
