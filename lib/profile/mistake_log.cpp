#include "profile/mistake_log.hpp"

#include <new>

namespace gpa::detail {

void mistake_log::kept::add(const gpa::report& r, std::size_t most) noexcept
{
  try {
    if (reports.size() < most) {
      reports.push_back(r);
      return;
    }
  } catch (const std::bad_alloc&) {
    // Counted, then.
  }
  ++missing;
}

void mistake_log::add(const gpa::report& r) noexcept
{
  const mutex_guard guard(lock_);
  mistakes_.add(r, most_mistakes);
}

void mistake_log::forget_leaks() noexcept
{
  const mutex_guard guard(lock_);
  leaks_.reports.clear();
  leaks_.missing = 0;
}

void mistake_log::add_leak(const gpa::report& group) noexcept
{
  const mutex_guard guard(lock_);
  leaks_.add(group, most_leaks);
}

list_of<gpa::report> mistake_log::copy(std::size_t& missing)
{
  const mutex_guard guard(lock_);
  list_of<gpa::report> all = mistakes_.reports;
  all.insert(all.end(), leaks_.reports.begin(), leaks_.reports.end());
  missing = mistakes_.missing + leaks_.missing;
  return all;
}

}  // namespace gpa::detail
