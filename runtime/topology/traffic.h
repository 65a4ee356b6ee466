#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

/// How a value of one leg crosses: "int8 rows", "bf16", "int32".
std::string wire_text(const Edge& edge, Leg leg, const StudyConfig& study);
/// Bytes of one record's value on a leg, without headers: `elements` numbers as the study's guard or codec writes them.
std::int64_t value_bytes(GuardKind guard, Codec codec, DType guarded, std::int64_t elements);
std::int64_t record_bytes(const Edge& edge, Leg leg, const StudyConfig& study);

/// Training messages of one leg of an edge, over all sites. Bytes are whole frames: header, tensor descriptors and values;
/// without the link's acknowledgements and the transport's own framing.
struct LegTraffic {
  int edge = -1;
  Leg leg = Leg::kForward;
  std::string wire;
  std::int64_t record_bytes = 0;      ///< values of one record
  std::int64_t messages_per_step = 0;  ///< of a full step; 0 with release-once, where each record travels once
  std::int64_t step_bytes = 0;
  std::int64_t epoch_bytes = 0;        ///< with release-once: of the upload, once per run
};
/// Weights of one edge outside of steps, over all sites: each round, or once at the end of the run.
struct WeightsTraffic {
  int weights = -1;  ///< index in Plan::weights
  std::int64_t bytes = 0;  ///< values and, for a hand-over, the optimizer's state; without headers and seals
};
struct Traffic {
  std::int64_t records = 0;  ///< training records over all sites that an epoch has
  std::int64_t steps = 0;    ///< of such an epoch
  std::vector<LegTraffic> legs;
  std::vector<WeightsTraffic> weights;
};

/// What training sends, for an epoch of `records` training records dealt out evenly to the sites.
/// Errors: kInvalidArgument for fewer than one record.
Traffic count_traffic(const Plan& plan, const StudyConfig& study, const Segments& segments, std::int64_t records);

}  // namespace sutura
