#include "session.hpp"

namespace app {

[[gnu::noinline]] void* open_session(gpa::resource& r)
{
  void* const p = r.allocate(24, 8);  // planted
  asm volatile("" ::: "memory");      // no tail call, which would leave no frame
  return p;
}

}  // namespace app
