#include "runtime/data/partition.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using testing::message_of;

/// Classes 0, 1, 2 in unequal shares, mixed.
std::vector<std::int32_t> classes_of(std::int64_t n) {
  std::vector<std::int32_t> y;
  PhiloxStream random(1, "test labels");
  for (std::int64_t i = 0; i < n; ++i) y.push_back(static_cast<std::int32_t>(random.next_below(6) / 2 * (i % 3 != 0)));
  return y;
}
std::vector<std::int64_t> range(std::int64_t n) {
  std::vector<std::int64_t> r(static_cast<std::size_t>(n));
  std::iota(r.begin(), r.end(), 0);
  return r;
}
Units single(const std::vector<std::int32_t>& y) { return make_units(range(static_cast<std::int64_t>(y.size())), y, {}); }
std::int64_t count(const std::vector<std::int64_t>& records, const std::vector<std::int32_t>& y, std::int32_t label) {
  return std::count_if(records.begin(), records.end(), [&](std::int64_t r) { return y[static_cast<std::size_t>(r)] == label; });
}
std::vector<std::int64_t> joined(const Assignment& a) {
  std::vector<std::int64_t> all;
  for (const auto& part : a) {
    EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
    all.insert(all.end(), part.begin(), part.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST(Partition, EvenlyIsCompleteAndStratifiedWithinOneRecord) {
  for (const std::int64_t n : {7, 100, 1001}) {
    const auto y = classes_of(n);
    for (const std::size_t sites : {1u, 3u, 7u}) {
      const Assignment a = partition_evenly(single(y), sites, 5, "partition");
      EXPECT_EQ(joined(a), range(n));
      for (std::int32_t label = 0; label < 3; ++label) {
        std::vector<std::int64_t> held;
        for (const auto& part : a) held.push_back(count(part, y, label));
        EXPECT_LE(*std::max_element(held.begin(), held.end()) - *std::min_element(held.begin(), held.end()), 1);
      }
      const auto [least, most] =
          std::minmax_element(a.begin(), a.end(), [](const auto& p, const auto& q) { return p.size() < q.size(); });
      EXPECT_LE(most->size() - least->size(), 1u);
    }
  }
}

TEST(Partition, IsAPureFunctionOfTheSeed) {
  const auto y = classes_of(200);
  const Units units = single(y);
  EXPECT_EQ(partition_evenly(units, 4, 5, "partition"), partition_evenly(units, 4, 5, "partition"));
  EXPECT_NE(partition_evenly(units, 4, 5, "partition"), partition_evenly(units, 4, 6, "partition"));
  EXPECT_NE(partition_evenly(units, 4, 5, "partition"), partition_evenly(units, 4, 5, "partition:test"));
  EXPECT_EQ(partition_by_label_skew(units, 4, 0.5, 5), partition_by_label_skew(units, 4, 0.5, 5));
  EXPECT_NE(partition_by_label_skew(units, 4, 0.5, 5), partition_by_label_skew(units, 4, 0.5, 6));
}

TEST(Partition, ByTextFollowsTheColumn) {
  const std::vector<std::string> sites{"north", "south"}, texts{"south", "north", "south"};
  const auto place = [](std::int64_t r) { return "t.csv row " + std::to_string(r + 2); };
  EXPECT_THAT(partition_by_text(texts, sites, place), ElementsAre(ElementsAre(1), ElementsAre(0, 2)));
  const std::vector<std::string> strange{"south", std::string(testing::kCanary)};
  EXPECT_EQ(message_of(Errc::kData, [&] { partition_by_text(strange, sites, place); }), "t.csv row 3: not one of data.sites");
}

TEST(Partition, LabelSkewIsCompleteAndGrowsAsAlphaFalls) {
  const auto y = classes_of(3000);
  const Units units = single(y);
  // Mean over classes of the largest share that one site holds; 1/5 is even, 1 is all.
  const auto skew = [&](double alpha, std::uint64_t seed) {
    const Assignment a = partition_by_label_skew(units, 5, alpha, seed);
    EXPECT_EQ(joined(a), range(3000));
    double sum = 0.0;
    for (std::int32_t label = 0; label < 3; ++label) {
      std::int64_t most = 0, all = 0;
      for (const auto& part : a) {
        most = std::max(most, count(part, y, label));
        all += count(part, y, label);
      }
      sum += static_cast<double>(most) / static_cast<double>(all);
    }
    return sum / 3.0;
  };
  double even = 0.0, half = 0.0, strong = 0.0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    even += skew(1000.0, seed) / 10;
    half += skew(0.5, seed) / 10;
    strong += skew(0.01, seed) / 10;
  }
  EXPECT_LT(even, 0.23);
  EXPECT_GT(half, 0.35);
  EXPECT_LT(half, 0.8);
  EXPECT_GT(strong, 0.9);
}

TEST(Partition, GammaVariatesHaveTheRightMoments) {
  for (const double alpha : {0.3, 1.0, 4.5}) {
    PhiloxStream stream(3, "gamma test");
    constexpr int kDraws = 40000;
    double sum = 0.0, squares = 0.0, logs = 0.0;
    for (int i = 0; i < kDraws; ++i) {
      const double log_g = log_gamma_variate(alpha, stream), g = std::exp(log_g);
      sum += g;
      squares += g * g;
      logs += log_g;
    }
    const double mean = sum / kDraws, variance = squares / kDraws - mean * mean;
    EXPECT_NEAR(mean, alpha, 5.0 * std::sqrt(alpha / kDraws)) << "five standard errors";
    // Var(s^2) of a gamma: fourth central moment 3 alpha (alpha + 2).
    EXPECT_NEAR(variance, alpha, 5.0 * std::sqrt((3 * alpha * (alpha + 2) - alpha * alpha) / kDraws));
    const double h = 1e-4;  // digamma and trigamma by differences of lgamma
    const double digamma = (std::lgamma(alpha + h) - std::lgamma(alpha - h)) / (2 * h);
    const double trigamma = (std::lgamma(alpha + h) - 2 * std::lgamma(alpha) + std::lgamma(alpha - h)) / (h * h);
    EXPECT_NEAR(logs / kDraws, digamma, 5.0 * std::sqrt(trigamma / kDraws));
  }
}

TEST(Split, IsCompleteDisjointAndStratifiedWithinOneRecord) {
  for (const std::int64_t n : {1, 2, 5, 11, 100, 997}) {
    const auto y = classes_of(n);
    for (const auto& [validation, test] : {std::pair{0.0, 0.0}, {0.2, 0.0}, {0.15, 0.25}, {0.4, 0.5}}) {
      const Split s = split_units(single(y), validation, test, 9, "north");
      EXPECT_EQ(joined({s.train, s.validation, s.test}), range(n));
      EXPECT_NEAR(static_cast<double>(s.test.size()), test * static_cast<double>(n), 0.5 + 1e-9);
      for (std::int32_t label = 0; label < 3; ++label) {
        const auto all = static_cast<double>(std::count(y.begin(), y.end(), label));
        EXPECT_LT(std::abs(static_cast<double>(count(s.test, y, label)) - test * all), 1.0 + 1e-9);
        EXPECT_LT(std::abs(static_cast<double>(count(s.validation, y, label)) - validation * all), 1.0 + 1e-9);
      }
    }
  }
}

TEST(Folds, AreDisjointStratifiedAndCoverEverything) {
  for (const std::int64_t n : {5, 23, 100, 997}) {
    const auto y = classes_of(n);
    Assignment parts;
    for (std::int64_t fold = 0; fold < 5; ++fold) {
      const Split s = split_by_fold(single(y), 5, fold, 0.2, 9, "north");
      EXPECT_EQ(joined({s.train, s.validation, s.test}), range(n));
      EXPECT_NEAR(static_cast<double>(s.validation.size()), 0.2 * static_cast<double>(n - std::ssize(s.test)), 0.5 + 1e-9);
      parts.push_back(s.test);
    }
    EXPECT_EQ(joined(parts), range(n));  // each record is in exactly one
    for (std::int32_t label = 0; label < 3; ++label) {
      std::vector<std::int64_t> held;
      for (const auto& part : parts) held.push_back(count(part, y, label));
      EXPECT_LE(*std::max_element(held.begin(), held.end()) - *std::min_element(held.begin(), held.end()), 1);
    }
    const auto [least, most] =
        std::minmax_element(parts.begin(), parts.end(), [](const auto& p, const auto& q) { return p.size() < q.size(); });
    EXPECT_LE(most->size() - least->size(), 1u);
  }
}

TEST(Folds, ArePureFunctionsOfSeedAndSite) {
  const auto y = classes_of(100);
  const auto test = [&](std::int64_t fold, double validation, std::uint64_t seed, const char* site) {
    return split_by_fold(single(y), 4, fold, validation, seed, site).test;
  };
  EXPECT_EQ(test(1, 0.2, 1, "north"), test(1, 0.2, 1, "north"));
  EXPECT_EQ(test(1, 0.2, 1, "north"), test(1, 0.0, 1, "north"));  // validation is taken from the rest
  EXPECT_NE(test(1, 0.2, 1, "north"), test(1, 0.2, 2, "north"));
  EXPECT_NE(test(1, 0.2, 1, "north"), test(1, 0.2, 1, "south"));
  EXPECT_NE(test(1, 0.2, 1, "north"), test(2, 0.2, 1, "north"));
  for (const auto& [folds, fold] : {std::pair{1, 0}, {0, 0}, {4, 4}, {4, -1}})
    message_of(Errc::kInvalidArgument, [&, f = folds, i = fold] { split_by_fold(single(y), f, i, 0.1, 1, "north"); });
}

TEST(Folds, GroupsStayTogether) {
  const auto y = classes_of(300);
  std::vector<std::int64_t> groups;
  for (std::int64_t i = 0; i < 300; ++i) groups.push_back(i * 7 % 90);
  const auto splits_of_groups = [&](const Units& units) {
    const Split s = split_by_fold(units, 5, 3, 0.2, 9, "north");
    std::vector<std::set<int>> of(90);
    int which = 0;
    for (const auto* part : {&s.train, &s.validation, &s.test}) {
      for (const std::int64_t r : *part) of[static_cast<std::size_t>(groups[static_cast<std::size_t>(r)])].insert(which);
      ++which;
    }
    return std::max_element(of.begin(), of.end(), [](auto& a, auto& b) { return a.size() < b.size(); })->size();
  };
  EXPECT_EQ(splits_of_groups(make_units(range(300), y, groups)), 1u);
  EXPECT_GT(splits_of_groups(single(y)), 1u);  // control
}

TEST(Split, DependsOnSeedAndSite) {
  const auto y = classes_of(100);
  const auto test = [&](std::uint64_t seed, const char* site) { return split_units(single(y), 0.2, 0.2, seed, site).test; };
  EXPECT_EQ(test(1, "north"), test(1, "north"));
  EXPECT_NE(test(1, "north"), test(2, "north"));
  EXPECT_NE(test(1, "north"), test(1, "south"));
}

TEST(Split, GroupsStayTogether) {
  const auto y = classes_of(300);
  std::vector<std::int64_t> groups;
  for (std::int64_t i = 0; i < 300; ++i) groups.push_back(i * 7 % 90);
  const Units units = make_units(range(300), y, groups);
  EXPECT_EQ(units.records.size(), 90u);
  const auto sides = [&](const Assignment& a) {
    std::vector<std::set<std::size_t>> of(90);
    for (std::size_t p = 0; p < a.size(); ++p)
      for (const std::int64_t r : a[p]) of[static_cast<std::size_t>(groups[static_cast<std::size_t>(r)])].insert(p);
    return std::max_element(of.begin(), of.end(), [](auto& x, auto& z) { return x.size() < z.size(); })->size();
  };
  const Split s = split_units(units, 0.2, 0.2, 9, "north");
  EXPECT_EQ(joined({s.train, s.validation, s.test}), range(300));
  EXPECT_EQ(sides({s.train, s.validation, s.test}), 1u);
  EXPECT_EQ(sides(partition_evenly(units, 3, 1, "partition")), 1u);
  EXPECT_EQ(sides(partition_by_label_skew(units, 3, 1.0, 1)), 1u);
  const Split apart = split_units(single(y), 0.2, 0.2, 9, "north");
  EXPECT_GT(sides({apart.train, apart.validation, apart.test}), 1u);  // control: without groups they do mix
}

TEST(Units, AGroupHasTheClassOfMostOfItsRecords) {
  const std::vector<std::int32_t> y{1, 0, 1, 2, 0, 2, 1};
  const std::vector<std::int64_t> groups{0, 0, 0, 1, 1, 2, 2};
  EXPECT_THAT(make_units(range(7), y, groups).strata, ElementsAre(1, 0, 1));
}

}  // namespace
}  // namespace sutura
