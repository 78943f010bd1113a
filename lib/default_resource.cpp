// default_resource_guard: the default resource of the process, for a scope.
#include <gpa/default_resource.hpp>

#include "base/mutex.hpp"
#include "default_resource_lock.hpp"
#include "os/text.hpp"

namespace gpa {

namespace {

constinit detail::mutex lock;
constinit default_resource_guard* innermost GPA_GUARDED_BY(lock) = nullptr;

void warn(std::string_view words) noexcept
{
  detail::text line;
  line.append("gpa: warning: ");
  line.append(words);
  line.append("\n");
  line.write_to_stderr();
}

}  // namespace

void detail::default_resource_lock() noexcept GPA_ACQUIRE(lock) { lock.lock(); }
void detail::default_resource_unlock() noexcept GPA_RELEASE(lock) { lock.unlock(); }

default_resource_guard::default_resource_guard(std::pmr::memory_resource* r) noexcept
{
  const detail::mutex_guard guard(lock);
  before_ = std::pmr::set_default_resource(r);
  chosen_ = std::pmr::get_default_resource();
  outer_ = innermost;
  innermost = this;
}

default_resource_guard::~default_resource_guard()
{
  std::string_view wrong;
  {
    const detail::mutex_guard guard(lock);
    if (innermost == this) {
      innermost = outer_;
      if (std::pmr::get_default_resource() == chosen_) {
        std::pmr::set_default_resource(before_);
      } else {
        wrong = "a default_resource_guard ends, but the default resource is another one by now; it stays";
      }
    } else {
      // The guards inside this one will put back what was there before it.
      default_resource_guard* inner = innermost;
      while (inner != nullptr && inner->outer_ != this) inner = inner->outer_;
      if (inner != nullptr) {
        inner->outer_ = outer_;
        inner->before_ = before_;
      }
      wrong = "default_resource_guards end in another order than reverse; the newest choice stays";
    }
  }
  if (!wrong.empty()) warn(wrong);
}

}  // namespace gpa
