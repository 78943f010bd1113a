#include "trace/headline.hpp"

#include "trace/format.hpp"

#include <cstdint>

namespace gpa::detail {

namespace {

std::uintptr_t number(const void* address) noexcept
{
  return reinterpret_cast<std::uintptr_t>(address);
}

// "24 bytes at 0x7f31c2a00240"
void append_size_at(text& out, const report& r)
{
  absl::Format(&out, "%d %s at 0x%x", r.bytes, bytes_word(r.bytes), number(r.address));
}

// "a block of 24 bytes at 0x7f31c2a00240"
void append_block(text& out, const report& r)
{
  out.append("a block of ");
  append_size_at(out, r);
}

// A block nobody looked up: its size is what the caller says.
void append_block_as_given(text& out, const report& r)
{
  report given = r;
  if (given.bytes == 0) given.bytes = r.given_bytes;
  append_block(out, given);
}

// resource::ignore() takes an address alone; a free has an alignment.
bool is_from_ignore(const report& r) noexcept
{
  return r.kind == mistake::invalid_pointer && r.given_bytes == 0 && r.given_alignment == 0;
}

// Of the call that was wrong; what engines without a given size leave out is what was allocated.
std::size_t asked_bytes(const report& r) noexcept
{
  return r.given_bytes != 0 ? r.given_bytes : r.bytes;
}

// "24 bytes are asked"
void append_asked(text& out, const report& r)
{
  const std::size_t bytes = asked_bytes(r);
  absl::Format(&out, "%d %s %s asked", bytes, bytes_word(bytes), bytes == 1 ? "is" : "are");
}

// Changed bytes that may as well have been reached from the next block are "beside"; the reason names that one.
void append_overflow(text& out, const report& r)
{
  const bool past_end = r.offset >= r.bytes && !r.reason.starts_with("in front of the block");
  absl::Format(&out, ": %s%d %s %s a %d-byte block at 0x%x %s overwritten", r.damaged_to_the_end ? "at least " : "",
               r.damaged, bytes_word(r.damaged), past_end ? "past the end of" : "beside", r.bytes, number(r.address),
               r.damaged == 1 ? "was" : "were");
}

// " resource "parser""; a resource that nobody remembers has no name
void append_resource(text& out, const report& r)
{
  if (r.resource.empty()) {
    out.append(" a resource");
  } else {
    absl::Format(&out, " resource \"%s\"", r.resource);
  }
}

void append_use_after_deinit(text& out, const report& r)
{
  out.append(": ");
  if (r.address == nullptr) {
    append_asked(out, r);
    out.append(" of");
    append_resource(out, r);
    out.append(r.resource.empty() ? " that was deinitialised" : ", which was deinitialised");
  } else {
    append_block(out, r);
    out.append(" is freed after");
    append_resource(out, r);
    out.append(" was deinitialised");
  }
}

void append_wrong_thread(text& out, const report& r)
{
  out.append(": ");
  if (r.address == nullptr) {
    append_asked(out, r);
    out.append(" of");
  } else {
    append_block_as_given(out, r);
    out.append(r.reason == resized_from_elsewhere ? " is resized in" : " is freed into");
  }
  absl::Format(&out, " resource \"%s\", which belongs to another thread", r.resource);
}

void append_accidental_default(text& out, const report& r)
{
  out.append(": ");
  if (r.address == nullptr) {
    append_asked(out, r);
    out.append(" of");
  } else {
    append_block(out, r);
    out.append(" came from");
  }
  absl::Format(&out, " the default resource \"%s\"", r.resource);
}

}  // namespace

void append_headline(text& out, const report& r)
{
  out.append(to_string(r.kind));
  switch (r.kind) {
    case mistake::leak:
      absl::Format(&out, " of %d %s in %d %s", r.total_bytes, bytes_word(r.total_bytes), r.blocks,
                   blocks_word(r.blocks));
      if (r.owned_blocks != 0)
        absl::Format(&out, ", which own%s %d more %s in %d %s", r.blocks == 1 ? "s" : "", r.owned_bytes,
                     bytes_word(r.owned_bytes), r.owned_blocks, blocks_word(r.owned_blocks));
      break;
    case mistake::double_free:
      out.append(" of ");
      append_size_at(out, r);
      break;
    case mistake::size_mismatch:
      out.append(": ");
      append_block(out, r);
      absl::Format(&out, " is freed as %d %s", r.given_bytes, bytes_word(r.given_bytes));
      break;
    case mistake::alignment_mismatch:
      out.append(": ");
      append_block(out, r);
      absl::Format(&out, " aligned to %d is freed as aligned to %d", r.alignment, r.given_alignment);
      break;
    case mistake::invalid_pointer:
      absl::Format(&out, " 0x%x ", number(r.address));
      if (is_from_ignore(r)) {
        out.append("given to ignore()");
      } else {
        absl::Format(&out, "freed as %d %s", r.given_bytes, bytes_word(r.given_bytes));
      }
      if (!r.reason.empty()) absl::Format(&out, ": %s", r.reason);
      break;
    case mistake::wrong_resource:
      out.append(": ");
      append_block(out, r);
      absl::Format(&out, " of resource \"%s\" is freed into \"%s\"", r.owner, r.resource);
      break;
    case mistake::write_after_free:
      absl::Format(&out, ": %d %s at offset %d of a freed %d-byte block at 0x%x", r.damaged, bytes_word(r.damaged),
                   r.offset, r.bytes, number(r.address));
      break;
    case mistake::overflow:
      if (r.address == nullptr) {
        absl::Format(&out, ": %s", r.reason);
      } else {
        append_overflow(out, r);
      }
      break;
    case mistake::use_after_deinit: append_use_after_deinit(out, r); break;
    case mistake::wrong_thread: append_wrong_thread(out, r); break;
    case mistake::invalid_alignment:
      absl::Format(&out, " %d asked for %d %s", r.given_alignment, r.given_bytes, bytes_word(r.given_bytes));
      break;
    case mistake::use_after_free:
      if (r.address == nullptr) {
        absl::Format(&out, ": %s", r.reason);
      } else {
        absl::Format(&out, ": %s at offset %d of a freed %d-byte block at 0x%x", r.reason.empty() ? "access" : r.reason,
                     r.offset, r.bytes, number(r.address));
      }
      break;
    case mistake::accidental_default: append_accidental_default(out, r); break;
  }
}

void append_rule(text& out, mistake m)
{
  out.append("gpa-");
  append_dashed(out, to_string(m));
}

void append_dashed(text& out, std::string_view words)
{
  for (const char c : words) out.append(1, c == ' ' ? '-' : c);
}

bool headline_has_reason(const report& r) noexcept
{
  switch (r.kind) {
    case mistake::invalid_pointer:
    case mistake::wrong_thread:
    case mistake::use_after_free: return true;
    case mistake::overflow: return r.address == nullptr;
    default: return false;
  }
}

std::string_view consequence(const report& r) noexcept
{
  constexpr std::string_view noticed_afterwards = "noticed afterwards: the write itself was not stopped";
  constexpr std::string_view stopped = "the access was stopped";
  switch (r.kind) {
    case mistake::leak: return {};
    case mistake::double_free:
    case mistake::size_mismatch:
    case mistake::alignment_mismatch:
    case mistake::wrong_resource: return "the free was ignored";
    case mistake::invalid_pointer: return is_from_ignore(r) ? "the call did nothing" : "the free was ignored";
    case mistake::write_after_free: return noticed_afterwards;
    case mistake::overflow: return r.address == nullptr ? stopped : noticed_afterwards;
    case mistake::use_after_deinit:
      if (r.address == nullptr) return "the allocation was refused";
      return r.reason == memory_is_gone ? "the free was ignored" : "the block was given back, and no harm done";
    case mistake::wrong_thread:
      return r.reason == resized_from_elsewhere
                 ? "thread_safe = false lets one thread at a time in, so nothing was done"
                 : "it was carried out as any other call, but thread_safe = false lets one thread at a time in";
    case mistake::invalid_alignment: return "the allocation was refused: alignments are powers of two";
    case mistake::use_after_free: return stopped;
    case mistake::accidental_default: return "the allocation went on";
  }
  return {};
}

}  // namespace gpa::detail
