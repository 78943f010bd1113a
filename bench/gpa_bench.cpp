// gpa_bench: measures, prints the tables, writes the files. bench/run builds and calls it; it calls itself for each
// contender.
#include "harness/harness.hpp"
#include "harness/worker.hpp"
#include "instructions/instructions.hpp"
#include "memory/memory.hpp"
#include "report/machine.hpp"
#include "report/output.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::bench;

constexpr const char* usage =
    "usage: gpa_bench [--quick] [--rounds N] [--only NAME]... [--replay FILE] [--alone] [--output DIR] [--list] "
    "[--help]\n"
    "\n"
    "Prints tables in Markdown to stdout, progress to stderr.\n"
    "\n"
    "  --quick        5 rounds of one pass: whether it works, not how fast it is\n"
    "  --rounds N     measured rounds (21)\n"
    "  --only NAME    this workload or contender only; may be given again\n"
    "  --replay FILE  the calls a gpa::recorder wrote, on every contender, and nothing else unless --only names it\n"
    "  --alone        no second thread in the processes, and so nothing on two threads\n"
    "  --output DIR   write first_table and everything there, as .md, .json and .csv\n"
    "  --list         the names\n"
    "  --help         this text\n"
    "\n"
    "What it calls itself with: --work WORKLOAD CONTENDER, --hold SHAPE CONTENDER, --pairs N CONTENDER, --here "
    "CONTENDER\n";

constexpr std::string_view count_of_instructions = "instructions";

enum class task : std::uint8_t { measure, list, help, work, hold, pairs, here };

struct invocation {
  settings how;
  task what = task::measure;
  std::string subject;  // of a task: a workload, a shape, a number of pairs
  std::string contender_name;
  std::filesystem::path output;
};

unsigned number(std::string_view text)
{
  unsigned n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n == 0)
    throw std::invalid_argument("not a number: " + std::string(text));
  return n;
}

invocation parse(const std::vector<std::string>& arguments)
{
  invocation i;
  unsigned rounds = 0;
  for (auto next = arguments.begin(); next != arguments.end(); ++next) {
    const auto value = [&, option = *next]() -> const std::string& {
      if (++next == arguments.end()) throw std::invalid_argument(option + " takes a value");
      return *next;
    };
    const auto on_one = [&](task what, bool has_subject) {
      i.what = what;
      if (has_subject) i.subject = value();
      i.contender_name = value();
    };
    if (*next == "--quick")
      i.how.quick = true;
    else if (*next == "--alone")
      i.how.alone = true;
    else if (*next == "--rounds")
      rounds = number(value());
    else if (*next == "--only")
      i.how.only.push_back(value());
    else if (*next == "--replay")
      i.how.replay = value();
    else if (*next == "--output")
      i.output = value();
    else if (*next == "--list")
      i.what = task::list;
    else if (*next == "--help" || *next == "-h")
      i.what = task::help;
    else if (*next == "--work")
      on_one(task::work, true);
    else if (*next == "--hold")
      on_one(task::hold, true);
    else if (*next == "--pairs")
      on_one(task::pairs, true);
    else if (*next == "--here")
      on_one(task::here, false);
    else
      throw std::invalid_argument("unknown: " + *next);
  }
  if (i.how.quick) i.how.rounds = 5;
  if (rounds != 0) i.how.rounds = rounds;
  if (!i.how.replay.empty()) add_replay(i.how.replay);
  return i;
}

template <class Things>
bool names_one_of(const Things& all, const std::string& name)
{
  return std::ranges::any_of(all, [&](const auto& one) { return one.name == name; });
}

// --only may name workloads, shapes, the instructions: then nothing else is measured. Contenders narrow down each.
bool names_no_work(const settings& s)
{
  return std::ranges::all_of(s.only, [](const std::string& n) { return names_one_of(contenders(), n); });
}

