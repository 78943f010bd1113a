// What Valgrind, and LeakSanitizer, are to see of gpa's blocks: valgrind_test and asan_test run it there.
//
//   under_tools clean                     many kinds of use, no mistake
//   under_tools read-freed  KIND          reads a freed block
//   under_tools read-slack  KIND          reads the byte behind a block
//   under_tools read-unset  KIND          decides on a byte nobody wrote
//   under_tools leak        KIND          forgets a block
//   under_tools free-twice  KIND          frees a block twice: gpa's own mistake, which aborts
//   under_tools looked-for  KIND          has gpa look for leaks among blocks that nobody wrote
//   under_tools holds       KIND          ends with strings of new's that only blocks of gpa's hold
//   under_tools held        KIND          the same, and frees those blocks, so that nobody holds them
// KIND is checked, fast, sampled, upstream (new_delete, or for `holds` and `held` page_resource()), large, huge,
// aligned.
#include <gpa/default_resource.hpp>
#include <gpa/resource.hpp>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory_resource>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

char volatile sink = 0;

void use(gpa::resource& r)
{
  std::pmr::map<int, std::pmr::string> names(&r);
  for (int i = 0; i != 500; ++i) names.emplace(i, std::string(static_cast<std::size_t>(i), 'x'));
  for (int i = 0; i != 250; ++i) names.erase(i * 2);
  std::pmr::vector<int> numbers(&r);
  for (int i = 0; i != 50'000; ++i) numbers.push_back(i);
  void* p = r.allocate(40, 16);
  std::memset(p, 1, 40);
  if (r.try_resize(p, 40, 44, 16)) {
    std::memset(p, 1, 44);
    r.deallocate(p, 44, 16);
  } else {
    r.deallocate(p, 40, 16);
  }
  for (int i = 0; i != 20'000; ++i) {
    const std::size_t bytes = static_cast<std::size_t>(i % 700);
    p = r.allocate(bytes);
    std::memset(p, i, bytes);
    r.deallocate(p, bytes);
  }
  std::thread([&] { r.deallocate(r.allocate(100), 100); }).join();
  r.verify();
  r.trim();
}

int clean()
{
  for (const gpa::checks c : {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(10)}) {
    gpa::resource r({.checks = c});
    use(r);
    r.release();
    use(r);
    std::pmr::monotonic_buffer_resource above(&r);
    gpa::resource over({.checks = c}, &above);
    gpa::resource over_new_delete({.checks = c}, std::pmr::new_delete_resource());
    use(over);
    use(over_new_delete);
    if (over.deinit() != gpa::check::ok || over_new_delete.deinit() != gpa::check::ok) return 1;
    above.release();
    if (r.deinit() != gpa::check::ok) return 1;
  }
  return 0;
}

// A block that holds another one, and that one strings: neither a local variable nor new's own memory holds any.
int hold(std::string_view kind, bool lets_go)
{
  gpa::options o{.checks = kind == "fast" ? gpa::checks::never() : gpa::checks::always()};
  if (kind == "sampled") o.checks = gpa::checks::one_in(2);
  static std::pmr::polymorphic_allocator<> of_first = gpa::process_resource();
  auto& r = *of_first.new_object<gpa::resource>(o, kind == "upstream" ? gpa::page_resource() : nullptr);
  const std::size_t bytes = kind == "large" ? 100'000 : kind == "huge" ? std::size_t{20} << 20 : 400;
  const std::size_t alignment = kind == "aligned" ? std::size_t{256} << 10 : 16;
  static void** first = nullptr;
  first = static_cast<void**>(r.allocate(bytes, alignment));
  std::memset(static_cast<void*>(first), 0, bytes);
  for (int i = 0; i != 20; ++i) {
    auto** const second = static_cast<void**>(r.allocate(bytes, alignment));
    std::memset(static_cast<void*>(second), 0, bytes);
    second[20] = new std::string(1'000, 'x');
    first[i] = second;
  }
  if (!lets_go) return 0;
  for (int i = 0; i != 20; ++i) r.deallocate(std::exchange(first[i], nullptr), bytes, alignment);
  r.deallocate(std::exchange(first, nullptr), bytes, alignment);
  return 0;
}

}  // namespace

int main(int count, char** words)
{
  const std::string_view what = count > 1 ? words[1] : "";
  const std::string_view kind = count > 2 ? words[2] : "";
  if (what == "clean") return clean();
  if (kind.empty()) return 2;
  if (what == "holds" || what == "held") return hold(kind, what == "held");

  gpa::resource r({.checks = kind == "fast" ? gpa::checks::never() : gpa::checks::always()},
                  kind == "upstream" ? std::pmr::new_delete_resource() : nullptr);
  const std::size_t bytes = kind == "large" ? 100'000 : 100;
  if (what == "looked-for") {
    for (int i = 0; i != 2; ++i) static_cast<void>(r.allocate(bytes));
    const std::size_t found = r.detect_leaks();
    r.release();
    return found == 2 ? 0 : 1;
  }
  auto* const p = static_cast<char*>(r.allocate(bytes));
  if (what != "read-unset") std::memset(p, 'a', bytes);
  volatile char* const hidden = p;
  if (what == "read-freed") {
    r.deallocate(p, bytes);
    sink = hidden[50];
    return 0;
  }
  if (what == "read-slack") sink = hidden[bytes];
  if (what == "read-unset" && hidden[50] == 'a') std::puts("a");
  if (what != "leak") r.deallocate(p, bytes);
  if (what == "free-twice") r.deallocate(p, bytes);
  return 0;
}
