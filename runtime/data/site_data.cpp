#include "runtime/data/site_data.h"

#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/data/standardize.h"

namespace sutura {
namespace {

/// A study lists one constant for all numeric features or one for each of the whole source: those of `records`.
std::vector<double> constants_for(const std::vector<double>& listed, const Records& records) {
  if (listed.size() == 1) return listed;
  require(listed.size() == records.source_numbers, Errc::kConfig,
          "data.standardize: centre and scale need 1 value or " + std::to_string(records.source_numbers) +
              ", one per numeric feature; one of them has " + std::to_string(listed.size()));
  std::vector<double> out;
  for (const std::size_t position : records.number_positions) out.push_back(listed[position]);
  return out;
}

}  // namespace

Split split_of_study(const DataConfig& config, const Units& units, std::uint64_t seed, std::string_view site) {
  if (config.folds > 0) return split_by_fold(units, config.folds, config.fold, config.validation_fraction, seed, site);
  return split_units(units, config.validation_fraction, config.test_fraction, seed, site);
}

Dataset take(const Records& from, std::span<const std::int64_t> index) {
  Dataset out{gather_rows(from.features, index), from.labels.defined() ? gather_rows(from.labels, index) : Tensor(), {}};
  for (const std::int64_t i : index) out.source_rows.push_back(from.source_rows[static_cast<std::size_t>(i)]);
  return out;
}

SiteData describe(const Records& records, const Digest& digest, const std::string& numbering) {
  SiteData site;
  site.classes = records.classes;
  site.feature_names = records.feature_names;
  site.feature_columns = records.feature_columns;
  site.source_digest = digest;
  site.source_numbering = numbering;
  return site;
}

void standardise(const DataConfig& config, const Records& records, SiteData& site) {
  if (config.standardize == Standardize::kConstants)
    site.scaling = constant_scaling(records.kinds, constants_for(config.centre, records), constants_for(config.scale, records));
  if (config.standardize == Standardize::kTraining) site.scaling = training_scaling(records.kinds, site.train.features);
  for (Dataset* split : {&site.train, &site.validation, &site.test}) apply_scaling(site.scaling, split->features);
}

}  // namespace sutura
