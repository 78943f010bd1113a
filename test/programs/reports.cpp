// Writes one JSON document of every kind into the folder it is given; report_schema_test.py judges them.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace {

gpa::options named(std::string_view name, gpa::checks checks)
{
  gpa::options o = {.name = name, .checks = checks};
  o.after_mistake = gpa::after_mistake::carry_on;
  o.on_report = [](const gpa::report&) {};
  return o;
}

// Many sites, threads and tags, a leak, and two mistakes; then the document.
void write(const gpa::options& o, const std::string& file)
{
  gpa::resource r(o);
  std::pmr::vector<std::pmr::string> words(&r);
  std::thread([&words] {
    const gpa::tag_scope tag("load \"words\"");
    for (std::size_t i = 0; i != 3000; ++i) words.emplace_back(i % 700, 'w');
  }).join();
  words.resize(1000);
  void* const large = r.allocate(300'000);
  void* const small = r.allocate(24);
  if (!o.checks.is_never()) r.deallocate(small, 23);
  r.detect_leaks();
  r.write_report(file);
  r.deallocate(small, 24);
  r.deallocate(large, 300'000);
}

}  // namespace

int main(int argc, char** argv)
{
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  write(named("checked", gpa::checks::always()), folder + "/checked.json");
  write(named("unchecked", gpa::checks::never()), folder + "/unchecked.json");
  write(named("sampled", gpa::checks::one_in(10)), folder + "/sampled.json");

  gpa::options o = named("profiled \xFF\x01\"\\", gpa::checks::always());
  o.profile = true;
  o.memory_limit = 100'000'000;
  write(o, folder + "/profiled.json");
  o.checks = gpa::checks::one_in(10);
  write(o, folder + "/profiled_sampled.json");
  o = named("without stacks", gpa::checks::always());
  o.stack_frames = 0;
  write(o, folder + "/no_stacks.json");

  gpa::resource empty(named("empty", gpa::checks::always()));
  empty.write_report(folder + "/empty.json");
}
