// Who holds the memory: a service that loads a dictionary, answers requests, and remembers every answer for ever.
//
// Two snapshots around the requests: compare_to() names the line of the cache first. Tags tell the phases apart,
// profile = true what came and went in between, origin() where one block came from.
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using word = std::pmr::string;

class service {
 public:
  explicit service(std::pmr::memory_resource* r) : dictionary_(r), answers_(r) {}

  void load(int words)
  {
    const gpa::tag_scope tag("load");
    dictionary_.reserve(static_cast<std::size_t>(words));
    for (int i = 0; i != words; ++i) dictionary_.emplace_back("the meaning of word number " + std::to_string(i));
  }

  const word& answer(int request)
  {
    const gpa::tag_scope tag("serve");
    word text("You asked, and this is all I know of it: ", answers_.get_allocator());
    text += dictionary_[static_cast<std::size_t>(request) % dictionary_.size()];
    return answers_.emplace(request, text).first->second;  // the mistake: nothing ever leaves
  }

 private:
  std::pmr::vector<word> dictionary_;
  std::pmr::unordered_map<int, word> answers_;
};

void show(const char* title, std::span<const gpa::snapshot_row> rows)
{
  std::cout << title << '\n';
  for (const gpa::snapshot_row& row : rows.first(std::min<std::size_t>(rows.size(), 3)))
    std::cout << "  " << row << '\n';
}

}  // namespace

int main()
{
  gpa::options o{.name = "service"};
  o.profile = true;
  gpa::resource r(o);
  service s(&r);
  s.load(500);

  const gpa::snapshot before = r.take_snapshot();
  show("after loading, by line:", before.statistics(gpa::by::line));

  for (int request = 0; request != 1000; ++request) s.answer(request);

  const gpa::snapshot after = r.take_snapshot();
  show("what 1000 requests changed, by line:", after.compare_to(before, gpa::by::line));
  show("by tag:", after.compare_to(before, gpa::by::tag));
  show("by size class:", after.statistics(gpa::by::size_class));

  std::size_t freed = 0;
  for (const gpa::site& one : after.sites()) freed += one.total_blocks - one.live_blocks;
  std::cout << "blocks that came and went: " << freed << '\n';
  std::cout << "bytes now " << r.traced().current << ", at most " << r.traced().peak << '\n';

  const auto frames = r.origin(s.answer(7).data()).frames();
  const auto ours = std::find_if(frames.begin(), frames.end(), [](const gpa::stack_frame& f) { return !f.library; });
  if (ours != frames.end()) std::cout << "answer 7 was allocated in " << ours->function << '\n';
}
