// The fuzz target: libFuzzer makes the bytes, session.hpp says what they mean.
#include "fuzz/session.hpp"

#include <cstddef>
#include <cstdint>

// What resources that log their operations would write to stderr.
extern "C" const char* gpa_default_options()
{
  return "log_path=/dev/null";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
  gpa::fuzz::carry_out({data, size});
  return 0;
}
