#define BOOST_TEST_MODULE names
#include "trace/names.hpp"

#include "trace/name_size.hpp"
#include "trace/naming.hpp"
#include "trace/short_names.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <map>
#include <memory_resource>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using namespace gpa::detail;

struct names {
  std::string_view written;
  std::string_view readable;
};

#define STRING(ALLOCATOR) "std::__cxx11::basic_string<char, std::char_traits<char>, " ALLOCATOR "<char> >"
#define STD_STRING STRING("std::allocator")
#define PMR_STRING STRING("std::pmr::polymorphic_allocator")

constexpr names table[] = {
    // strings
    {STD_STRING, "std::string"},
    {PMR_STRING, "std::pmr::string"},
    {"std::__cxx11::basic_string<wchar_t, std::char_traits<wchar_t>, std::allocator<wchar_t> >", "std::wstring"},
    {"std::__cxx11::basic_string<char8_t, std::char_traits<char8_t>, std::pmr::polymorphic_allocator<char8_t> >",
     "std::pmr::u8string"},
    {"std::basic_string_view<char, std::char_traits<char> >", "std::string_view"},
    {"std::__cxx11::basic_string<char, my::traits, std::allocator<char> >", "std::basic_string<char, my::traits>"},
    {"std::__cxx11::basic_string<char, std::char_traits<char>, my::allocator<char> >",
     "std::basic_string<char, std::char_traits<char>, my::allocator<char>>"},
    {PMR_STRING "::basic_string(char const*)", "std::pmr::string::basic_string(char const*)"},
    // sequences
    {"std::vector<int, std::allocator<int> >", "std::vector<int>"},
    {"std::vector<int, std::pmr::polymorphic_allocator<int> >", "std::pmr::vector<int>"},
    {"std::vector<int, std::pmr::polymorphic_allocator<long> >",
     "std::vector<int, std::pmr::polymorphic_allocator<long>>"},
    {"std::vector<" PMR_STRING ", std::pmr::polymorphic_allocator<" PMR_STRING " > >::push_back(" PMR_STRING "&&)",
     "std::pmr::vector<std::pmr::string>::push_back(std::pmr::string&&)"},
    {"std::__cxx11::list<char const*, std::allocator<char const*> >", "std::list<char const*>"},
    {"std::queue<int, std::deque<int, std::allocator<int> > >", "std::queue<int>"},
    {"std::priority_queue<int, std::vector<int, std::allocator<int> >, std::less<int> >", "std::priority_queue<int>"},
    {"std::priority_queue<int, std::vector<int, std::allocator<int> >, std::greater<int> >",
     "std::priority_queue<int, std::vector<int>, std::greater<int>>"},
    // associative
    {"std::map<int, app::user, std::less<int>, std::pmr::polymorphic_allocator<std::pair<int const, app::user> > >",
     "std::pmr::map<int, app::user>"},
    {"std::map<char const*, int, std::less<char const*>, std::allocator<std::pair<char const* const, int> > >",
     "std::map<char const*, int>"},
    {"std::map<int, int, std::greater<int>, std::pmr::polymorphic_allocator<std::pair<int const, int> > >",
     "std::pmr::map<int, int, std::greater<int>>"},
    {"std::set<" STD_STRING ", std::less<" STD_STRING " >, std::allocator<" STD_STRING " > >", "std::set<std::string>"},
    {"std::unordered_map<" PMR_STRING ", int, std::hash<" PMR_STRING " >, std::equal_to<" PMR_STRING " >, "
     "std::pmr::polymorphic_allocator<std::pair<" PMR_STRING " const, int> > >",
     "std::pmr::unordered_map<std::pmr::string, int>"},
    {"std::unordered_set<int, my::hash, std::equal_to<int>, std::allocator<int> >",
     "std::unordered_set<int, my::hash>"},
    // the rest of the library
    {"std::unique_ptr<app::user, std::default_delete<app::user> >", "std::unique_ptr<app::user>"},
    {"std::unique_ptr<app::user, app::closer>", "std::unique_ptr<app::user, app::closer>"},
    {"std::basic_ostream<char, std::char_traits<char> >& std::operator<< <std::char_traits<char> >"
     "(std::basic_ostream<char, std::char_traits<char> >&, char const*)",
     "std::ostream& std::operator<<<std::char_traits<char>>(std::ostream&, char const*)"},
    // what is nobody's business
    {"f(int) [clone .isra.0]", "f(int)"},
    {"app::run() [clone .part.1] [clone .cold]", "app::run()"},
    {"app::name[abi:cxx11]() const", "app::name() const"},
    // what stays
    {"main", "main"},
    {"", ""},
    {"app::(anonymous namespace)::open(int)", "app::(anonymous namespace)::open(int)"},
    {"my::vector<int, std::allocator<int> >", "my::vector<int, std::allocator<int>>"},
    {"app::grid<(char)65, 3ul>::at(int (&) [4])", "app::grid<(char)65, 3ul>::at(int (&) [4])"},
    {"main::{lambda(std::vector<int, std::allocator<int> >&)#1}::operator()(std::vector<int, std::allocator<int> >&) "
     "const",
     "main::{lambda(std::vector<int>&)#1}::operator()(std::vector<int>&) const"},
    {"bool app::operator< <int>(app::box<int> const&, app::box<int> const&)",
     "bool app::operator<<int>(app::box<int> const&, app::box<int> const&)"},
    {"app::pointer::operator->() const", "app::pointer::operator->() const"},
    {"app::value::operator bool() const", "app::value::operator bool() const"},
    {"app::order::operator<=>(app::order const&) const", "app::order::operator<=>(app::order const&) const"},
    {"<lambda(int)>", "<lambda(int)>"},
    // what is no name
    {"std::vector<int", "std::vector<int"},
    {"f(int", "f(int"},
    {"g)", "g)"},
    {"_ZSomething", "_ZSomething"},
};

}  // namespace

