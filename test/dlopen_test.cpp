#define BOOST_TEST_MODULE dlopen
#include <gpa/resource.hpp>

#include "support/outcome.hpp"
#include "support/resident.hpp"

#include <dlfcn.h>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::test::beside_this;
using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::rounds;

struct library {
  void* handle = nullptr;

  explicit library(const std::string& path) : handle(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}
  ~library()
  {
    if (handle != nullptr) ::dlclose(handle);
  }
  library(const library&) = delete;
  library& operator=(const library&) = delete;

  template <class Function>
  [[nodiscard]] Function* find(const char* name) const
  {
    return reinterpret_cast<Function*>(::dlsym(handle, name));
  }
};

const std::string with_resource = beside_this("programs/holds_resource.so");
const std::string calls_back = beside_this("programs/calls_back_small.so");
const std::string bulky = beside_this("programs/calls_back_bulky.so");
const std::string with_tls = beside_this("programs/much_tls.so");

// For the library, which has no memory of its own.
gpa::resource* of_library = nullptr;

}  // namespace

BOOST_AUTO_TEST_CASE(a_leak_of_a_library_is_told_with_its_name_after_it_was_unloaded)
{
  const outcome o = outcome_of([] {
    gpa::resource r({.checks = gpa::checks::always()});
    of_library = &r;
    {
      const library l(calls_back);
      int calls = 0;
      const auto call_back = l.find<void(void (*)(), int*)>("call_back");
      call_back([] { static_cast<void>(of_library->allocate(24)); }, &calls);
    }
    if (::dlopen(calls_back.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr) ::_exit(1);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says(" in call_back "));
    BOOST_TEST(o.says("calls_back"));
  }
}

// The first report loads what reads debug information, and that takes the addresses of the library that went.
BOOST_AUTO_TEST_CASE(the_leaks_of_a_library_that_was_unloaded_are_told_alike_in_every_report)
{
  const outcome o = outcome_of([] {
    gpa::resource first({.checks = gpa::checks::always()});
    gpa::resource second({.checks = gpa::checks::always()});
    const library l(bulky);
    const auto call_back = l.find<void(void (*)(), int*)>("call_back");
    for (gpa::resource* const r : {&first, &second}) {
      of_library = r;
      int calls = 0;
      call_back([] { static_cast<void>(of_library->allocate(24)); }, &calls);
    }
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    std::size_t named = 0;
    for (std::size_t at = o.err.find(" in call_back "); at != std::string::npos; at = o.err.find(" in call_back ", at + 1))
      ++named;
    BOOST_TEST(named == 2u);
    BOOST_TEST(!o.says(" or "));
  }
}

BOOST_AUTO_TEST_CASE(a_library_with_a_resource_may_be_loaded_and_unloaded_under_threads_that_used_it)
{
  const outcome o = outcome_of([] {
    std::atomic<int> phase{0};  // odd: the library is there
    std::atomic<int> used{0};
    std::atomic<std::size_t (*)()> use{nullptr};
    const int times = rounds(1'000);
    constexpr int threads = 2;
    std::vector<std::thread> long_lived;
    for (int t = 0; t != threads; ++t) {
      long_lived.emplace_back([&] {
        for (int i = 0; i != times; ++i) {
          for (int now = phase; now < 2 * i + 1; now = phase) phase.wait(now);
          if (use.load()() != 0) ::_exit(1);
          ++used;
          used.notify_one();
        }
      });
    }
    for (int i = 0; i != times; ++i) {
      const library l(with_resource);
      if (l.handle == nullptr) ::_exit(2);
      use = l.find<std::size_t()>("use_library");
      phase = 2 * i + 1;
      phase.notify_all();
      l.find<void()>("keep_in_library")();
      std::thread(use.load()).join();
      for (int now = used; now != threads * (i + 1); now = used) used.wait(now);
      phase = 2 * i + 2;
    }
    for (std::thread& t : long_lived) t.join();  // every resource they used is gone, the last one's library too
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}

BOOST_AUTO_TEST_CASE(unloading_really_takes_the_library_away_and_leaves_gpa_where_it_is)
{
  {
    const library l(with_resource);
    BOOST_TEST_REQUIRE(l.handle != nullptr);
    BOOST_TEST(l.find<std::size_t()>("use_library")() == 0u);
  }
  void* const still = ::dlopen(with_resource.c_str(), RTLD_NOW | RTLD_NOLOAD);
  BOOST_TEST(still == nullptr);
  gpa::resource r({.checks = gpa::checks::always()});
  r.deallocate(r.allocate(10), 10);
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(gpa_finds_room_for_its_thread_local_storage_after_libraries_with_much_of_it)
{
  // Copies have other names, so each is loaded as a library of its own.
  const outcome o = outcome_of([] {
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("gpa_dlopen_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    int loaded = 0;
    for (int i = 0; i != 20; ++i) {
      const std::string copy = folder / std::to_string(i);
      std::filesystem::copy_file(with_tls, copy);
      void* const handle = ::dlopen(copy.c_str(), RTLD_NOW);
      if (handle == nullptr) continue;
      ++loaded;
      const auto touch = reinterpret_cast<int (*)()>(::dlsym(handle, "touch_tls"));
      if (touch() != 1) ::_exit(1);
    }
    std::filesystem::remove_all(folder);
    const library l(with_resource);
    if (l.handle == nullptr) ::_exit(2);
    if (l.find<std::size_t()>("use_library")() != 0) ::_exit(3);
    std::thread([&] { static_cast<void>(l.find<std::size_t()>("use_library")()); }).join();
    if (loaded != 20) ::_exit(4);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}
