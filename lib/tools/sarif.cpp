// SARIF 2.1.0, for code scanning: one result a mistake. Its place is the user's line, the whole call stacks are there,
// and who allocated and freed the block are related places. Files below the current directory are written relative to
// it: run gpa-report where the repository is checked out. The fingerprint is the library's own, which survives edits of
// other lines.

#include "tools/exports.hpp"
#include "tools/json_writer.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

namespace gpa::tools {

namespace {

// Of a relative reference: what RFC 3986 lets stand, and the slashes.
std::string percent_encoded(std::string_view path)
{
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/+").find(c) != std::string_view::npos;
    if (stays) {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

class writer {
 public:
  writer(std::string& out, const document& d) : json_(out), d_(d) {}

  void write()
  {
    json_.begin_object();
    json_.member("$schema", "https://json.schemastore.org/sarif-2.1.0.json").member("version", "2.1.0");
    json_.key("runs").begin_list().begin_object();
    json_.key("tool").begin_object().key("driver").begin_object();
    json_.member("name", "gpa").member("version", d_.tool_version);
    write_rules();
    json_.end_object().end_object();
    json_.key("results").begin_list();
    for (const mistake& m : d_.mistakes) write_result(m);
    json_.end_list();
    json_.member("columnKind", "unicodeCodePoints");
    json_.end_object().end_list().end_object();
  }

 private:
  void write_rules()
  {
    std::map<std::string, std::string> kinds;
    for (const mistake& m : d_.mistakes) kinds.try_emplace(m.rule, m.kind);
    json_.key("rules").begin_list();
    for (const auto& [rule, kind] : kinds) {
      rules_.emplace(rule, rules_.size());
      json_.begin_object().member("id", rule).member("name", kind);
      json_.key("shortDescription").begin_object().member("text", kind).end_object();
      json_.key("defaultConfiguration").begin_object().member("level", "error").end_object();
      json_.end_object();
    }
    json_.end_list();
  }

  void write_result(const mistake& m)
  {
    const std::string_view headline = m.role_of_headline();
    const std::size_t about = m.trace_of(headline);
    json_.begin_object().member("ruleId", m.rule).member("ruleIndex", rules_.at(m.rule)).member("level", "error");
    json_.key("message").begin_object().member("text", m.message).end_object();
    json_.key("locations").begin_list();
    if (about != none && !first_worth_showing(d_, about).file.empty()) {
      write_location(first_worth_showing(d_, about), "");
    } else if (!d_.executable.empty()) {
      write_location({.file = d_.executable}, "");  // code scanning takes no result without a place
    }
    json_.end_list();
    json_.key("relatedLocations").begin_list();
    for (const auto& [role, trace] : m.traces)
      if (role != headline && !first_worth_showing(d_, trace).file.empty())
        write_location(first_worth_showing(d_, trace), role == "freed" ? "freed before" : role);
    json_.end_list();
    json_.key("stacks").begin_list();
    for (const auto& [role, trace] : m.traces) write_stack(role, trace);
    json_.end_list();
    if (!m.fingerprint.empty())
      json_.key("partialFingerprints").begin_object().member("gpa/v1", m.fingerprint).end_object();
    json_.end_object();
  }

  void write_stack(const std::string& role, std::size_t trace)
  {
    json_.begin_object().key("message").begin_object().member("text", role).end_object();
    json_.key("frames").begin_list();
    for_each_call(d_, trace, [&](const call& c) {
      json_.begin_object().key("location");
      write_location(c, c.function);
      json_.end_object();
    });
    json_.end_list().end_object();
  }

  void write_location(const call& c, const std::string& message)
  {
    json_.begin_object();
    if (!c.file.empty()) {
      json_.key("physicalLocation").begin_object();
      write_file(c.file);
      if (c.line != 0) {
        json_.key("region").begin_object().member("startLine", c.line);
        if (c.column != 0) json_.member("startColumn", c.column);
        json_.end_object();
      }
      json_.end_object();
    }
    if (!message.empty()) json_.key("message").begin_object().member("text", message).end_object();
    json_.end_object();
  }

  void write_file(const std::string& file)
  {
    const std::filesystem::path path = std::filesystem::path(file).lexically_normal();
    const std::filesystem::path below = path.is_absolute() ? path.lexically_relative(directory_) : path;
    json_.key("artifactLocation").begin_object();
    if (below.empty() || below.native().starts_with("..")) {
      json_.member("uri", (path.is_absolute() ? "file://" : "") + percent_encoded(path.native()));
    } else {
      json_.member("uri", percent_encoded(below.native())).member("uriBaseId", "%SRCROOT%");
    }
    json_.end_object();
  }

  json_writer json_;
  const document& d_;
  std::filesystem::path directory_ = std::filesystem::current_path();
  std::map<std::string, std::uint64_t> rules_ = {};
};

}  // namespace

std::string to_sarif(const document& d)
{
  std::string out;
  writer(out, d).write();
  out += '\n';
  return out;
}

}  // namespace gpa::tools
