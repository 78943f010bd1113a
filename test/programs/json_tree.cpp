// A JSON parser at work, to be profiled: json_tree MEGABYTES. Makes a document of that size from the licence texts every
// Debian has, parses it into a tree of pmr containers, and says from the containers' own capacities what each kind of
// them holds, so that a profile can be checked against it:
//
//   document 52428912 bytes
//   texts 43000000 bytes in 650000 blocks
//   children 261000000 bytes in 690000 blocks
//
// Then it waits for the end of standard input, with the tree alive. No directory of licence texts: exit status 77.
#include "workloads/json.hpp"

#include <gpa/resource.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using gpa::bench::json;

std::vector<std::filesystem::path> licence_texts()
{
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/common-licenses"))
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

// The parser knows no escapes.
void append_string(std::string& document, std::string_view text)
{
  document += '"';
  for (const char c : text) document += c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ' ? '\'' : c;
  document += '"';
}

// [{"file": "GPL-3", "lines": [{"line": 1, "text": "..."}, ...]}, ...], over and over until it is large enough.
std::string make_document(std::size_t bytes)
{
  const std::vector<std::filesystem::path> files = licence_texts();
  if (files.empty()) throw std::runtime_error("no licence texts");
  std::string document = "[";
  while (document.size() < bytes) {
    for (const std::filesystem::path& path : files) {
      document += document.size() == 1 ? "{\"file\": " : ",\n{\"file\": ";
      append_string(document, path.filename().native());
      document += ", \"lines\": [";
      std::ifstream in(path);
      std::size_t number = 0;
      for (std::string line; std::getline(in, line);) {
        document += number++ == 0 ? "{\"line\": " : ",\n{\"line\": ";
        document += std::to_string(number) + ", \"text\": ";
        append_string(document, line);
        document += '}';
      }
      document += "]}";
    }
  }
  return document + "]";
}

struct held {
  std::size_t bytes = 0;
  std::size_t blocks = 0;
  void add(std::size_t more)
  {
    bytes += more;
    ++blocks;
  }
};

// A string's block has room for the zero at its end; short ones have none.
void add_text(const std::pmr::string& s, held& texts)
{
  if (s.capacity() > std::pmr::string().capacity()) texts.add(s.capacity() + 1);
}

void add_tree(const json& node, held& texts, held& children)
{
  add_text(node.name, texts);
  add_text(node.text, texts);
  if (node.children.capacity() != 0) children.add(node.children.capacity() * sizeof(json));
  for (const json& child : node.children) add_tree(child, texts, children);
}

}  // namespace

int main(int argc, char** argv)
{
  const double megabytes = argc == 2 ? std::atof(argv[1]) : 0;
  if (!(megabytes > 0)) {
    std::cerr << "usage: json_tree MEGABYTES\n";
    return 2;
  }
  if (!std::filesystem::is_directory("/usr/share/common-licenses")) return 77;
  const std::string document = make_document(static_cast<std::size_t>(megabytes * 1024 * 1024));
  gpa::resource r({.name = "tree", .checks = gpa::checks::always()});
  {
    const json tree = gpa::bench::parse_json(document, &r);
    held texts;
    held children;
    add_tree(tree, texts, children);
    std::cout << "document " << document.size() << " bytes\n"
              << "texts " << texts.bytes << " bytes in " << texts.blocks << " blocks\n"
              << "children " << children.bytes << " bytes in " << children.blocks << " blocks" << std::endl;
    while (std::cin.get() != std::char_traits<char>::eof()) {
    }
  }
  return r.deinit() == gpa::check::ok ? 0 : 1;
}
