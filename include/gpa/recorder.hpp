// gpa::recorder: writes down what a program asks of a memory resource, so that it can be asked again of others.
//
//   gpa::recorder r("load.gpatrace", &upstream);
//   run(&r);       // the program's own work
//   r.close();     // throws if the file could not be written
//
// `bench/run --replay load.gpatrace` then measures every contender with these calls.
//
// The file, version 1: the eight letters "gpatrace", a byte 1 for the version, then numbers in LEB128 (seven bits a
// byte, the lowest first; the eighth says that more follow). The two lowest bits of a number say what it is:
//
//   0  allocation: bytes << 5 | logarithm << 2; the logarithm is the alignment's, and 7 stands for one in a number of
//      its own that follows. Blocks are numbered from 0 in this order.
//   1  free: how many blocks ago it was allocated << 2; the last one is 1
//   2  the calls from here on are of thread n << 2; threads are numbered from 1 as they first call. Comes first
//   3  end: allocations << 2, then frees in a number of its own. Nothing follows
//
// Two to three bytes a call are usual. Calls of several threads stand in one order: a free always behind its allocation,
// and before any allocation that was given the same address again.
#pragma once

#include <gpa/export.hpp>

#include <cstddef>
#include <memory_resource>
#include <string_view>

namespace gpa {

namespace detail {
class recording;
}

/// Passes every call on to another resource, and writes it to a file. Neither copyable nor movable.
///
/// An allocation that throws is not recorded, nor is a free of a block that did not come from here: it is passed on,
/// for the upstream to judge. In the child of a fork nothing is recorded any more. Its memory comes from the operating
/// system, never from the upstream or the user's heap: about 32 bytes a live block, and a buffer of 64 KiB.
///
/// Thread-safe if the upstream is, one lock a call; construction, close() and destruction are not.
class GPA_EXPORT recorder final : public std::pmr::memory_resource {
 public:
  /// Creates `file` or empties it. `upstream` null = the default resource of this moment.
  /// Throws std::system_error, whose text names the file, when it cannot be written, and std::bad_alloc.
  explicit recorder(std::string_view file, std::pmr::memory_resource* upstream = nullptr);

  /// close() if nobody called it; what that would throw is then a line on stderr.
  ~recorder() override;

  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  /// Ends the recording: writes what is still to be written. Later calls are passed on and not recorded.
  ///
  /// Throws std::system_error if any part of the recording could not be written, the disk being full, say: the file is
  /// of no use then. A second call does nothing. No other thread may be inside.
  void close();

  /// Where the memory comes from; never null. Never throws. O(1). Thread-safe.
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  std::pmr::memory_resource* upstream_;
  detail::recording* recording_;
};

}  // namespace gpa
