#include "trace/code_image.hpp"

#include "base/attributes.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <typeinfo>

namespace gpa::detail {

namespace {

constexpr std::size_t first_page = 4096;  // the file's and the program's headers lie in it, or the file is unusual

std::uintptr_t number(const void* p) noexcept
{
  return reinterpret_cast<std::uintptr_t>(p);
}

// The program headers of the file mapped at `begin`.
std::span<const ElfW(Phdr)> segments_of(std::uintptr_t begin) noexcept
{
  const auto* const file = reinterpret_cast<const ElfW(Ehdr)*>(begin);
  if (std::memcmp(file->e_ident, ELFMAG, SELFMAG) != 0 || file->e_phentsize != sizeof(ElfW(Phdr))) return {};
  if (file->e_phoff > first_page || file->e_phoff % alignof(ElfW(Phdr)) != 0) return {};
  if (file->e_phnum > (first_page - file->e_phoff) / sizeof(ElfW(Phdr))) return {};
  return {reinterpret_cast<const ElfW(Phdr)*>(begin + file->e_phoff), file->e_phnum};
}

// What the loader added to the addresses in the file. The segment with the file's first bytes stands at `begin`.
std::uintptr_t bias_of(std::span<const ElfW(Phdr)> segments, std::uintptr_t begin) noexcept
{
  for (const ElfW(Phdr) & s : segments)
    if (s.p_type == PT_LOAD) return begin - (s.p_vaddr - s.p_offset);
  return begin;
}

// The executable, looked up once where the kernel put it. _dl_find_object() knows its segments, each as if it were a
// module, where it was linked with -static or has holes between them (-z max-page-size=0x200000): none of them has the
// tables.
class executable {
 public:
  /// False for what lies elsewhere, and where its file's first bytes are not in memory.
  bool hold(std::uintptr_t address) noexcept
  {
    if (!known_.load(std::memory_order_acquire)) find();
    return address - begin_.load(std::memory_order_relaxed) < bytes_.load(std::memory_order_relaxed);
  }
  code_image image() const noexcept
  {
    const std::uintptr_t begin = begin_.load(std::memory_order_relaxed);
    return {begin, begin + bytes_.load(std::memory_order_relaxed), unwind_header_.load(std::memory_order_relaxed)};
  }

 private:
  GPA_COLD void find() noexcept  // several threads may; they find the same
  {
    const auto headers = static_cast<std::uintptr_t>(::getauxval(AT_PHDR));
    const std::uintptr_t begin = headers / first_page * first_page;
    const auto segments = begin == 0 ? std::span<const ElfW(Phdr)>() : segments_of(begin);
    if (number(segments.data()) == headers) {
      const std::uintptr_t bias = bias_of(segments, begin);
      std::uintptr_t end = begin;
      for (const ElfW(Phdr) & s : segments) {
        if (s.p_type == PT_LOAD) end = std::max(end, bias + s.p_vaddr + s.p_memsz);
        if (s.p_type == PT_GNU_EH_FRAME) unwind_header_.store(bias + s.p_vaddr, std::memory_order_relaxed);
      }
      begin_.store(begin, std::memory_order_relaxed);
      bytes_.store(end - begin, std::memory_order_relaxed);
    }
    known_.store(true, std::memory_order_release);
  }

  std::atomic<std::uintptr_t> begin_ = 0;
  std::atomic<std::uintptr_t> bytes_ = 0;
  std::atomic<std::uintptr_t> unwind_header_ = 0;
  std::atomic<bool> known_ = false;
};
constinit executable program;

// Where the modules begin that outlive this code; looked up once, by an address in each.
class permanent_modules {
 public:
  bool hold(std::uintptr_t begin) noexcept
  {
    find_once();
    for (const std::atomic<std::uintptr_t>& b : begins_)
      if (b.load(std::memory_order_relaxed) == begin) return true;
    return false;
  }
  bool have_in_c_library(std::uintptr_t pc) noexcept
  {
    find_once();
    const std::uintptr_t begin = begins_[c_library].load(std::memory_order_relaxed);
    return pc - begin < c_library_bytes_.load(std::memory_order_relaxed);
  }
  bool have_in_start(std::uintptr_t pc) noexcept
  {
    constexpr std::uintptr_t longest_start = 64;  // _start of crt1.o has 34 bytes
    find_once();
    return pc - start_.load(std::memory_order_relaxed) < longest_start;
  }

 private:
  enum part : std::size_t { executable_file, gpa_itself, c_library, cpp_library, part_count };

