// The page without its data: what stands before it and behind. Defined in a source that page/embed.py makes of the
// files beside it when this is built.
#pragma once

#include <string_view>

namespace gpa::tools {

extern const std::string_view page_before_data;
extern const std::string_view page_after_data;

}  // namespace gpa::tools
