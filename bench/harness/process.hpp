// A process of ours that is told lines and answers with lines.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace gpa::bench {

/// Not thread-safe. Throws std::system_error where the system refuses.
class process {
 public:
  /// `preload`: a library for LD_PRELOAD in that process alone; empty: none. `quiet`: its stderr is dropped.
  process(const std::vector<std::string>& command, const std::string& preload, bool quiet = false);
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  /// Ends its input, which ends it, and waits; one that does not end within ten seconds is killed.
  ~process();

  void tell(const std::string& line);

  /// Without the newline. Nothing when the process ended, or when `patience` is over: it is then killed.
  [[nodiscard]] std::optional<std::string> answer(std::chrono::milliseconds patience);
  [[nodiscard]] bool was_impatient() const noexcept { return impatient_; }

  /// All it says until its end.
  [[nodiscard]] std::string everything();

 private:
  [[nodiscard]] bool readable_within(std::chrono::milliseconds patience) const;
  void kill() noexcept;

  ::pid_t id_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string read_;
  bool impatient_ = false;
};

/// This program's own file.
[[nodiscard]] std::string this_program();

}  // namespace gpa::bench
