#define BOOST_TEST_MODULE stack_walk
#include "trace/stack_walk.hpp"

#include "support/oracle.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

// Two ways to one place of the stack: by a function of one frame, or by two that need as much room together.
extern "C" void gpa_test_call_by_one(void (*function)());
extern "C" void gpa_test_call_by_two(void (*function)());
asm(R"(
.text
.macro gpa_test_caller name, bytes, callee
.type \name, @function
\name:
  .cfi_startproc
  subq $\bytes, %rsp
  .cfi_adjust_cfa_offset \bytes
  call \callee
  addq $\bytes, %rsp
  .cfi_adjust_cfa_offset -\bytes
  ret
  .cfi_endproc
.size \name, . - \name
.endm
gpa_test_caller gpa_test_call_by_one, 40, *%rdi
gpa_test_caller gpa_test_call_by_inner, 24, *%rdi
gpa_test_caller gpa_test_call_by_two, 8, gpa_test_call_by_inner
)");

namespace {

using namespace gpa::detail;
using gpa::test::oracle;
using gpa::test::stack;

struct walk {
  walked_stack found;
  stack expected;
  bool whole;

  // The return address that the n-th word from the end says is there.
  [[nodiscard]] std::uintptr_t word_from_end(std::size_t n) const { return found.layout.values[found.layout.count - n]; }
  [[nodiscard]] std::uintptr_t frame_from_end(std::size_t n) const { return found.frames[found.count - n]; }
};

walk_memory walks;

[[gnu::noinline]] walk walk_here(std::size_t limit, walk_memory* memory = nullptr)
{
  const auto* const frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  walk w{};
  w.whole = walk_stack({stack_layout::sp_of(frame), frame[1], frame[0]}, frame[1], limit, memory, w.found);
  const stack all = oracle();
  w.expected.assign(std::find(all.begin(), all.end(), frame[1]), all.end());
  return w;
}

void test_is_right(const walk& w)
{
  BOOST_TEST_REQUIRE(w.whole);
  BOOST_TEST_REQUIRE(w.found.fits);
  BOOST_TEST(stack(w.found.frames.data(), w.found.frames.data() + w.found.count) == w.expected,
             boost::test_tools::per_element());
}

[[gnu::noinline]] bool rest_leads_to_the_end(std::size_t limit)
{
  const auto* const frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  walked_stack found;
  BOOST_TEST_REQUIRE(walk_stack({stack_layout::sp_of(frame), frame[1], frame[0]}, frame[1], limit, nullptr, found));
  BOOST_TEST_REQUIRE(found.cut);
  return leads_to_the_end(found.rest);
}

enum class led { unknown, yes, no };
led rest_led_from_handler = led::unknown;

[[gnu::noinline]] bool from_depth(unsigned depth)
{
  volatile bool leads = depth == 0 ? rest_leads_to_the_end(1) : from_depth(depth - 1);
  return leads;
}

// What a fiber's function leaves here.
walk* walked_in_fiber = nullptr;

void fiber()
{
  *walked_in_fiber = walk_here(max_stack_frames);
}

walk walk_in_fiber()
{
  walk w{};
  walked_in_fiber = &w;
  std::vector<std::byte> memory(std::size_t{1} << 20);
  ucontext_t back{};
  ucontext_t there{};
  BOOST_TEST_REQUIRE(::getcontext(&there) == 0);
  there.uc_stack.ss_sp = memory.data();
  there.uc_stack.ss_size = memory.size();
  there.uc_link = &back;
  ::makecontext(&there, &fiber, 0);
  BOOST_TEST_REQUIRE(::swapcontext(&back, &there) == 0);
  return w;
}

// What a just-in-time compiler leaves: push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret.
class written_code {
 public:
  written_code()
  {
    constexpr std::array<unsigned char, 8> code = {0x55, 0x48, 0x89, 0xE5, 0xFF, 0xD7, 0x5D, 0xC3};
    BOOST_TEST_REQUIRE(page_ != MAP_FAILED);
    std::memcpy(page_, code.data(), code.size());
    BOOST_TEST_REQUIRE(::mprotect(page_, bytes, PROT_READ | PROT_EXEC) == 0);
  }
  ~written_code() { ::munmap(page_, bytes); }
  written_code(const written_code&) = delete;
  written_code& operator=(const written_code&) = delete;

