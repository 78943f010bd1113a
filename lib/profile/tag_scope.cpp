// gpa::tag_scope. As ignore_scope, it costs hot paths nothing: the scope empties the thread's ways, and the careful
// paths do not fill them again while it lives, so that every call of the thread comes by core::allocate_careful().
#include <gpa/tag_scope.hpp>

#include "blocks/thread_caches.hpp"
#include "profile/tags.hpp"

namespace gpa {

tag_scope::tag_scope(std::string_view name) noexcept : outer_(detail::my_thread.tag)
{
  detail::my_thread.tag = detail::tag_number(name);
  detail::empty_ways();
}

tag_scope::~tag_scope() { detail::my_thread.tag = outer_; }

}  // namespace gpa
