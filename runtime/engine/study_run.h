#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/load_study.h"
#include "runtime/data/dataset.h"
#include "runtime/engine/hand_over.h"
#include "runtime/engine/session.h"
#include "runtime/engine/trainer.h"
#include "runtime/privacy/guard.h"
#include "runtime/topology/plan.h"

namespace sutura {

/// A study made ready: compiled plan, segments, guard settings, agreement. The same at every party.
struct Prepared {
  const LoadedStudy& loaded;
  Segments segments;
  Plan plan;
  Agreement agreement;
  std::optional<RowPlan> guard;  ///< numbers of the row mechanism, where the study has one
  std::int64_t classes = 0;      ///< 0: regression
  std::vector<EgressLine> egress;
  std::string statement;  ///< what may be claimed, in full

  const StudyConfig& study() const { return loaded.config; }
};

/// Shape of one record ([1, ...]) at each feature source: from the study (data.record_shape, party_shapes) or, where a
/// data holder has loaded its records, from them. Errors: kConfig if neither says it; kData if they differ.
std::vector<Shape> feature_rows(const StudyConfig& study, const SiteData* data);
/// Classes of the study's labels; 0 for regression.
std::int64_t classes_of(const DataConfig& data);

/// Compiles and checks everything. Errors: kConfig.
Prepared prepare(const LoadedStudy& loaded, const std::vector<Shape>& rows);

/// One party's records under its own view (party_columns), with its sizes.
SiteData party_view(const StudyConfig& study, const SiteData& site, const std::string& party);

/// Numbers of records that a data holder tells in HELLO: only those of splits that the plan sends through the network.
std::vector<std::uint64_t> told_sizes(const Plan& plan, const SiteData& data);
/// Largest tensor frame that the plan sends, descriptor included.
std::size_t largest_frame_bytes(const Prepared& prepared);
/// True if this party releases guarded rows, so that it needs a ledger.
bool releases_rows(const Plan& plan, int party);

/// What a process needs beside the plan to run.
struct PartyRun {
  Instance self;
  const SiteData* data = nullptr;
  std::filesystem::path folder;  ///< where this process writes; created
  /// Of the data owner, over all runs. Empty: ledger and journal live in memory, for a simulation that releases nothing.
  std::filesystem::path ledger;
  std::function<Channel*(int party, int lane)> peer;
  SessionTerms session;
  Reception* reception = nullptr;  ///< server: lets sites join between rounds
  const SealKeys* keys = nullptr;  ///< sites that seal for each other
  std::filesystem::path replay;    ///< server: a decisions file, whose run is repeated; empty: none
};

/// True if this study's sites seal messages for each other, so that they need keys and a list of peers.
bool seals(const Plan& plan);

/// Runs one party to its end and writes its folder: metrics, weights, summary; also when the run ends early.
/// `hooks` may watch; traffic and epsilon are filled in here. Errors: what ended the run, after everything is written.
PartyResult run_and_write(const Prepared& prepared, const PartyRun& run, RunHooks hooks);

/// All parties in this process, as threads that compute one at a time, over in-memory channels, through the same engine.
/// Returns the pooled result; writes one folder per process below `folder` and the pooled summary in it.
/// `replay`: a server's decisions.jsonl; sites join and leave where they did in that run.
PartyResult simulate(const Prepared& prepared, const std::vector<SiteData>& sites, const std::filesystem::path& folder,
                     const RunHooks& hooks, const std::filesystem::path& replay = {});

/// Instance of a process by its name: a site of the many-party or a party. Errors: kUsage naming those that exist.
Instance instance_named(const Plan& plan, const std::string& name);

}  // namespace sutura
