// Hears the reports of both resources and compares them with those that are due; keeps the list of what was done, and
// prints it when something is not true.
//
// A report that is due is named by kind and address. A write after free may be told at any call once it is past its
// quarantine, so the model is asked about those that are not due: see model::explains().
#pragma once

#include <gpa/resource.hpp>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::fuzz {

class listener {
 public:
  /// Prints each note at once, for what ends without a word of ours.
  static inline bool shows_all = false;

  explicit listener(std::string setting);
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  /// For options::on_report.
  [[nodiscard]] std::function<void(const gpa::report&)> ear()
  {
    return [this](const gpa::report& r) { heard_.push_back(r); };
  }

  /// Notes a call, before it is made.
  void note(const char* what, const void* p = nullptr, std::size_t first = 0, std::size_t second = 0)
  {
    notes_.push_back({what, p, first, second});
    if (shows_all) print(notes_.back());
  }

  /// The next call must be told of as one of these kinds, at this address, by the resource of that name.
  void expect(std::initializer_list<mistake> kinds, const void* p, std::string_view resource = "fuzzed")
  {
    due_.push_back({kinds, p, resource});
  }

  /// The call was made: all that was due was told, and nothing else but what `explains` knows of. Leaks are left for
  /// take_leaks(). Returns the mistakes told of the resource "fuzzed".
  std::size_t settle(const std::function<bool(const gpa::report&)>& explains);

  /// Leaks that were told, by sum.
  struct leaks {
    std::size_t blocks = 0;
    std::size_t bytes = 0;
  };
  [[nodiscard]] leaks take_leaks();

  /// Unless `is`, prints what was done and aborts.
  void require(bool is, std::string_view words) const
  {
    if (!is) fail(words);
  }
  [[noreturn]] void fail(std::string_view words) const;

 private:
  struct entry {
    const char* what;
    const void* p;
    std::size_t first, second;
  };
  struct due {
    std::vector<mistake> kinds;
    const void* p;
    std::string_view resource;
  };

  static void print(const entry& e);

  std::string setting_;
  std::vector<entry> notes_;
  std::vector<due> due_;
  std::vector<gpa::report> heard_;
  leaks leaks_;
};

}  // namespace gpa::fuzz
