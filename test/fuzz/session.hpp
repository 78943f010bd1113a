// One input, carried out: a resource, a second one beside it, the model, and what is done to them.
//
// operations.cpp is what a program may do, faults.cpp what it may not, ending.cpp deinit() and what comes after.
#pragma once

#include "fuzz/input.hpp"
#include "fuzz/listener.hpp"
#include "fuzz/model.hpp"
#include "fuzz/settings.hpp"
#include "support/upstreams.hpp"

#include <gpa/resource.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace gpa::fuzz {

/// What both drivers call. Prints and aborts where the resource is not as its model.
void carry_out(std::span<const std::uint8_t> bytes);

class session {
 public:
  explicit session(std::span<const std::uint8_t> bytes);
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  void run();

 private:
  void step();

  // operations.cpp
  void allocate();
  void free_one();
  void resize();
  void look();
  void verify();
  void trim();
  void release();
  void limit();
  void ignore();
  void snapshot();
  void detect_leaks();
  void free_many();

  // faults.cpp; each does nothing where the README promises no report.
  void free_again();
  void free_with_wrong_size();
  void free_with_wrong_alignment();
  void free_inside();
  void free_foreign();
  void free_elsewhere();
  void overflow();
  void write_after_free();
  void resize_wrongly();
  void ask_for_wrong_alignment();
  void ignore_wrongly();

  // ending.cpp
  void end();
  void free_late();

  /// The call noted last was made.
  std::size_t settle();
  void settle_unchanged();  // a call that was refused
  [[nodiscard]] block* any_live() noexcept;
  [[nodiscard]] block* any_checked() noexcept;
  [[nodiscard]] ghost* any_ghost() noexcept;
  [[nodiscard]] gpa::resource& stranger();
  void fill(const block& b, std::size_t from) const;
  void free_at(std::size_t index);

  input in_;
  settings setting_;
  listener listener_;
  test::recording_upstream upstream_;
  std::optional<gpa::resource> resource_;
  std::optional<gpa::resource> stranger_;
  std::optional<model> model_;
  unsigned content_ = 0;
};

}  // namespace gpa::fuzz
