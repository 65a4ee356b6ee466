#include "runtime/engine/study_run.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "runtime/alignment/protocol.h"
#include "runtime/data/load.h"
#include "runtime/engine/aligned.h"
#include "runtime/engine/exchange.h"
#include "runtime/engine/run_folder.h"
#include "runtime/engine/settled_compute.h"
#include "runtime/privacy/statement.h"
#include "transport/decorators.h"

namespace sutura {
namespace {

Shape with_record_axis(std::span<const std::int64_t> dims) {
  std::vector<std::int64_t> all{1};
  all.insert(all.end(), dims.begin(), dims.end());
  return Shape(std::span<const std::int64_t>(all));
}

std::string guard_text(const PrivacyConfig& privacy, const RowPlan& guard) {
  char text[160];
  std::snprintf(text, sizeof text, "rows: norm %g, sigma_int 256, B %d, z %.4f, %s", privacy.clip_norm, guard.settings.bound,
                guard.noise_multiplier, std::string(name(privacy.wire)).c_str());
  return text;
}

std::int64_t widest_guarded_row(const Plan& plan) {
  std::int64_t widest = 1;
  for (const Edge& e : plan.edges)
    if (e.activation_guard != GuardKind::kNone || e.gradient_guard != GuardKind::kNone)
      widest = std::max(widest, e.row.row_elements());
  return widest;
}

/// What the ledger's record numbers mean: rows of the data holder's file. A simulation's ledger ends with it, and a party
/// without records of its own (a server that guards gradients) can only count positions.
std::optional<LedgerSource> source_of(const PartyRun& run) {
  if (run.ledger.empty() || run.data == nullptr) return std::nullopt;
  return LedgerSource{run.data->source_digest, run.data->source_numbering};
}

/// A party's guard with the files behind it.
struct GuardStores {
  Ledger ledger;
  Journal journal;
  RowGuard guard;
  GuardStores(const Prepared& prepared, const PartyRun& run)
      : ledger(run.ledger.empty() ? memory_store() : file_store(run.ledger), run.self.name,
               {prepared.guard->budget_epsilon, prepared.guard->delta}, source_of(run)),
        journal(run.ledger.empty() ? memory_store()
                                   : file_store(run.folder / ("releases-" + std::to_string(run.session.run) + ".journal")),
                // Rows released under other settings must never be replayed: the plan is part of the name.
                std::to_string(run.session.run) + ":" + to_hex(prepared.agreement.digest)),
        guard(*prepared.guard, run.self.name, ledger, journal) {}
};

/// What the run ends with is chosen by validation figures: those must exist, and mean something together.
void check_selection(const StudyConfig& study, const Plan& plan, const char*& section) {
  const TrainingConfig& t = study.training;
  const bool keeps = t.keep == Keep::kBest, stops = t.patience > 0;
  section = keeps ? "training.keep" : "training.early_stopping.patience";
  require(!(keeps || stops) || !plan.release_once, Errc::kConfig,
          std::string(keeps ? "training.keep best" : "training.early_stopping") +
              " needs validation during training, and with release-once no validation record leaves its owner");
  section = "training.best_by";
  const bool scattered = plan.party_of(plan.loss_node) == plan.many_party && plan.lanes.size() > 1;
  require(
      !(keeps || stops) || t.stop_metric != StopMetric::kAuc || !scattered, Errc::kConfig,
      "training.best_by auc: each site holds its own labels here, and the AUC of all records is not a mean of theirs; use loss");
}

}  // namespace

std::int64_t classes_of(const DataConfig& data) {
  for (const auto& [party, table] : data.party_tables)
    if (!table.classes.empty()) return static_cast<std::int64_t>(table.classes.size());
  if (data.table) return static_cast<std::int64_t>(data.table->classes.size());
  return data.arrays ? data.arrays->classes : 0;
}

SiteData party_view(const StudyConfig& study, const SiteData& site, const std::string& party) {
  if (!study.data.party_tables.empty()) return columns_of_party(site, party);
  const auto columns = study.data.party_columns.find(party);
  if (columns != study.data.party_columns.end()) return select_columns(site, columns->second);
  SiteData view;
  view.name = site.name;
  view.classes = site.classes;
  view.feature_names = site.feature_names;
  view.source_digest = site.source_digest;
  view.source_numbering = site.source_numbering;
  const auto borrowed = [](const Dataset& d) {
    return Dataset{d.features.defined() ? Tensor::borrow(d.features) : Tensor(),
                   d.labels.defined() ? Tensor::borrow(d.labels) : Tensor(), d.source_rows};
  };
  view.train = borrowed(site.train);
  view.validation = borrowed(site.validation);
  view.test = borrowed(site.test);
  return view;
}

std::vector<Shape> feature_rows(const StudyConfig& study, const SiteData* data) {
  std::vector<Shape> rows;
  for (const NodeConfig& n : study.topology.nodes) {
    if (n.kind != NodeKind::kFeatures) continue;
    std::vector<std::int64_t> told = study.data.record_shape;
    if (const auto it = study.data.party_shapes.find(n.at); it != study.data.party_shapes.end()) told = it->second;
    if (data == nullptr) {
      require(
          !told.empty(), Errc::kConfig,
          "the server holds no data: say the shape of one record under data.record_shape (or data.party_shapes." + n.at + ")");
      rows.push_back(with_record_axis(told));
      continue;
    }
    const SiteData view = party_view(study, *data, n.at);
    rows.push_back(view.train.features.shape().with_batch(1));
    if (!told.empty() && rows.back() != with_record_axis(told))
      throw Error(Errc::kData, "site '" + data->name + "': a record has shape " + rows.back().text() + ", the study says " +
                                   with_record_axis(told).text() + " (first dimension: records)");
  }
  return rows;
}

Prepared prepare(const LoadedStudy& loaded, const std::vector<Shape>& rows) {
  const StudyConfig& study = loaded.config;
  Prepared p{loaded, {}, {}, {}, {}, classes_of(study.data), {}, {}};
  const char* section = "training.loss";
  try {
    require(study.training.loss != LossKind::kMeanSquaredError || p.classes == 0, Errc::kConfig,
            "mean_squared_error is for numbers, the labels are " + std::to_string(p.classes) + " classes");
    section = "network";
    p.segments = build_segments(study, rows, outputs_for(study.training.loss, p.classes));
    section = "topology";
    p.plan = compile(study, p.segments, rows);
    check_selection(study, p.plan, section);
    section = "privacy";
    if (study.privacy.mechanism == Mechanism::kRows)
      p.guard = plan_rows(study.privacy, static_cast<std::uint64_t>(planned_releases(study, p.plan)));
  } catch (const Error& e) {
    if (e.code() != Errc::kConfig && e.code() != Errc::kShapeMismatch) throw;
    throw Error(Errc::kConfig, loaded.finding(section, e.what()));
  }
  p.agreement = {plan_digest(loaded), canonical_plan(loaded)};
  p.egress = egress_list(p.plan, study, p.guard ? guard_text(study.privacy, *p.guard) : "");
  p.statement = privacy_statement(study, p.guard ? &*p.guard : nullptr, widest_guarded_row(p.plan), releasing_parties(p.plan),
                                  NoiseSource::kOperatingSystem);
  return p;
}

Instance instance_named(const Plan& plan, const std::string& name) {
  std::string known;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    const auto names = plan.instances(static_cast<int>(p));
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return {static_cast<int>(p), static_cast<int>(p) == plan.many_party ? static_cast<int>(i) : -1, name};
      known += (known.empty() ? "" : ", ") + names[i];
    }
  }
  throw Error(Errc::kUsage, "the study has no party or site '" + name + "'; it has " + known);
}

