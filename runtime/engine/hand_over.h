#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "runtime/engine/executor.h"
#include "runtime/trust/roster.h"

namespace sutura {

/// This site's key pair and the others' public keys: for whom it seals what it hands on.
struct SealKeys {
  Identity self;
  Roster peers;
};

/// Segments handed from site to site (schedule.hand_on; Gupta & Raskar 2018, lessons.md 3.5): weights, statistics of
/// normalisation layers and the optimizer's state, so that the next site goes on where the last one stopped.
///
/// A site seals its copy for all sites; the server keeps the last one that a turn completed (the committed version) and gives it
/// to whoever's turn begins. While a site has its turn it holds the lease: if it is lost, its turn ends and the next site gets the
/// committed version again. The server sees sizes, versions and who handed over. Threads: one.
class HandOver {
 public:
  /// `keys`: of a site; nullptr at parties that hold no handed-on segment.
  HandOver(Executor& executor, const SealKeys* keys, std::uint64_t run) : executor_(executor), keys_(keys), run_(run) {}

  /// True if this party takes part in hand-overs.
  bool needed() const;
  /// A lane's turn begins: it takes the committed version over. `turn` counts the turns of the whole run.
  void begin_turn(std::uint32_t lane, std::int64_t turn) { give_and_take(lane, turn, Phase::kBegin); }
  /// A lane's turn is over: it hands on what it holds.
  void end_turn(std::uint32_t lane, std::int64_t turn);
  /// Round end: every site takes the committed version, so that all evaluate the same weights.
  void spread(std::int64_t turn);
  /// Server: a site joined again with nothing in memory; it holds no version any more.
  void forget(std::uint32_t lane);

 private:
  enum class Phase : std::uint64_t { kBegin = 0, kEnd = 1, kSpread = 2 };
  struct Version {
    std::int64_t turn = -1;  ///< -1: the weights that everybody starts from
    std::int64_t lane = -1;
    Bytes sealed;
  };
  bool at_server() const;
  Tag tag(const WeightsEdge& edge, std::int64_t turn, Phase phase) const;
  void give_and_take(std::uint32_t lane, std::int64_t turn, Phase phase);
  void give(const WeightsEdge& edge, std::uint32_t lane, const Tag& tag);
  void take(const WeightsEdge& edge, const Tag& tag);
  Bytes header(const WeightsEdge& edge, std::int64_t turn, std::int64_t lane) const;

  Executor& executor_;
  const SealKeys* keys_;
  std::uint64_t run_;
  std::map<std::string, Version> committed_;  ///< server: by segment
  /// Turn whose version a lane holds, by (segment, lane); server: of all lanes, site: of its own.
  std::map<std::pair<std::string, std::uint32_t>, std::int64_t> held_;
};

/// Largest sealed version of a segment with so many parameters, for so many sites.
std::int64_t largest_hand_over_bytes(std::int64_t parameters, std::size_t sites);

}  // namespace sutura
