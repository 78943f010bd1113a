// Loaded into process_library: uses process_resource() from a shared library's own constructors and destructors.
#include <gpa/resource.hpp>

#include <memory_resource>
#include <vector>

namespace {

struct of_library {
  std::pmr::vector<int> numbers{10, 1, gpa::process_resource()};
  ~of_library() { numbers.resize(1000); }
} object;

}  // namespace

extern "C" __attribute__((visibility("default"))) void forget_in_library()
{
  void* volatile forgotten = gpa::process_resource()->allocate(48);  // volatile: no tail call, so a frame of ours
  static_cast<void>(forgotten);
}
