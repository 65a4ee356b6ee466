#include "runtime/topology/program_grid.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::size_t kGap = 2;

/// Words of the text in lines of at most `width`; a word that is longer is broken.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines(1);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    while (lines.back().size() + word.size() > width) {
      const std::size_t room = width - lines.back().size();
      lines.back() += word.substr(0, room);
      word.erase(0, room);
      lines.emplace_back();
    }
    lines.back() += word;
  }
  return lines;
}

/// Cells side by side, each in its column; trailing spaces are left out.
std::string row_text(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
  std::vector<std::vector<std::string>> lines;
  std::size_t height = 0;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    lines.push_back(wrapped(cells[c], widths[c]));
    height = std::max(height, lines.back().size());
  }
  std::string text;
  for (std::size_t l = 0; l < height; ++l) {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      std::string part = l < lines[c].size() ? lines[c][l] : "";
      part.resize(widths[c], ' ');
      line += std::string(kGap, ' ') + part;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::vector<GridRow> program_grid(const Plan& plan, Purpose purpose) {
  const std::size_t parties = plan.topology.parties.size();
  std::vector<std::vector<Instruction>> lists(parties);
  for (std::size_t p = 0; p < parties; ++p)
    for (const auto& turn : plan.program(static_cast<int>(p), purpose).turns) lists[p].insert(lists[p].end(), turn.begin(), turn.end());
  std::vector<std::size_t> next(parties, 0);
  std::set<std::pair<int, Leg>> arrived;
  std::vector<GridRow> rows;
  for (;;) {
    GridRow row(parties);
    std::set<std::pair<int, Leg>> sent;
    for (std::size_t p = 0; p < parties; ++p) {
      if (next[p] == lists[p].size()) continue;
      const Instruction& i = lists[p][next[p]];
      if (i.op == OpCode::kReceive && !arrived.contains({i.edge, i.leg})) continue;
      if (i.op == OpCode::kSend) sent.emplace(i.edge, i.leg);
      row[p] = i;
      ++next[p];
    }
    if (std::ranges::none_of(row, [](const auto& cell) { return cell.has_value(); })) break;
    arrived.merge(sent);
    rows.push_back(std::move(row));
  }
  for (std::size_t p = 0; p < parties; ++p) require(next[p] == lists[p].size(), Errc::kInternal, "a grid of programs that cannot go on");
  return rows;
}

std::string op_name(OpCode op) {
  static constexpr const char* kNames[] = {"LOAD", "RECEIVE", "STORE", "FETCH", "FORWARD", "FIT",
                                           "JOIN", "RELEASE", "SEND", "LOSS", "BACKWARD", "SPLIT"};
  return kNames[static_cast<int>(op)];
}

std::string purpose_name(Purpose purpose) {
  static constexpr const char* kNames[] = {"train", "evaluate", "upload", "local evaluation"};
  return kNames[static_cast<int>(purpose)];
}

std::string instruction_text(const Plan& plan, const Instruction& i) {
  const std::string target = i.edge >= 0 ? plan.edges[static_cast<std::size_t>(i.edge)].text
                                         : plan.topology.nodes[static_cast<std::size_t>(i.node)].name;
  return op_name(i.op) + " " + target + (i.edge >= 0 && i.leg == Leg::kBackward ? " (gradient)" : "");
}

std::string grid_text(const Plan& plan, std::size_t width) {
  std::string text;
  for (const Purpose purpose : {Purpose::kTrain, Purpose::kEvaluate, Purpose::kUpload, Purpose::kLocalEvaluate}) {
    const std::vector<GridRow> rows = program_grid(plan, purpose);
    if (rows.empty()) continue;
    std::vector<std::vector<std::string>> table(1);
    for (const PartyConfig& p : plan.topology.parties) table[0].push_back(p.name);
    for (const GridRow& row : rows) {
      table.emplace_back();
      for (const auto& cell : row) table.back().push_back(cell ? instruction_text(plan, *cell) : "");
    }
    const std::size_t share = std::max<std::size_t>(10, width / table[0].size()) - kGap;
    std::vector<std::size_t> widths(table[0].size(), 1);
    for (const auto& cells : table)
      for (std::size_t c = 0; c < cells.size(); ++c) widths[c] = std::min(share, std::max(widths[c], cells[c].size()));
    text += purpose_name(purpose) + "\n";
    for (const auto& cells : table) text += row_text(cells, widths);
  }
  return text;
}

}  // namespace sutura