BOOST_AUTO_TEST_CASE(names_are_shortened_to_what_was_written_in_the_source)
{
  for (const names& n : table)
    BOOST_TEST_CONTEXT(n.written) BOOST_TEST(std::string_view(readable_name(n.written)) == n.readable);
}

BOOST_AUTO_TEST_CASE(a_readable_name_stays_as_it_is)
{
  for (const names& n : table)
    if (!n.readable.starts_with("std::vector<int") && n.readable.find("operator<<") == std::string_view::npos)
      BOOST_TEST_CONTEXT(n.readable) BOOST_TEST(std::string_view(readable_name(n.readable)) == n.readable);
}

BOOST_AUTO_TEST_CASE(this_compilers_own_names_are_shortened)
{
  const auto readable = [](const std::type_info& type) {
    return std::string(readable_name(demangled(type.name())));
  };
  BOOST_TEST(readable(typeid(std::pmr::vector<std::pmr::string>)) == "std::pmr::vector<std::pmr::string>");
  BOOST_TEST(readable(typeid(std::pmr::unordered_map<std::pmr::string, std::vector<int>>)) ==
             "std::pmr::unordered_map<std::pmr::string, std::vector<int>>");
}

BOOST_AUTO_TEST_CASE(a_symbol_of_c_is_its_own_name)
{
  BOOST_TEST(std::string_view(demangled("main")) == "main");
  BOOST_TEST(std::string_view(demangled("_ZN3app4openEi")) == "app::open(int)");
}

