#define BOOST_TEST_MODULE lifetime
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/witness.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::test::beside_this;
using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::outcome_of_program;
using gpa::test::witness;
using tags = std::vector<std::string>;

const gpa::options to_the_end{.name = "short-lived", .checks = gpa::checks::always()};
const gpa::options carrying_on{
    .name = "short-lived", .checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on};

// The container is made late, so that its address is all that the order of declaration decides.
struct class_in_wrong_order {
  std::optional<std::pmr::vector<int>> numbers;
  gpa::resource memory;

  explicit class_in_wrong_order(const gpa::options& o) : memory(o) { numbers.emplace({1, 2, 3}, &memory); }
};

void wrong_order_in_a_function(const gpa::options& o)
{
  std::optional<std::pmr::vector<int>> numbers;
  gpa::resource memory(o);
  numbers.emplace({1, 2, 3}, &memory);
}

void wrong_order_through_allocator(const gpa::options& o)
{
  std::optional<std::pmr::vector<int>> numbers;
  gpa::resource memory(o);
  numbers.emplace({1, 2, 3}, memory.allocator<int>());
}

void wrong_order_in_a_class(const gpa::options& o) { const class_in_wrong_order object(o); }

void wrong_order_on_the_heap(const gpa::options& o)
{
  std::optional<std::pmr::vector<int>> numbers;
  const auto memory = std::make_unique<gpa::resource>(o);
  numbers.emplace({1, 2, 3}, memory.get());
}

struct place_of_mistake {
  const char* name;
  void (*make)(const gpa::options&);
};
constexpr place_of_mistake places[] = {
    {"class", wrong_order_in_a_class},
    {"function", wrong_order_in_a_function},
    {"function, through allocator()", wrong_order_through_allocator},
    {"heap", wrong_order_on_the_heap},
};

// A resource whose storage is ours: it can be looked at, and written over, after its end.
struct buried {
  alignas(gpa::resource) std::byte storage[sizeof(gpa::resource)];
  gpa::resource* r;

  explicit buried(const gpa::options& o) : r(new (storage) gpa::resource(o)) {}
  void end() { r->~resource(); }
  void reuse_storage() { std::memset(storage, 0xA5, sizeof storage); }
};

constexpr std::size_t sizes[] = {0, 1, 24, 61, 1000, 32768, 200'000, 5 << 20};

}  // namespace

BOOST_AUTO_TEST_CASE(a_container_that_outlives_its_resource_is_reported_and_the_first_late_free_ends_the_program)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the use of the dead resource itself");
  return;
