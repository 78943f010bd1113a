// Leaks one block, made in session.cpp.
#include "session.hpp"

int main()
{
  gpa::resource r({.name = "fixture", .checks = gpa::checks::always()});
  app::open_session(r);
}
