#pragma once
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/dataset.h"

namespace sutura {

/// The records of a whole study in one process, as simulate() takes them. Errors: those of load_sites().
std::vector<SiteData> load_study_records(const StudyConfig& study);

/// The part of the records that `party` of a study without replicas holds, with the labels, wherever they lie. Tensors may
/// share the memory of `sites`.
SiteData records_of_party(const StudyConfig& study, const std::vector<SiteData>& sites, const std::string& party);

/// One site that holds copies of the records of all, in the order of `sites`. They have no place in a file of their own:
/// no source rows.
SiteData pooled_sites(const std::vector<SiteData>& sites, const std::string& name);

}  // namespace sutura
