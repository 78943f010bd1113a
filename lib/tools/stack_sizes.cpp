#include "tools/stack_sizes.hpp"

#include "tools/read_document.hpp"

#include <string>

namespace gpa::tools {

namespace {

// Deep stacks with long names, each of several sites, come to 40 times their document; small documents may be worse.
constexpr std::size_t usual_growth = 128;
constexpr std::size_t always_allowed = std::size_t{256} << 20;

struct size {
  std::size_t calls = 0;
  std::size_t text = 0;  // of names and places
};

size size_of(const frame& f)
{
  constexpr std::size_t around = 32;  // number, line and column
  size s{.calls = f.calls.size()};
  for (const call& c : f.calls) s.text += c.function.size() + c.file.size() + around;
  return s;
}

}  // namespace

void check_stacks(const document& d, std::size_t bytes)
{
  std::vector<size> frames;
  frames.reserve(d.frames.size());
  for (const frame& f : d.frames) frames.push_back(size_of(f));

  const std::size_t most = always_allowed + usual_growth * bytes;
  std::size_t room = most;
  const auto take = [&](std::size_t text) {
    if (text > room)
      throw refusal("damaged: its call stacks come to more than " + size_text(static_cast<double>(most)) +
                    " when they are written out");
    room -= text;
  };
  std::vector<size> stacks;
  stacks.reserve(d.traces.size());
  for (const call_stack& frames_of_it : d.traces) {
    size& stack = stacks.emplace_back();
    for (const std::size_t index : frames_of_it) {
      stack.calls += frames[index].calls;
      stack.text += frames[index].text;
      if (stack.calls > most_calls)
        throw refusal("damaged: traces[" + std::to_string(stacks.size() - 1) + "] has more than " +
                      std::to_string(most_calls) + " calls");
    }
    take(stack.text);
  }
  // Formats name the calls of a site by numbers, and write the stacks of a mistake out.
  constexpr std::size_t number = 8;
  for (const site& s : d.sites) take(stacks[s.trace].calls * number);
  for (const mistake& m : d.mistakes)
    for (const auto& [role, trace] : m.traces) take(stacks[trace].text);
}

}  // namespace gpa::tools
