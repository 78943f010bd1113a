// The source file that test/tools/reports/demo.json speaks of: never compiled, its line 33 is quoted by the page.
#include "session.hpp"

#include <memory_resource>

namespace {

std::pmr::unsynchronized_pool_resource memory;

}  // namespace

session* open(int id)
{
  void* const place = memory.allocate(sizeof(session), alignof(session));
  return new (place) session{.id = id};
}

void use(session& s)
{
  s.used = true;
}

// The second owner frees it, too.
void close_twice(session* s)
{
  close(s);
  close(s);
}

void close(session* s)
{
  s->~session();
  session_pool.free(s);
}