std::vector<std::uint64_t> told_sizes(const Plan& plan, const SiteData& data) {
  const auto count = [](const Dataset& d) { return static_cast<std::uint64_t>(d.size()); };
  if (plan.release_once) return {count(data.train), 0, 0};
  return {count(data.train), count(data.validation), count(data.test)};
}

std::size_t largest_frame_bytes(const Prepared& prepared) {
  constexpr std::int64_t kDescriptorBytes = 64;
  const std::int64_t records = std::max(prepared.study().training.batch_size, kPassRecords);
  std::int64_t largest = 4096;
  for (const Edge& e : prepared.plan.edges) largest = std::max(largest, records * e.row.row_elements() * 4);
  for (const WeightsEdge& w : prepared.plan.weights) {
    const std::int64_t parameters = prepared.segments.networks[prepared.segments.index(w.segment)].parameter_count();
    const std::int64_t rows = w.when == WeightsEdge::When::kRunEnd ? 1 + prepared.study().control_permutations : 1;
    largest =
        std::max(largest, w.when == WeightsEdge::When::kHandOver ? largest_hand_over_bytes(parameters, prepared.plan.lanes.size())
                                                                 : rows * parameters * 4);
  }
  if (!prepared.study().data.party_tables.empty()) largest = std::max(largest, static_cast<std::int64_t>(kAlignmentFrameBytes));
  return static_cast<std::size_t>(largest + kDescriptorBytes);
}

bool releases_rows(const Plan& plan, int party) {
  return std::ranges::any_of(plan.edges, [&](const Edge& e) {
    return (e.from_party == party && e.activation_guard != GuardKind::kNone) ||
           (e.to_party == party && e.gradient_guard != GuardKind::kNone);
  });
}

bool seals(const Plan& plan) {
  const auto hand_over = [](const WeightsEdge& w) { return w.when == WeightsEdge::When::kHandOver; };
  return std::ranges::any_of(plan.weights, hand_over) || (plan.aligned && server_party(plan) >= 0);
}

