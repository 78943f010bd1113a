#include "report/run_of_all.hpp"

#include <algorithm>

namespace gpa::bench {

const std::vector<view>& views()
{
  static const std::vector<view> all{
      {"first_table",
       "checked, without call stacks, against the resources of the standard library",
       "gpa",
       "gpa_twin",
       {"gpa_twin", "new_delete", "unsynchronized_pool", "synchronized_pool", "monotonic", "gpa_stacks", "gpa_never"},
       true},
      {"fast",
       "without checks, and with one allocation in n checked, against the fastest there are",
       "gpa_never",
       "gpa_never_twin",
       {"gpa_never_twin", "gpa_1_in_10000", "gpa_1_in_1000", "mimalloc", "jemalloc", "tcmalloc", "glibc",
        "tbb_scalable", "new_delete", "unsynchronized_pool", "synchronized_pool", "monotonic", "monotonic_on_gpa"},
       false},
      {"checked",
       "with every check, without and with call stacks, against pools and against Zig's original",
       "gpa",
       "gpa_twin",
       {"gpa_twin", "gpa_stacks", "gpa_never", "new_delete", "unsynchronized_pool", "synchronized_pool",
        "boost_unsynchronized", "boost_synchronized", "zig_gpa", "zig_gpa_stacks"},
       false},
  };
  return all;
}

std::vector<const row*> rows_of(const run_of_all& run, const view& v)
{
  std::vector<const row*> all;
  for (const row& r : run.rows)
    if (!v.first_table || r.work->first_table) all.push_back(&r);
  return all;
}

std::vector<std::size_t> columns_of(const std::vector<const row*>& rows, const view& v)
{
  std::vector<std::string_view> names{v.base};
  names.insert(names.end(), v.others.begin(), v.others.end());
  std::vector<std::size_t> all;
  for (const std::string_view name : names) {
    const std::size_t i = contender_named(name);
    if (std::ranges::any_of(rows, [&](const row* r) { return spread_of(r->ns[i]).rounds != 0; })) all.push_back(i);
  }
  return all;
}

}  // namespace gpa::bench
