#pragma once
#include <string>
#include <vector>

#include "runtime/config/load_study.h"
#include "runtime/data/dataset.h"

namespace sutura {

/// A study derived from another, and the records that it runs on, as simulate() takes them. Tensors may share the memory
/// of the records that it was made from.
struct Baseline {
  LoadedStudy loaded;
  std::vector<SiteData> sites;
};

/// True if the study's sites hold records of their own (one replica of a party per site); false if parties hold parts of
/// the same records.
bool joins_sites(const StudyConfig& study);

/// The same network, unsplit, trained with the same settings on the records of `site` alone. No guard, no noise, and no
/// schedule, since there is nobody to take turns with.
Baseline site_alone(const LoadedStudy& loaded, const SiteData& site);
/// The same on the records of all sites together, each standardised by its own site as in the study.
Baseline sites_pooled(const LoadedStudy& loaded, const std::vector<SiteData>& sites);
/// What is left of the network when one party has nobody to join, trained on that party's part of the records, to which
/// the labels were brought. Errors: kConfig as alone() of runtime/topology/one_place.h.
Baseline party_alone(const LoadedStudy& loaded, const std::vector<SiteData>& sites, const std::string& party);

/// The study as if all parts of the records lay in one place: nothing is guarded, rounded or late. Split and unsplit
/// training give the same weights, so the graph and the records stay as they are.
LoadedStudy parts_pooled(const LoadedStudy& loaded);
/// True if parts_pooled() would repeat the study itself.
bool hides_nothing(const StudyConfig& study);

}  // namespace sutura