#endif
  for (const place_of_mistake& place : places) {
    const outcome o = outcome_of([&] { place.make(to_the_end); });
    BOOST_TEST_CONTEXT(place.name << ": " << o)
    {
      BOOST_TEST(o.status == -SIGABRT);
      BOOST_TEST(o.reports() == (tags{"leak", "use-after-deinit"}), boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(carrying_on_a_container_may_outlive_its_resource_unharmed)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the use of the dead resource itself");
  return;
#endif
  for (const place_of_mistake& place : places) {
    const outcome o = outcome_of([&] { place.make(carrying_on); });
    BOOST_TEST_CONTEXT(place.name << ": " << o)
    {
      BOOST_TEST(o.status == 0);
      BOOST_TEST(o.reports() == (tags{"leak", "use-after-deinit"}), boost::test_tools::per_element());
      BOOST_TEST(o.says("if these are still in use, the resource must outlive them; a later free is safe, and reported, "
                        "through r.allocator()\n"));
      BOOST_TEST(o.says("resource \"short-lived\" was deinitialised"));
    }
  }
}

BOOST_AUTO_TEST_CASE(at_namespace_scope_it_is_the_same)
{
  const outcome ended = outcome_of_program({beside_this("programs/static_order")});
  BOOST_TEST_CONTEXT(ended)
  {
    BOOST_TEST(ended.status == -SIGABRT);
    BOOST_TEST(ended.reports() == (tags{"leak", "use-after-deinit"}), boost::test_tools::per_element());
  }
  const outcome onward = outcome_of_program({beside_this("programs/static_order"), "onward"});
  BOOST_TEST_CONTEXT(onward)
  {
    BOOST_TEST(onward.status == 0);
    BOOST_TEST(onward.reports() == (tags{"leak", "use-after-deinit"}), boost::test_tools::per_element());
    BOOST_TEST(onward.says("test/programs/static_order.cpp:"));
    BOOST_TEST(onward.says("    hint: a destructor of something static or thread_local, run at the end of its thread or of "
                           "the program\n"));
  }
}

BOOST_AUTO_TEST_CASE(in_the_right_order_nothing_is_said)
{
  const outcome o = outcome_of([] {
    gpa::resource memory(to_the_end);
    const std::pmr::vector<int> numbers({1, 2, 3}, &memory);
    const std::pmr::vector<int> others({1, 2, 3}, memory.allocator<int>());
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}

BOOST_AUTO_TEST_CASE(allocator_may_free_after_the_storage_of_its_resource_was_reused)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    buried b(w.listening({.name = "gone", .checks = gpa::checks::always()}));
    const auto a = b.r->allocator();
    std::byte* const p = static_cast<std::byte*>(a.resource()->allocate(bytes, 8));
    b.end();
    b.reuse_storage();
    a.resource()->deallocate(p, bytes, 8);

    const std::vector<gpa::report> reports = w.take();
    BOOST_TEST_REQUIRE(reports.size() == 2u);
    BOOST_TEST(reports[0].kind == gpa::mistake::leak);
    BOOST_TEST(reports[1].kind == gpa::mistake::use_after_deinit);
    BOOST_TEST(reports[1].resource == "gone");
    BOOST_TEST(reports[1].address == p);
    BOOST_TEST(reports[1].bytes == bytes);
    BOOST_TEST(!reports[1].allocated.empty());
    BOOST_TEST(!reports[1].here.empty());
  }
}

BOOST_AUTO_TEST_CASE(the_address_of_a_resource_may_free_while_its_storage_is_intact)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    buried b(w.listening({.name = "gone", .checks = gpa::checks::always()}));
    std::pmr::memory_resource* const m = b.r;
    void* blocks[2];
    for (void*& p : blocks) p = m->allocate(bytes, 8);
    b.end();
    for (void* const p : blocks) m->deallocate(p, bytes, 8);

    const std::vector<gpa::report> reports = w.take();
    const std::size_t leaks = reports.size() - 2;  // one, or two where the compiler unrolled the loop
    BOOST_TEST_REQUIRE(reports.size() >= 3u);
    for (std::size_t i = 0; i != leaks; ++i) BOOST_TEST(reports[i].kind == gpa::mistake::leak);
    for (const std::size_t i : {0u, 1u}) {
      BOOST_TEST(reports[leaks + i].kind == gpa::mistake::use_after_deinit);
      BOOST_TEST(reports[leaks + i].address == blocks[i]);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_dead_resource_refuses_to_allocate_by_either_way)
{
  witness w;
  buried b(w.listening());
  std::pmr::memory_resource* const m = b.r;
  std::pmr::memory_resource* const handle = b.r->allocator().resource();
  b.end();
  BOOST_CHECK_THROW(static_cast<void>(m->allocate(8)), std::bad_alloc);
  BOOST_CHECK_THROW(static_cast<void>(handle->allocate(8)), std::bad_alloc);
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == 2u);
  BOOST_TEST(w.count() == 2u);
}

// malloc would write into the storage at once, and ASan makes it inaccessible: it is ours.
BOOST_AUTO_TEST_CASE(late_calls_of_deleted_resources_are_caught_until_many_more_were_deleted)
{
  witness w;
  std::vector<gpa::resource*> dead;
  std::vector<void*> blocks;
  for (int i = 0; i != 100; ++i) {
    dead.push_back(i % 2 == 0 ? new gpa::resource(w.listening()) : new (std::nothrow) gpa::resource(w.listening()));
    BOOST_TEST_REQUIRE(dead.back() != nullptr);
    blocks.push_back(dead.back()->allocate(100));
  }
  for (const gpa::resource* r : dead) delete r;
  BOOST_TEST(w.take().size() == 100u);
  const std::vector<std::pmr::memory_resource*> late(dead.begin(), dead.end());
  for (std::size_t i = 0; i != late.size(); ++i) late[i]->deallocate(blocks[i], 100);
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == 100u);
  BOOST_TEST(w.count() == 100u);
  std::set<const void*> used;  // each place is used again in the end, and none soon
  for (int i = 0; i != 1'000; ++i) {
    const gpa::resource* const r = new gpa::resource(to_the_end);
    used.insert(r);
    delete r;
  }
  BOOST_TEST(used.size() > 200u);
  BOOST_TEST(used.size() < 400u);
}

BOOST_AUTO_TEST_CASE(a_resource_may_be_made_in_a_place_of_the_users)
{
  alignas(gpa::resource) std::byte storage[sizeof(gpa::resource)];
  for (int i = 0; i != 3; ++i) {
    auto* const r = new (storage) gpa::resource(to_the_end);
    BOOST_TEST(static_cast<void*>(r) == static_cast<void*>(storage));
    r->deallocate(r->allocate(24), 24);
    BOOST_TEST(static_cast<int>(r->deinit()) == static_cast<int>(gpa::check::ok));
    r->~resource();
  }
#if !GPA_TEST_ASAN  // to whom this is a mismatch, of any class
  auto* const aligned = new (std::align_val_t{64}) gpa::resource(to_the_end);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(aligned) % 64 == 0u);
  delete aligned;
#endif
  delete ::new gpa::resource(to_the_end);  // from where another file made it, perhaps
}

