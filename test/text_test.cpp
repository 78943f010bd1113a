#define BOOST_TEST_MODULE text
#include "os/text.hpp"

#include "support/child.hpp"
#include "trace/format.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cerrno>
#include <string>

namespace {

using gpa::detail::text;

// What `write` sends to stderr.
template <class Write>
std::string from_stderr(Write write)
{
  std::array<int, 2> ends{};
  BOOST_REQUIRE(::pipe(ends.data()) == 0);
  const int before = ::dup(STDERR_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  write();
  ::dup2(before, STDERR_FILENO);
  ::close(before);
  ::close(ends[1]);
  std::string got;
  std::array<char, 4096> buffer;
  for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    got.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  return got;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_text_holds_what_was_appended_in_order)
{
  text t;
  BOOST_TEST(t.empty());
  t.append("double ");
  t.append("");
  t.append(3, '-');
  t.append(0, '!');
  t.append(" free");
  BOOST_TEST(t.view() == "double --- free");
  BOOST_TEST(!t.empty());
}

BOOST_AUTO_TEST_CASE(a_name_is_not_cut_within_a_character)
{
  using gpa::detail::shortened_to;
  BOOST_TEST(shortened_to("name", 4) == "name");
  BOOST_TEST(shortened_to("names", 4) == "name");
  BOOST_TEST(shortened_to("na\xC3\xA9", 4) == "na\xC3\xA9");
  BOOST_TEST(shortened_to("nam\xC3\xA9", 4) == "nam");
  BOOST_TEST(shortened_to("n\xF0\x9F\x98\x80", 4) == "n");
  BOOST_TEST(shortened_to("\x80\x80\x80\x80\x80\x80", 4) == "\x80\x80\x80\x80");  // no UTF-8 at all
  BOOST_TEST(shortened_to("\xC3\xA9", 0) == "");
}

BOOST_AUTO_TEST_CASE(a_text_grows_past_every_capacity_and_keeps_its_beginning)
{
  text t;
  std::string expected;
  for (int i = 0; i != 20'000; ++i) {
    const std::string part = std::to_string(i) + ' ';
    t.append(part);
    expected += part;
  }
  t.append(100'000, 'x');
  expected.append(100'000, 'x');
  BOOST_TEST((t.view() == expected));
}

BOOST_AUTO_TEST_CASE(a_cleared_text_is_empty_and_can_be_used_again)
{
  text t;
  t.append("old");
  t.clear();
  BOOST_TEST(t.empty());
  t.append("new");
  BOOST_TEST(t.view() == "new");
}

BOOST_AUTO_TEST_CASE(abseil_formats_into_a_text)
{
  text t;
  absl::Format(&t, "%5u | %s %#x", 18u, std::string_view("caret"), 0x7f31u);
  BOOST_TEST(t.view() == "   18 | caret 0x7f31");
}

BOOST_AUTO_TEST_CASE(a_text_is_written_to_stderr_whole)
{
  text t;
  t.append(30'000, 'r');
  t.append("\n");
  const std::string got = from_stderr([&t] { t.write_to_stderr(); });
  BOOST_TEST((got == t.view()));
}

BOOST_AUTO_TEST_CASE(writing_keeps_errno_even_when_stderr_is_closed)
{
  BOOST_TEST(gpa::test::true_in_child([] {
    text t;
    t.append("nobody reads this");
    ::close(STDERR_FILENO);
    errno = ERANGE;
    t.write_to_stderr();
    return errno == ERANGE;
  }));
}

BOOST_AUTO_TEST_CASE(a_text_that_finds_no_memory_keeps_its_beginning_and_says_so_at_its_end)
{
  text t;
  t.append("the beginning");
  t.append(std::size_t{1} << 62, 'x');
  t.append("lost");
  t.append(4, '!');
  BOOST_TEST(t.view().starts_with("the beginningxxx"));
  BOOST_TEST(t.view().ends_with("xxx\n(cut here: no memory)\n"));
  BOOST_TEST(t.view().size() == 1024u);  // all the room there was

  text full;
  full.append(1'020, 'f');
  full.append(std::size_t{1} << 62, 'x');
  BOOST_TEST(full.view().ends_with("fff\n(cut here: no memory)\n"));
  BOOST_TEST(full.view().size() == 1024u);

  text nothing;
  nothing.append(std::size_t{1} << 62, 'x');
  BOOST_TEST(nothing.empty());
  BOOST_TEST(from_stderr([&nothing] { nothing.write_to_stderr(); }) == "\n(cut here: no memory)\n");
}
