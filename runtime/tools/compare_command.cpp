#include "runtime/tools/compare_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "runtime/engine/compare.h"
#include "runtime/tools/console.h"

namespace sutura {
namespace {

constexpr std::size_t kMostSeeds = 1000;

struct CompareArguments {
  std::string config;
  std::vector<std::string> overrides;  ///< key=value
  std::string seeds;                   ///< empty: the study's own
  bool folds = false;
  bool json = false;
  bool quiet = false;
  std::string output;
};

std::uint64_t number_of(std::string_view text) {
  std::uint64_t v = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), v);
  require(failed == std::errc{} && end == text.data() + text.size() && !text.empty() && v <= INT64_MAX, Errc::kUsage,
          "--seeds takes whole numbers and ranges: 1,2,3 or 1..10");
  return v;
}

std::string fixed(const char* format, double v) {
  char text[32];
  std::snprintf(text, sizeof text, format, v);
  return text;
}

/// "0.8975 +- 0.0201"; without the spread of a single value; "3 of 10" where the figure is not determined for each seed.
std::string cell(const MeanSd& m, std::size_t seeds, const char* format) {
  if (!m.mean) return "-";
  std::string text = fixed(format, *m.mean);
  if (m.sd) text += fixed(" +- %.4f", *m.sd);
  if (static_cast<std::size_t>(m.n) < seeds) text += " (" + std::to_string(m.n) + " of " + std::to_string(seeds) + ")";
  return text;
}

std::vector<std::optional<double>> gains(const FigureKind& kind, const std::array<std::vector<std::optional<double>>, 3>& values) {
  std::vector<std::optional<double>> all;
  const auto& joint = values[static_cast<std::size_t>(Setting::kJoint)];
  const auto& alone = values[static_cast<std::size_t>(Setting::kAlone)];
  for (std::size_t i = 0; i < joint.size(); ++i) all.push_back(gain(kind, joint[i], alone[i]));
  return all;
}

std::string aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.at(0).size(), 0);
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string out;
  for (const auto& line : lines) {
    std::string row = " ";
    for (std::size_t i = 0; i < line.size(); ++i) row += " " + line[i] + std::string(widths[i] - line[i].size() + 1, ' ');
    row.erase(row.find_last_not_of(' ') + 1);
    out += row + "\n";
  }
  return out;
}

nlohmann::json values_json(const std::vector<std::optional<double>>& values) {
  const MeanSd m = mean_sd(values);
  const auto number = [](const std::optional<double>& v) { return v ? nlohmann::json(*v) : nlohmann::json(nullptr); };
  nlohmann::json j{{"mean", number(m.mean)}, {"sd", number(m.sd)}, {"values", nlohmann::json::array()}};
  for (const auto& v : values) j["values"].push_back(number(v));
  return j;
}

int compare_command(const CompareArguments& a) {
  const std::vector<std::uint64_t> seeds = a.seeds.empty() ? std::vector<std::uint64_t>{} : parse_seeds(a.seeds);
  watch_stop_signals();
  const StudyLoader load = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = a.overrides;
    all.insert(all.end(), more.begin(), more.end());
    return load_study(a.config, all);
  };
  const std::filesystem::path folder = !a.output.empty() ? std::filesystem::path(a.output)
                                                         : std::filesystem::path("runs") / (load({}).config.study + "-compare");
  CompareHooks hooks;
  hooks.stop_requested = [] { return stop_requested(); };
  if (!a.quiet)
    hooks.on_run = [](const std::string& what, std::optional<double> figure, std::int64_t done, std::int64_t of) {
      std::cerr << "run " << done << "/" << of << "  " << what << "  " << (figure ? fixed("%.4f", *figure) : "n/a") << std::endl;
    };
  const Comparison c = compare(load, seeds, a.folds ? Folds::kAll : Folds::kStudysOwn, folder, hooks);
  if (a.json)
    print_json(to_json(c).dump());
  else
    std::cout << comparison_text(c) << "written to " << folder.string() << "\n" << std::flush;
  return 0;
}

}  // namespace