// The last 128 that are dead and empty can be asked about. One that is being told of waits.
BOOST_AUTO_TEST_CASE(a_dead_resource_stays_while_its_handler_runs)
{
  std::vector<gpa::mistake> told;
  const auto alive = std::make_shared<int>(7);
  const std::weak_ptr<int> seen = alive;
  void* block = nullptr;
  std::pmr::memory_resource* late = nullptr;
  {
    gpa::resource r({.checks = gpa::checks::always(),
                     .after_mistake = gpa::after_mistake::carry_on,
                     .on_report = [state = alive, &told](const gpa::report& report) {
                       told.push_back(report.kind);
                       if (report.kind != gpa::mistake::use_after_deinit) return;
                       for (int i = 0; i != 300; ++i) {
                         gpa::resource other({.checks = gpa::checks::always()});
                         other.deallocate(other.allocate(24), 24);
                       }
                       told.push_back(state.use_count() > 0 && *state == 7 ? report.kind : gpa::mistake::leak);
                     }});
    block = r.allocate(100);
    late = r.allocator().resource();
  }
  late->deallocate(block, 100);
  BOOST_TEST_REQUIRE(told.size() == 3u);
  BOOST_TEST((told[1] == gpa::mistake::use_after_deinit && told[2] == gpa::mistake::use_after_deinit));
}

BOOST_AUTO_TEST_CASE(late_frees_are_judged_like_others)
{
  witness w;
  buried b(w.listening());
  const auto a = b.r->allocator();
  void* const p = a.resource()->allocate(40, 8);
  void* const kept = a.resource()->allocate(40, 8);
  b.end();
  static_cast<void>(w.take());
  a.resource()->deallocate(p, 41, 8);
  a.resource()->deallocate(p, 40, 16);
  a.resource()->deallocate(static_cast<std::byte*>(p) + 8, 32, 8);
  BOOST_TEST(w.count(gpa::mistake::size_mismatch) == 1u);
  BOOST_TEST(w.count(gpa::mistake::alignment_mismatch) == 1u);
  BOOST_TEST(w.count(gpa::mistake::invalid_pointer) == 1u);
  a.resource()->deallocate(p, 40, 8);
  a.resource()->deallocate(p, 40, 8);
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == 1u);
  BOOST_TEST(w.count(gpa::mistake::double_free) == 1u);
  a.resource()->deallocate(kept, 40, 8);
  BOOST_TEST(w.count() == 6u);
}

BOOST_AUTO_TEST_CASE(a_late_double_free_names_the_thread_of_the_late_free)
{
  witness w;
  buried b(w.listening());
  const auto a = b.r->allocator();
  void* const p = a.resource()->allocate(40, 8);
  void* const kept = a.resource()->allocate(40, 8);
  b.end();
  std::thread([&] { a.resource()->deallocate(p, 40, 8); }).join();
  static_cast<void>(w.take());
  a.resource()->deallocate(p, 40, 8);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].kind == gpa::mistake::double_free);
  BOOST_TEST(told[0].allocated.thread() == told[0].here.thread());
  BOOST_TEST(told[0].freed.thread() != told[0].here.thread());
  BOOST_TEST(told[0].freed.thread() != 0u);
  a.resource()->deallocate(kept, 40, 8);
}

BOOST_AUTO_TEST_CASE(late_frees_are_safe_however_many_resources_came_and_went)
{
  witness w;
  std::vector<buried*> early;
  std::vector<void*> blocks;
  for (int i = 0; i != 40; ++i) {
    early.push_back(new buried(w.listening()));
    blocks.push_back(early.back()->r->allocate(100));
  }
  std::vector<std::pmr::memory_resource*> handles;
  for (buried* b : early) {
    handles.push_back(b->r->allocator().resource());
    b->end();
    b->reuse_storage();
  }
  BOOST_TEST(w.take().size() == 40u);
  for (int i = 0; i != 600; ++i) {
    gpa::resource r(to_the_end);
    r.deallocate(r.allocate(100), 100);
  }
  for (std::size_t i = 0; i != handles.size(); ++i) handles[i]->deallocate(blocks[i], 100);
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == 40u);
  BOOST_TEST(w.count() == 40u);
  for (buried* b : early) delete b;
}

BOOST_AUTO_TEST_CASE(a_free_into_a_resource_that_nobody_remembers_ends_the_program_with_its_report)
{
  const outcome o = outcome_of([] {
    buried b(carrying_on);
    void* const p = b.r->allocate(100);
    b.r->deallocate(p, 100);
    b.end();
    for (int i = 0; i != 600; ++i) {
      const gpa::resource r(to_the_end);
    }
    static_cast<std::pmr::memory_resource*>(b.r)->deallocate(p, 100);
  });
  BOOST_TEST(o.status == -SIGABRT);
  BOOST_TEST(o.reports() == (tags{"use-after-deinit"}), boost::test_tools::per_element());
}
