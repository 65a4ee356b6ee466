#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

/// What the holder of records computes, keeps and exchanges with one possible cut, per record of a training step: all that is
/// at the party, whether the cut changes it or not.
struct CutCost {
  std::string party;
  std::string after;              ///< layer after which the values leave the party
  bool study = false;             ///< the cut that the study makes
  double forward_flops = 0.0;     ///< of all layers at the party, 2 per multiply-add
  double backward_flops = 0.0;    ///< twice the forward of the layers that a gradient reaches: of the input and of the weights
  std::int64_t parameter_bytes = 0;  ///< float32, without gradients and optimizer state
  std::int64_t kept_bytes = 0;       ///< what forward keeps for backward, float32; 0 where nothing is trained
  std::int64_t up_bytes = 0;         ///< values without headers: activations, gradients and labels that leave
  std::int64_t down_bytes = 0;
};

/// The costs of every place at which each holder's chain of layers could first leave it: the holder's segment and the one
/// behind it are cut elsewhere, everything else stays as the study says (guards, codecs, frozen segments, later cuts).
/// Numbers  kept_bytes are measured by running the layers on zeros, on the CPU.
/// Errors   kConfig where no segment of a record holder feeds another party.
std::vector<CutCost> cut_costs(const Plan& plan, const StudyConfig& study, const Segments& segments);

}  // namespace sutura
