#pragma once
#include <algorithm>
#include <string>

#include "runtime/topology/plan.h"

// What parties tell beside activations, gradients, labels and weights. The egress list and a site's policy both ask here, so that
// nothing can be listed and not asked for, or the other way round.
namespace sutura {

/// True if a server takes part: then every party tells it numbers of records, backend and version.
inline bool is_served(const Plan& plan) {
  const auto& parties = plan.topology.parties;
  return parties.size() > 1 && std::ranges::any_of(parties, [](const PartyConfig& p) { return p.role == Role::kServer; });
}

/// True if this party tells the server its validation figure after each pass: it holds the loss, and the study stops early or keeps
/// the best weights.
inline bool tells_validation(const Plan& plan, const StudyConfig& study, int party) {
  const bool selects = study.training.keep == Keep::kBest || study.training.patience > 0;
  return selects && is_served(plan) && !plan.release_once && plan.party_of(plan.loss_node) == party &&
         plan.topology.parties[static_cast<std::size_t>(party)].role == Role::kClient;
}

/// True if this party's file is aligned with those of others before training.
inline bool aligns(const StudyConfig& study, const std::string& party) {
  return study.data.party_tables.size() > 1 && study.data.party_tables.contains(party);
}

}  // namespace sutura
