// Six mistakes, each made inside a pool: what AddressSanitizer and LeakSanitizer see of them, and what gpa sees.
//
// A pool takes big chunks and hands out pieces; to a sanitizer the piece stays valid until the chunk goes. So a build
// with -fsanitize=address is blind to what happens between two pieces. why_not_asan.sh builds this program with and
// without the sanitizer, makes every mistake in every kind of memory and counts the reports; `new-delete`, where
// the sanitizer sees everything, is the control.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <string_view>

namespace {

using memory = std::pmr::memory_resource;

// Through a volatile, so that the compiler neither sees where the write goes nor leaves it out.
void write(void* p, std::size_t offset)
{
  volatile std::size_t hidden = offset;
  static_cast<volatile char*>(p)[hidden] = 'x';
}

void none(memory& m)
{
  void* const p = m.allocate(64, 8);
  write(p, 63);
  m.deallocate(p, 64, 8);
}

void write_after_free(memory& m)
{
  void* const p = m.allocate(64, 8);
  m.deallocate(p, 64, 8);
  write(p, 10);
}

void double_free(memory& m)
{
  void* const p = m.allocate(64, 8);
  m.deallocate(p, 64, 8);
  m.deallocate(p, 64, 8);
}

void overrun(memory& m)
{
  void* const p = m.allocate(64, 8);
  write(p, 64);
  m.deallocate(p, 64, 8);
}

void wrong_size(memory& m)
{
  void* const p = m.allocate(64, 8);
  m.deallocate(p, 40, 8);
}

void wrong_alignment(memory& m)
{
  void* const p = m.allocate(64, 64);
  m.deallocate(p, 64, 8);
}

void leak(memory& m) { write(m.allocate(64, 8), 0); }

struct row {
  std::string_view name;
  void (*make)(memory&);
};
constexpr row mistakes[] = {
    {"none", none},
    {"write-after-free", write_after_free},
    {"double-free", double_free},
    {"overrun", overrun},
    {"wrong-size", wrong_size},
    {"wrong-alignment", wrong_alignment},
    {"leak", leak},
};

bool make_inside(std::string_view kind, void (*make)(memory&))
{
  if (kind == "pool") {
    std::pmr::unsynchronized_pool_resource r;
    make(r);
  } else if (kind == "gpa") {
    gpa::resource r;
    make(r);
  } else if (kind == "new-delete") {
    make(*std::pmr::new_delete_resource());
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv)
{
  const std::string_view kind = argc == 3 ? argv[1] : "";
  const std::string_view name = argc == 3 ? argv[2] : "";
  for (const row& mistake : mistakes)
    if (mistake.name == name && make_inside(kind, mistake.make)) return 0;

  const bool help = argc == 2 && std::string_view(argv[1]) == "--help";
  std::ostream& out = help ? std::cout : std::cerr;
  out << "usage: why_not_asan pool|gpa|new-delete MISTAKE\nMISTAKE is one of";
  for (const row& mistake : mistakes) out << ' ' << mistake.name;
  out << '\n';
  return help ? 0 : 2;
}
