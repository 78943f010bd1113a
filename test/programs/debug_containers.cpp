// A program compiled with libstdc++'s checked containers (-D_GLIBCXX_DEBUG), which are other types than those of the
// library: everything that hands over a container, and containers on a resource. Exit status 0 if all is right.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <cstddef>
#include <cstdio>
#include <map>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#ifndef _GLIBCXX_DEBUG
#error to be compiled with -D_GLIBCXX_DEBUG
#endif

namespace {

bool all_right = true;

void expect(bool right, const char* what)
{
  if (right) return;
  all_right = false;
  std::printf("debug_containers: %s\n", what);
}

bool names_main(const std::vector<gpa::stack_frame>& frames)
{
  for (const gpa::stack_frame& f : frames)
    if (f.function == "main" || f.function == "main()") return true;
  return false;
}

}  // namespace

int main()
{
  bool told = false;
  gpa::resource r({.checks = gpa::checks::always(),
                   .after_mistake = gpa::after_mistake::carry_on,
                   .on_report = [&told](const gpa::report& report) { told = names_main(report.here.frames()); }});
  void* const p = r.allocate(100);
  expect(names_main(r.origin(p).frames()), "the frames of a block's origin");

  const gpa::snapshot before = r.take_snapshot();
  std::pmr::map<int, std::pmr::string> words(&r);
  std::pmr::vector<std::pmr::string> lines(&r);
  for (int i = 0; i != 100; ++i) {
    words[i] = "a word that is too long to be kept inside";
    lines.push_back(words[i]);
  }
  gpa::snapshot after = r.take_snapshot();
  expect(after.sites().size() > before.sites().size(), "sites");
  expect(!after.statistics(gpa::by::line).empty(), "statistics()");
  expect(after.compare_to(before, gpa::by::size_class).front().size_difference > 0, "compare_to()");
  expect(after.filter({gpa::include("*debug_containers.cpp", true)}).live_bytes() >= 100, "filter()");
  const gpa::snapshot copy = after;
  const gpa::snapshot moved = std::move(after);
  expect(copy.live_bytes() == moved.live_bytes() && copy.live_bytes() > 200 * 40, "copies");
  expect(gpa::snapshot().sites().empty(), "an empty snapshot");

  r.deallocate(p, 100);
  r.deallocate(p, 100);
  expect(told, "the frames of a report");
  return all_right ? 0 : 1;
}
