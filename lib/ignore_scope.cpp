// gpa::ignore_scope. Hot paths pay nothing for it: the scope empties the thread's ways, and the careful paths do not
// fill them again while it lives, so that every call of the thread comes by core::allocate_careful().
#include <gpa/ignore_scope.hpp>

#include "blocks/thread_caches.hpp"

namespace gpa {

ignore_scope::ignore_scope() noexcept
{
  ++detail::my_thread.ignoring;
  detail::empty_ways();
}

ignore_scope::~ignore_scope() { --detail::my_thread.ignoring; }

}  // namespace gpa
