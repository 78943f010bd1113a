// A call stack in memory, word by word, as a walk would have found it.
#pragma once

#include "os/pages.hpp"
#include "support/oracle.hpp"
#include "trace/depot.hpp"
#include "trace/stack_cache.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>

namespace gpa::test {

// A stack that we write ourselves: gpa's own frame, then four of the user's. Behind it nothing can be read.
//
//    word   0: rbp as the capture saved it   1: into gpa   2: gpa's saved rbp   3: the caller
//           6: a saved rbp   7: second frame   10: a chained rbp   11: third   14: the fourth's chain   15: fourth
class drawn_stack {
 public:
  static constexpr std::uintptr_t own_pc = 0x7000'1000;
  static constexpr std::size_t word_count = 32;

  drawn_stack() : pages_(static_cast<std::byte*>(detail::map_pages(2 * detail::page_size)))
  {
    BOOST_REQUIRE(pages_ != nullptr);
    BOOST_REQUIRE(detail::close_pages(pages_ + detail::page_size, detail::page_size));
    words_ = reinterpret_cast<std::uintptr_t*>(pages_ + detail::page_size) - word_count;
    words_[0] = place(20);
    words_[1] = own_pc;
    words_[2] = place(30);
    words_[3] = 0x40'1000;
    words_[6] = place(25);
    words_[7] = 0x40'2000;
    words_[10] = place(14);
    words_[11] = 0x40'3000;
    words_[15] = 0x40'4000;

    walked.count = 4;
    walked.fits = true;
    walked.cut = false;
    walked.frames = {word(3), word(7), word(11), word(15)};
    detail::stack_layout& l = walked.layout;
    l.count = 0;
    l.stop_count = 0;
    for (const std::size_t i : {2u, 3u, 6u, 7u, 10u, 11u, 15u}) {
      l.values[l.count] = words_[i];
      l.places[l.count++] = static_cast<std::uint16_t>(i);
    }
    id = detail::depot_intern({walked.frames.data(), walked.count});
  }

  ~drawn_stack() { detail::unmap_pages(pages_, 2 * detail::page_size); }
  drawn_stack(const drawn_stack&) = delete;
  drawn_stack& operator=(const drawn_stack&) = delete;

  [[nodiscard]] std::uintptr_t place(std::size_t i) const { return number(&words_[i]); }
  std::uintptr_t& word(std::size_t i) { return words_[i]; }
  [[nodiscard]] const std::uintptr_t* base() const { return words_; }
  [[nodiscard]] detail::call_site from() const { return {place(2), own_pc, words_[0]}; }
  [[nodiscard]] std::uintptr_t caller() const { return 0x40'1000; }
  [[nodiscard]] detail::stack_cache::key key() const { return {from().sp, own_pc, caller(), 32}; }
  // As the front door sees it: the caller's frame is the next one.
  [[nodiscard]] detail::stack_cache::key key_of_the_door() const { return {from().sp, own_pc, own_pc, 32}; }

  detail::walked_stack walked;
  std::uint32_t id;

 private:
  std::byte* pages_;
  std::uintptr_t* words_ = nullptr;
};

}  // namespace gpa::test