  void call(void (*function)()) const { reinterpret_cast<void (*)(void (*)())>(page_)(function); }
  [[nodiscard]] std::uintptr_t return_address() const { return reinterpret_cast<std::uintptr_t>(page_) + 6; }

 private:
  static constexpr std::size_t bytes = 4096;
  void* page_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
};

}  // namespace

// What the last walk found at a place of the stack is no rule for another function there.
BOOST_AUTO_TEST_CASE(a_walk_that_remembers_the_last_one_is_right)
{
  for (int i = 0; i != 3; ++i) {
    for (const auto by : {&gpa_test_call_by_one, &gpa_test_call_by_two}) {
      static walk w;
      by(+[] { w = walk_here(max_stack_frames, &walks); });
      test_is_right(w);
    }
  }
}

// __libc_start_call_main, __libc_start_main, _start (glibc since 2.34): the word that leads into the first decides for all
// three.
BOOST_AUTO_TEST_CASE(what_is_below_main_needs_one_word)
{
  const walk w = walk_here(max_stack_frames);
  test_is_right(w);
  BOOST_TEST(w.word_from_end(1) == w.frame_from_end(3));
}

// start_thread is called by clone3 or, where that is forbidden, by clone.
BOOST_AUTO_TEST_CASE(what_is_below_a_threads_function_needs_its_words)
{
  walk w{};
  std::thread([&w] { w = walk_here(max_stack_frames); }).join();
  test_is_right(w);
  BOOST_TEST(w.word_from_end(1) == w.frame_from_end(1));
}

// Which function a fiber runs is the program's affair, and so is how often.
BOOST_AUTO_TEST_CASE(what_is_below_a_fibers_function_needs_its_word)
{
  const walk w = walk_in_fiber();
  test_is_right(w);
  BOOST_TEST(w.word_from_end(1) == w.frame_from_end(1));
}

// Without unwind tables libgcc goes no further, and need not be asked. The code may be another's tomorrow: its stack is
// not kept.
BOOST_AUTO_TEST_CASE(code_that_the_program_wrote_ends_the_stack)
{
  static walk w;
  const written_code code;
  code.call([] { w = walk_here(max_stack_frames); });
  BOOST_TEST_REQUIRE(w.whole);
  BOOST_TEST(!w.found.fits);
  BOOST_TEST(stack(w.found.frames.data(), w.found.frames.data() + w.found.count) == w.expected,
             boost::test_tools::per_element());
  BOOST_TEST(w.frame_from_end(1) == code.return_address());
  code.call([] { BOOST_TEST(!rest_leads_to_the_end(1)); });  // a signal's frame may be beyond
}

BOOST_AUTO_TEST_CASE(a_stack_that_is_cut_needs_a_word_for_each_frame)
{
  const walk w = walk_here(3);
  BOOST_TEST_REQUIRE(w.whole);
  BOOST_TEST(w.found.count == 3u);
  BOOST_TEST(w.found.cut);
  BOOST_TEST(w.word_from_end(1) == w.frame_from_end(1));
}

// The rest is walked where the frames are still there.
BOOST_AUTO_TEST_CASE(the_rest_of_a_stack_that_is_cut_leads_to_the_end)
{
  BOOST_TEST(rest_leads_to_the_end(3));
  std::thread([] { BOOST_TEST(rest_leads_to_the_end(2)); }).join();
  BOOST_TEST(!walk_here(max_stack_frames).found.cut);
}

BOOST_AUTO_TEST_CASE(the_rest_of_a_signal_handlers_stack_does_not)
{
  struct sigaction act = {};
  act.sa_handler = [](int) { rest_led_from_handler = rest_leads_to_the_end(1) ? led::yes : led::no; };
  BOOST_TEST_REQUIRE(::sigaction(SIGUSR1, &act, nullptr) == 0);
  BOOST_TEST_REQUIRE(::raise(SIGUSR1) == 0);
  BOOST_TEST((rest_led_from_handler == led::no));
}

// The last word of a stack that somebody made by hand may be anything.
BOOST_AUTO_TEST_CASE(a_rest_that_leads_out_of_all_code_is_not_followed)
{
  const auto* const frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  BOOST_TEST(!leads_to_the_end({stack_layout::sp_of(frame), 0xDEAD'BEEF, frame[0]}));
}

BOOST_AUTO_TEST_CASE(a_rest_that_is_very_long_is_not_walked)
{
  BOOST_TEST(from_depth(3'000));
  BOOST_TEST(!from_depth(5'000));
}
