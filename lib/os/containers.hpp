// The door to Abseil's containers: hash tables whose memory is metadata memory, never the user's heap.
#pragma once

#include "os/metadata.hpp"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <functional>
#include <utility>
#include <vector>

namespace gpa::detail {

template <class Key, class Value>
using hash_map = absl::flat_hash_map<Key, Value, absl::container_internal::hash_default_hash<Key>,
                                     absl::container_internal::hash_default_eq<Key>,
                                     metadata_allocator<std::pair<const Key, Value>>>;

template <class Key>
using hash_set =
    absl::flat_hash_set<Key, absl::container_internal::hash_default_hash<Key>,
                        absl::container_internal::hash_default_eq<Key>, metadata_allocator<Key>>;

template <class T>
using list_of = std::vector<T, metadata_allocator<T>>;

}  // namespace gpa::detail
