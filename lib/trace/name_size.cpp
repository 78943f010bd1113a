#include "trace/name_size.hpp"

#include "os/containers.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

constexpr bool is_digit(char c) noexcept
{
  return c >= '0' && c <= '9';
}
constexpr bool is_lower(char c) noexcept
{
  return c >= 'a' && c <= 'z';
}

// By recursive descent over types and names, whose sizes are remembered where the ABI says that they can be referred
// to. What is inside expressions is not looked at. Where the grammar goes on otherwise, what was counted so far is the
// answer.
class reading {
 public:
  reading(std::string_view linked, std::size_t most) noexcept : in_(linked), most_(most) {}

  std::size_t size()
  {
    at_ = in_.starts_with("_ZT") || in_.starts_with("_ZG") ? 4 : in_.starts_with("_Z") ? 2 : 0;  // a table, say
    read_encoding();
    return std::min(size_, most_);
  }

 private:
  // As a demangler gives up, too; such a name is none to read.
  static constexpr unsigned most_depth = 512;

  [[nodiscard]] char next() const noexcept { return at_ < in_.size() ? in_[at_] : '\0'; }
  [[nodiscard]] bool goes_on() const noexcept { return at_ < in_.size() && size_ < most_; }
  bool take(char c) noexcept
  {
    if (next() != c) return false;
    ++at_;
    return true;
  }
  void end() noexcept { at_ = in_.size(); }
  // What began when so much was written.
  void remember(std::size_t begin) { things_.push_back(size_ - begin); }

  // A function's name and its parameters' types; of a variable the name alone.
  void read_encoding()
  {
    read_type();
    while (goes_on() && next() != 'E' && next() != '.') {
      size_ += 2;
      read_type();
    }
  }

  void read_type()
  {
    if (++depth_ > most_depth) size_ = most_;
    if (goes_on()) read_type_here(size_);
    --depth_;
  }

  void read_type_here(std::size_t begin)
  {
    const char c = next();
    if (is_digit(c)) return read_name(begin);
    ++at_;
    switch (c) {
      case 'P':
      case 'R':
      case 'O':
      case 'K':
      case 'V':
      case 'r':
      case 'C':
      case 'G':
        read_type();
        size_ += 6;
        return remember(begin);
      case 'F': read_until_end(); return remember(begin);
      case 'A':
        at_ = std::min(in_.find('_', at_), in_.size() - 1) + 1;  // how many, or an expression
        read_type();
        size_ += 4;
        return remember(begin);
      case 'M':
        read_type();
        read_type();
        size_ += 4;
        return remember(begin);
      case 'N': return read_nested();
      case 'Z':  // what is in a function
        read_encoding();
        take('E');
        return read_type();
      case 'S': return read_reference(begin);
      case 'T': return read_parameter(begin);
      case 'D': return read_special(begin);
      case 'L':
      case 'X': return skip_expression();
      case 'J': return read_until_end();
      case 'U':
      case 'u': return read_name(begin);
      default: size_ += is_lower(c) ? 8 : 2; return;
    }
  }

  void read_until_end()
  {
    while (goes_on() && !take('E')) {
      size_ += 2;
      read_type();
    }
  }

  // Dp: a pack; Dv: a vector; Dt and DT: of an expression; else built in.
  void read_special(std::size_t begin)
  {
    const char c = next();
    ++at_;
    if (c == 't' || c == 'T') {
      skip_expression();
    } else if (c == 'p' || c == 'o') {
      read_type();
    } else {
      size_ += 10;
      return;
    }
    remember(begin);
  }

  // Up to its end: in one, groups end with 'E', too. Numbers in it stand before no name, but for what they count.
  void skip_expression()
  {
    for (std::size_t open = 1; open != 0 && at_ < in_.size(); ++at_) {
      const char c = in_[at_];
      if (c == 'E') --open;
      if (c == 'L' || c == 'X' || c == 'I' || c == 'N' || c == 'J' || c == 'F') ++open;
      if (is_digit(c) && in_[at_ - 1] != 'L' && !is_lower(in_[at_ - 1])) {
        at_ += count() - 1;
        at_ = std::min(at_, in_.size() - 1);
      }
    }
    size_ += 16;
  }

  // The number here; the length that it says follows.
  std::size_t count() noexcept
  {
    std::size_t length = 0;
    for (; at_ < in_.size() && is_digit(in_[at_]) && length < in_.size(); ++at_)
      length = length * 10 + static_cast<std::size_t>(in_[at_] - '0');
    return std::min(length, in_.size() - std::min(at_, in_.size()));
  }

  void read_component()
  {
    const std::size_t length = count();
    at_ += length;
    size_ += length + 2;
  }

  void read_name(std::size_t begin)
  {
    if (!is_digit(next())) return end();
    read_component();
    remember(begin);
    read_arguments(begin);
  }

  void read_arguments(std::size_t begin)
  {
    if (!take('I')) return;
    const std::size_t first = size_;
    read_until_end();
    arguments_ = size_ - first;
    remember(begin);
  }

  void read_nested()
  {
    const std::size_t begin = size_;
    while (goes_on() && !take('E')) {
      const std::size_t before = at_;
      if (is_digit(next())) {
        read_component();
        remember(begin);
      } else if (next() == 'I') {
        read_arguments(begin);
      } else if (next() == 'S' || next() == 'T') {
        read_type();
      } else {  // qualifiers, operators, constructors
        ++at_;
        size_ += 4;
        if (is_lower(in_[before]) && is_lower(next())) {
          ++at_;
          remember(begin);
        }
      }
    }
  }

  // S_, S0_, ... SZ_, S10_: in base 36. Else an abbreviation: Ss is std::string, and St std:: before a name.
  void read_reference(std::size_t begin)
  {
    if (is_lower(next())) {
      const bool is_namespace = next() == 't';
      ++at_;
      size_ += is_namespace ? 5 : 12;
      if (is_namespace && is_digit(next())) {
        read_component();
        remember(begin);
      }
      return read_arguments(begin);
    }
    std::size_t number = 0;
    bool first = true;
    for (; at_ < in_.size() && in_[at_] != '_' && number <= things_.size(); ++at_, first = false)
      number = number * 36 + static_cast<std::size_t>(is_digit(in_[at_]) ? in_[at_] - '0' : in_[at_] - 'A' + 10);
    ++at_;
    if (!first) ++number;
    size_ += number < things_.size() ? things_[number] : size_;  // what is not known is no more than all there is
    read_arguments(begin);
  }

  // One of the arguments of the function's own template, which stand in its name.
  void read_parameter(std::size_t begin)
  {
    if (parameter_ == 0) parameter_ = arguments_ + 1;
    size_ += parameter_;
    at_ = std::min(in_.find('_', at_), in_.size() - 1) + 1;
    remember(begin);
    read_arguments(begin);
  }

  std::string_view in_;
  std::size_t most_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
  std::size_t arguments_ = 0;  // of the last template
  std::size_t parameter_ = 0;  // 0: none was referred to yet
  unsigned depth_ = 0;
  list_of<std::size_t> things_;
};

}  // namespace

std::size_t readable_size(std::string_view linked, std::size_t most)
{
  return reading(linked, most).size();
}

}  // namespace gpa::detail
