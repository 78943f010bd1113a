// One planted line a macro: none of them compiles. refused.sh names the macro and the reason.
#include <gpa/recorder.hpp>
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>
#include <gpa/tag_scope.hpp>

#include <utility>

#ifdef DERIVED_FROM
struct derived : gpa::resource {};
#endif

#ifdef IMPLICIT_UPSTREAM
gpa::resource implicit = std::pmr::new_delete_resource();
#endif

void planted(gpa::resource& r, gpa::default_resource_guard& g, void* p)
{
#ifdef IGNORED_DEINIT
  r.deinit();
#endif
#ifdef IGNORED_GUARD
  gpa::default_resource_guard{&r};
#endif
#ifdef IGNORED_TRY_ALLOCATE
  r.try_allocate(1);
#endif
#ifdef IGNORED_TRY_RESIZE
  r.try_resize(p, 1, 2);
#endif
#ifdef COPIED_RESOURCE
  gpa::resource copy(r);
#endif
#ifdef MOVED_RESOURCE
  gpa::resource moved(std::move(r));
#endif
#ifdef COPY_ASSIGNED_RESOURCE
  gpa::resource other;
  other = r;
#endif
#ifdef MOVE_ASSIGNED_RESOURCE
  gpa::resource other;
  other = std::move(r);
#endif
#ifdef COPIED_GUARD
  gpa::default_resource_guard copy(g);
#endif
#ifdef IGNORED_SCOPE
  gpa::ignore_scope{};
#endif
#ifdef COPIED_SCOPE
  const gpa::ignore_scope quiet;
  gpa::ignore_scope copy(quiet);
#endif
#ifdef IGNORED_TAG
  gpa::tag_scope{"tag"};
#endif
#ifdef COPIED_TAG
  const gpa::tag_scope tag("tag");
  gpa::tag_scope copy(tag);
#endif
#ifdef COPIED_RECORDER
  gpa::recorder tape("load.gpatrace", &r);
  gpa::recorder copy(tape);
#endif
#ifdef IGNORED_ORIGIN
  r.origin(p);
#endif
#ifdef IGNORED_SNAPSHOT
  r.take_snapshot();
#endif
#ifdef BOOL_FOR_BUILD
  gpa::resource odd(gpa::options{}, nullptr, true);
#endif
  static_cast<void>(r);
  static_cast<void>(g);
  static_cast<void>(p);
}