PartyResult run_and_write(const Prepared& prepared, const PartyRun& run, RunHooks hooks) {
  const StudyConfig& study = prepared.study();
  const std::string& party = prepared.plan.topology.parties[static_cast<std::size_t>(run.self.party)].name;
  const SettledCompute settled = settle_compute(compute_of(study, party));
  Context ctx = settled.context();
  std::vector<LaneSizes> sizes = run.session.sizes;
  if (run.data != nullptr)  // what was not told is still there for this site's own evaluation
    sizes.at(static_cast<std::size_t>(std::max(0, run.self.lane))) = {run.data->train.size(), run.data->validation.size(),
                                                                      run.data->test.size()};
  StepPlanner planner(study, prepared.plan.lanes, sizes);
  RunFolder folder(run.folder, prepared);

  std::unique_ptr<GuardStores> stores;
  if (releases_rows(prepared.plan, run.self.party)) {
    if (run.ledger.has_parent_path()) std::filesystem::create_directories(run.ledger.parent_path());
    stores = std::make_unique<GuardStores>(prepared, run);
    for (const std::string& note : {stores->ledger.note(), stores->journal.note()})
      if (!note.empty()) std::cerr << run.self.name << ": " << note << std::endl;
  }
  const double spent_before = stores ? stores->ledger.total() : 0.0;

  // Every channel is counted: what goes out and what comes in, all frames included.
  std::map<std::pair<int, int>, std::unique_ptr<CountingChannel>> counted;
  const auto peer = [&](int p, int lane) -> Channel* {
    Channel* inner = run.peer ? run.peer(p, lane) : nullptr;
    if (inner == nullptr) return nullptr;
    auto& slot = counted[{p, p == prepared.plan.many_party ? lane : 0}];
    if (slot == nullptr) slot = std::make_unique<CountingChannel>(*inner);
    slot->rebind(*inner);  // a site that joined again has another channel
    return slot.get();
  };
  const bool server = prepared.plan.topology.parties[static_cast<std::size_t>(run.self.party)].role == Role::kServer;
  hooks.traffic = [&] {
    TrafficBytes t;
    for (const auto& [key, channel] : counted) {
      t.up_bytes += server ? channel->received().total().frame_bytes : channel->sent().total().frame_bytes;
      t.down_bytes += server ? channel->sent().total().frame_bytes : channel->received().total().frame_bytes;
    }
    return t;
  };
  hooks.epsilon = [&] { return stores ? stores->ledger.total() : 0.0; };
  const auto watch = hooks.on_epoch;
  hooks.on_epoch = [&](const EpochRecord& r) {
    folder.add(r);
    if (watch) watch(r);
  };

  const bool decides = server || (prepared.plan.many_party < 0 && server_party(prepared.plan) < 0);
  // Read before this run's own file takes the place of an earlier run's: they may be the same.
  std::vector<Decision> recorded = run.replay.empty() ? std::vector<Decision>{} : read_decisions(run.replay);
  if (decides) std::filesystem::remove(run.folder / "decisions.jsonl");
  Decisions decisions = decides ? Decisions(run.folder / "decisions.jsonl") : Decisions();
  if (decides && !run.replay.empty()) decisions.repeat(std::move(recorded));
  decisions.on_added = hooks.on_decision;
  const ParticipationConfig& participation = study.schedule.participation;
  const double silence_s = participation.deadline_s > 0.0 ? participation.deadline_s
                           : study.connection             ? study.connection->deadline_s
                                                          : 600.0;
  const PartySetup setup{study,
                         prepared.plan,
                         prepared.segments,
                         planner,
                         run.self,
                         run.data,
                         stores ? &stores->guard : nullptr,
                         prepared.guard ? prepared.guard->settings : RowSettings{},
                         prepared.classes,
                         peer,
                         std::chrono::milliseconds(static_cast<std::int64_t>(1000.0 * silence_s)),
                         &decisions};
  Executor executor(setup, ctx);
  PartyResult result = run_party(executor, hooks, {run.reception, run.keys, run.session.run});
  if (run.reception != nullptr) run.reception->turn_away(Error(Errc::kNetwork, "the run is over"));
  result.epsilon_before = spent_before;
  result.epsilon_spent = hooks.epsilon();
  result.backend = settled.description(ctx);
  result.dropped = executor.dropped();
  result.waiting_seconds = executor.waiting_seconds();
  try {
    folder.write_weights(executor);
  } catch (const Error& e) {  // they lie on a device that failed for good
    if (!result.failure || result.failure->code() != Errc::kDevice) throw;
    std::cerr << run.self.name << ": the weights are lost with the device: " << e.what() << std::endl;
  }
  folder.write_summary(summary_of(prepared, result, run.self.name));
  if (result.failure) throw *result.failure;
  return result;
}

}  // namespace sutura
