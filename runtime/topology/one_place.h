#pragma once
#include <string>
#include <vector>

#include "runtime/config/study.h"

namespace sutura {

/// Parties with a features source, in the order of the sources.
std::vector<std::string> feature_holders(const TopologyConfig& topology);

/// The same graph with every node at one client, `party`: the unsplit network. No route crosses parties, so nothing is
/// guarded and nothing is delivered.
TopologyConfig at_one_place(TopologyConfig topology, const std::string& party);

/// What is left of the graph when `party` has nobody to join: the features sources of all others go, then every node that
/// nothing reaches any more; a join with one input left becomes a plain route. Everything else, labels included, moves to
/// `party`. Errors: kConfig if the party has no features source, or its features do not reach a loss.
TopologyConfig alone(const TopologyConfig& topology, const std::string& party);

}  // namespace sutura
