// One function inlined into another, compiled in every way that debug information comes in; see kinds_test.cpp, which
// counts on the lines marked below.

// Stands first: g++ 12 with -gdwarf-4 writes an empty range list for what is inlined at the very start of a unit.
extern "C" int gpa_kind_first(int x)
{
  return x + 1;
}

namespace kind {

namespace {

[[gnu::always_inline]] inline int inner(int (*note)())
{
  return note() + 1;  // line 16
}

}  // namespace

[[gnu::noinline]] int outer(int (*note)())
{
  return 1 + inner(note);  // line 23
}

}  // namespace kind

extern "C" int gpa_kind(int (*note)())
{
  return kind::outer(note) + 1;  // line 30
}
