#include "runtime/tools/plan_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "runtime/config/load_study.h"
#include "runtime/data/load.h"
#include "runtime/engine/study_run.h"
#include "runtime/tools/console.h"
#include "runtime/tools/plan_text.h"
#include "runtime/topology/program_grid.h"

namespace sutura {
namespace {

/// From the study where it says them, else from the first site's file.
std::vector<Shape> rows_of(const LoadedStudy& loaded) {
  const DataConfig& data = loaded.config.data;
  if (!data.record_shape.empty() || !data.party_shapes.empty()) return stated_rows(loaded);
  const SiteData site = load_site(data, loaded.config.seed, data.sites.at(0));
  return feature_rows(loaded.config, &site);
}

int print_cuts(const PlanArguments& a, const Prepared& p) {
  const std::vector<CutCost> costs = cut_costs(p.plan, p.study(), p.segments);
  if (a.study.json) {
    print_json(nlohmann::json{{"study", p.study().study}, {"cuts", cuts_json(costs)}}.dump());
    return 0;
  }
  std::cout << "study " << p.study().study << ": what each cut costs a record holder, per record of a training step\n\n"
            << cuts_text(costs)
            << "\n  Backward counts twice the forward of every layer that a gradient reaches. Kept: activations held for backward,\n"
               "  float32. Parameters: float32, without gradients and optimizer state. Bytes: as the study's guards and codecs\n"
               "  write values, labels included, headers not. Later cuts, guards and frozen segments are the study's.\n";
  return 0;
}

}  // namespace

void add_plan_arguments(CLI::App& app, PlanArguments& a) {
  add_study_arguments(app, a.study);
  app.add_flag("--cuts", a.cuts, "what each possible cut costs a record holder: operations, memory, bytes per record");
  app.add_option("--records", a.records, "training records of the epoch that traffic is counted for (default: 1000)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
}

int plan_command(const PlanArguments& a) {
  const LoadedStudy loaded = load_study(a.study.config, a.study.overrides);
  if (inspected(a.study, loaded)) return 0;
  const Prepared p = prepare(loaded, rows_of(loaded));
  if (a.cuts) return print_cuts(a, p);
  const Traffic traffic = count_traffic(p.plan, p.study(), p.segments, a.records);
  if (a.study.json) {
    print_json(nlohmann::json{{"study", p.study().study},
                              {"digest", to_hex(p.agreement.digest)},
                              {"programs", programs_json(p.plan)},
                              {"traffic", traffic_json(p.plan, traffic)},
                              {"egress", egress_json(p.egress)},
                              {"statement", p.statement}}
                   .dump());
    return 0;
  }
  std::cout << "study " << p.study().study << ", plan " << to_hex(p.agreement.digest).substr(0, 16)
            << "\n\nwho does what when, for one micro-batch of one site\n"
            << grid_text(p.plan) << "\nwhat training sends, all sites together: steps of " << p.study().training.batch_size
            << " records, an epoch of " << traffic.records << " records in " << traffic.steps << " steps\n"
            << traffic_text(p.plan, traffic) << "\nwhat leaves\n"
            << egress_text(p.egress) << "\nprivacy\n  " << p.statement << "\n";
  return 0;
}

}  // namespace sutura