// f<P<P<int, int>, P<int, int>>> and so on: each level says twice what the one before said.
BOOST_AUTO_TEST_CASE(a_name_that_would_take_gigabytes_stays_as_it_is_linked)
{
  const auto nested = [](std::size_t levels) {
    constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string name = "_Z1fI1PI";
    for (std::size_t i = 1; i != levels; ++i) name += "S0_I";  // P
    name += "iiE";
    for (std::size_t i = 1; i != levels; ++i)
      name.append("S").append(digits.substr(i, 1)).append("_E");  // what is inside, again
    return name + "EvPT_";
  };
  BOOST_TEST(std::string_view(demangled(nested(3).c_str())) ==
             "void f<P<P<P<int, int>, P<int, int> >, P<P<int, int>, P<int, int> > > >(P<P<P<int, int>, P<int, int> >, "
             "P<P<int, int>, P<int, int> > >*)");
  // using t1 = void (*)(t0, t0); using t2 = void (*)(t1, t1); and so on. The types are numbered by twos.
  const auto pointers = [](std::size_t levels) {
    constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string name = "_Z1f";
    for (std::size_t i = 0; i != levels; ++i) name += "PFv";
    name += "iiE";
    for (std::size_t i = 1; i != levels; ++i) name.append("S").append(digits.substr(2 * i - 2, 1)).append("_E");
    return name;
  };
  BOOST_TEST(std::string_view(demangled(pointers(2).c_str())) == "f(void (*)(void (*)(int, int), void (*)(int, int)))");
  for (const std::string& linked : {nested(32), pointers(18), pointers(16)}) {
    const bool large = readable_size(linked, std::size_t{2} << 20) == std::size_t{2} << 20;
    BOOST_TEST(large == (linked != pointers(16)));
    if (large) BOOST_TEST(std::string_view(demangled(linked.c_str())) == linked);
  }
}

