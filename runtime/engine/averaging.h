#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "runtime/engine/executor.h"

namespace sutura {

/// Round end: averages what the schedule says, weighted by training records (McMahan et al. 2017; statistics of
/// normalisation layers included), summed in lane order. Replicas send their copy to the server and take the mean back;
/// copies held in one place are averaged in place. A lane that fails here is dropped.
///
/// The server keeps the last means for sites that join later: with initial weights such a site would pull the next mean back
/// toward the beginning, by its share of the records. Threads: one.
class Averaging {
 public:
  explicit Averaging(Executor& executor) : executor_(executor) {}
  void end_round(std::int64_t round);
  /// A lane has joined after the first round: the server gives it the last means, the site itself takes them. What is not
  /// averaged begins fresh there, and so do its optimizers.
  void admit(std::uint32_t lane, std::int64_t round);

 private:
  void average_at_server(const WeightsEdge& in, const WeightsEdge& out, std::int64_t round);
  void average_here(const std::string& segment);
  /// Sends or, at the site, takes one averaged segment.
  void give(const WeightsEdge& out, std::uint32_t lane, std::uint64_t step);
  void take(const WeightsEdge& out, std::uint32_t lane, std::uint64_t step);
  template <class Each>
  void each_pair(Each each);

  Executor& executor_;
  std::map<std::string, Tensor> means_;  ///< server: by segment, of the last round
};

}  // namespace sutura
