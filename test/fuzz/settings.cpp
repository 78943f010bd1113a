#include "fuzz/settings.hpp"

#include <array>
#include <cstddef>

namespace gpa::fuzz {

settings settings::of(input& in)
{
  constexpr std::array checked = {checks::always(), checks::always(),  checks::always(), checks::always(),
                                  checks::never(),  checks::one_in(2), checks::one_in(7)};
  constexpr std::array<std::size_t, 8> quarantines = {default_quarantine, default_quarantine, 0,        1000,
                                                      16 << 10,           256 << 10,          16 << 20, unlimited};
  constexpr std::array<std::size_t, 5> limits = {unlimited, unlimited, 20'000, 300'000, std::size_t{1} << 40};
  constexpr std::array<std::size_t, 4> frames = {0, 8, 0, 1};
  constexpr std::array poisons = {default_poison, default_poison, std::size_t{2000}, unlimited};
  constexpr std::array large = {protect_large::always, protect_large::never, protect_large::automatic};
  settings s;
  s.options.name = "fuzzed";
  s.options.checks = in.one_of(checked);
  s.options.thread_safe = in.flag();
  s.options.memory_limit = in.one_of(limits);
  s.options.quarantine_bytes = in.one_of(quarantines);
  s.options.stack_frames = in.one_of(frames);
  s.options.poison_bytes = in.one_of(poisons);
  s.options.protect_large = in.one_of(large);
  s.options.profile = in.below(8) == 1;
  s.options.log_operations = in.below(16) == 1;
  s.upstream = in.below(4) == 1;
  s.options.after_mistake = after_mistake::carry_on;
  s.options.environment = environment::ignored;
  return s;
}

std::string to_string(const settings& s)
{
  const gpa::options& o = s.options;
  const auto number = [](std::size_t n) { return n == unlimited ? std::string("unlimited") : std::to_string(n); };
  return "checks one in " + std::to_string(o.checks.interval()) + ", thread_safe " + std::to_string(o.thread_safe) +
         ", memory_limit " + number(o.memory_limit) + ", quarantine_bytes " + number(o.quarantine_bytes) +
         ", stack_frames " + number(o.stack_frames) + ", poison_bytes " + number(o.poison_bytes) + ", protect_large " +
         std::to_string(static_cast<int>(o.protect_large)) + ", profile " + std::to_string(o.profile) +
         ", log_operations " + std::to_string(o.log_operations) + ", upstream " + std::to_string(s.upstream);
}

}  // namespace gpa::fuzz
