#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "runtime/config/study.h"

/// Every topology with every schedule that has a meaning for it, as a table: what the studies of the equivalence tests, in one
/// process and over sockets, are made from. Test code may know the names; the engine does not.
namespace sutura::testing {

/// Where a segment lies: at the sites, which hold a copy each, or at one party.
struct Place {
  std::string segment, party;  ///< party empty: the sites
  bool at_sites() const { return party.empty(); }
};

/// A chain of segments; `cuts` are those of the network of chain_network().
struct Chain {
  std::string topology;  ///< a file of configs/topologies
  std::vector<std::string> cuts;
  std::vector<Place> places;  ///< in the order of the forward pass
  std::string loss_party;     ///< empty: the sites
  /// Parties beside the sites and the server.
  std::vector<std::string> partners() const;
};

/// What a schedule does at round end with a segment's copies.
enum class Sharing { kOwn, kAveraged, kHandedOn };
struct Preset {
  std::string name, visit, tail;
  Visit order;
  Sharing sites;   ///< of segments at the sites
  Sharing others;  ///< of all others, which have a copy per site only with tail: per_client
};

struct Pair {
  Chain chain;
  Preset preset;
  std::size_t sites;
  std::string name() const { return chain.topology + "_" + preset.name + "_" + std::to_string(sites) + "_sites"; }
  friend void PrintTo(const Pair& p, std::ostream* out) { *out << p.name(); }
};

/// Names of up to five sites.
std::vector<std::string> site_names(std::size_t count);
/// All pairs that the table of docs/topologies.md calls valid, each with so many sites. Topologies without sites are not here.
std::vector<Pair> every_pair(const std::vector<std::size_t>& sites);
/// A preset by name, to change it. Throws std::out_of_range.
const Preset& preset(const std::string& name);
const Chain& chain(const std::string& topology);

/// "zoo: mlp, hidden: [7, 6, 5], cuts: [...]".
std::string network_text(const Chain& chain);
/// "{visit: ..., tail: ..., average: [...]}" with the chain's segments in the lists.
std::string schedule_text(const Pair& pair);

/// A vertical study: holders of columns, a join, a body at the server, and a head at the server or at the first holder, who also
/// holds the labels (a vertical U).
struct Columns {
  std::size_t holders;
  std::string join;
  JoinKind kind;
  Place head;
  std::vector<std::int64_t> columns;  ///< of each holder; all different
  std::string name() const;
  std::string holder(std::size_t k) const { return "holder_" + std::to_string(k); }
  /// Outputs of a holder's front.
  std::int64_t width(std::size_t k) const;
  friend void PrintTo(const Columns& c, std::ostream* out) { *out << c.name(); }
};

/// 2, 3 and 5 holders of 15 columns in all, all joins, the head here and there.
std::vector<Columns> every_join();
/// A topology section of its own.
std::string topology_text(const Columns& c);
/// "segments: {...}".
std::string network_text(const Columns& c);
/// "party_columns: {...}, party_shapes: {...}" from the names of all columns.
std::string columns_text(const Columns& c, const std::vector<std::string>& names);

}  // namespace sutura::testing
