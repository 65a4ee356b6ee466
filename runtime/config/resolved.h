#pragma once
#include <string>

namespace sutura {

/// kShared keys are part of the plan that all parties must agree on; kLocal ones (paths, sockets, compute) are not.
enum class Scope { kShared, kLocal };

/// A key of the study with the value that counts and where it came from.
struct OriginLine {
  std::string key;     ///< dotted path: training.batch_size, topology.parties[0].name
  std::string value;   ///< canonical text
  std::string origin;  ///< "study.yaml:14:3", "override" or "default"
  Scope scope = Scope::kShared;
};

}  // namespace sutura
