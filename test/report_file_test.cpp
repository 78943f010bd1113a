// The JSON document: what stands in it.
#define BOOST_TEST_MODULE report_file
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include "support/accomplices.hpp"
#include "support/documents.hpp"
#include "support/outcome.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace gpa::test;

ptree read_back(const gpa::resource& r)
{
  const folder f;
  r.write_report(f.file("r.json"));
  return read(f.file("r.json"));
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_document_says_what_the_resource_says)
{
  gpa::options o = named("par\"ser\\ \xFF");
  o.memory_limit = 1 << 20;
  o.stack_frames = 20;
  gpa::resource r(o);
  void* const small = obtain(r, 100);
  void* const large = obtain(r, 200'000);
  discard(r, obtain(r, 50), 50);
  const ptree d = read_back(r);
  const gpa::statistics s = r.stats();
  BOOST_TEST(d.get<int>("gpa_report") == 1);
  BOOST_TEST(d.get<int>("process.pid") == ::getpid());
  BOOST_TEST(d.get<std::string>("process.reason") == "request");
  BOOST_TEST(d.get<std::string>("process.executable").ends_with("report_file_test"));
  BOOST_TEST(d.get<std::string>("resource.name") == "par\"ser\\ \xEF\xBF\xBD");
  BOOST_TEST(d.get<std::string>("resource.checks") == "always");
  BOOST_TEST(d.get<std::size_t>("resource.memory_limit") == 1u << 20);
  BOOST_TEST(d.get<std::size_t>("resource.stack_frames") == 20u);
  BOOST_TEST(d.get<bool>("estimated") == false);
  BOOST_TEST(d.get<bool>("profiled") == false);
  BOOST_TEST(d.get<std::size_t>("totals.live_bytes") == s.live_bytes);
  BOOST_TEST(d.get<std::size_t>("totals.total_blocks") == 3u);
  const ptree& sites = d.get_child("sites");
  BOOST_TEST(sites.size() == 2u);
  BOOST_TEST(sum(sites, "live_bytes") == s.live_bytes);
  for (const auto& [name, site] : sites) {
    BOOST_TEST(calls(d, site.get<std::size_t>("trace"), "obtain("));
    BOOST_TEST(site.count("total_bytes") == 0u);
  }
  const ptree& module = at(d.get_child("modules"), 0);
  BOOST_TEST(module.get<std::string>("path").ends_with("report_file_test"));
  BOOST_TEST(module.get<std::string>("build_id").size() == 40u);
  const auto number = [](const ptree& of, const char* key) {
    return std::stoull(of.get<std::string>(key), nullptr, 16);
  };
  for (const auto& [name, frame] : d.get_child("frames")) {
    const ptree& in = at(d.get_child("modules"), frame.get<std::size_t>("module"));
    BOOST_TEST(number(frame, "pc") - number(frame, "rel") == number(in, "base"));
  }
  discard(r, small, 100);
  discard(r, large, 200'000);
}

BOOST_AUTO_TEST_CASE(a_profiled_resource_gives_every_number_of_its_sites)
{
  gpa::options o = named("profiled");
  o.profile = true;
  o.stack_frames = 1;  // the call in obtain(), also where a compiler makes several of its callers
  gpa::resource r(o);
  for (int i = 0; i != 10; ++i) discard(r, obtain(r, 100), 100);
  const gpa::tag_scope scope("parser");
  void* const p = obtain(r, 300);
  const ptree d = read_back(r);
  BOOST_TEST(d.get<bool>("profiled"));
  const ptree& sites = d.get_child("sites");
  BOOST_TEST(sites.size() == 2u);
  BOOST_TEST(sum(sites, "total_bytes") == r.stats().total_bytes);
  BOOST_TEST(sum(sites, "total_blocks") == r.stats().total_blocks);
  BOOST_TEST(sum(sites, "temporary") == 10u);
  BOOST_TEST(at(sites, 0).get<std::size_t>("peak_bytes") == 100u);
  BOOST_TEST(at(sites, 0).get<std::string>("tag") == "");
  BOOST_TEST(at(sites, 1).get<std::string>("tag") == "parser");
  BOOST_TEST(at(sites, 1).get<std::size_t>("size_class") == 304u);
  discard(r, p, 300);
}

BOOST_AUTO_TEST_CASE(a_link_stays_and_what_it_leads_to_is_the_report_with_the_permissions_it_had)
{
  namespace fs = std::filesystem;
  const fs::path directory = fs::temp_directory_path() / ("gpa_report_file_" + std::to_string(::getpid()));
  fs::create_directory(directory);
  const fs::path file = directory / "file";
  const fs::path link = directory / "link";
  std::ofstream(file) << "old";
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("file", link);
  const gpa::resource r(named("linked"));
  r.write_report(link.string());
  BOOST_TEST(fs::is_symlink(link));
  ptree d;
  boost::property_tree::read_json(file.string(), d);
  BOOST_TEST(d.get<std::string>("resource.name") == "linked");
  BOOST_TEST((fs::status(file).permissions() == (fs::perms::owner_read | fs::perms::owner_write)));

  const gpa::test::outcome o = gpa::test::outcome_of([&r] {
    static_cast<void>(::write(STDOUT_FILENO, "before\n", 7) == 7);
    r.write_report("/dev/stdout");
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.out.starts_with("before\n{"));
  BOOST_TEST(fs::is_symlink("/dev/stdout"));
  fs::remove_all(directory);
}

BOOST_AUTO_TEST_CASE(mistakes_are_listed_with_all_their_stacks_and_a_fingerprint)
{
  gpa::resource r(named("mistaken"));
  void* const p = obtain(r, 72);
  discard(r, p, 72);
  blunder(r, p, 72);
  const ptree d = read_back(r);
  const ptree& m = at(d.get_child("mistakes"), 0);
  BOOST_TEST(d.get_child("mistakes").size() == 1u);
  BOOST_TEST(m.get<std::string>("rule") == "gpa-double-free");
  BOOST_TEST(m.get<std::string>("kind") == "double free");
  BOOST_TEST(m.get<std::string>("message").starts_with("double free of 72 bytes at 0x"));
  BOOST_TEST(m.get<std::size_t>("bytes") == 72u);
  BOOST_TEST(calls(d, m.get<std::size_t>("traces.here"), "blunder("));
  BOOST_TEST(calls(d, m.get<std::size_t>("traces.freed"), "discard("));
  BOOST_TEST(calls(d, m.get<std::size_t>("traces.allocated"), "obtain("));
  BOOST_TEST(m.get<std::string>("fingerprint").size() == 16u);
  BOOST_TEST(d.get<std::size_t>("mistakes_not_listed") == 0u);
}

BOOST_AUTO_TEST_CASE(after_a_thousand_mistakes_more_are_counted)
{
  gpa::resource r(named("mistaken"));
  void* const p = obtain(r, 24);
  for (int i = 0; i != 1005; ++i) blunder(r, p, 23);
  discard(r, p, 24);
  const ptree d = read_back(r);
  BOOST_TEST(d.get_child("mistakes").size() == 1000u);
  BOOST_TEST(d.get<std::size_t>("mistakes_not_listed") == 5u);
}

BOOST_AUTO_TEST_CASE(leaks_are_listed_once_they_were_looked_for)
{
  gpa::resource r(named("leaky"));
  void* const p = obtain(r, 72);
  BOOST_TEST(read_back(r).get_child("mistakes").empty());
  for (int i = 0; i != 2; ++i) BOOST_TEST(r.detect_leaks() == 1u);
  const ptree d = read_back(r);
  BOOST_TEST(d.get_child("mistakes").size() == 1u);
  const ptree& m = at(d.get_child("mistakes"), 0);
  BOOST_TEST(m.get<std::string>("rule") == "gpa-leak");
  BOOST_TEST(m.get<std::string>("message") == "leak of 72 bytes in 1 block");
  BOOST_TEST(calls(d, m.get<std::size_t>("traces.allocated"), "obtain("));
  BOOST_TEST(m.get_child("traces").count("here") == 0u);
  discard(r, p, 72);
}

BOOST_AUTO_TEST_CASE(sampled_sites_are_estimates_and_totals_are_exact)
{
  gpa::options o = named("sampled");
  o.checks = gpa::checks::one_in(10);
  gpa::resource r(o);
  std::vector<void*> blocks;
  for (int i = 0; i != 20'000; ++i) blocks.push_back(obtain(r, 100));
  const ptree d = read_back(r);
  BOOST_TEST(d.get<bool>("estimated"));
  BOOST_TEST(d.get<std::string>("resource.checks") == "one_in");
  BOOST_TEST(d.get<int>("resource.one_in") == 10);
  BOOST_TEST(d.get<std::size_t>("totals.live_bytes") == 2'000'000u);
  const auto estimate = sum(d.get_child("sites"), "live_bytes");
  BOOST_TEST(estimate > 1'800'000u);
  BOOST_TEST(estimate < 2'200'000u);
  for (void* const p : blocks) discard(r, p, 100);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_is_an_exception_that_names_it)
{
  gpa::resource r(named("unwritten"));
  BOOST_CHECK_EXCEPTION(r.write_report("/nowhere/at/all.json"), std::system_error, [](const std::system_error& e) {
    return e.code() == std::errc::no_such_file_or_directory &&
           std::string(e.what()).find("/nowhere/at/all.json") != std::string::npos;
  });
}
