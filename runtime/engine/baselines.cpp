#include "runtime/engine/baselines.h"

#include <algorithm>

#include "core/error.h"
#include "runtime/engine/study_records.h"
#include "runtime/engine/study_run.h"
#include "runtime/topology/one_place.h"

namespace sutura {
namespace {

const PartyConfig* replicated_party(const TopologyConfig& t) {
  const auto it = std::ranges::find(t.parties, Count::kMany, &PartyConfig::count);
  return it == t.parties.end() ? nullptr : &*it;
}

PrivacyConfig unguarded(const PrivacyConfig& study) {
  PrivacyConfig p;
  p.mechanism = Mechanism::kNone;
  p.because = "a baseline of a comparison: nothing leaves, or nothing is hidden on purpose";
  p.labels = study.labels;
  return p;
}

StudyConfig without_guards(StudyConfig study) {
  study.privacy = unguarded(study.privacy);
  study.wire = {};
  study.training.stale = 0;
  study.topology.deliver.clear();
  return study;
}

/// The settings are no longer those of the file: the run's folder and the plan digest say so.
LoadedStudy derived(const LoadedStudy& from, StudyConfig config, const std::string& what) {
  LoadedStudy loaded = from;
  loaded.config = std::move(config);
  loaded.resolved.push_back({"compare.baseline", what, "derived from the study", Scope::kShared});
  return loaded;
}

LoadedStudy at_one_site(const LoadedStudy& loaded, const std::string& name, const std::string& what) {
  const PartyConfig* party = replicated_party(loaded.config.topology);
  require(party != nullptr, Errc::kInternal, "a study without replicas has no sites to compare");
  StudyConfig study = without_guards(loaded.config);
  study.topology = at_one_place(study.topology, party->name);
  study.schedule = {};
  study.data.sites = {name};
  return derived(loaded, std::move(study), what);
}

}  // namespace

bool joins_sites(const StudyConfig& study) { return replicated_party(study.topology) != nullptr; }

Baseline site_alone(const LoadedStudy& loaded, const SiteData& site) {
  Baseline b{at_one_site(loaded, site.name, "site " + site.name + " alone"), {}};
  b.sites.push_back(party_view(b.loaded.config, site, b.loaded.config.topology.parties[0].name));
  return b;
}

Baseline sites_pooled(const LoadedStudy& loaded, const std::vector<SiteData>& sites) {
  Baseline b{at_one_site(loaded, "pooled", "all sites pooled"), {}};
  b.sites.push_back(pooled_sites(sites, "pooled"));
  return b;
}

Baseline party_alone(const LoadedStudy& loaded, const std::vector<SiteData>& sites, const std::string& party) {
  StudyConfig study = without_guards(loaded.config);
  study.topology = alone(study.topology, party);
  study.schedule = {};
  Baseline b;
  b.sites.push_back(records_of_party(loaded.config, sites, party));
  // The records already are the party's own view.
  const auto dims = b.sites[0].train.features.shape().dims();
  study.data.record_shape.assign(dims.begin() + 1, dims.end());
  study.data.party_columns.clear();
  study.data.party_shapes.clear();
  b.loaded = derived(loaded, std::move(study), "party " + party + " alone");
  return b;
}

LoadedStudy parts_pooled(const LoadedStudy& loaded) {
  return derived(loaded, without_guards(loaded.config), "all parts in one place");
}

bool hides_nothing(const StudyConfig& study) {
  return study.privacy.mechanism == Mechanism::kNone && study.wire.activation == Codec::kFloat32 &&
         study.wire.gradient == Codec::kFloat32 && study.training.stale == 0;
}

}  // namespace sutura