BOOST_AUTO_TEST_CASE(the_size_of_a_name_is_known_about_before_it_is_written)
{
  constexpr std::size_t most = 1 << 20;
  for (const std::type_info* const type :
       {&typeid(std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::string>>),
        &typeid(std::map<std::pair<int, std::string>, std::vector<std::map<std::string, std::string>>>)}) {
    const std::string linked = std::string("_Z1f") + type->name();
    const std::size_t real = demangled(linked.c_str()).size();
    const std::size_t told = readable_size(linked, most);
    BOOST_TEST(told > real / 4);
    BOOST_TEST(told < real * 4);
  }
  for (const char* const cut :
       {"", "_Z", "_Z1", "_Z9999f", "_ZS", "_ZS_", "_ZSZZZZZZZZZZZZZZ_", "_ZT", "_ZT_", "_ZLi", "_ZIE", "EEEE"})
    BOOST_TEST_CONTEXT(cut) BOOST_TEST(readable_size(cut, most) < 20'000u);
}

BOOST_AUTO_TEST_CASE(brackets_without_end_cost_no_stack)
{
  const std::string deep(100'000, '<');
  BOOST_TEST((std::string_view(readable_name(deep)) == deep));
  const std::string deep_groups = "f" + std::string(100'000, '(');
  BOOST_TEST((std::string_view(readable_name(deep_groups)) == deep_groups));
}

BOOST_AUTO_TEST_CASE(a_functions_path_has_neither_types_nor_parameters)
{
  constexpr names paths[] = {
      {"main", "main"},
      {"app::open(int)", "app::open"},
      {"void app::open<int>(int) const", "app::open"},
      {"std::vector<int, std::allocator<int>> gpa::list<int>()", "gpa::list"},
      {"app::(anonymous namespace)::open(int)", "app::(anonymous namespace)::open"},
      {"std::vector<int>::push_back(int&&)", "std::vector<int>::push_back"},
      {"app::less::operator()(int) const", "app::less::operator()"},
      {"bool app::operator<(app::a, app::b)", "app::operator<"},
      {"operator new(unsigned long)", "operator new"},
      {"main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)#1}::operator()"},
      {"decltype (::new ((void*)(0)) int((declval<int>)())) std::construct_at<int, int>(int*, int&&)", "std::construct_at"},
      {"decltype(auto) app::get<0>(app::pair&)", "app::get"},
      {"app::decltype_of(int)", "app::decltype_of"},
      {"decltype (", ""},
      {"", ""},
      {"(", ""},
      {"<", "<"},
  };
  for (const names& n : paths) BOOST_TEST_CONTEXT(n.written) BOOST_TEST(function_path(n.written) == n.readable);
}

// ---- long names ----

namespace {

std::string shortened(std::string_view name)
{
  return std::string(shortened_name(name));
}

#define WIDE "std::pmr::map<std::pmr::string, std::pmr::vector<std::pair<int, double>>>"

}  // namespace

BOOST_AUTO_TEST_CASE(a_name_that_is_not_long_is_left_alone)
{
  for (const std::string_view name :
       {"", "main", "void* task::promise_type::operator new<int&>(unsigned long)", "_ZZ4mainENKUlDpT_E0_clIJ"})
    BOOST_TEST(shortened(name) == name);
  const std::string at_limit(longest_name, 'f');
  BOOST_TEST(shortened(at_limit) == at_limit);
}

BOOST_AUTO_TEST_CASE(a_long_name_loses_what_says_least)
{
  const names cases[] = {
      // the return type
      {"decltype (f((std::declval<" WIDE "&>)())) app::visit<int>(std::vector<int> const&, int, int, int)",
       "app::visit<int>(std::vector<int> const&, int, int, int)"},
      {WIDE "::mapped_type& app::table_of_names_of_the_application::find_or_create<long>(unsigned long, bool)",
       "app::table_of_names_of_the_application::find_or_create<long>(unsigned long, bool)"},
      // arguments of arguments
      {"app::cache<" WIDE ", app::lru, 3>::fill(" WIDE " const&) const",
       "app::cache<std::pmr::map<...>, app::lru, 3>::fill(std::pmr::map<std::pmr::string, std::pmr::vector<...>> const&) const"},
      // all arguments
      {"app::cache<" WIDE ", app::least_recently_used_policy>::fill(" WIDE " const&, " WIDE " const&) const",
       "app::cache<...>::fill(std::pmr::map<...> const&, std::pmr::map<...> const&) const"},
      // parameters
      {"app::registry::insert(some_type_with_a_long_name_number_one, some_type_with_a_long_name_number_two, "
       "some_type_with_a_long_name_number_three) const",
       "app::registry::insert(...) const"},
      // operators and arrows are no brackets
      {"app::matrix<" WIDE ">& app::operator<< <" WIDE ">(app::matrix<" WIDE ">&, int)",
       "app::operator<< <std::pmr::map<...>>(app::matrix<std::pmr::map<...>>&, int)"},
      {"app::handle<" WIDE ", " WIDE ">::operator->(std::function<auto (int) -> long>) const",
       "app::handle<std::pmr::map<...>, std::pmr::map<...>>::operator->(std::function<auto (int) -> long>) const"},
      {"main::{lambda(auto:1&)#1}::operator()<" WIDE ">(" WIDE "&, std::pmr::vector<std::pmr::string>&) const",
       "main::{lambda(auto:1&)#1}::operator()<...>(std::pmr::map<...>&, std::pmr::vector<...>&) const"},
  };
  for (const names& c : cases) {
    BOOST_TEST(shortened(c.written) == c.readable);
    BOOST_TEST(shortened(c.readable) == c.readable);
  }
}

BOOST_AUTO_TEST_CASE(brackets_without_a_partner_are_left_alone)
{
  for (const std::string_view part : {"<", ">", "(", "f<(>"}) {
    const std::string name = std::string(longest_name, 'f') + std::string(part);
    BOOST_TEST(shortened(name).size() <= name.size());
  }
}

BOOST_AUTO_TEST_CASE(a_long_pattern_with_stars_still_matches)
{
  const std::string_view name = "decltype (g()) app::cache<" WIDE ", app::lru, 3>::fill<" WIDE ">(" WIDE " const&) const";
  const std::string_view whole = name.substr(0, name.rfind('('));
  const metadata_string pattern = shortened_pattern(whole);
  BOOST_TEST(std::string_view(pattern) == "app::cache<*>::fill<*>");
  BOOST_TEST(matches(pattern, name));
  BOOST_TEST(std::string_view(shortened_pattern("cache<int>::open")) == "cache<int>::open");
}
