// The contenders: memory resources by name, made anew for each workload, each in a process of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>

namespace gpa::bench {

/// A resource and what it needs between passes.
class heap {
 public:
  heap() = default;
  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;
  virtual ~heap() = default;

  [[nodiscard]] virtual std::pmr::memory_resource& resource() noexcept = 0;
  /// One more of the same kind, with memory of its own where the kind has that.
  [[nodiscard]] virtual std::unique_ptr<heap> another() const = 0;
  /// After every pass, off the clock, nothing allocated.
  virtual void after_pass() {}
  /// Gives back what is free, where the kind can be asked to.
  virtual void trim() {}
};

struct contender {
  std::string_view name;            ///< for --only, CSV, JSON and tables
  std::string_view what;            ///< one line
  unsigned most_threads;            ///< that may use it at once
  bool reuses;                      ///< whether a freed block is used again before the pass is over
  std::string_view preload;         ///< the library that replaces malloc in its process; empty: none
  std::unique_ptr<heap> (*make)();  ///< null: this build does without it
  std::string_view missing;         ///< what to say then, or when it cannot be loaded
};

[[nodiscard]] std::span<const contender> contenders();
/// Throws std::invalid_argument for a name nobody has.
[[nodiscard]] std::size_t contender_named(std::string_view name);

// One file each; null where the library was not there when this was built, or is not here now.
using maker = std::unique_ptr<heap> (*)();
[[nodiscard]] maker boost_unsynchronized_pool();  // boost.cpp
[[nodiscard]] maker boost_synchronized_pool();
[[nodiscard]] maker tbb_scalable();  // tbb.cpp
[[nodiscard]] maker zig_gpa();       // zig.cpp
[[nodiscard]] maker zig_gpa_stacks();

/// A resource of type `Resource`, made without arguments.
template <class Resource>
class owned : public heap {
 public:
  std::pmr::memory_resource& resource() noexcept override { return r_; }
  [[nodiscard]] std::unique_ptr<heap> another() const override { return std::make_unique<owned>(); }

 protected:
  Resource r_;
};

template <class Heap>
[[nodiscard]] std::unique_ptr<heap> make_heap()
{
  return std::make_unique<Heap>();
}

}  // namespace gpa::bench
