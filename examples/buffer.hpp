// buffer: a fixed number of zeroed bytes that knows where they came from (S1-12).
//
// What a class that owns memory needs, to be at home in std::pmr: the type `allocator_type`, an allocator as last
// parameter of every constructor, and these rules, the containers' own:
//   a copy takes the default resource unless told otherwise; a move takes the memory and its resource along;
//   assignment never changes the resource: between equal resources a move takes, between others it copies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory_resource>
#include <span>
#include <utility>

class buffer {
 public:
  using allocator_type = std::pmr::polymorphic_allocator<>;

  explicit buffer(allocator_type a = {}) noexcept : allocator_(a) {}

  explicit buffer(std::size_t size, allocator_type a = {})
      : allocator_(a), data_(allocator_.allocate_object<std::byte>(size)), size_(size)
  {
    std::fill_n(data_, size_, std::byte{0});
  }

  buffer(const buffer& other, allocator_type a = {}) : buffer(other.size_, a)
  {
    std::copy_n(other.data_, size_, data_);
  }

  buffer(buffer&& other) noexcept : allocator_(other.allocator_) { swap_memory(other); }

  buffer(buffer&& other, allocator_type a) : buffer(a) { *this = std::move(other); }

  buffer& operator=(const buffer& other)
  {
    buffer copy(other, allocator_);
    swap_memory(copy);
    return *this;
  }

  buffer& operator=(buffer&& other)
  {
    if (allocator_ != other.allocator_) return *this = std::as_const(other);
    buffer taken(std::move(other));
    swap_memory(taken);
    return *this;
  }

  ~buffer()
  {
    if (data_ != nullptr) allocator_.deallocate_object(data_, size_);
  }

  [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_; }

 private:
  void swap_memory(buffer& other) noexcept
  {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  allocator_type allocator_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};
