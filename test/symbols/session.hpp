// The function of the fixture that leaks, wherever it is linked.
#pragma once

#include <gpa/resource.hpp>

namespace app {

[[gnu::visibility("default")]] void* open_session(gpa::resource& r);

}  // namespace app
