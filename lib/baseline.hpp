// Leaks that are known: one fingerprint a line, so that a program with old leaks can be held to having no new ones.
//
//   9f86d081884c7d65 leak of 720 bytes in 10 blocks: cache::open(int)
//
// A fingerprint is that of a call stack: of the functions and file names of the user's own frames up to main. Lines,
// addresses, directories and counts are not in it, nor namespaces and arguments, which inlined functions lack: so it
// outlives edits above and below the leak, other sizes, and another machine. What follows it in the line is for people.
//
// Immutable once made.
#pragma once

#include "os/containers.hpp"
#include "os/text.hpp"
#include "trace/frame.hpp"

#include <cstdint>
#include <string_view>

namespace gpa::detail {

/// Equal for equal stacks, in every process. Of a stack without user frames, the libraries' frames count. Pure.
[[nodiscard]] std::uint64_t fingerprint_of(const frame_list& stack) noexcept;

class baseline {
 public:
  baseline() = default;
  /// `words` is the file; lines that begin with no fingerprint are told of in `complaints`, with their number and
  /// `path`. Throws std::bad_alloc.
  baseline(std::string_view words, std::string_view path, text& complaints);

  [[nodiscard]] bool empty() const noexcept { return known_.empty(); }
  [[nodiscard]] bool contains(std::uint64_t fingerprint) const noexcept { return known_.contains(fingerprint); }

 private:
  hash_set<std::uint64_t> known_;
};

}  // namespace gpa::detail
