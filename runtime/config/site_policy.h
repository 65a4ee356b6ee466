#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/study.h"

namespace sutura {

/// What may leave a party. kCounts: numbers of records per split, numeric backend and software version. kMetrics: losses
/// and figures of the records here. kAlignment: what finds the common patients of party tables (blinded identifiers, set
/// sizes) and their splits.
enum class Carried { kActivation, kGradient, kLabels, kWeights, kCounts, kMetrics, kAlignment };
/// From weak to strong. kSealed: encrypted for another site, so that the server passes on what it cannot read.
enum class Protection { kClear, kSealed };

/// One line of what may leave. Only the members of its kind are read.
struct AllowedLine {
  Carried what = Carried::kCounts;
  std::string edge;                    ///< activation, gradient, labels: "front>tail"; a side that is * stands for every node
  std::string segment;                 ///< weights: * stands for every segment
  GuardKind guard = GuardKind::kRows;  ///< activation, gradient: the weakest that is accepted
  Protection protection = Protection::kSealed;  ///< weights: the weakest that is accepted
  std::string place;                            ///< "policy.yaml:14:7"
};

/// A setting and where it stands.
template <class T>
struct Placed {
  T value;
  std::string place;
};

/// What a hospital lets leave, whatever a study asks for. It belongs to the hospital alone: it is read from its own disk,
/// takes nothing from the study, and nothing that it does not list may leave.
struct SitePolicy {
  std::string name;
  std::string file;  ///< as shown to the user
  std::vector<AllowedLine> allow;
  std::optional<Placed<double>> maximum_epsilon;  ///< of the budget of any study that releases guarded rows
  std::optional<Placed<double>> maximum_delta;
  std::optional<Placed<std::vector<std::string>>> allowed_cuts;  ///< layers after which a cut may lie; absent: any
};

/// Reads a policy file as strictly as a study. Errors: kConfig with every finding, its line, a caret and a hint.
SitePolicy load_site_policy(const std::filesystem::path& path);

}  // namespace sutura
