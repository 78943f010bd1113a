// Zig's allocator, the original: gpa_heap.zig, which bench/run compiles into a library beside this program where there
// is a zig on the PATH. A call takes one more call than others, into that library.
#include "contenders/contenders.hpp"

#include <dlfcn.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <new>

namespace gpa::bench {

namespace {

struct functions {
  void* (*make)(bool stacks);
  void (*drop)(void* heap, bool stacks);
  void* (*allocate)(void* heap, bool stacks, std::size_t bytes, std::uint8_t log2_alignment);
  void (*free)(void* heap, bool stacks, void* p, std::size_t bytes, std::uint8_t log2_alignment);
};

const functions* load()
{
  const auto library = std::filesystem::read_symlink("/proc/self/exe").replace_filename("libzig_gpa.so");
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW);  // stays until the process ends
  if (handle == nullptr) return nullptr;
  static functions all{};
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
    return function != nullptr;
  };
  return find(all.make, "zig_gpa_make") && find(all.drop, "zig_gpa_drop") && find(all.allocate, "zig_gpa_allocate") &&
                 find(all.free, "zig_gpa_free")
             ? &all
             : nullptr;
}

const functions* zig()
{
  static const functions* const loaded = load();
  return loaded;
}

template <bool Stacks>
class zig_resource final : public std::pmr::memory_resource {
 public:
  zig_resource()
  {
    if (heap_ == nullptr) throw std::bad_alloc();
  }
  ~zig_resource() override { zig_.drop(heap_, Stacks); }
  zig_resource(const zig_resource&) = delete;
  zig_resource& operator=(const zig_resource&) = delete;

 private:
  static std::uint8_t log2_of(std::size_t alignment) { return static_cast<std::uint8_t>(std::countr_zero(alignment)); }

  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    void* const p = zig_.allocate(heap_, Stacks, bytes, log2_of(alignment));
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    zig_.free(heap_, Stacks, p, bytes, log2_of(alignment));
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override
  {
    return this == &other;
  }

  const functions zig_ = *zig();
  void* heap_ = zig_.make(Stacks);
};

template <bool Stacks>
maker maker_if_there()
{
  return zig() == nullptr ? nullptr : make_heap<owned<zig_resource<Stacks>>>;
}

}  // namespace

maker zig_gpa()
{
  return maker_if_there<false>();
}
maker zig_gpa_stacks()
{
  return maker_if_there<true>();
}

}  // namespace gpa::bench
