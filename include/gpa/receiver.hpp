// How the library fills a container of the user's.
//
// With -D_GLIBCXX_DEBUG std::vector is another type than in the library, and as nothing in a function's symbol says so,
// a program would link and crash. So what the library exports takes one element after the other, and the container is
// made where the user's file is compiled.
#pragma once

#include <gpa/export.hpp>

#include <utility>
#include <vector>

namespace gpa::detail {

/// Takes elements over, one a call. What it throws passes through the library.
template <class T>
struct receiver {
  void* container;
  void (*take)(void* container, T&& element);
};

template <class T>
[[nodiscard]] receiver<T> receiver_into(std::vector<T>& all) noexcept
{
  return {&all,
          [](void* container, T&& element) { static_cast<std::vector<T>*>(container)->push_back(std::move(element)); }};
}

}  // namespace gpa::detail
