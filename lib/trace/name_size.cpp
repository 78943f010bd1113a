#include "trace/name_size.hpp"

#include "os/containers.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }

class reading {
 public:
  reading(std::string_view linked, std::size_t most) noexcept : in_(linked), most_(most) {}

  std::size_t size()
  {
    while (at_ != in_.size() && size_ < most_) step();
    return std::min(size_, most_);
  }

 private:
  // A group ends with 'E'. Only template arguments make a thing that is referred to, together with the name before them.
  struct group {
    bool arguments;
    std::size_t begin;
  };

  void step()
  {
    const char c = in_[at_++];
    const char next = at_ != in_.size() ? in_[at_] : '\0';
    if (is_digit(c)) {
      --at_;
      read_name();
    } else if (c == 'S') {
      read_reference(next);
    } else if (c == 'T' && (next == '_' || is_digit(next))) {
      read_parameter();
    } else if (c == 'L' && is_lower(next)) {  // a number: its digits are no length
      size_ += 8;
      at_ = std::min(in_.find('E', at_), in_.size() - 1) + 1;
    } else if (c == 'I') {
      open_.push_back({true, last_});
    } else if (c == 'N' || c == 'X' || c == 'J' || c == 'F' || c == 'Z' || c == 'L') {
      open_.push_back({false, size_});
    } else if (c == 'E') {
      close();
    } else {
      size_ += 2;
    }
  }

  void read_name()
  {
    std::size_t length = 0;
    for (; at_ != in_.size() && is_digit(in_[at_]) && length < in_.size(); ++at_)
      length = length * 10 + static_cast<std::size_t>(in_[at_] - '0');
    at_ += std::min(length, in_.size() - at_);
    begin_thing();
    size_ += length + 2;
    things_.push_back(length);
  }

  // S_, S0_, ... SZ_, S10_: in base 36. Else an abbreviation: Ss is std::string.
  void read_reference(char next)
  {
    begin_thing();
    if (is_lower(next)) {
      ++at_;
      size_ += 12;
      return;
    }
    std::size_t number = 0;
    bool first = true;
    for (; at_ != in_.size() && in_[at_] != '_' && number < things_.size(); ++at_, first = false)
      number = number * 36 + static_cast<std::size_t>(is_digit(in_[at_]) ? in_[at_] - '0' : in_[at_] - 'A' + 10);
    if (at_ != in_.size()) ++at_;
    if (!first) ++number;
    size_ += number < things_.size() ? things_[number] : largest();
  }

  // One of the arguments of the function's own template, which were there before the first that refers to them.
  void read_parameter()
  {
    if (parameter_ == 0) parameter_ = largest() + 1;
    begin_thing();
    size_ += parameter_;
    at_ = std::min(in_.find('_', at_), in_.size() - 1) + 1;
  }

  void close()
  {
    if (open_.empty()) return;
    const group g = open_.back();
    open_.pop_back();
    if (!g.arguments) return;
    size_ += 2;
    things_.push_back(size_ - g.begin);
    last_ = g.begin;
  }

  void begin_thing() noexcept { last_ = size_; }
  [[nodiscard]] std::size_t largest() const noexcept
  {
    return things_.empty() ? 0 : *std::max_element(things_.begin(), things_.end());
  }

  std::string_view in_;
  std::size_t most_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
  std::size_t last_ = 0;       // where the last name began
  std::size_t parameter_ = 0;  // 0: not referred to yet
  list_of<group> open_;
  list_of<std::size_t> things_;
};

}  // namespace

std::size_t readable_size(std::string_view linked, std::size_t most)
{
  return reading(linked, most).size();
}

}  // namespace gpa::detail
