#include "runtime/engine/study_records.h"

#include <cstring>

#include "core/error.h"
#include "runtime/data/load.h"
#include "runtime/engine/aligned.h"
#include "runtime/engine/study_run.h"

namespace sutura {
namespace {

/// The rows of all, one below the other; sites without records of this split are passed over.
Tensor stacked(const std::vector<const Tensor*>& parts) {
  const Tensor* first = nullptr;
  std::int64_t rows = 0;
  for (const Tensor* p : parts) {
    if (!p->defined() || p->shape()[0] == 0) continue;
    if (first == nullptr) first = p;
    require(p->dtype() == first->dtype() && p->shape().with_batch(1) == first->shape().with_batch(1), Errc::kData,
            "the records of the sites differ in shape");
    rows += p->shape()[0];
  }
  if (first == nullptr) return {};
  Tensor all(first->shape().with_batch(rows), first->dtype());
  std::size_t at = 0;
  for (const Tensor* p : parts) {
    if (!p->defined() || p->shape()[0] == 0) continue;
    std::memcpy(all.bytes().data() + at, p->data(), p->bytes_size());
    at += p->bytes_size();
  }
  return all;
}

}  // namespace

std::vector<SiteData> load_study_records(const StudyConfig& study) {
  if (study.data.party_tables.empty()) return load_sites(study.data, study.seed);
  std::vector<SiteData> cohort;
  cohort.push_back(aligned_in_memory(study));
  return cohort;
}

SiteData records_of_party(const StudyConfig& study, const std::vector<SiteData>& sites, const std::string& party) {
  return party_view(study, sites.at(0), party);
}

SiteData pooled_sites(const std::vector<SiteData>& sites, const std::string& name) {
  SiteData pool;
  pool.name = name;
  pool.classes = sites.at(0).classes;
  pool.feature_names = sites[0].feature_names;
  pool.feature_columns = sites[0].feature_columns;
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
    std::vector<const Tensor*> features, labels;
    for (const SiteData& s : sites) {
      features.push_back(&(s.*split).features);
      labels.push_back(&(s.*split).labels);
    }
    (pool.*split).features = stacked(features);
    (pool.*split).labels = stacked(labels);
  }
  return pool;
}

}  // namespace sutura
