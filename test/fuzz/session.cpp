#include "fuzz/session.hpp"

#include <array>

namespace gpa::fuzz {

void carry_out(std::span<const std::uint8_t> bytes)
{
  session(bytes).run();
}

session::session(std::span<const std::uint8_t> bytes)
    : in_(bytes), setting_(settings::of(in_)), listener_(to_string(setting_))
{
  gpa::options o = setting_.options;
  o.on_report = listener_.ear();
  if (setting_.upstream) {
    resource_.emplace(o, &upstream_);
  } else {
    resource_.emplace(o);
  }
  model_.emplace(setting_, resource_->options().quarantine_bytes, listener_);
}

void session::run()
{
  constexpr int most_steps = 3000;
  for (int i = 0; i != most_steps && in_.more(); ++i) step();
  end();
}

void session::step()
{
  // Allocations and frees stand first and more often.
  using operation = void (session::*)();
  constexpr std::array<operation, 32> operations = {&session::allocate,
                                                    &session::allocate,
                                                    &session::allocate,
                                                    &session::free_one,
                                                    &session::free_one,
                                                    &session::allocate,
                                                    &session::resize,
                                                    &session::resize,
                                                    &session::look,
                                                    &session::verify,
                                                    &session::trim,
                                                    &session::release,
                                                    &session::limit,
                                                    &session::ignore,
                                                    &session::snapshot,
                                                    &session::detect_leaks,
                                                    &session::free_again,
                                                    &session::free_with_wrong_size,
                                                    &session::free_inside,
                                                    &session::free_foreign,
                                                    &session::free_with_wrong_alignment,
                                                    &session::overflow,
                                                    &session::free_elsewhere,
                                                    &session::write_after_free,
                                                    &session::free_again,
                                                    &session::resize_wrongly,
                                                    &session::ask_for_wrong_alignment,
                                                    &session::ignore_wrongly,
                                                    &session::free_many,
                                                    &session::free_one,
                                                    &session::overflow,
                                                    &session::write_after_free};
  (this->*in_.one_of(operations))();
}

std::size_t session::settle()
{
  const std::size_t found = listener_.settle([this](const gpa::report& r) { return model_->explains(r); });
  model_->count_mistakes(found);
  return found;
}

void session::settle_unchanged()
{
  settle();
  model_->compare(*resource_);
}

block* session::any_live() noexcept
{
  if (model_->live.empty()) return nullptr;
  const std::size_t back = in_.below(model_->live.size());  // 0 is the youngest
  return &model_->live[model_->live.size() - 1 - back];
}

block* session::any_checked() noexcept
{
  block* const b = any_live();
  return b != nullptr && b->checked ? b : nullptr;
}

ghost* session::any_ghost() noexcept
{
  if (model_->ghosts.empty()) return nullptr;
  const std::size_t back = in_.below(model_->ghosts.size());
  return &model_->ghosts[model_->ghosts.size() - 1 - back];
}

// Checked, with a quarantine of its own, so that its frees do not count for the other's.
gpa::resource& session::stranger()
{
  if (!stranger_.has_value()) {
    gpa::options o = {.name = "stranger", .checks = checks::always(), .quarantine_bytes = 1000, .stack_frames = 0};
    o.after_mistake = after_mistake::carry_on;
    o.environment = environment::ignored;
    o.on_report = listener_.ear();
    stranger_.emplace(o);
  }
  return *stranger_;
}

}  // namespace gpa::fuzz
