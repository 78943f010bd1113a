#include "base/cpu.hpp"

#if __has_include(<sys/platform/x86.h>)
#include <stdbool.h>  // which that includes
#ifndef _Bool
#define _Bool bool  // clang has none in C++
#endif
#include <sys/platform/x86.h>
#endif

namespace gpa::detail {

#if __has_include(<sys/platform/x86.h>)

bool cpu_has_avx2() noexcept { return CPU_FEATURE_ACTIVE(AVX2); }
bool cpu_has_young_avx512() noexcept { return CPU_FEATURE_ACTIVE(AVX512BW) && CPU_FEATURE_ACTIVE(AVX512_FP16); }

#else  // glibc before 2.33, or none

bool cpu_has_avx2() noexcept { return __builtin_cpu_supports("avx2") != 0; }
bool cpu_has_young_avx512() noexcept { return false; }

#endif

const bool cpu_is_known_to_have_avx2 = cpu_has_avx2();

}  // namespace gpa::detail
