// The source that the golden reports quote. Never compiled; its lines are counted on.
#include "session.hpp"

session* cache::open(int id)
{
  void* raw = mr_->allocate(sizeof(session), alignof(session));
  return new (raw) session(id, names_);
}

void cache::close(session* s)
{
	s->~session();
	mr_->deallocate(s, sizeof(session), alignof(session));
}

int main()
{
  cache c(&parser);
  session* s = c.open(1);
  c.close(s);
  c.close(s);
}
