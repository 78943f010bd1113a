// gpa_bench: measures, prints the tables, writes the files. bench/run builds and calls it.
#include "budgets.hpp"
#include "harness.hpp"
#include "machine.hpp"
#include "output.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::bench;

constexpr const char* usage =
    "usage: gpa_bench [--quick] [--rounds N] [--only NAME]... [--alone] [--output DIR] [--list] [--help]\n"
    "\n"
    "Prints tables in Markdown to stdout, progress to stderr.\n"
    "\n"
    "  --quick       5 rounds of one pass: whether it works, not how fast it is\n"
    "  --rounds N    measured rounds (41)\n"
    "  --only NAME   this workload or contender only (gpa always takes part); may be given again\n"
    "  --alone       no second thread in the process, and so nothing on two threads\n"
    "  --output DIR  write first_table.md, .json and .csv there\n"
    "  --list        the names\n"
    "  --help        this text\n";

struct invocation {
  settings how;
  std::filesystem::path output;
  bool list = false;
  bool help = false;
};

unsigned number(std::string_view text)
{
  unsigned n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n == 0)
    throw std::invalid_argument("not a number of rounds: " + std::string(text));
  return n;
}

invocation parse(const std::vector<std::string>& arguments)
{
  invocation i;
  unsigned rounds = 0;
  for (auto next = arguments.begin(); next != arguments.end(); ++next) {
    const auto value = [&]() -> const std::string& {
      const std::string& option = *next;
      if (++next == arguments.end()) throw std::invalid_argument(option + " takes a value");
      return *next;
    };
    if (*next == "--quick")
      i.how.quick = true;
    else if (*next == "--alone")
      i.how.alone = true;
    else if (*next == "--rounds")
      rounds = number(value());
    else if (*next == "--only")
      i.how.only.push_back(value());
    else if (*next == "--output")
      i.output = value();
    else if (*next == "--list")
      i.list = true;
    else if (*next == "--help" || *next == "-h")
      i.help = true;
    else
      throw std::invalid_argument("unknown: " + *next);
  }
  if (i.how.quick) i.how.rounds = 5;
  if (rounds != 0) i.how.rounds = rounds;
  for (const std::string& name : i.how.only)
    if (std::ranges::find(workloads(), name, &workload::name) == workloads().end() &&
        std::ranges::find(contenders(), name, &contender::name) == contenders().end())
      throw std::invalid_argument("no workload and no contender is named " + name + ": see --list");
  return i;
}

void list()
{
  std::cout << "workloads\n";
  for (const workload& w : workloads())
    std::cout << "  " << w.name << ": " << w.title << (w.most_threads == 1 ? "" : "; on two threads as well") << '\n';
  std::cout << "contenders\n";
  for (const contender& c : contenders()) std::cout << "  " << c.name << ": " << c.what << '\n';
}

// On a terminal one line that counts; elsewhere one line a workload.
void show_progress(const workload& w, unsigned done, unsigned all)
{
  static const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (terminal)
    std::cerr << "\r" << w.name << ": round " << done << " of " << all << (done == all ? "\n" : "   ") << std::flush;
  else if (done == 0)
    std::cerr << w.name << ": " << all << " rounds\n";
}

template <class Writer>
void write(const std::filesystem::path& file, const run_of_all& run, Writer writer)
{
  std::ofstream out(file);
  writer(out, run);
  out.close();
  if (!out) throw std::runtime_error("could not write " + file.string());
}

int run(const invocation& i)
{
  const char* const command = std::getenv("GPA_BENCH_COMMAND");
  run_of_all all;
  all.machine = describe_machine(command != nullptr ? command : "gpa_bench");
  all.rows = measure(i.how, show_progress);
  all.machine.emplace_back("load after", load_now());
  all.machine.emplace_back("rounds", std::to_string(i.how.rounds) + (i.how.quick ? ", one pass each (--quick)" : "") +
                                         ", after one to warm up");
  all.machine.emplace_back("threads in the process",
                           i.how.alone ? "1" : "2, the second asleep unless a row says otherwise");
  all.verdicts = judge(all.rows);

  write_markdown(std::cout, all);
  if (i.output.empty()) return 0;
  std::filesystem::create_directories(i.output);
  write(i.output / "first_table.md", all, write_markdown);
  write(i.output / "first_table.json", all, write_json);
  write(i.output / "first_table.csv", all, write_csv);
  return 0;
}

}  // namespace

int main(int argc, char** argv)
{
  try {
    const invocation i = parse({argv + 1, argv + argc});
    if (i.help) {
      std::cout << usage;
    } else if (i.list) {
      list();
    } else {
      return run(i);
    }
    return 0;
  } catch (const std::invalid_argument& wrong) {
    std::cerr << "gpa_bench: " << wrong.what() << '\n' << usage;
    return 2;
  } catch (const std::exception& trouble) {
    std::cerr << "gpa_bench: " << trouble.what() << '\n';
    return 1;
  }
}
