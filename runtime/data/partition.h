#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/random/philox.h"

namespace sutura {

/// Record numbers, ascending, of every site in order. Each record is in exactly one place.
using Assignment = std::vector<std::vector<std::int64_t>>;

/// What partitions and splits deal out: single records, or groups of records that must stay together (one patient).
struct Units {
  std::vector<std::vector<std::int64_t>> records;  ///< record numbers of each unit
  std::vector<std::int32_t> strata;                ///< class of each unit: the most frequent, the smaller on a tie
};
/// Units of the records `chosen`. `strata` and `groups` are indexed by record; empty `groups`: each record is a unit.
Units make_units(std::span<const std::int64_t> chosen, std::span<const std::int32_t> strata,
                 std::span<const std::int64_t> groups);

/// Deals the units over the sites, class by class: a class's units, and all units, differ by at most one between sites.
/// Numbers: a pure function of its arguments; `stream` names the purpose.
Assignment partition_evenly(const Units& units, std::size_t sites, std::uint64_t seed, std::string_view stream);
/// Record i goes to the site whose name is texts[i]. `place` turns a record into "FILE row N, column 'C'" for messages.
/// Errors: kData with the place for a text that is no site.
Assignment partition_by_text(std::span<const std::string> texts, std::span<const std::string> sites,
                             const std::function<std::string(std::int64_t)>& place);
/// For every class, shares of the sites are drawn from Dirichlet(alpha, ..., alpha): small alpha, strong skew.
/// Numbers: a pure function of its arguments up to the last bit of libm's log and exp.
/// Source: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution".
Assignment partition_by_label_skew(const Units& units, std::size_t sites, double alpha, std::uint64_t seed);

struct Split {
  std::vector<std::int64_t> train, validation, test;  ///< record numbers, ascending
};
/// Cuts a site's units, stratified: each class's share of a split is its exact share rounded up or down.
/// Units: fractions of the units, in [0, 1) with a sum below 1.
Split split_units(const Units& units, double validation_fraction, double test_fraction, std::uint64_t seed,
                  std::string_view site);

/// As split_units, for cross-validation: the test records are part `fold` of `folds` parts of the units, dealt out class
/// by class so that a class's units, and all units, differ by at most one between parts; validation records are that
/// share of the other units.
/// Numbers: the parts are disjoint, cover all units and do not depend on `fold`; all is a pure function of the arguments.
/// Errors: kInvalidArgument unless 2 <= folds and 0 <= fold < folds.
Split split_by_fold(const Units& units, std::int64_t folds, std::int64_t fold, double validation_fraction, std::uint64_t seed,
                    std::string_view site);

/// Logarithm of a Gamma(alpha, 1) variate; in logarithms a small alpha cannot underflow.
/// Source: Marsaglia, Tsang 2000, "A simple method for generating gamma variables" (with their boost for alpha < 1).
double log_gamma_variate(double alpha, PhiloxStream& stream);

}  // namespace sutura
