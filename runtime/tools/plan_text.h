#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/engine/study_run.h"
#include "runtime/topology/cut_costs.h"
#include "runtime/topology/traffic.h"

namespace sutura {

/// Aligned tables for people, objects for programs.
std::string traffic_text(const Plan& plan, const Traffic& traffic);
std::string cuts_text(const std::vector<CutCost>& costs);

nlohmann::json programs_json(const Plan& plan);
nlohmann::json traffic_json(const Plan& plan, const Traffic& traffic);
nlohmann::json cuts_json(const std::vector<CutCost>& costs);
nlohmann::json egress_json(const std::vector<EgressLine>& lines);

}  // namespace sutura
