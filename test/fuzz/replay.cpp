// The fuzz target without a fuzzer: carries out the files of a folder, and inputs made from fixed seeds.
//
//   fuzz_replay FOLDER [INPUTS]      the folder's files, then that many
//   fuzz_replay --show FILE          a file, or the input of a seed, call by call
//   fuzz_replay --show N
//
// An input that fails is named by the line printed last.
#include "fuzz/session.hpp"

#include <gpa/resource.hpp>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" const char* gpa_default_options()
{
  return "log_path=/dev/null";
}

namespace {

std::string current;  // what is being carried out

// Of all lengths; every third of few operations, so that these come in long runs.
std::vector<std::uint8_t> made_from(unsigned seed)
{
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(10 + random() % (seed % 16 == 0 ? 1500 : 120));
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random() % (seed % 3 == 0 ? 32 : 256));
  return bytes;
}

std::vector<std::uint8_t> contents_of(const std::filesystem::path& file)
{
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

unsigned number_in(const char* text)
{
  return static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

void tell_current(int)
{
  std::fprintf(stderr, "again: fuzz_replay --show %s\n", current.c_str());
}

}  // namespace

int main(int argc, char** argv)
{
  if (argc < 2 || argc > 3) {
    std::fputs("usage: fuzz_replay FOLDER [INPUTS] | --show FILE | --show N\n", stderr);
    return 2;
  }
  std::signal(SIGABRT, tell_current);
  const std::string first = argv[1];
  if (first == "--show" && argc == 3) {
    gpa::fuzz::listener::shows_all = true;
    gpa::fuzz::carry_out(std::filesystem::exists(argv[2]) ? contents_of(argv[2]) : made_from(number_in(argv[2])));
    return 0;
  }
  const unsigned inputs = argc == 3 ? number_in(argv[2]) : 0;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(first)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    current = file.string();
    gpa::fuzz::carry_out(contents_of(file));
  }
  for (unsigned seed = 0; seed != inputs; ++seed) {
    current = std::to_string(seed);
    gpa::fuzz::carry_out(made_from(seed));
  }
  std::printf("%zu files and %u seeds\n", files.size(), inputs);
  return files.empty() ? 1 : 0;
}
