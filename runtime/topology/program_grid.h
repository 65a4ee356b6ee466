#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

/// What the parties do at one moment, by party: empty where a party waits or has finished.
using GridRow = std::vector<std::optional<Instruction>>;

/// The programs of one purpose side by side, one micro-batch of one site: in each row every party that can go on does its
/// next instruction, and a message can be received in the row after it was sent. Needs a plan that rehearse() passes.
std::vector<GridRow> program_grid(const Plan& plan, Purpose purpose);

/// "FORWARD front", "SEND front>tail (gradient)".
std::string instruction_text(const Plan& plan, const Instruction& i);
std::string op_name(OpCode op);
std::string purpose_name(Purpose purpose);

/// The grids of every purpose that the plan has, with a column per party; no line is wider than `width` characters, cells
/// that do not fit go on in the next line.
std::string grid_text(const Plan& plan, std::size_t width = 160);

}  // namespace sutura
