#include <gpa/report.hpp>

#include "os/text.hpp"
#include "trace/report_text.hpp"

#include <ostream>

namespace gpa {

std::string to_string(const gpa::report& r)
{
  detail::text text;
  detail::append_report(text, r);
  return std::string(text.view());
}

std::string_view to_string(gpa::mistake m) noexcept
{
  switch (m) {
    case mistake::leak: return "leak";
    case mistake::double_free: return "double free";
    case mistake::size_mismatch: return "size mismatch";
    case mistake::alignment_mismatch: return "alignment mismatch";
    case mistake::invalid_pointer: return "invalid pointer";
    case mistake::wrong_resource: return "wrong resource";
    case mistake::write_after_free: return "write after free";
    case mistake::overflow: return "overflow";
    case mistake::use_after_deinit: return "use after deinit";
    case mistake::wrong_thread: return "wrong thread";
    case mistake::invalid_alignment: return "invalid alignment";
    case mistake::use_after_free: return "use after free";
    case mistake::accidental_default: return "accidental default";
  }
  return "unknown mistake";
}

std::string_view to_string(gpa::check c) noexcept
{
  switch (c) {
    case check::ok: return "ok";
    case check::leak: return "leak";
    case check::misuse: return "misuse";
  }
  return "unknown check";
}

std::ostream& operator<<(std::ostream& out, gpa::mistake m)
{
  return out << to_string(m);
}

std::ostream& operator<<(std::ostream& out, gpa::check c)
{
  return out << to_string(c);
}

}  // namespace gpa