void check_names(settings& s)
{
  for (const std::string& name : s.only)
    if (!names_one_of(workloads(), name) && !names_one_of(contenders(), name) && !names_one_of(memory_shapes(), name) &&
        name != count_of_instructions)
      throw std::invalid_argument("no workload, no contender and no shape is named " + name + ": see --list");
  if (!s.replay.empty() && names_no_work(s)) s.only.emplace_back(replay_name);
}

void list()
{
  std::cout << "workloads\n";
  for (const workload& w : workloads())
    std::cout << "  " << w.name << ": " << w.title
              << (w.least_threads == w.most_threads ? "" : "; on two threads as well") << '\n';
  std::cout << "memory, and what callgrind counts\n";
  for (const memory_shape& m : memory_shapes()) std::cout << "  " << m.name << ": " << m.title << '\n';
  std::cout << "  " << count_of_instructions << ": of a pair of 64 B\n";
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

void tell(const std::string& line)
{
  std::cerr << line << '\n';
}

bool wants_work(const settings& s)
{
  return names_no_work(s) ||
         std::ranges::any_of(s.only, [](const std::string& n) { return names_one_of(workloads(), n); });
}

bool wants_memory(const settings& s)
{
  return names_no_work(s) ||
         std::ranges::any_of(s.only, [](const std::string& n) { return names_one_of(memory_shapes(), n); });
}

bool wants_instructions(const settings& s)
{
  if (std::ranges::find(s.only, count_of_instructions) != s.only.end()) return true;
  return names_no_work(s) && !s.quick;
}

int run(const invocation& i)
{
  const char* const command = std::getenv("GPA_BENCH_COMMAND");
  run_of_all all;
  all.machine = describe_machine(command != nullptr ? command : "gpa_bench");
  const std::vector<std::size_t> entrants = find_contenders(i.how, tell);
  if (wants_work(i.how)) all.rows = measure(i.how, entrants, show_progress, tell);
  if (wants_memory(i.how)) all.memory = measure_memory(i.how, entrants, tell);
  if (wants_instructions(i.how)) all.instructions = count_instructions(entrants, tell);
  all.machine.emplace_back("load after", load_now());
  all.machine.emplace_back("rounds", std::to_string(i.how.rounds) + (i.how.quick ? ", one pass each (--quick)" : "") +
                                         ", after one to warm up");
  all.machine.emplace_back("threads in each process",
                           i.how.alone ? "1" : "2, the second asleep unless a row says otherwise");

  write_machine(std::cout, all);
  if (!rows_of(all, views().front()).empty()) {
    std::cout << "\n### First table\n";
    write_tables(std::cout, all, views().front());
    write_verdicts(std::cout, judge_first_table(all));
  }
  write_all(std::cout, all);
  if (!i.output.empty()) write_files(i.output, all);
  return 0;
}

int answer(const invocation& i)
{
  const contender& c = contenders()[contender_named(i.contender_name)];
  const bool here = is_here(c);
  if (i.what == task::here) {
    std::cout << (here ? worker_ready : worker_cannot) << std::endl;
  } else if (!here) {
    throw std::runtime_error(std::string(c.name) + " is not here: " + std::string(c.missing));
  } else if (i.what == task::work) {
    work(c, workload_named(i.subject), i.how.alone, std::cin, std::cout);
  } else if (i.what == task::hold) {
    hold(c, i.subject, std::cout);
  } else {
    make_pairs(c, number(i.subject));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv)
{
  ::signal(SIGPIPE, SIG_IGN);  // a process that died is seen when its answer is read
  try {
    invocation i = parse({argv + 1, argv + argc});
    switch (i.what) {
      case task::help: std::cout << usage; return 0;
      case task::list: list(); return 0;
      case task::measure: check_names(i.how); return run(i);
      default: return answer(i);
    }
  } catch (const std::invalid_argument& wrong) {
    std::cerr << "gpa_bench: " << wrong.what() << '\n' << usage;
    return 2;
  } catch (const std::exception& trouble) {
    std::cerr << "gpa_bench: " << trouble.what() << '\n';
    return 1;
  }
}
