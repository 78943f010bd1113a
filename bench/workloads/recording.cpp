#include "workloads/recording.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace gpa::bench {

namespace {

constexpr std::string_view letters = "gpatrace";
constexpr char version = 1;

class reader {
 public:
  explicit reader(const std::string& file) : file_(file)
  {
    std::ifstream in(file, std::ios::binary);
    if (!in)
      throw std::runtime_error("cannot read the recording " + file + ": " + std::generic_category().message(errno));
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    if (!std::string_view(bytes_).starts_with(letters)) refuse("is no recording of a gpa::recorder");
    if (bytes_.size() == letters.size()) refuse_end();
    if (bytes_[letters.size()] != version)
      refuse("is a recording of version " + std::to_string(static_cast<unsigned char>(bytes_[letters.size()])) +
             "; this program reads version 1");
    at_ = letters.size() + 1;
  }

  recording read()
  {
    for (;;) {
      const std::uint64_t number = next();
      switch (number & 3) {
        case 0: allocation(number >> 2); break;
        case 1: free(number >> 2); break;
        case 2: thread_ = checked<std::uint32_t>(number >> 2); break;
        default: end(number >> 2, next()); return std::move(all_);
      }
    }
  }

 private:
  struct place {
    std::size_t bytes;
    std::uint8_t log2_alignment;
    bool live;
  };

  [[noreturn]] void refuse(const std::string& what) const
  {
    throw std::runtime_error("the file " + file_ + ' ' + what);
  }
  [[noreturn]] void refuse_end() const
  {
    refuse("ends in the middle of a recording: its recorder was neither closed nor destroyed");
  }
  [[noreturn]] void refuse_damage() const { refuse("is damaged before its byte " + std::to_string(at_)); }

  std::uint64_t next()
  {
    std::uint64_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at_ == bytes_.size()) refuse_end();
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && byte > 1) refuse_damage();
      number |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return number;
    }
  }

  template <class Number>
  Number checked(std::uint64_t number) const
  {
    if (number > std::numeric_limits<Number>::max()) refuse_damage();
    return static_cast<Number>(number);
  }

  void allocation(std::uint64_t number)
  {
    const std::uint64_t logarithm = (number & 7) == 7 ? next() : number & 7;
    if (logarithm > 63) refuse_damage();
    const place p{static_cast<std::size_t>(number >> 3), static_cast<std::uint8_t>(logarithm), true};
    add(recorded_call::kind::allocation, p, checked<std::uint32_t>(blocks_.size()));
    blocks_.push_back(p);
    live_bytes_ += p.bytes;
    ++live_blocks_;
    all_.peak_bytes = std::max(all_.peak_bytes, live_bytes_);
    all_.peak_blocks = std::max(all_.peak_blocks, live_blocks_);
  }

  void free(std::uint64_t ago)
  {
    if (ago == 0 || ago > blocks_.size()) refuse_damage();
    const std::size_t block = blocks_.size() - static_cast<std::size_t>(ago);
    place& p = blocks_[block];
    if (!p.live) refuse_damage();
    p.live = false;
    live_bytes_ -= p.bytes;
    --live_blocks_;
    add(recorded_call::kind::free, p, static_cast<std::uint32_t>(block));
  }

  void add(recorded_call::kind what, const place& p, std::uint32_t block)
  {
    if (thread_ == 0) refuse_damage();
    all_.threads = std::max<std::size_t>(all_.threads, thread_);
    all_.calls.push_back({what, p.log2_alignment, thread_, block, p.bytes});
  }

  void end(std::uint64_t allocations, std::uint64_t frees)
  {
    all_.allocations = blocks_.size();
    if (at_ != bytes_.size() || allocations != blocks_.size() || frees != all_.calls.size() - blocks_.size())
      refuse_damage();
  }

  std::string file_;
  std::string bytes_;
  std::size_t at_ = 0;
  std::uint32_t thread_ = 0;
  std::vector<place> blocks_;
  std::size_t live_bytes_ = 0;
  std::size_t live_blocks_ = 0;
  recording all_;
};

}  // namespace

recording read_recording(const std::string& file)
{
  return reader(file).read();
}

}  // namespace gpa::bench
