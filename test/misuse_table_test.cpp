// What a user sees of each misuse, in blocks of each size: one table, golden/misuse_table.md, which lib/README.md
// shows.
//
// Each cell is a child of its own, with the options of its column, and ends as programs do by default: the first report
// aborts. GPA_WRITE_GOLDEN=1 writes both files anew. Each misuse has a twin: the same program without the one wrong
// call or access, which must not say a word.
#define BOOST_TEST_MODULE misuse_table
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/death.hpp"
#include "support/golden_file.hpp"
#include "support/misuse_scene.hpp"
#include "support/not_run.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <memory_resource>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// Reports are judged by their headlines, so no names are looked up.
extern "C" const char* gpa_default_options()
{
  return "symbolize=0";
}

namespace {

using namespace gpa::test;

struct column {
  std::string_view heading;
  std::size_t bytes;
  gpa::protect_large protect_large = gpa::protect_large::always;
};

constexpr column columns[] = {
    {"40 B", 40},
    {"1 000 B", 1000},
    {"8 KiB", 8192},
    {"100 000 B, protected", 100'000},
    {"100 000 B, not protected", 100'000, gpa::protect_large::never},
};

// Nothing that another machine would choose differently, nor the environment.
gpa::options options_of(const column& c)
{
  return {.checks = gpa::checks::always(),
          .quarantine_bytes = std::size_t{64} << 10,
          .stack_frames = 4,
          .environment = gpa::environment::ignored,
          .protect_large = c.protect_large};
}

struct misuse {
  std::string_view what;
  void (*commit)(scene&);
  void (*adjust)(gpa::options&) = nullptr;
  bool of_no_bytes = false;  // one size: one cell
};

struct group {
  std::string_view name;
  std::vector<misuse> rows;
};

int global_variable = 0;

void no_quarantine(gpa::options& o)
{
  o.quarantine_bytes = 0;
}
void no_reuse(gpa::options& o)
{
  o.quarantine_bytes = gpa::unlimited;
}
void poison_everywhere(gpa::options& o)
{
  o.poison_bytes = gpa::unlimited;
}

void free_into_another(scene& s, gpa::options o)
{
  o.name = "other";
  gpa::resource other(o);
  void* const q = obtain(other, s.bytes);
  s.wrong_free(q, s.bytes);
  discard(other, q, s.bytes);
}

/// A block of 0 bytes, from its allocation to its free.
template <class Use>
void* with_empty(scene& s, Use use)
{
  void* const q = obtain(s.r, 0);
  use(q);
  discard(s.r, q, 0);
  return q;
}

const std::vector<group> groups = {
    {"double free",
     {
         {"at once", [](scene& s) { s.free_block().wrong_free(s.p, s.bytes); }},
         {"after the free of another", [](scene& s) { s.free_block().free_next().wrong_free(s.p, s.bytes); }},
         {"after 100 others came and went",
          [](scene& s) {
            s.free_block();
            for (int i = 0; i != 100; ++i) discard(s.r, s.filled(), s.bytes);
            s.wrong_free(s.p, s.bytes);
          }},
         {"by another thread",
          [](scene& s) {
            s.free_block();
            std::thread([&s] { s.wrong_free(s.p, s.bytes); }).join();
          }},
         {"with another size", [](scene& s) { s.free_block().wrong_free(s.p, s.bytes + 8); }},
         {"after all was freed, and `trim()`", [](scene& s) { s.free_all().trim().wrong_free(s.p, s.bytes); }},
         {"once another block has the address (no quarantine)",
          [](scene& s) { s.lose_block().wrong_free(s.p, s.bytes); }, no_quarantine},
         {"the same, with an unlimited quarantine", [](scene& s) { s.lose_block().wrong_free(s.p, s.bytes); },
          no_reuse},
     }},
    {"invalid free",
     {
         {"1 byte inside the block", [](scene& s) { s.wrong_free(moved(s.p, 1), s.bytes); }},
         {"16 bytes inside", [](scene& s) { s.wrong_free(moved(s.p, 16), s.bytes - 16); }},
         {"one past its end", [](scene& s) { s.wrong_free(moved(s.p, s.bytes), s.bytes); }},
         {"16 bytes in front", [](scene& s) { s.wrong_free(moved(s.p, std::uintptr_t{} - 16), s.bytes); }},
         {"inside a freed block", [](scene& s) { s.free_block().wrong_free(moved(s.p, 16), s.bytes); }},
         {"never handed out",
          [](scene& s) { s.wrong_free(moved(s.p, s.bytes <= 1000 ? 48 * 1008 : 6 * 65'536), s.bytes); }},
         {"on the stack",
          [](scene& s) {
            int local = 0;
            s.wrong_free(&local, s.bytes);
          }},
         {"a global variable", [](scene& s) { s.wrong_free(&global_variable, s.bytes); }},
         {"memory from `new`",
          [](scene& s) {
            const auto q = std::make_unique<std::byte[]>(s.bytes);
            s.wrong_free(q.get(), s.bytes);
          }},
         {"memory of a standard pool",
          [](scene& s) {
            std::pmr::unsynchronized_pool_resource pool;
            void* const q = pool.allocate(s.bytes);
            s.wrong_free(q, s.bytes);
            pool.deallocate(q, s.bytes);
          }},
         {"address 16", [](scene& s) { s.wrong_free(moved(nullptr, 16), s.bytes); }},
         {"a null pointer", [](scene& s) { s.wrong_free(nullptr, s.bytes); }},
         {"a pointer read from freed memory",
          [](scene& s) { s.wrong_free(moved(nullptr, 0xDFDF'DFDF'DFDF'DFDF), s.bytes); }},
     }},
    {"wrong resource",
     {
         {"a block of another", [](scene& s) { free_into_another(s, s.r.options()); }},
         {"of one without checks",
          [](scene& s) {
            gpa::options o = s.r.options();
            o.checks = gpa::checks::never();
            free_into_another(s, o);
          }},
         {"a freed block of another",
          [](scene& s) {
            gpa::resource other(s.r.options());
            void* const q = obtain(other, s.bytes);
            discard(other, q, s.bytes);
            s.wrong_free(q, s.bytes);
          }},
     }},
    {"size or alignment mismatch",
     {
         {"1 byte less", [](scene& s) { s.wrong_free(s.p, s.bytes - 1); }},
         {"1 byte more", [](scene& s) { s.wrong_free(s.p, s.bytes + 1); }},
         {"twice the size", [](scene& s) { s.wrong_free(s.p, 2 * s.bytes); }},
         {"0 bytes", [](scene& s) { s.wrong_free(s.p, 0); }},
         {"alignment 8, not 16", [](scene& s) { s.wrong_free(s.p, s.bytes, 8); }},
         {"alignment 64, not 16", [](scene& s) { s.wrong_free(s.p, s.bytes, 64); }},
         {"alignment 24, not 16", [](scene& s) { s.wrong_free(s.p, s.bytes, 24); }},
     }},
    {"overflow, written",
     {
         {"1 byte", [](scene& s) { s.write(s.bytes); }},
         {"8 bytes", [](scene& s) { s.write(s.bytes, 8); }},
         {"4 096 bytes in a row", [](scene& s) { s.write(s.bytes, 4096); }},
         {"1 byte, at the start of the next block, freed", [](scene& s) { s.free_next().wrong_write(s.next, 0); }},
         {"1 byte, at the start of the next block, live", [](scene& s) { s.wrong_write(s.next, 0); }},
         {"1 byte, 4 096 behind the end, where no block ever was",
          [](scene& s) { s.wrong_write(s.next, static_cast<std::ptrdiff_t>(s.bytes + 4096)); }},
     }},
    {"underflow, written",
     {
         {"1 byte, behind a live block", [](scene& s) { s.wrong_write(s.p, -1); }},
         {"8 bytes, behind a live block", [](scene& s) { s.wrong_write(s.p, -8, 8); }},
         {"1 byte, behind a freed block", [](scene& s) { s.free_front().wrong_write(s.p, -1); }},
     }},
    {"write after free",
     {
         {"first byte", [](scene& s) { s.free_block().write(0); }},
         {"a byte at a quarter", [](scene& s) { s.free_block().write(s.bytes / 4); }},
         {"the same, with `poison_bytes` unlimited", [](scene& s) { s.free_block().write(s.bytes / 4); },
          poison_everywhere},
         {"middle byte", [](scene& s) { s.free_block().write(s.bytes / 2); }},
         {"last byte", [](scene& s) { s.free_block().write(s.bytes - 1); }},
         {"every byte", [](scene& s) { s.free_block().write(0, s.bytes); }},
         {"first byte, after all was freed, and `trim()` (no quarantine)",
          [](scene& s) { s.free_all().trim().write(0); }, no_quarantine},
         {"first byte, once another block has the address (no quarantine)", [](scene& s) { s.lose_block().write(0); },
          no_quarantine},
     }},
    {"read after free",
     {
         {"first byte", [](scene& s) { s.free_block().read(0); }},
         {"a byte at a quarter", [](scene& s) { s.free_block().read(s.bytes / 4); }},
         {"through a pointer that stood there", [](scene& s) { s.free_block().wrong_follow(); }},
         {"first byte, once another block has the address (no quarantine)", [](scene& s) { s.lose_block().read(0); },
          no_quarantine},
     }},
    {"other reads",
     {
         {"1 byte past the end", [](scene& s) { s.read(s.bytes); }},
         {"first byte of a new block",
          [](scene& s) {
            void* const q = obtain(s.r, s.bytes);
            s.wrong_read(q, 0);
            discard(s.r, q, s.bytes);
          }},
     }},
    {"block of 0 bytes",
     {
         {"written", [](scene& s) { with_empty(s, [&s](void* q) { s.wrong_write(q, 0); }); }, nullptr, true},
         {"read", [](scene& s) { with_empty(s, [&s](void* q) { s.wrong_read(q, 0); }); }, nullptr, true},
         {"freed as 1 byte", [](scene& s) { with_empty(s, [&s](void* q) { s.wrong_free(q, 1); }); }, nullptr, true},
         {"freed twice", [](scene& s) { s.wrong_free(with_empty(s, [](void*) {}), 0); }, nullptr, true},
         {"written after its free", [](scene& s) { s.wrong_write(with_empty(s, [](void*) {}), 0); }, nullptr, true},
     }},
};

ending run(const misuse& m, const column& c, bool twin, notes& n)
{
  gpa::options o = options_of(c);
  if (m.adjust != nullptr) m.adjust(o);
  return in_child([&] {
    scene s(o, c.bytes, twin, n);
    m.commit(s);
  });
}

// Outcomes that no table shows: a report before anything was wrong, and a library that crashes.
const std::string too_early = "too early";
const std::string broken = "broken";

/// What a user sees of it, in the words of the table.
std::string seen(const ending& e, const notes& n)
{
  if (e.signal == SIGSEGV && n.at != stage::in_access) return broken + " by a fault that is not the access";
  std::string kind = first_report(e).words;
  if (!kind.empty()) {
    constexpr std::string_view opening = " [gpa-";
    const std::size_t at = kind.rfind(opening);
    kind = at == std::string::npos ? "?" : kind.substr(at + opening.size());
    kind.pop_back();
    std::replace(kind.begin(), kind.end(), '-', ' ');
    if (n.at == stage::before) return kind + ' ' + too_early;
    return n.at == stage::after_call ? kind + ", of a right call" : kind;
  }
  if (!e.is_clean()) return broken + " by signal " + std::to_string(e.signal) + ", status " + std::to_string(e.status);
  return n.read_poison ? "reads poison" : "nothing";
}

struct tally {
  int reported = 0, poison = 0, blamed = 0, nothing = 0;

  void count(std::string_view cell)
  {
    (cell == "nothing"               ? nothing
     : cell == "reads poison"        ? poison
     : cell.ends_with(" right call") ? blamed
                                     : reported) += 1;
  }
  tally& operator+=(const tally& o)
  {
    reported += o.reported, poison += o.poison, blamed += o.blamed, nothing += o.nothing;
    return *this;
  }
  [[nodiscard]] int all() const { return reported + poison + blamed + nothing; }
};

std::string table()
{
  std::ostringstream text;
  text << "| misuse |";
  for (const column& c : columns) text << ' ' << c.heading << " |";
  text << "\n|---|";
  for (std::size_t i = 0; i != std::size(columns); ++i) text << "---|";
  text << '\n';
  tally total;
  for (const group& g : groups) {
    std::string rows;
    tally of_group;
    for (const misuse& m : g.rows) {
      rows += "| " + std::string(m.what) + " |";
      for (const column& c : columns) {
        if (m.of_no_bytes && &c != columns) {
          rows += " |";
          continue;
        }
        BOOST_TEST_CONTEXT(g.name << ", " << m.what << ", " << c.heading)
        {
          const shared<notes> n;
          const ending e = run(m, c, false, *n);
          const std::string cell = seen(e, *n);
          BOOST_TEST((!cell.ends_with(too_early) && !cell.starts_with(broken)), e);
          rows += ' ' + cell + " |";
          of_group.count(cell);
          const ending twin = run(m, c, true, *n);
          BOOST_TEST(twin.is_clean(), "clean twin: " << twin);
        }
      }
      rows += '\n';
    }
    text << "| **" << g.name << "**: " << of_group.reported << " of " << of_group.all() << " |";
    for (std::size_t i = 0; i != std::size(columns); ++i) text << " |";
    text << '\n' << rows;
    total += of_group;
  }
  text << "\nCaught: " << total.reported << " of " << total.all() << ". Not caught: " << total.blamed
       << " are blamed on a right call, " << total.poison << " read poison, of " << total.nothing
       << " nothing is seen.\n";
  return text.str();
}

std::string contents(const std::string& path)
{
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

boost::test_tools::assertion_result unsanitized(boost::unit_test::test_unit_id)
{
  return gpa::test::runs_if(!gpa::test::sanitized, "a sanitizer would report some of the misuses itself");
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_a_user_sees_of_each_misuse_is_golden, *boost::unit_test::precondition(unsanitized))
{
  test_golden_file("misuse_table.md", table());
}

BOOST_AUTO_TEST_CASE(the_table_that_the_readme_shows_is_the_golden_one)
{
  const std::string golden = contents(std::string(golden_directory) + "misuse_table.md");
  const std::string path = GPA_TEST_DIR "/../lib/README.md";
  std::string readme = contents(path);
  const std::string begin = "<!-- misuse: begin, written by test/misuse_table_test.cpp -->\n\n";
  const std::string end = "\n<!-- misuse: end -->\n";
  const std::size_t from = readme.find(begin) + begin.size();
  const std::size_t to = readme.find(end);
  BOOST_TEST_REQUIRE(!golden.empty());
  BOOST_TEST_REQUIRE((readme.find(begin) != std::string::npos && to != std::string::npos && from <= to));
  const std::string shown = readme.substr(from, to - from);
  BOOST_TEST((shown == golden), path << ", first other line: " << first_other_line(shown, golden));
  if (std::getenv("GPA_WRITE_GOLDEN") != nullptr) std::ofstream(path) << readme.replace(from, to - from, golden);
}
