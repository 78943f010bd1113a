// deinit(), the verdict, and what comes too late.
#include "fuzz/session.hpp"
#include "support/accomplices.hpp"

namespace gpa::fuzz {

void session::end()
{
  look();
  if (in_.flag())
    while (!model_->live.empty()) free_at(model_->live.size() - 1);
  listener_.note("deinit");
  for (block& b : model_->live)
    if (b.damage_due) listener_.expect({mistake::overflow}, b.p);
  const check said = resource_->deinit();
  settle();
  for (block& b : model_->live) b.damage_due = false;
  model_->all_was_looked_at();
  const listener::leaks told = listener_.take_leaks();
  const listener::leaks right = model_->leaks();
  listener_.require(told.blocks == right.blocks && told.bytes == right.bytes, "deinit() tells other leaks");
  const check verdict = right.blocks != 0 ? check::leak : model_->mistakes() != 0 ? check::misuse : check::ok;
  listener_.require(said == verdict, "another verdict");
  listener_.require(resource_->deinit() == verdict, "another verdict the second time");
  free_late();
  resource_.reset();
  stranger_.reset();
  settle();
  listener_.require(listener_.take_leaks().blocks == 0, "a leak was told twice, or the stranger leaks");
  listener_.require(upstream_.live() == 0 && upstream_.wrong() == 0, "the upstream did not get all back");
}

// Blocks that leaked stay readable, and a free of them is told and carried out.
void session::free_late()
{
  listener_.note("allocate late");
  listener_.expect({mistake::use_after_deinit}, nullptr);
  listener_.require(resource_->try_allocate(1) == nullptr, "a block was handed out after deinit()");
  settle();
  listener_.require(resource_->verify() == 0 && resource_->detect_leaks() == 0, "found after deinit()");
  for (const block& b : model_->live) {
    if (!model_->over_upstream()) model_->compare_contents(b, b.bytes);
    listener_.note("free late", b.p, b.bytes, b.alignment);
    listener_.expect({mistake::use_after_deinit}, b.p);
    test::blunder(*resource_, b.p, b.bytes, b.alignment);
    settle();
  }
}

}  // namespace gpa::fuzz
