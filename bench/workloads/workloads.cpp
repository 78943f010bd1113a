// The list of workloads: one line each, in the order of the tables.
#include "workloads/workloads.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

namespace gpa::bench {

namespace {

std::string& file_to_replay()
{
  static std::string name;
  return name;
}

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;

// Passes are chosen so that the fastest contender is on the clock for some milliseconds a round. The 8 rows of the
// first table say so; the rest of a line is what `workload` says.
// clang-format off
std::vector<workload> all_of_them()
{
  constexpr bool first = true, reuse = true;
  constexpr churn_shape churn_10k{10'000, 2, 128, false}, churn_2k{2'000, 2, 128, false}, churn_500k{500'000, 2, 32, true};
  const std::string traces = GPA_BENCH_TRACES;

  std::vector<workload> all{
    {"pairs", "pairs of 64 B", "pair", 200'000, 4, 1, 1, first, false, heat::warm, pairs_of(64, 200'000)},
    {"churn", "churn of 10 000 live blocks of 16-1024 B", "pair", 100'000, 2, 1, 2, first, false, heat::warm, churn_of(churn_10k, 100'000)},
    {"batch", "100 000 x 48 B, freed in random order", "pair", 100'000, 2, 1, 1, first, false, heat::warm, batch_of(48, 100'000, order::random)},
    {"map", "unordered_map<int, pmr::string>", "element", 15'000, 4, 1, 1, first, false, heat::warm, map_of_strings(10'000, 5'000)},
    {"strings", "vector<pmr::string>", "element", 10'000, 8, 1, 1, first, false, heat::warm, strings_in_a_vector(10'000)},
    {"queue", "list as a queue", "pair", 200'000, 2, 1, 1, first, false, heat::warm, list_as_a_queue(200'000)},
    {"8_kib_5k", "5 000 x 8 KiB, freed in random order", "pair", 5'000, 4, 1, 1, first, false, heat::warm, batch_of(8 * KiB, 5'000, order::random)},
    {"8_kib", "50 000 x 8 KiB, freed in random order", "pair", 50'000, 1, 1, 1, first, false, heat::warm, batch_of(8 * KiB, 50'000, order::random)},

    {"pairs_16", "pairs of 16 B", "pair", 200'000, 4, 1, 1, false, false, heat::warm, pairs_of(16, 200'000)},
    {"pairs_256", "pairs of 256 B", "pair", 200'000, 4, 1, 1, false, false, heat::warm, pairs_of(256, 200'000)},
    {"pairs_1024", "pairs of 1 KiB", "pair", 200'000, 4, 1, 1, false, reuse, heat::warm, pairs_of(1 * KiB, 200'000)},
    {"pairs_4096", "pairs of 4 KiB", "pair", 100'000, 4, 1, 1, false, reuse, heat::warm, pairs_of(4 * KiB, 100'000)},
    {"pairs_16384", "pairs of 16 KiB", "pair", 50'000, 4, 1, 1, false, reuse, heat::warm, pairs_of(16 * KiB, 50'000)},
    {"lifo", "1 000 x 64 B, the last freed first", "pair", 1'000, 500, 1, 1, false, false, heat::warm, batch_of(64, 1'000, order::lifo)},
    {"fifo", "1 000 x 64 B, the first freed first", "pair", 1'000, 500, 1, 1, false, false, heat::warm, batch_of(64, 1'000, order::fifo)},
    {"random", "1 000 x 64 B, freed in random order", "pair", 1'000, 500, 1, 1, false, false, heat::warm, batch_of(64, 1'000, order::random)},
    {"churn_2k", "churn of 2 000 live blocks of 16-1024 B", "pair", 100'000, 3, 1, 2, false, false, heat::warm, churn_of(churn_2k, 100'000)},
    {"churn_500k", "churn of 500 000 live blocks of 16-256 B", "pair", 100'000, 1, 1, 1, false, reuse, heat::warm, churn_of(churn_500k, 100'000)},

    {"map_of_vectors", "map<int, pmr::vector<int>>", "element", 2'000, 10, 1, 1, false, false, heat::warm, map_of_vectors(2'000)},
    {"deque", "deque of 64 B messages as a queue", "element", 200'000, 4, 1, 1, false, false, heat::warm, deque_as_a_queue(200'000)},
    {"json", "JSON-like tree, built and dropped", "record", 2'000, 3, 1, 1, false, false, heat::warm, json_tree(2'000)},
    {"growth", "growth of one vector to 8 MiB", "element", 1'000'000, 2, 1, 1, false, false, heat::warm, growing_vector(1'000'000)},
    {"arena", "arena: 20 000 nodes of 16-256 B, dropped together", "node", 20'000, 10, 1, 1, false, false, heat::warm, arena_of(20'000)},

    {"64_kib", "64 KiB, written through", "block", 2'000, 1, 1, 1, false, reuse, heat::warm, large_blocks({64 * KiB, 64 * KiB, true}, 2'000)},
    {"1_mib", "1 MiB, written through", "block", 100, 1, 1, 1, false, reuse, heat::warm, large_blocks({1 * MiB, 1 * MiB, true}, 100)},
    {"4_mib", "4 MiB, written through", "block", 25, 1, 1, 1, false, reuse, heat::warm, large_blocks({4 * MiB, 4 * MiB, true}, 25)},
    {"large_mix", "64 KiB-2 MiB, written through", "block", 300, 1, 1, 1, false, reuse, heat::warm, large_blocks({64 * KiB, 2 * MiB, true}, 300)},
    {"large_touched", "64 KiB-4 MiB, a word a page", "block", 300, 1, 1, 1, false, reuse, heat::warm, large_blocks({64 * KiB, 4 * MiB, false}, 300)},

    {"handover", "one thread allocates, another frees", "block", 200'000, 1, 2, 2, false, reuse, heat::warm, handover(200'000)},
    {"exchange", "two threads free each other's blocks", "pair", 100'000, 1, 2, 2, false, reuse, heat::warm, exchange(100'000)},
    {"short_threads", "threads of 100 blocks each", "thread", 100, 1, 1, 1, false, false, heat::warm, short_threads(100, 100)},
    {"in_turn", "eight resources in turn, pairs of 64 B", "pair", 200'000, 3, 1, 1, false, false, heat::warm, heaps_in_turn(8, 200'000)},

    {"fresh_churn", "a fresh resource each time: churn of 2 000", "pair", 20'000, 5, 1, 1, false, false, heat::fresh, churn_of(churn_2k, 20'000)},
    {"fresh_map", "a fresh resource each time: unordered_map<int, pmr::string>", "element", 15'000, 3, 1, 1, false, false, heat::fresh, map_of_strings(10'000, 5'000)},
    {"fresh_json", "a fresh resource each time: JSON-like tree", "record", 200, 10, 1, 1, false, false, heat::fresh, json_tree(200)},
    {"fresh_tiny", "a fresh resource each time: 3 strings", "element", 3, 500, 1, 1, false, false, heat::fresh, strings_in_a_vector(3)},

    replay_of(traces + "/words.gpatrace", "trace_words", "recorded: word frequencies"),
    replay_of(traces + "/json.gpatrace", "trace_json", "recorded: a JSON parser"),
  };
  if (!file_to_replay().empty()) all.push_back(replay_of(file_to_replay(), std::string(replay_name), "recorded: " + file_to_replay()));
  return all;
}
// clang-format on

}  // namespace

void add_replay(const std::string& file)
{
  file_to_replay() = file;
}

std::span<const workload> workloads()
{
  static const std::vector<workload> all = all_of_them();
  return all;
}

const workload& workload_named(std::string_view name)
{
  const auto found = std::ranges::find(workloads(), name, &workload::name);
  if (found == workloads().end()) throw std::invalid_argument("no workload is named " + std::string(name));
  return *found;
}

}  // namespace gpa::bench
