#pragma once
#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace sutura {

/// Parties' identifiers: each holds the shared ones, others that some but not all hold, and its own, in an order of its own.
struct People {
  std::vector<std::vector<std::string>> identifiers;

  People(std::size_t parties, int each, int shared, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const std::string prefix = "patient-" + std::to_string(random()) + "-";
    for (std::size_t p = 0; p < parties; ++p) {
      std::vector<std::string>& ids = identifiers.emplace_back();
      for (int i = 0; i < shared; ++i) ids.push_back(prefix + std::to_string(i));
      // A pair of neighbours shares the first third of the rest with each other.
      for (int i = 0; i < (each - shared) / 3 && parties > 2; ++i)
        ids.push_back(prefix + "pair" + std::to_string(p / 2) + "-" + std::to_string(i));
      while (std::ssize(ids) < each) ids.push_back(prefix + "own" + std::to_string(p) + "-" + std::to_string(ids.size()));
      std::ranges::shuffle(ids, random);
    }
  }
  /// By plain set intersection, sorted.
  std::vector<std::string> common() const {
    std::vector<std::string> all = identifiers[0];
    std::ranges::sort(all);
    for (std::vector<std::string> ids : identifiers) {
      std::ranges::sort(ids);
      std::vector<std::string> both;
      std::ranges::set_intersection(all, ids, std::back_inserter(both));
      all = std::move(both);
    }
    return all;
  }
};

}  // namespace sutura
