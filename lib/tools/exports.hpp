// A document in each form that gpa-report writes. One function a format, each in a file of its name.
//
//   text        people            what holds the memory, and the mistakes, with call stacks
//   folded      flamegraph.pl, inferno, speedscope        one line a stack, `main;f;g 697`
//   dhat        Valgrind's dh_view.html, Firefox Profiler
//   pprof       pprof, Perfetto, speedscope, servers of continuous profiling
//   speedscope  speedscope.app
//   sarif       code scanning: the mistakes alone
//   html        a browser, see lib/tools/page
//
// All return the whole output. They throw refusal where the document has not what is asked for, and std::bad_alloc.
// Pure, except html, which reads source files.
#pragma once

#include "tools/document.hpp"
#include "tools/rows.hpp"

#include <cstddef>
#include <string>

namespace gpa::tools {

struct text_request {
  measure what = measure::live;
  by grouping = by::stack;
  std::size_t limit = 10;  // rows
};

[[nodiscard]] std::string to_text(const document& d, const text_request& request);
[[nodiscard]] std::string to_text(const document& before, const document& after, const text_request& request);

/// A table of the largest rows, `width` columns wide, and a line of totals: for `top` and `watch`.
[[nodiscard]] std::string to_table(const document& d, const text_request& request, std::size_t width);

[[nodiscard]] std::string to_folded(const document& d, measure what);
[[nodiscard]] std::string to_dhat(const document& d);
[[nodiscard]] std::string to_speedscope(const document& d, measure what);
[[nodiscard]] std::string to_sarif(const document& d);

/// profile.proto, compressed with gzip.
[[nodiscard]] std::string to_pprof(const document& d);

/// A page that stands alone. With `before`, what changed since is shown, too.
[[nodiscard]] std::string to_html(const document& d, const document* before, measure what);

/// Throws refusal where `d` has no numbers of that kind.
void require(const document& d, measure what);

/// Seconds since 1970 of `2026-11-22T01:01:00Z`; -1 where it is no such time.
[[nodiscard]] std::int64_t seconds_of(const std::string& time);

}  // namespace gpa::tools
