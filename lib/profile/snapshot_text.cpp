// The text of a row, in the form tracemalloc's users know.
#include <gpa/snapshot.hpp>

#include "os/text.hpp"
#include "profile/places.hpp"
#include "trace/format.hpp"

#include <array>
#include <cmath>
#include <ostream>

namespace gpa {

namespace {

using detail::text;

// "697 B", "+12.5 KiB", "5348 KiB": the next unit from 10 240 of one on.
void append_bytes(text& out, double bytes, bool with_sign)
{
  constexpr std::array<std::string_view, 6> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (std::abs(bytes) >= 10 * 1024 && unit + 1 != units.size()) {
    bytes /= 1024;
    ++unit;
  }
  const int decimals = unit != 0 && std::abs(bytes) < 100 ? 1 : 0;
  if (with_sign) {
    absl::Format(&out, "%+.*f %s", decimals, bytes, units[unit]);
  } else {
    absl::Format(&out, "%.*f %s", decimals, bytes, units[unit]);
  }
}

void append_frames(text& out, const stack_trace& stack)
{
  std::size_t number = 0;
  for (const detail::frame& f : detail::shortened_stack(stack)) {
    if (f.library) continue;
    absl::Format(&out, "\n    #%d %s", number++, f.function.empty() ? "(no name)" : std::string_view(f.function));
    if (!f.file.empty()) absl::Format(&out, " %s:%d", std::string_view(f.file), f.line);
    if (f.file.empty() && !f.module.empty()) absl::Format(&out, " %s+0x%x", std::string_view(f.module), f.offset);
    if (f.inlined) out.append(" (inlined)");
  }
}

}  // namespace

std::string to_string(const snapshot_row& row)
{
  text out;
  absl::Format(&out, "%s: size=", row.place);
  append_bytes(out, static_cast<double>(row.size), false);
  if (row.compared) {
    out.append(" (");
    append_bytes(out, static_cast<double>(row.size_difference), true);
    out.append(")");
  }
  absl::Format(&out, ", count=%d", row.count);
  if (row.compared) absl::Format(&out, " (%+d)", row.count_difference);
  if (row.count != 0) {
    out.append(", average=");
    append_bytes(out, static_cast<double>(row.size) / static_cast<double>(row.count), false);
  }
  if (row.key == by::stack) append_frames(out, row.example);
  return std::string(out.view());
}

std::ostream& operator<<(std::ostream& out, const snapshot_row& row) { return out << to_string(row); }

}  // namespace gpa
