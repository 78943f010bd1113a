#include "workloads/json.hpp"

#include <random>
#include <stdexcept>

namespace gpa::bench {

namespace {

class parser {
 public:
  parser(std::string_view document, std::pmr::memory_resource* r) : rest_(document), r_(r) {}

  json document()
  {
    json all(r_);
    value(all);
    if (next() != '\0') throw std::runtime_error("JSON: something follows the document");
    return all;
  }

 private:
  // The next character that is no space, still to be read; 0 at the end.
  char next()
  {
    const std::size_t at = rest_.find_first_not_of(" \n");
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at);
    return rest_.empty() ? '\0' : rest_.front();
  }

  void expect(char c)
  {
    if (next() != c) throw std::runtime_error(std::string("JSON: there should be a ") + c);
    rest_.remove_prefix(1);
  }

  std::string_view take(std::size_t count)
  {
    if (count == 0 || count > rest_.size()) throw std::runtime_error("JSON: a value is missing or has no end");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view quoted()
  {
    expect('"');
    const std::size_t end = rest_.find('"');
    if (end == std::string_view::npos) throw std::runtime_error("JSON: a string has no end");
    return take(end + 1).substr(0, end);
  }

  void value(json& into)
  {
    switch (next()) {
      case '{': members(into, '{', '}'); break;
      case '[': members(into, '[', ']'); break;
      case '"': into.text = quoted(); break;
      default: into.text = take(std::min(rest_.find_first_of(",]} \n"), rest_.size()));
    }
  }

  void members(json& into, char begin, char end)
  {
    expect(begin);
    while (next() != end) {
      json& child = into.children.emplace_back();
      if (begin == '{') {
        child.name = quoted();
        expect(':');
      }
      value(child);
      if (next() != ',') break;
      expect(',');
    }
    expect(end);
  }

  std::string_view rest_;
  std::pmr::memory_resource* r_;
};

}  // namespace

json parse_json(std::string_view document, std::pmr::memory_resource* r)
{
  return parser(document, r).document();
}

std::string json_document(std::size_t records)
{
  std::mt19937 random(13);
  const auto drawn = [&](std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random);
  };
  std::string all = "[\n";
  for (std::size_t i = 0; i != records; ++i) {
    all += i == 0 ? "  {" : ",\n  {";
    all += "\"id\": " + std::to_string(i) + ", \"name\": \"" + std::string(drawn(4, 24), 'n') + "\", ";
    all += "\"address\": {\"street\": \"" + std::string(drawn(10, 40), 's') +
           "\", \"number\": " + std::to_string(drawn(1, 200)) + "}, \"tags\": [";
    for (std::size_t tags = drawn(0, 6), tag = 0; tag != tags; ++tag)
      all += (tag == 0 ? "\"" : ", \"") + std::string(drawn(3, 18), 't') + '"';
    all += "], \"text\": \"" + std::string(drawn(10, 90), 'x') + "\"}";
  }
  return all + "\n]\n";
}

}  // namespace gpa::bench
