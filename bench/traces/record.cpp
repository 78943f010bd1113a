// Records the two loads that bench/run replays beside its own workloads: record words FILE, record json FILE.
//
//   words   the job of examples/word_frequencies.cpp: the words of Debian's licence texts, counted by four threads
//   json    a JSON document of 1 500 records, parsed into a tree, which is dropped
#include "workloads/json.hpp"

#include <gpa/recorder.hpp>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory_resource>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using counts = std::pmr::unordered_map<std::pmr::string, std::size_t>;

void count_words(const std::filesystem::path& file, counts& words)
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

void words(std::pmr::memory_resource* r)
{
  constexpr std::size_t thread_count = 4;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/common-licenses"))
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  std::ranges::sort(files);

  std::pmr::vector<counts> parts(thread_count, r);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t != thread_count; ++t)
      threads.emplace_back([&, t] {
        for (std::size_t i = t; i < files.size(); i += thread_count) count_words(files[i], parts[t]);
      });
  }  // joined

  counts all(r);
  for (const counts& part : parts)
    for (const auto& [word, count] : part) all[word] += count;
  std::pmr::vector<std::pair<std::size_t, std::string_view>> top(r);
  for (const auto& [word, count] : all) top.emplace_back(count, word);
  std::ranges::sort(top, std::ranges::greater{});
}

void json(std::pmr::memory_resource* r)
{
  const std::string document = gpa::bench::json_document(1'500);
  static_cast<void>(gpa::bench::parse_json(document, r));
}

}  // namespace

int main(int argc, char** argv)
{
  const std::string_view load = argc == 3 ? argv[1] : "";
  if (load != "words" && load != "json") {
    std::cerr << "usage: record words|json FILE\n";
    return 2;
  }
  try {
    gpa::recorder r(argv[2], std::pmr::new_delete_resource());
    load == "words" ? words(&r) : json(&r);
    r.close();
    return 0;
  } catch (const std::exception& trouble) {
    std::cerr << "record: " << trouble.what() << '\n';
    return 1;
  }
}
