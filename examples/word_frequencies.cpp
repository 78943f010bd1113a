// One real job: the ten most frequent words of the licence texts every Debian has, counted by several threads.
//
// Each thread counts its share of the files into a map of its own. All maps, texts and keys come from one
// gpa::resource, and what the threads allocate, main frees. Called with the name of a mistake, the same job makes it
// once, in a function of its own, and gpa names it on stderr.
// Exit status: 0 verdict ok, 1 another verdict, 2 wrong usage.
#include <gpa/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory_resource>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using counts = std::pmr::unordered_map<std::pmr::string, std::size_t>;
using paths = std::vector<std::filesystem::path>;
constexpr const char* directory = "/usr/share/common-licenses";
constexpr std::size_t thread_count = 4;

// Raw memory on purpose: somebody has to give it back, with the right size.
struct raw_word {
  char* text;
  std::size_t size;
  [[nodiscard]] std::string_view view() const { return {text, size}; }
};

bool longer(std::string_view a, std::string_view b) { return a.size() != b.size() ? a.size() > b.size() : a < b; }

void count_file(const std::filesystem::path& file, counts& words)
{
  std::pmr::string text(std::filesystem::file_size(file), ' ', words.get_allocator());
  std::ifstream(file, std::ios::binary).read(text.data(), static_cast<std::streamsize>(text.size()));
  text.push_back(' ');

  std::pmr::string word(words.get_allocator());
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower >= 'a' && lower <= 'z') {
      word.push_back(lower);
    } else if (!word.empty()) {
      ++words[word];
      word.clear();
    }
  }
}

raw_word copy_longest(const counts& words, gpa::resource& r)
{
  std::string_view longest;
  for (const auto& entry : words)
    if (longer(entry.first, longest)) longest = entry.first;
  const raw_word copy{r.allocator<char>().allocate(longest.size()), longest.size()};
  longest.copy(copy.text, copy.size);
  return copy;
}

// What becomes of the longest word of all: one right way, three mistakes.
void give_back(gpa::resource& r, raw_word w) { r.allocator<char>().deallocate(w.text, w.size); }

void forget(gpa::resource&, raw_word) {}

void give_back_twice(gpa::resource& r, raw_word w)
{
  give_back(r, w);
  give_back(r, w);
}

void give_back_with_wrong_size(gpa::resource& r, raw_word w)
{
  r.allocator<char>().deallocate(w.text, w.size + 1);  // refused, so the word is still there: a leak as well
}

void print_top_ten(const counts& words)
{
  std::pmr::vector<std::pair<std::size_t, std::string_view>> top(words.get_allocator());
  for (const auto& [word, count] : words) top.emplace_back(count, word);
  std::ranges::sort(top, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  top.resize(std::min<std::size_t>(top.size(), 10));
  for (const auto& [count, word] : top) std::cout << count << ' ' << word << '\n';
}

void run(const paths& files, gpa::resource& r, void (*end_of_longest)(gpa::resource&, raw_word))
{
  std::pmr::vector<counts> parts(thread_count, &r);
  std::pmr::vector<raw_word> longest(thread_count, &r);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t != thread_count; ++t)
      threads.emplace_back([&, t] {
        for (std::size_t i = t; i < files.size(); i += thread_count) count_file(files[i], parts[t]);
        longest[t] = copy_longest(parts[t], r);
      });
  }  // joined

  counts all(&r);
  for (const counts& part : parts)
    for (const auto& [word, count] : part) all[word] += count;
  print_top_ten(all);

  std::ranges::sort(longest, longer, &raw_word::view);
  std::cout << "longest: " << longest.front().view() << '\n';
  end_of_longest(r, longest.front());
  for (std::size_t t = 1; t != thread_count; ++t) give_back(r, longest[t]);
}

paths licence_texts()
{
  paths files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());  // GPL is a link to GPL-3
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int argc, char** argv)
{
  constexpr std::string_view usage = "usage: word_frequencies [leak | double-free | wrong-size]\n";
  const std::string_view mistake = argc > 1 ? argv[1] : "";
  if (mistake == "--help") {
    std::cout << usage << "Counts the words of " << directory << "; with an argument, makes that mistake once.\n";
    return 0;
  }
  const auto end_of_longest = mistake == "leak"          ? forget
                              : mistake == "double-free" ? give_back_twice
                              : mistake == "wrong-size"  ? give_back_with_wrong_size
                                                         : give_back;
  if (argc > 2 || (argc == 2 && end_of_longest == give_back)) {
    std::cerr << "word_frequencies: unknown mistake: " << argv[argc - 1] << '\n' << usage;
    return 2;
  }
  if (!std::filesystem::is_directory(directory)) {
    std::cerr << "word_frequencies: no such directory: " << directory << '\n';
    return 2;
  }

  gpa::resource r({.name = "words", .after_mistake = gpa::after_mistake::carry_on});
  run(licence_texts(), r, end_of_longest);
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
