#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/dataset.h"

namespace sutura {

/// Refuses fractions and folds that contradict each other, whatever the records come from. Errors: kConfig.
void check_splits(const DataConfig& config);

/// Reads the data of every site of the study, in the order of data.sites: for simulations and oracles.
/// Where "{site}" stands in the path, each site has a file of its own and nothing is dealt out; otherwise one pooled
/// file is partitioned. Validation and test records come from the arrays that are named, or else are cut from the
/// site's own; with data.folds the test records are one part of a cross-validation. Every record carries its row number
/// in the source. Numbers: a pure function of files, configuration and seed; standardised per site. Errors: kConfig for
/// settings that contradict each other; kData with file and place for an unusable file, for a site without training
/// records, and for a pooled file whose training records are all of one class.
std::vector<SiteData> load_sites(const DataConfig& config, std::uint64_t seed);
/// The data of one site: the very records that load_sites gives it.
SiteData load_site(const DataConfig& config, std::uint64_t seed, const std::string& site);

/// One party's part of a site's table: the features from `columns` of the file alone, in the order of `columns`, with
/// all labels. The other columns are not encoded, so nothing of them stays in memory; splits and records are those of
/// load_site. Errors: also kConfig for a column that gives no feature or is listed twice, and without a table.
SiteData load_columns(const DataConfig& config, std::uint64_t seed, const std::string& site,
                      const std::vector<std::string>& columns);

/// The same of a site that is in memory whole, for simulations. Errors: kConfig for a column that gives no feature or is
/// listed twice.
SiteData select_columns(const SiteData& site, const std::vector<std::string>& columns);

}  // namespace sutura
