#include "os/own_stack.hpp"

#include "base/tools.hpp"
#include "os/pages.hpp"

#include <csignal>

#include <atomic>
#include <cstddef>

// With a frame pointer, from which unwinders and debuggers find the caller's stack again.
asm(R"(
  .pushsection .text.gpa_call_on_stack, "ax", @progbits
  .p2align 4
  .globl gpa_call_on_stack
  .hidden gpa_call_on_stack
  .type gpa_call_on_stack, @function
gpa_call_on_stack:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  movq %rdi, %rsp
  movq %rdx, %rdi
  callq *%rsi
  movq %rbp, %rsp
  popq %rbp
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
  .size gpa_call_on_stack, .-gpa_call_on_stack
  .popsection
)");

extern "C" [[gnu::visibility("hidden")]] void gpa_call_on_stack(void* end, void (*f)(void*), void* argument);

namespace gpa::detail {

namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 20;
constexpr std::size_t whole_bytes = stack_bytes + page_size;  // below it nothing can be written
static_assert(whole_bytes % page_size == 0);

constinit std::atomic<std::byte*> kept{nullptr};

std::byte* make_stack() noexcept
{
  auto* const p = static_cast<std::byte*>(reserve_pages(whole_bytes, page_size));
  if (p == nullptr || open_pages(p + page_size, stack_bytes)) return p;
  unmap_pages(p, whole_bytes);
  return nullptr;
}

class borrowed_stack {
 public:
  borrowed_stack() noexcept : stack_(kept.exchange(nullptr, std::memory_order_acquire))
  {
    if (stack_ == nullptr) stack_ = make_stack();
  }
  ~borrowed_stack()
  {
    std::byte* expected = nullptr;
    if (stack_ != nullptr && !kept.compare_exchange_strong(expected, stack_, std::memory_order_release))
      unmap_pages(stack_, whole_bytes);
  }
  borrowed_stack(const borrowed_stack&) = delete;
  borrowed_stack& operator=(const borrowed_stack&) = delete;

  /// Null: there is none.
  [[nodiscard]] std::byte* end() const noexcept { return stack_ == nullptr ? nullptr : stack_ + whole_bytes; }

 private:
  std::byte* stack_;
};

bool is_on_alternate_stack() noexcept
{
  stack_t now{};
  return ::sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_ONSTACK) != 0;
}

}  // namespace

void call_on_own_stack(void (*f)(void*), void* argument, signals s)
{
  if (!tools_know_stacks() && (s == signals::are_blocked || !is_on_alternate_stack())) {
    const borrowed_stack stack;
    if (stack.end() != nullptr) return gpa_call_on_stack(stack.end(), f, argument);
  }
  f(argument);
}

}  // namespace gpa::detail
