// How a value of GPA_OPTIONS is read, by the type of the setting: each returns false where it is none.
#pragma once

#include <gpa/options.hpp>

#include "environment.hpp"
#include "option_syntax.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace gpa::detail {

inline bool parse(std::string_view value, bool& result) noexcept
{
  return parse_flag(value, result);
}
inline bool parse(std::string_view value, std::size_t& result) noexcept
{
  return parse_size(value, result);
}
inline bool parse(std::string_view value, gpa::checks& result) noexcept
{
  return parse_checks(value, result);
}

inline bool parse(std::string_view value, std::string_view& result) noexcept
{
  result = value;
  return true;
}

template <class Choice>
struct choice {
  std::string_view word;
  Choice value;
};

template <class Choice, std::size_t N>
bool parse_choice(std::string_view value, const std::array<choice<Choice>, N>& choices, Choice& result) noexcept
{
  const auto found = std::find_if(choices.begin(), choices.end(), [&](const auto& c) { return c.word == value; });
  if (found != choices.end()) result = found->value;
  return found != choices.end();
}

inline bool parse(std::string_view value, gpa::after_mistake& result) noexcept
{
  return parse_choice(value,
                      std::array{choice<gpa::after_mistake>{"abort", gpa::after_mistake::abort},
                                 choice<gpa::after_mistake>{"carry_on", gpa::after_mistake::carry_on}},
                      result);
}

inline bool parse(std::string_view value, when& result) noexcept
{
  return parse_choice(value,
                      std::array{choice<when>{"auto", when::automatic}, choice<when>{"automatic", when::automatic},
                                 choice<when>{"always", when::always}, choice<when>{"never", when::never}},
                      result);
}

inline bool parse(std::string_view value, gpa::protect_large& result) noexcept
{
  return parse_choice(value,
                      std::array{choice<gpa::protect_large>{"auto", gpa::protect_large::automatic},
                                 choice<gpa::protect_large>{"automatic", gpa::protect_large::automatic},
                                 choice<gpa::protect_large>{"always", gpa::protect_large::always},
                                 choice<gpa::protect_large>{"never", gpa::protect_large::never}},
                      result);
}

inline bool parse(std::string_view value, view& result) noexcept
{
  return parse_choice(value, std::array{choice<view>{"user", view::user}, choice<view>{"all", view::all}}, result);
}

template <class T>
bool parse(std::string_view value, std::optional<T>& result) noexcept
{
  T decided{};
  if (!parse(value, decided)) return false;
  result = decided;
  return true;
}

template <auto Member>
bool read(std::string_view value, settings& s) noexcept
{
  return parse(value, s.*Member);
}

/// The word that the list has for no file is none, so that what was set elsewhere can be undone.
template <auto Member>
bool read_file(std::string_view value, settings& s) noexcept
{
  constexpr std::string_view none = Member == &settings::log_path ? "stderr" : "none";
  s.*Member = value == none ? std::string_view() : value;
  return true;
}

template <auto Member, std::uint64_t Most>
bool read_number(std::string_view value, settings& s) noexcept
{
  std::uint64_t number = 0;
  if (!parse_number(value, Most, number)) return false;
  using field = std::remove_reference_t<decltype(s.*Member)>;
  if constexpr (std::is_same_v<field, std::size_t>) {
    s.*Member = number;
  } else {
    s.*Member = static_cast<typename field::value_type>(number);
  }
  return true;
}

inline bool read_quarantine(std::string_view value, settings& s) noexcept
{
  if (value == "default") {
    s.quarantine_bytes = default_quarantine;
    return true;
  }
  return read<&settings::quarantine_bytes>(value, s);
}

}  // namespace gpa::detail
