#pragma once
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

/// Writes every party's program of every purpose. `order` is sorted_nodes(); needs wiring, gradients, edges and weights of
/// the plan.
void write_programs(Plan& plan, const std::vector<int>& order);

}  // namespace sutura
