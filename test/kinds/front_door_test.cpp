// The front door compiled into this program with link-time optimisation: gpa::resource is final, so its functions may
// be called directly, and inlined. Whose call it was must be told all the same, with one frame as with many.
#define BOOST_TEST_MODULE front_door
#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

// The functions around calls of gpa, and around those. Not tail calls: they stay in the stack.
[[gnu::always_inline]] inline void stay()
{
  asm volatile("" ::: "memory");
}

[[gnu::noinline]] void* inner_allocate(gpa::resource& r, std::size_t bytes)
{
  void* const p = r.allocate(bytes);
  stay();
  return p;
}
[[gnu::noinline]] void* inner_try_allocate(gpa::resource& r, std::size_t bytes)
{
  void* const p = r.try_allocate(bytes);
  stay();
  return p;
}
[[gnu::noinline]] void inner_free(gpa::resource& r, void* p, std::size_t bytes)
{
  r.deallocate(p, bytes);
  stay();
}
[[gnu::noinline]] void inner_resize(gpa::resource& r, void* p, std::size_t bytes)
{
  static_cast<void>(r.try_resize(p, bytes, 1));
  stay();
}
[[gnu::noinline]] void inner_verify(gpa::resource& r)
{
  r.verify();
  stay();
}
[[gnu::noinline]] void inner_trim(gpa::resource& r)
{
  r.trim();
  stay();
}
[[gnu::noinline]] void inner_ignore(gpa::resource& r, const void* p)
{
  r.ignore(p);
  stay();
}
[[gnu::noinline]] void inner_deinit(gpa::resource& r)
{
  static_cast<void>(r.deinit());
  stay();
}

template <class... Arguments, class Result>
[[gnu::noinline]] Result outer(Result (*inner)(gpa::resource&, Arguments...), gpa::resource& r,
                               std::type_identity_t<Arguments>... arguments)
{
  struct leaving {
    ~leaving() { stay(); }
  } const l;
  return inner(r, arguments...);
}

struct heard {
  std::vector<gpa::report> reports = {};

  gpa::options options(std::size_t frames)
  {
    gpa::options o;
    o.checks = gpa::checks::always();
    o.stack_frames = frames;
    o.after_mistake = gpa::after_mistake::carry_on;
    o.on_report = [this](const gpa::report& r) { reports.push_back(r); };
    return o;
  }
};

bool is_in(const gpa::stack_frame& f, std::string_view function)
{
  return f.function.find(function) != std::string::npos;
}

// The first frame that is not folded away is the function that called gpa; the next one is its caller. No frame of
// gpa's own is shown.
void test_shows(const gpa::stack_trace& stack, std::string_view function, std::size_t frames)
{
  std::vector<gpa::stack_frame> users;
  for (const gpa::stack_frame& f : stack.frames())
    if (!f.library) users.push_back(f);
  std::string all;
  for (const gpa::stack_frame& f : stack.frames()) all += (f.library ? "(" + f.function + ")\n" : f.function + "\n");
  BOOST_TEST_CONTEXT(function << ", at most " << frames << " frames:\n" << all)
  {
    BOOST_TEST(stack.addresses().size() <= frames);
    BOOST_TEST_REQUIRE(!users.empty());
    BOOST_TEST(is_in(users[0], function));
    if (frames > 2u) {
      BOOST_TEST_REQUIRE(users.size() > 1u);
      BOOST_TEST(is_in(users[1], "outer"));
    }
    for (const gpa::stack_frame& f : users) BOOST_TEST(!is_in(f, "gpa::detail::"));
  }
}

constexpr std::size_t sizes[] = {24, 5'000, 200'000};
constexpr std::size_t depths[] = {1, 3, 32};

}  // namespace

BOOST_AUTO_TEST_CASE(who_allocated_is_told)
{
  for (const std::size_t frames : depths)
    for (const std::size_t bytes : sizes) {
      heard h;
      gpa::resource r(h.options(frames));
      static_cast<void>(outer(&inner_allocate, r, bytes));
      inner_deinit(r);
      BOOST_TEST_REQUIRE(h.reports.size() == 1u);
      test_shows(h.reports[0].allocated, "inner_allocate", frames);
    }
}

BOOST_AUTO_TEST_CASE(who_tried_to_allocate_is_told)
{
  for (const std::size_t frames : depths)
    for (const std::size_t bytes : sizes) {
      heard h;
      gpa::resource r(h.options(frames));
      static_cast<void>(outer(&inner_try_allocate, r, bytes));
      inner_deinit(r);
      BOOST_TEST_REQUIRE(h.reports.size() == 1u);
      test_shows(h.reports[0].allocated, "inner_try_allocate", frames);
    }
}

BOOST_AUTO_TEST_CASE(who_freed_is_told_both_times)
{
  for (const std::size_t frames : depths)
    for (const std::size_t bytes : sizes) {
      heard h;
      gpa::resource r(h.options(frames));
      void* const p = inner_allocate(r, bytes);
      outer(&inner_free, r, p, bytes);
      outer(&inner_free, r, p, bytes);
      BOOST_TEST_REQUIRE(h.reports.size() == 1u);
      test_shows(h.reports[0].freed, "inner_free", frames);
      test_shows(h.reports[0].here, "inner_free", frames);
    }
}

BOOST_AUTO_TEST_CASE(who_resized_verified_trimmed_or_ignored_wrongly_is_told)
{
  for (const std::size_t frames : depths) {
    heard h;
    gpa::resource r(h.options(frames));
    int foreign = 0;
    outer(&inner_resize, r, &foreign, 24);
    outer(&inner_ignore, r, &foreign);
    for (auto* const look : {&inner_verify, &inner_trim}) {
      auto* const p = static_cast<volatile char*>(inner_allocate(r, 24));
      p[24] = 1;
      outer(look, r);
    }
    BOOST_TEST_REQUIRE(h.reports.size() == 4u);
    const std::string_view names[] = {"inner_resize", "inner_ignore", "inner_verify", "inner_trim"};
    for (std::size_t i = 0; i != 4; ++i) test_shows(h.reports[i].here, names[i], frames);
  }
}

BOOST_AUTO_TEST_CASE(who_deinitialised_is_told)
{
  for (const std::size_t frames : depths) {
    heard h;
    gpa::resource r(h.options(frames));
    auto* const p = static_cast<volatile char*>(inner_allocate(r, 24));
    p[24] = 1;
    outer(&inner_deinit, r);
    BOOST_TEST_REQUIRE(h.reports.size() == 2u);  // the leak, then the overflow
    test_shows(h.reports[1].here, "inner_deinit", frames);
  }
}

BOOST_AUTO_TEST_CASE(who_came_too_late_is_told)
{
  for (const std::size_t frames : depths) {
    heard h;
    gpa::resource r(h.options(frames));
    void* const p = inner_allocate(r, 24);
    inner_deinit(r);
    h.reports.clear();
    outer(&inner_free, r, p, 24);
    static_cast<void>(outer(&inner_try_allocate, r, 24));
    BOOST_TEST_REQUIRE(h.reports.size() == 2u);
    test_shows(h.reports[0].here, "inner_free", frames);
    test_shows(h.reports[1].here, "inner_try_allocate", frames);
  }
}
