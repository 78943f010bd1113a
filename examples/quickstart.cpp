// The first screen of the README: two sessions are opened and never closed, and the report names the line.
//
// Nothing to start, no flag, no tool: the resource reports when it goes out of scope (S1-7, S1-18).
#include <gpa/resource.hpp>

#include <memory_resource>
#include <vector>

struct session {
  int id;
  char user[60];
};

session* open_session(std::pmr::polymorphic_allocator<> memory, int id)
{
  return memory.new_object<session>(session{id, "ada"});
}

int main()
{
  gpa::resource r;
  std::pmr::vector<session*> sessions(&r);
  for (int id = 1; id <= 3; ++id) sessions.push_back(open_session(&r, id));

  r.allocator().delete_object(sessions.back());
}  // the vector gives its memory back, two sessions do not
