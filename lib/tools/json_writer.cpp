#include "tools/json_writer.hpp"

#include <cstddef>
#include <cstdio>

namespace gpa::tools {

json_writer& json_writer::key(std::string_view name)
{
  separate();
  quote(name);
  out_ += ':';
  first_ = true;
  return *this;
}

json_writer& json_writer::value(std::string_view text)
{
  separate();
  quote(text);
  return *this;
}

json_writer& json_writer::value(std::uint64_t number)
{
  separate();
  out_ += std::to_string(number);
  return *this;
}

json_writer& json_writer::value(std::int64_t number)
{
  separate();
  out_ += std::to_string(number);
  return *this;
}

json_writer& json_writer::value(bool flag)
{
  separate();
  out_ += flag ? "true" : "false";
  return *this;
}

json_writer& json_writer::open(char bracket)
{
  separate();
  out_ += bracket;
  first_ = true;
  return *this;
}

json_writer& json_writer::close(char bracket)
{
  out_ += bracket;
  first_ = false;
  return *this;
}

void json_writer::separate()
{
  if (!first_) out_ += ',';
  first_ = false;
}

// Bytes that are no UTF-8 cannot come here: they would not have passed the reader.
void json_writer::quote(std::string_view text)
{
  out_ += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out_ += "\\\""; break;
      case '\\': out_ += "\\\\"; break;
      case '\n': out_ += "\\n"; break;
      case '\t': out_ += "\\t"; break;
      // Inside <script> a closing tag would end it.
      case '<': out_ += "\\u003c"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
          out_ += escape;
        } else {
          out_ += c;
        }
    }
  }
  out_ += '"';
}

}  // namespace gpa::tools