std::vector<std::uint64_t> parse_seeds(const std::string& text) {
  std::vector<std::uint64_t> seeds;
  std::set<std::uint64_t> seen;
  const auto add = [&](std::uint64_t seed) {
    require(seen.insert(seed).second, Errc::kUsage, "--seeds names " + std::to_string(seed) + " twice");
    require(seen.size() <= kMostSeeds, Errc::kUsage, "--seeds names more than " + std::to_string(kMostSeeds) + " seeds");
    seeds.push_back(seed);
  };
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view item = std::string_view(text).substr(begin, end - begin);
    const std::size_t dots = item.find("..");
    if (dots == std::string_view::npos) {
      add(number_of(item));
    } else {
      const std::uint64_t first = number_of(item.substr(0, dots)), last = number_of(item.substr(dots + 2));
      require(first <= last, Errc::kUsage, "--seeds: a range goes from the smaller to the larger seed");
      for (std::uint64_t s = first; s <= last; ++s) add(s);
    }
    begin = end + 1;
  }
  return seeds;
}

std::string comparison_text(const Comparison& c) {
  std::string out = "\n" + c.study + ": what each of the " + c.joins + " gains from joining, " + std::to_string(c.seeds.size()) +
                    (c.seeds.size() == 1 ? " seed" : " seeds");
  if (c.folds > 0) out += " x " + std::to_string(c.folds) + " folds (figures over the out-of-fold scores of a seed)";
  out += c.seeds.size() > 1 ? "; mean +- sd over seeds\n" : "\n";
  for (std::size_t f = 0; f < c.figures.size(); ++f) {
    out += "\n" + c.figures[f].name + "\n";
    std::vector<std::vector<std::string>> lines{{c.joins, "train", "test", "joint", "alone", "pooled", "gain (joint - alone)"}};
    if (c.figures[f].best == FigureKind::Best::kSmallest) lines[0].back() = "gain (alone - joint)";
    for (const CompareRow& row : c.rows) {
      std::vector<std::string> line{row.name, fixed("%.0f", row.train_records), fixed("%.0f", row.test_records)};
      for (const Setting s : kSettings)
        line.push_back(cell(mean_sd(row.values[f][static_cast<std::size_t>(s)]), c.seeds.size(), "%.4f"));
      line.push_back(cell(mean_sd(gains(c.figures[f], row.values[f])), c.seeds.size(), "%+.4f"));
      lines.push_back(std::move(line));
    }
    out += aligned(lines);
  }
  out += "\njoint   the study itself. " + c.joint_guard + "\nalone   the same network and settings, only the records of that row; no guard, no noise\n";
  out += c.pooled_is_joint ? "pooled  all records in one place: the joint run itself, in which nothing is guarded, rounded or late\n"
                           : "pooled  the same network and settings on all records in one place; no guard, no noise\n";
  return out + fixed("%.1f s in all\n", c.seconds);
}

nlohmann::json to_json(const Comparison& c) {
  nlohmann::json j{{"study", c.study},   {"joins", c.joins},     {"seeds", c.seeds},
                   {"folds", c.folds},   {"seconds", c.seconds}, {"joint_guard", c.joint_guard},
                   {"baseline_guard", "none"}, {"pooled_is_joint", c.pooled_is_joint}, {"rows", nlohmann::json::array()}};
  for (const CompareRow& row : c.rows) {
    nlohmann::json figures;
    for (std::size_t f = 0; f < c.figures.size(); ++f) {
      const auto& v = row.values[f];
      figures[c.figures[f].name] = {{"joint", values_json(v[0])}, {"alone", values_json(v[1])}, {"pooled", values_json(v[2])},
                                    {"gain", values_json(gains(c.figures[f], v))}};
    }
    j["rows"].push_back({{"name", row.name}, {"train", row.train_records}, {"test", row.test_records}, {"figures", figures}});
  }
  return j;
}

void add_compare_command(CLI::App& app, int& status) {
  const auto a = std::make_shared<CompareArguments>();  // shared: the callback below outlives this function
  CLI::App* compare = app.add_subcommand("compare", "what each site or party gains from joining: the study, each alone, all pooled");
  compare->add_option("CONFIG", a->config, "study file (YAML)")->required();
  compare->add_option("OVERRIDES", a->overrides, "key=value, as many as needed: training.epochs=5");
  compare->add_option("--seeds", a->seeds, "1,2,3 or 1..10 (default: the study's own seed)");
  compare->add_flag("--folds", a->folds, "run all folds of data.folds for each seed");
  compare->add_flag("--json", a->json, "print one JSON object on stdout");
  compare->add_flag("--quiet", a->quiet, "no progress on stderr");
  compare->add_option("--output", a->output, "folder of the runs (default: runs/STUDY-compare)");
  compare->callback([a, &status] { status = run_program([&] { return compare_command(*a); }); });
}

}  // namespace sutura
