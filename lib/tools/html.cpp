// The page: its parts, put together when gpa-report is built, with the data in the gap they leave.

#include "tools/exports.hpp"
#include "tools/page_data.hpp"
#include "tools/page_parts.hpp"

namespace gpa::tools {

std::string to_html(const document& d, const document* before, measure what)
{
  require(d, what);
  if (before != nullptr) require(*before, what);
  std::string out(page_before_data);
  out += page_data(d, before, what);
  out += page_after_data;
  return out;
}

}  // namespace gpa::tools
