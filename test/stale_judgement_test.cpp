// A free that lost its CPU between the look at a record and the claim: since then the block was freed and forgotten, and
// its record is that of somebody else's block, with the very word that is expected.
#define BOOST_TEST_MODULE stale_judgement
#include <gpa/resource.hpp>

#include "checked/judge.hpp"
#include "core.hpp"
#include "late_handle.hpp"
#include "registry.hpp"
#include "support/accomplices.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <vector>

namespace {

using gpa::test::discard;
using gpa::test::obtain;
using gpa::test::witness;

const gpa::options plain{.checks = gpa::checks::always(), .stack_frames = 0};

}  // namespace

BOOST_AUTO_TEST_CASE(after_the_end_it_claims_no_block_of_another_resource)
{
  for (const std::size_t bytes : {std::size_t{48}, std::size_t{400'000}}) {
    BOOST_TEST_CONTEXT(bytes << " bytes")
    {
      witness w;
      witness of_innocent;
      gpa::resource r(w.listening(plain));
      gpa::detail::core* const core = gpa::detail::find_core(gpa::detail::birth_of(r));
      BOOST_TEST_REQUIRE(core != nullptr);
      void* const stays = obtain(r, 5'000);
      void* const p = obtain(r, bytes);
      BOOST_TEST((r.deinit() == gpa::check::leak));
      const gpa::detail::judgement seen = gpa::detail::judge(p, bytes, alignof(std::max_align_t), core);
      BOOST_TEST_REQUIRE(seen.right);
      discard(r, p, bytes);
      BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == 1u);

      gpa::resource innocent(of_innocent.listening(plain));
      std::vector<void*> blocks;
      for (int i = 0; i != 70; ++i) blocks.push_back(obtain(innocent, bytes));
      BOOST_TEST(!core->checked().free_buried(seen, 0, 1));
      for (void* const q : blocks) discard(innocent, q, bytes);
      BOOST_TEST((innocent.deinit() == gpa::check::ok));
      BOOST_TEST(of_innocent.count() == 0u);
      discard(r, stays, 5'000);
    }
  }
}
