#pragma once
#include <cstdint>
#include <span>

#include "runtime/config/study.h"
#include "runtime/data/dataset.h"
#include "runtime/data/partition.h"
#include "runtime/data/records.h"

namespace sutura {

/// The steps that every way of loading shares, once it is known which records a site has.

/// Cuts a site's units into training, validation and test by the folds or the fractions of the study.
Split split_of_study(const DataConfig& config, const Units& units, std::uint64_t seed, std::string_view site);
/// The records `index` of `from`, in that order, not yet standardised.
Dataset take(const Records& from, std::span<const std::int64_t> index);
/// A site without records: what describes its features, classes and source.
SiteData describe(const Records& records, const Digest& digest, const std::string& numbering);
/// Standardises all splits of a site whose features are those of `records`, by constants of the study or by its own
/// training records. Errors: as constant_scaling and apply_scaling.
void standardise(const DataConfig& config, const Records& records, SiteData& site);

}  // namespace sutura
