// What a call stack costs: what a capture of 32 frames together with its number, taken where gpa::resource takes it,
// adds to eight programs over std::pmr.
//
//   capture_times MARKDOWN CSV    a table, and every round
//   capture_times                 the table, to the standard output
//
// A program of its own, as it needs what the library does not export. Each runs on two resources in turn, of which one
// captures at every call and the other does not: the difference, divided by the calls. To time each capture would not
// do: where a CPU's clock goes in steps of several nanoseconds most of them take 0, and while the CPU waits for two looks
// at the clock, a capture costs nothing.
#include "support/pmr_workloads.hpp"

#include "report/numbers.hpp"

#include "trace/capture.hpp"
#include "trace/front_frame.hpp"
#include "trace/stack_cache.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::bench::rounded;
using gpa::test::named_workload;

constexpr std::size_t frames = 32;
constexpr int rounds = 15;
constexpr double typical_limit = 40;  // ns
constexpr auto least_time = std::chrono::milliseconds(20);

std::size_t calls = 0;

[[gnu::always_inline]] inline void capture()
{
  const void* const caller = __builtin_return_address(0);
  const std::uint32_t seen = is_own_caller(caller) ? stack_seen_here(frames) : 0;
  const std::uint32_t id = seen != 0 ? seen : stack_from_here(frames, caller);
  if (id != 0) [[likely]] return;
  std::fputs("capture_times: a stack was not captured\n", stderr);
  std::exit(1);
}

// Stands where gpa::resource stands.
template <bool captures>
class over_new final : public std::pmr::memory_resource {
  [[gnu::noinline]] void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    if constexpr (captures) capture();
    ++calls;
    return ::operator new(bytes, std::align_val_t(alignment));
  }
  [[gnu::noinline]] void do_deallocate(void* p, std::size_t, std::size_t alignment) override
  {
    if constexpr (captures) capture();
    ++calls;
    ::operator delete(p, std::align_val_t(alignment));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
over_new<true> capturing;
over_new<false> plain;

double nanoseconds_of(const named_workload& w, std::pmr::memory_resource& memory, int times)
{
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i != times; ++i) w.run(memory);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

struct row {
  std::string name;
  std::size_t calls = 0;         // of one run
  std::vector<double> cost = {};  // ns a capture, of each round

  [[nodiscard]] double median() const
  {
    std::vector<double> sorted = cost;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

// What programs do, they do again and again: a warm-up fills the caches of both.
row measure(const named_workload& w)
{
  row r{.name = w.name};
  w.run(capturing);
  calls = 0;
  const double once = nanoseconds_of(w, plain, 1);
  r.calls = calls;
  const int times = 1 + static_cast<int>(std::chrono::duration<double, std::nano>(least_time).count() / once);
  for (int round = 0; round != rounds; ++round) {
    const auto of = [&](std::pmr::memory_resource& memory) { return nanoseconds_of(w, memory, times); };
    const bool capturing_first = round % 2 != 0;
    const double first = capturing_first ? of(capturing) : of(plain);
    const double second = capturing_first ? of(plain) : of(capturing);
    const double more = capturing_first ? first - second : second - first;
    r.cost.push_back(more / times / static_cast<double>(r.calls));
  }
  return r;
}

void print_table(std::FILE* out, const std::vector<row>& rows)
{
  std::fputs("| program | captures a run | ns a capture |\n|---|---|---|\n", out);
  std::vector<double> medians;
  for (const row& r : rows) {
    const auto [low, high] = std::ranges::minmax(r.cost);
    medians.push_back(r.median());
    std::fprintf(out, "| %s | %zu | **%s** %s-%s |\n", r.name.c_str(), r.calls, rounded(r.median()).c_str(),
                 rounded(low).c_str(), rounded(high).c_str());
  }
  std::ranges::sort(medians);
  const double typical = std::midpoint(medians[medians.size() / 2 - 1], medians[medians.size() / 2]);
  const row& worst = *std::ranges::max_element(rows, {}, &row::median);
  std::fprintf(out, "\nTypical, the median of these: %s ns (at most %s: %s). The worst: %s, %s ns.\n",
               rounded(typical).c_str(), rounded(typical_limit).c_str(),
               typical <= typical_limit ? "holds" : "does not hold", worst.name.c_str(),
               rounded(worst.median()).c_str());
}

void print_rounds(std::FILE* out, const std::vector<row>& rows)
{
  std::fputs("program,round,ns\n", out);
  for (const row& r : rows)
    for (std::size_t i = 0; i != r.cost.size(); ++i)
      std::fprintf(out, "%s,%zu,%.2f\n", r.name.c_str(), i + 1, r.cost[i]);
}

bool write_file(const char* path, const std::vector<row>& rows, void (*print)(std::FILE*, const std::vector<row>&))
{
  std::FILE* const out = std::fopen(path, "w");
  if (out == nullptr) {
    std::perror(path);
    return false;
  }
  print(out, rows);
  return std::fclose(out) == 0;
}

}  // namespace

int main(int count, char** words)
{
  if (count != 1 && count != 3) {
    std::fputs("usage: capture_times [MARKDOWN CSV]\n", stderr);
    return 2;
  }
  begin_stack_cache();
  std::vector<row> rows;
  for (const auto& w : gpa::test::pmr_workloads) rows.push_back(measure(w));
  if (count == 1) {
    print_table(stdout, rows);
    return 0;
  }
  return write_file(words[1], rows, print_table) && write_file(words[2], rows, print_rounds) ? 0 : 1;
}
