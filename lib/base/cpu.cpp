#include "base/cpu.hpp"

#include <stdbool.h>  // which the next one includes
#ifndef _Bool
#define _Bool bool  // clang has none in C++
#endif
#include <sys/platform/x86.h>

namespace gpa::detail {

bool cpu_has_avx2() noexcept { return CPU_FEATURE_ACTIVE(AVX2); }
bool cpu_has_avx512_fp16() noexcept { return CPU_FEATURE_ACTIVE(AVX512BW) && CPU_FEATURE_ACTIVE(AVX512_FP16); }

const bool cpu_is_known_to_have_avx2 = cpu_has_avx2();

}  // namespace gpa::detail
