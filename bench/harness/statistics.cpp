#include "harness/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace gpa::bench {

spread spread_of(series s)
{
  std::erase_if(s, [](double v) { return std::isnan(v); });
  if (s.empty()) return {};
  std::ranges::sort(s);
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(s.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, s.size() - 1);
    return std::lerp(s[below], s[above], place - static_cast<double>(below));
  };
  return {s.size(), at(0.5), s.front(), at(0.25), at(0.75), s.back()};
}

series ratio(const series& a, const series& b, double factor)
{
  series all(std::min(a.size(), b.size()));
  for (std::size_t i = 0; i != all.size(); ++i) all[i] = factor * a[i] / b[i];
  return all;
}

double geometric_mean(const std::vector<double>& values)
{
  double sum = 0;
  for (const double v : values) sum += std::log(v);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace gpa::bench
