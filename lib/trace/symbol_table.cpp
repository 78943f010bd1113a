#include "trace/symbol_table.hpp"

#include "trace/code_image.hpp"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace gpa::detail {

// Of one section: more is no file of this world.
constexpr std::size_t most_section = std::size_t{1} << 30;

class elf_file {
 public:
  /// Of a regular file: opening another may wait for ever.
  explicit elf_file(const char* path) noexcept : elf_file(::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK))
  {
    owned_ = true;
  }
  /// Of one that is open, and stays so.
  explicit elf_file(int descriptor) noexcept : descriptor_(descriptor)
  {
    struct stat s;
    if (descriptor_ >= 0 && ::fstat(descriptor_, &s) == 0 && S_ISREG(s.st_mode))
      bytes_ = static_cast<std::size_t>(s.st_size);
  }
  ~elf_file()
  {
    if (owned_ && descriptor_ >= 0) ::close(descriptor_);
  }
  elf_file(const elf_file&) = delete;
  elf_file& operator=(const elf_file&) = delete;

  [[nodiscard]] bool read(void* to, std::size_t bytes, std::size_t offset) const noexcept
  {
    if (!holds(bytes, offset)) return false;
    auto* place = static_cast<char*>(to);
    while (bytes != 0) {
      const ssize_t count = ::pread(descriptor_, place, bytes, static_cast<off_t>(offset));
      if (count <= 0) return false;
      place += count;
      bytes -= static_cast<std::size_t>(count);
      offset += static_cast<std::size_t>(count);
    }
    return true;
  }

  /// `count` things at `offset`; none where they cannot be read.
  template <class Thing>
  [[nodiscard]] list_of<Thing> list(std::size_t count, std::size_t offset) const
  {
    list_of<Thing> things;
    if (count > most_section / sizeof(Thing) || !holds(count * sizeof(Thing), offset)) return things;
    things.resize(count);
    if (!read(things.data(), count * sizeof(Thing), offset)) things.clear();
    return things;
  }

 private:
  [[nodiscard]] bool holds(std::size_t bytes, std::size_t offset) const noexcept
  {
    return offset <= bytes_ && bytes <= bytes_ - offset;
  }

  int descriptor_;
  bool owned_ = false;
  std::size_t bytes_ = 0;
};

namespace {

const ElfW(Shdr) * section_of(const list_of<ElfW(Shdr)>& sections, unsigned type) noexcept
{
  const auto found =
      std::find_if(sections.begin(), sections.end(), [type](const auto& s) { return s.sh_type == type; });
  return found == sections.end() ? nullptr : &*found;
}

bool read_header(const elf_file& file, ElfW(Ehdr)& header) noexcept
{
  return file.read(&header, sizeof header, 0) && std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_ident[EI_CLASS] == ELFCLASS64;
}

}  // namespace

symbol_table symbol_table::of_file(const char* path)
{
  return symbol_table(elf_file(path));
}

symbol_table symbol_table::of_file(int descriptor)
{
  return symbol_table(elf_file(descriptor));
}

symbol_table::symbol_table(const elf_file& file)
{
  ElfW(Ehdr) header;
  if (!read_header(file, header) || header.e_shentsize != sizeof(ElfW(Shdr))) return;
  const auto sections = file.list<ElfW(Shdr)>(header.e_shnum, header.e_shoff);
  const ElfW(Shdr)* symbols = section_of(sections, SHT_SYMTAB);
  if (symbols == nullptr) symbols = section_of(sections, SHT_DYNSYM);
  if (symbols == nullptr || symbols->sh_link >= sections.size()) return;
  const ElfW(Shdr)& names = sections[symbols->sh_link];
  names_ = file.list<char>(names.sh_size, names.sh_offset);
  if (names_.empty() || names_.back() != '\0') {
    names_.clear();
    return;
  }
  for (const ElfW(Sym) & s : file.list<ElfW(Sym)>(symbols->sh_size / sizeof(ElfW(Sym)), symbols->sh_offset)) {
    const unsigned type = ELF64_ST_TYPE(s.st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s.st_shndx == SHN_UNDEF || s.st_name >= names_.size()) continue;
    functions_.push_back({s.st_value, static_cast<std::uint32_t>(s.st_size), s.st_name});
  }
  // Of several names at one address the first in the alphabet, so that the same file always gives the same name.
  const char* const words = names_.data();
  std::sort(functions_.begin(), functions_.end(), [words](const function& a, const function& b) {
    return a.begin != b.begin ? a.begin < b.begin : std::strcmp(words + a.name, words + b.name) < 0;
  });
  return;
}

std::string_view symbol_table::function_at(std::uintptr_t address) const noexcept
{
  const auto after = std::upper_bound(functions_.begin(), functions_.end(), address,
                                      [](std::uintptr_t a, const function& f) { return a < f.begin; });
  if (after == functions_.begin()) return {};
  const std::uintptr_t begin = (after - 1)->begin;
  const auto first = std::lower_bound(functions_.begin(), after, begin,
                                      [](const function& f, std::uintptr_t b) { return f.begin < b; });
  const auto around = std::find_if(first, after, [address](const function& f) { return address - f.begin < f.size; });
  return around == after ? std::string_view() : std::string_view(names_.data() + around->name);
}

namespace {

list_of<std::byte> build_id_of(const elf_file& file)
{
  ElfW(Ehdr) header;
  list_of<std::byte> found;
  if (!read_header(file, header)) return found;
  const auto is_in = [&](std::size_t bytes, std::size_t offset) {
    const auto notes = file.list<std::byte>(bytes, offset);
    const auto id = find_build_id(notes);
    found.assign(id.begin(), id.end());
    return !found.empty();
  };
  if (header.e_phentsize == sizeof(ElfW(Phdr)))
    for (const ElfW(Phdr) & s : file.list<ElfW(Phdr)>(header.e_phnum, header.e_phoff))
      if (s.p_type == PT_NOTE && is_in(s.p_filesz, s.p_offset)) return found;
  // Of a debug file they may be those of the file that it was split from (eu-strip), and true of that alone.
  if (header.e_shentsize == sizeof(ElfW(Shdr)))
    for (const ElfW(Shdr) & s : file.list<ElfW(Shdr)>(header.e_shnum, header.e_shoff))
      if (s.sh_type == SHT_NOTE && is_in(s.sh_size, s.sh_offset)) return found;
  return found;
}

}  // namespace

list_of<std::byte> build_id_of_file(const char* path)
{
  return build_id_of(elf_file(path));
}

list_of<std::byte> build_id_of_file(int descriptor)
{
  return build_id_of(elf_file(descriptor));
}

}  // namespace gpa::detail
