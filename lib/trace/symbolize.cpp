#include "trace/symbolize.hpp"

#include "base/no_cancellation.hpp"
#include "os/containers.hpp"
#include "os/own_stack.hpp"
#include "trace/debug_info.hpp"
#include "trace/frames.hpp"
#include "trace/libdw.hpp"
#include "trace/modules.hpp"
#include "trace/names.hpp"
#include "trace/naming.hpp"
#include "trace/symbol_table.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

namespace gpa::detail {

namespace {

class session {
 public:
  session() : generation_(module_generation()), modules_(list_modules()), debug_(modules_) {}

  [[nodiscard]] bool is_current() const noexcept { return generation_ == module_generation(); }

  // Who is hidden may depend on where paths are shown from.
  void follow_directory()
  {
    if (current_naming().hidden.empty()) return;
    metadata_string now = current_directory();
    if (now != directory_) known_.clear();
    directory_ = std::move(now);
  }

  void append(std::uintptr_t address, frame_list& out)
  {
    if (known_.size() == remembered_addresses) known_.clear();
    auto place = known_.find(address);
    if (place == known_.end()) place = known_.emplace(address, named(address)).first;
    out.insert(out.end(), place->second.begin(), place->second.end());
  }

 private:
  frame_list named(std::uintptr_t address)
  {
    frame_list frames;
    const std::size_t index = modules_.find(address);
    if (index == module_list::npos) {
      frames.emplace_back().address = address;
      return frames;
    }
    const loaded_module& m = modules_.modules[index];
    const bool wanted = current_naming().symbols;
    if (wanted && !m.library) debug_.describe(index, address, frames);
    if (frames.empty()) frames.emplace_back().address = address;
    if (wanted && frames.back().function.empty()) frames.back().function = linked_name(m, index, address);
    for (frame& f : frames) {
      f.function = readable_name(f.function);
      f.module = m.path;
      f.offset = address - m.base;
      f.library = is_library_frame(f, m.library) || is_hidden(f, directory_);
      if (f.file.empty() && !f.library) f.build_id = m.build_id;
    }
    return frames;
  }

  static symbol_table table_of(const loaded_module& m)
  {
    const int file = open_file_of(m);
    if (file < 0) return {};
    symbol_table table = symbol_table::of_file(file);
    ::close(file);
    return table;
  }

  // What the loader knows are exported names only; of the user's own modules the file's symbol table knows all.
  metadata_string linked_name(const loaded_module& m, std::size_t index, std::uintptr_t address)
  {
    std::string_view name;
    if (!m.library) {
      auto table = tables_.find(index);
      if (table == tables_.end()) table = tables_.emplace(index, table_of(m)).first;
      name = table->second.function_at(address - m.base);
    }
    if (name.empty() && !m.unloaded) name = exported_name(address);
    return name.empty() ? metadata_string() : demangled(metadata_string(name).c_str());
  }

  std::uint64_t generation_;  // read first: a library loaded meanwhile makes the set old, not wrong
  module_list modules_;
  debug_info debug_;
  metadata_string directory_ = {};  // empty as long as nothing is hidden
  hash_map<std::uintptr_t, frame_list> known_ = {};
  hash_map<std::size_t, symbol_table> tables_ = {};  // of modules without debug information
};

std::atomic<session*> kept{nullptr};

void discard(session* s) noexcept
{
  if (s == nullptr) return;
  std::destroy_at(s);
  std::free(s);
}

// malloc, unlike everything else of ours: leak checkers follow it to what libdw allocates.
session* open()
{
  void* const place = std::malloc(sizeof(session));
  if (place == nullptr) throw std::bad_alloc();
  try {
    return new (place) session();
  } catch (...) {
    std::free(place);
    throw;
  }
}

void put_back(session* s) noexcept
{
  session* expected = nullptr;
  if (!kept.compare_exchange_strong(expected, s, std::memory_order_release, std::memory_order_relaxed)) discard(s);
}

class checked_out {
 public:
  checked_out() : session_(kept.exchange(nullptr, std::memory_order_acquire))
  {
    if (session_ != nullptr && session_->is_current()) return;
    discard(session_);
    session_ = open();
  }
  ~checked_out() { put_back(session_); }
  checked_out(const checked_out&) = delete;
  checked_out& operator=(const checked_out&) = delete;

  session* operator->() const noexcept { return session_; }

 private:
  session* session_;
};

}  // namespace

frame_list symbolize(std::span<const std::uintptr_t> return_addresses)
{
  frame_list frames;
  if (return_addresses.empty()) return frames;
  const no_cancellation steady;
  make_room_for_libdw();
  on_own_stack([&] {
    const checked_out s;
    s->follow_directory();
    for (const std::uintptr_t address : return_addresses) s->append(address - 1, frames);
  });
  return frames;
}

void* take_symbols_at_rest() noexcept
{
  libdw_before_fork();
  return kept.exchange(nullptr, std::memory_order_acquire);
}

void put_back_symbols(void* taken) noexcept
{
  libdw_after_fork();
  if (taken != nullptr) put_back(static_cast<session*>(taken));
}

// What others have taken out, or put back meanwhile, is lost.
void keep_only_symbols(void* taken) noexcept
{
  libdw_in_child();
  kept.store(static_cast<session*>(taken), std::memory_order_release);
}

}  // namespace gpa::detail
