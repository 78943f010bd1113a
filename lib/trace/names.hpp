// Function names people can read, from what compilers write.
//
//   std::__cxx11::basic_string<char, std::char_traits<char>, std::pmr::polymorphic_allocator<char> >
//                                           -> std::pmr::string
//   std::map<int, A, std::less<int>, std::pmr::polymorphic_allocator<std::pair<int const, A> > >
//                                           -> std::pmr::map<int, A>
//   f(int) [clone .isra.0]                  -> f(int)
//
// Only what is the default is dropped: a comparator, hash or allocator of the user's stays. Namespaces stay. Pure.
#pragma once

#include "trace/frame.hpp"

#include <string_view>

namespace gpa::detail {

/// The C++ name of a symbol as it is linked; the symbol itself where it is none, or one of megabytes (name_size.hpp).
[[nodiscard]] metadata_string demangled(const char* symbol);

/// See above. What does not look like a C++ name comes back as it was.
[[nodiscard]] metadata_string readable_name(std::string_view name);

/// "ns::f" of "void ns::f<int>(int) const": neither return type, template arguments of the last part, nor parameters.
[[nodiscard]] std::string_view function_path(std::string_view name) noexcept;

}  // namespace gpa::detail
