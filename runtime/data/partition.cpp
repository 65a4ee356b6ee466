#include "runtime/data/partition.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

/// The units of every class in shuffled order.
std::map<std::int32_t, std::vector<std::size_t>> shuffled_by_class(const Units& units, std::uint64_t seed,
                                                                   std::string_view stream) {
  std::map<std::int32_t, std::vector<std::size_t>> members;
  for (std::size_t u = 0; u < units.strata.size(); ++u) members[units.strata[u]].push_back(u);
  for (auto& [label, list] : members) {
    const PhiloxStream random(seed, stream, static_cast<std::uint64_t>(label));
    std::vector<std::size_t> shuffled;
    for (const std::int64_t i : permutation(static_cast<std::int64_t>(list.size()), random))
      shuffled.push_back(list[static_cast<std::size_t>(i)]);
    list = std::move(shuffled);
  }
  return members;
}

void put(const Units& units, std::size_t unit, std::vector<std::int64_t>& into) {
  into.insert(into.end(), units.records[unit].begin(), units.records[unit].end());
}

void sort_all(Assignment& assignment) {
  for (auto& records : assignment) std::sort(records.begin(), records.end());
}

std::size_t rounded(double x) { return static_cast<std::size_t>(std::floor(x + 0.5)); }

/// Cuts n items by shares that sum to 1, through rounded cumulative sums: each part is off by less than one item.
std::vector<std::size_t> cut_points(std::span<const double> shares, std::size_t n) {
  std::vector<std::size_t> ends;
  double sum = 0.0;
  for (const double s : shares) {
    sum += s;
    ends.push_back(std::min(n, rounded(sum * static_cast<double>(n))));
  }
  if (!ends.empty()) ends.back() = n;
  return ends;
}

std::vector<double> dirichlet(std::size_t parts, double alpha, PhiloxStream stream) {
  std::vector<double> p(parts);
  for (double& x : p) x = log_gamma_variate(alpha, stream);
  const double largest = *std::max_element(p.begin(), p.end());
  double sum = 0.0;
  for (double& x : p) sum += x = std::exp(x - largest);
  for (double& x : p) x /= sum;
  return p;
}

}  // namespace

Units make_units(std::span<const std::int64_t> chosen, std::span<const std::int32_t> strata,
                 std::span<const std::int64_t> groups) {
  Units units;
  if (groups.empty()) {
    for (const std::int64_t r : chosen) {
      units.records.push_back({r});
      units.strata.push_back(strata[static_cast<std::size_t>(r)]);
    }
    return units;
  }
  std::map<std::int64_t, std::vector<std::int64_t>> by_group;
  for (const std::int64_t r : chosen) by_group[groups[static_cast<std::size_t>(r)]].push_back(r);
  for (auto& [group, records] : by_group) {
    std::map<std::int32_t, std::size_t> votes;
    for (const std::int64_t r : records) ++votes[strata[static_cast<std::size_t>(r)]];
    const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
    units.strata.push_back(std::max_element(votes.begin(), votes.end(), fewer)->first);
    units.records.push_back(std::move(records));
  }
  return units;
}

Assignment partition_evenly(const Units& units, std::size_t sites, std::uint64_t seed, std::string_view stream) {
  require(sites > 0, Errc::kInvalidArgument, "a partition needs a site");
  Assignment out(sites);
  // One round goes on where the last class stopped, so that totals are even too.
  std::size_t next = 0;
  for (const auto& [label, members] : shuffled_by_class(units, seed, stream))
    for (const std::size_t unit : members) put(units, unit, out[next++ % sites]);
  sort_all(out);
  return out;
}

Assignment partition_by_text(std::span<const std::string> texts, std::span<const std::string> sites,
                             const std::function<std::string(std::int64_t)>& place) {
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < sites.size(); ++i) index.emplace(sites[i], i);
  Assignment out(sites.size());
  for (std::size_t r = 0; r < texts.size(); ++r) {
    const auto record = static_cast<std::int64_t>(r);
    const auto site = index.find(texts[r]);
    if (site == index.end()) throw Error(Errc::kData, place(record) + ": not one of data.sites");
    out[site->second].push_back(record);
  }
  return out;
}

Assignment partition_by_label_skew(const Units& units, std::size_t sites, double alpha, std::uint64_t seed) {
  require(sites > 0 && std::isfinite(alpha) && alpha > 0.0, Errc::kInvalidArgument,
          "a partition by label skew needs a site and a concentration above 0");
  Assignment out(sites);
  for (const auto& [label, members] : shuffled_by_class(units, seed, "partition")) {
    const std::vector<double> shares = dirichlet(sites, alpha, {seed, "partition:skew", static_cast<std::uint64_t>(label)});
    const std::vector<std::size_t> ends = cut_points(shares, members.size());
    for (std::size_t site = 0, at = 0; site < sites; ++site)
      for (; at < ends[site]; ++at) put(units, members[at], out[site]);
  }
  sort_all(out);
  return out;
}

Split split_units(const Units& units, double validation_fraction, double test_fraction, std::uint64_t seed,
                  std::string_view site) {
  require(validation_fraction >= 0.0 && test_fraction >= 0.0 && validation_fraction + test_fraction < 1.0, Errc::kInvalidArgument,
          "split fractions lie in [0, 1) and leave something to train on");
  Split out;
  // Cumulative over classes: each class gets its share rounded up or down and the total is the rounded total.
  std::size_t seen = 0, given_test = 0, given_validation = 0;
  for (const auto& [label, members] : shuffled_by_class(units, seed, "split:" + std::string(site))) {
    seen += members.size();
    const auto total = static_cast<double>(seen);
    const std::size_t test = rounded(test_fraction * total) - given_test;
    const std::size_t wanted = rounded(validation_fraction * total) - given_validation;
    const std::size_t validation = std::min(wanted, members.size() - test);
    given_test += test;
    given_validation += validation;
    for (std::size_t i = 0; i < members.size(); ++i)
      put(units, members[i], i < test ? out.test : i < test + validation ? out.validation : out.train);
  }
  for (auto* list : {&out.train, &out.validation, &out.test}) std::sort(list->begin(), list->end());
  return out;
}

Split split_by_fold(const Units& units, std::int64_t folds, std::int64_t fold, double validation_fraction, std::uint64_t seed,
                    std::string_view site) {
  require(folds >= 2 && fold >= 0 && fold < folds, Errc::kInvalidArgument, "a fold is one of two or more");
  Units others;
  std::vector<std::int64_t> test;
  std::int64_t next = 0;
  for (const auto& [label, members] : shuffled_by_class(units, seed, "folds:" + std::string(site)))
    for (const std::size_t unit : members) {
      if (next++ % folds == fold) {
        put(units, unit, test);
        continue;
      }
      others.records.push_back(units.records[unit]);
      others.strata.push_back(label);
    }
  Split out = split_units(others, validation_fraction, 0.0, seed, site);
  std::sort(test.begin(), test.end());
  out.test = std::move(test);
  return out;
}

double log_gamma_variate(double alpha, PhiloxStream& stream) {
  double boost = 0.0;
  if (alpha < 1.0) {
    boost = std::log(1.0 - stream.next_double()) / alpha;
    alpha += 1.0;
  }
  const double d = alpha - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = stream.next_normal();
    const double t = 1.0 + c * x;
    if (t <= 0.0) continue;
    const double v = t * t * t;
    const double u = 1.0 - stream.next_double();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v) + boost;
  }
}

}  // namespace sutura