  void find_once() noexcept  // several threads may; they find the same
  {
    if (known_.load(std::memory_order_acquire)) return;
    std::array<std::uintptr_t, part_count> inside{};
    inside[executable_file] = static_cast<std::uintptr_t>(::getauxval(AT_ENTRY));
    inside[gpa_itself] = number(this);
    inside[c_library] = number(::gnu_get_libc_version());
    inside[cpp_library] = number(typeid(int).name());
    std::array<code_image, part_count> images;
    for (std::size_t i = 0; i != inside.size(); ++i) {
      images[i] = code_image::around(inside[i]);
      begins_[i].store(images[i].begin(), std::memory_order_relaxed);
    }
    const code_image& libc = images[c_library];
    const bool is_alone = !is_static_program() && libc != images[executable_file] && libc != images[gpa_itself];
    c_library_bytes_.store(is_alone ? libc.end() - libc.begin() : 0, std::memory_order_relaxed);
    start_.store(inside[executable_file], std::memory_order_relaxed);
    known_.store(true, std::memory_order_release);
  }

  std::array<std::atomic<std::uintptr_t>, part_count> begins_ = {};
  std::atomic<std::uintptr_t> c_library_bytes_ = 0;  // where it is a module of its own
  std::atomic<std::uintptr_t> start_ = 0;
  std::atomic<bool> known_ = false;
};
constinit permanent_modules permanent;

}  // namespace

// A note is three words, a name and its bytes, both padded to 4.
std::span<const std::byte> find_build_id(std::span<const std::byte> notes) noexcept
{
  constexpr std::size_t head = sizeof(ElfW(Nhdr));
  while (notes.size() > head) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes.data(), head);
    const std::size_t name = (std::size_t{note.n_namesz} + 3) / 4 * 4;
    const std::size_t bytes = (std::size_t{note.n_descsz} + 3) / 4 * 4;
    if (name + bytes > notes.size() - head) return {};
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(notes.data() + head, "GNU", 4) == 0)
      return notes.subspan(head + name, note.n_descsz);
    notes = notes.subspan(head + name + bytes);
  }
  return {};
}

code_image code_image::around(std::uintptr_t pc) noexcept
{
  dl_find_object found;
  if (::_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return {};
  const auto is_library = [](const link_map* m) {
    return m != nullptr && m->l_name != nullptr && m->l_name[0] != '\0';
  };
  if (program.hold(pc) && !is_library(found.dlfo_link_map)) return program.image();  // one may lie in a hole of it
  return {number(found.dlfo_map_start), number(found.dlfo_map_end), number(found.dlfo_eh_frame)};
}

loaded_file file_around(std::uintptr_t pc) noexcept
{
  dl_find_object found;
  if (::_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0 || found.dlfo_link_map == nullptr) return {};
  return {found.dlfo_link_map->l_name, static_cast<std::uintptr_t>(found.dlfo_link_map->l_addr)};
}

std::span<const std::byte> code_image::readable_from(std::uintptr_t address) const noexcept
{
  if (empty() || address < begin_ || address >= end_) return {};
  const auto segments = segments_of(begin_);
  const std::uintptr_t bias = bias_of(segments, begin_);
  for (const ElfW(Phdr) & s : segments) {
    if (s.p_type != PT_LOAD || (s.p_flags & PF_R) == 0) continue;
    const std::uintptr_t start = bias + s.p_vaddr;
    const std::uintptr_t end = start + s.p_filesz;
    if (address >= start && address < end && end <= end_)
      return {reinterpret_cast<const std::byte*>(address), end - address};
  }
  return {};
}

std::span<const std::byte> code_image::build_id() const noexcept
{
  if (empty()) return {};
  const auto segments = segments_of(begin_);
  const std::uintptr_t bias = bias_of(segments, begin_);
  for (const ElfW(Phdr) & s : segments) {
    if (s.p_type != PT_NOTE) continue;
    const auto readable = readable_from(bias + s.p_vaddr);
    if (readable.size() < s.p_filesz) continue;
    if (const auto id = find_build_id(readable.first(s.p_filesz)); !id.empty()) return id;
  }
  return {};
}

bool code_image::is_permanent() const noexcept
{
  return !empty() && permanent.hold(begin_);
}

bool is_in_c_library(std::uintptr_t pc) noexcept
{
  return permanent.have_in_c_library(pc);
}

// AT_BASE does not say so (it is 0 where the loader was called by hand), nor does whether the C library is a module of its own.
bool is_static_program() noexcept
{
  const auto* const headers = reinterpret_cast<const ElfW(Phdr)*>(::getauxval(AT_PHDR));
  if (headers == nullptr) return false;
  const std::span all(headers, ::getauxval(AT_PHNUM));
  return std::none_of(all.begin(), all.end(), [](const ElfW(Phdr) & h) { return h.p_type == PT_INTERP; });
}

bool is_in_start(std::uintptr_t pc) noexcept
{
  return permanent.have_in_start(pc);
}

}  // namespace gpa::detail
