#include "runtime/tools/study_command.h"

#include <sodium.h>
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "runtime/config/load_study.h"
#include "runtime/config/site_policy.h"
#include "runtime/data/load.h"
#include "runtime/data/party_data.h"
#include "runtime/engine/aligned.h"
#include "runtime/engine/run_folder.h"
#include "runtime/engine/settled_compute.h"
#include "runtime/engine/study_records.h"
#include "runtime/engine/study_run.h"
#include "runtime/tools/console.h"
#include "runtime/tools/version.h"
#include "runtime/topology/site_policy.h"
#include "transport/io_thread.h"
#include "transport/security.h"

namespace sutura {
namespace {

constexpr std::chrono::milliseconds kGrace{10000};  // for the step in hand, after a signal

std::filesystem::path run_folder(const StudyArguments& a, const StudyConfig& study) {
  if (!a.output.empty()) return a.output;
  if (!study.output.empty()) return study.output;
  return std::filesystem::path("runs") / study.study;
}

Progress::Style style_of(const StudyArguments& a) { return a.quiet ? Progress::Style::kOff : Progress::Style::kAuto; }

RunHooks hooks_for(Progress& progress) {
  RunHooks h;
  h.stop_requested = [] { return stop_requested(); };
  h.on_step = [&progress](const Step& s, const StepResult& r) { progress.step(s, r); };
  h.on_epoch = [&progress](const EpochRecord& r) { progress.epoch(r); };
  h.on_decision = [&progress](const Decision& d) { progress.decision(d); };
  return h;
}

int finish(const StudyArguments& a, const Prepared& prepared, const PartyResult& result, const std::string& instance,
           const std::filesystem::path& folder) {
  if (a.json)
    print_json(summary_of(prepared, result, instance).dump());
  else
    print_result(prepared, result, instance, folder.string());
  return result.interrupted ? exit_status(Errc::kInterrupted) : 0;
}

const ConnectionConfig& connection_of(const LoadedStudy& loaded) {
  if (!loaded.config.connection)
    throw Error(Errc::kConfig,
                loaded.finding("study", "there is no 'connection' section",
                               "connection: {endpoint: tcp://host:port, server_public_key: ..., secret_key: ...}"));
  return *loaded.config.connection;
}

std::chrono::milliseconds silence(const ConnectionConfig& c) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(1000.0 * c.deadline_s));
}

std::filesystem::path at_site(const std::filesystem::path& path, const std::string& site) {
  static constexpr std::string_view kMark = "{site}";
  std::string text = path.string();
  for (auto at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at + site.size()))
    text.replace(at, kMark.size(), site);
  return text;
}

/// Where a party's privacy ledger is kept; what decides how much may be released has no default.
std::filesystem::path ledger_of(const LoadedStudy& loaded, const Prepared& prepared, const Instance& self) {
  const ConnectionConfig& c = *loaded.config.connection;
  if (!releases_rows(prepared.plan, self.party)) return {};
  if (c.ledger.empty())
    throw Error(Errc::kConfig, loaded.finding("connection",
                                              "'" + self.name +
                                                  "' releases guarded rows and needs connection.ledger, the "
                                                  "file that counts them over all runs",
                                              "connection: {ledger: /var/lib/sutura/{site}.ledger}"));
  return at_site(c.ledger, self.name);
}

/// What a site needs to seal messages for the other sites, where the study has such messages.
std::optional<SealKeys> seal_keys(const LoadedStudy& loaded, const Prepared& prepared, const std::string& site) {
  const ConnectionConfig& c = *loaded.config.connection;
  if (!seals(prepared.plan)) return std::nullopt;
  if (c.peers.empty())
    throw Error(Errc::kConfig, loaded.finding("connection",
                                              "this study's sites seal messages for each other: '" + site +
                                                  "' needs "
                                                  "connection.peers, the file of the other sites' public keys",
                                              "connection: {peers: ../keys/authorised}"));
  SealKeys keys{Identity(load_secret(at_site(c.secret_key, site))), load_roster(c.peers)};
  for (const PartyConfig& p : loaded.config.topology.parties)  // a server with records of its own is one of those who align
    if (p.role == Role::kServer) keys.peers.emplace(p.name, public_key(load_public(c.server_public_key)));
  return keys;
}

/// What a client process reads from its own disk: its part of a study's records, aligned later where parties have files of
/// their own; nothing for a party that only computes.
struct ClientRecords {
  std::optional<SiteData> whole;
  std::optional<PartyRecords> own;
};

ClientRecords read_records(const LoadedStudy& loaded, const std::string& site, const Plan& plan) {
  const StudyConfig& study = loaded.config;
  if (study.data.party_tables.contains(site)) return {std::nullopt, load_party(study.data, site)};
  const bool replica = std::ranges::find(study.data.sites, site) != study.data.sites.end();
  if (!holds_records(plan, instance_named(plan, site).party)) return {};
  if (const auto columns = study.data.party_columns.find(site); columns != study.data.party_columns.end())
    return {load_columns(study.data, study.seed, study.data.sites.at(0), columns->second), std::nullopt};
  return {load_site(study.data, study.seed, replica ? site : study.data.sites.at(0)), std::nullopt};
}

/// Records whose rows are not those that the study states would fail in the middle of a step.
void check_rows(const Plan& plan, int party, const SiteData& data) {
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    if (plan.topology.nodes[n].kind != NodeKind::kFeatures || plan.party_of(static_cast<int>(n)) != party) continue;
    const Shape row = data.train.features.shape().with_batch(1);
    if (row != plan.row_shapes[n])
      throw Error(Errc::kData, "a record here has shape " + row.text() + ", the study says " + plan.row_shapes[n].text() +
                                   " (first dimension: records)");
  }
}

/// The hospital's own allow-list: from the command line, the environment or the machine, never from the study.
SitePolicy policy_of(const StudyArguments& a) {
  static const std::filesystem::path kOfMachine = "/etc/sutura/egress.yaml";
  const char* set = std::getenv("SUTURA_EGRESS");
  if (!a.egress.empty()) return load_site_policy(a.egress);
  if (set != nullptr && *set != '\0') return load_site_policy(set);
  if (std::filesystem::exists(kOfMachine)) return load_site_policy(kOfMachine);
  throw Error(Errc::kConfig,
              "this site has no allow-list, so nothing may leave it: give --egress FILE, set SUTURA_EGRESS, or write " +
                  kOfMachine.string() + " (examples: configs/egress)");
}

/// Before anything is read or sent: a party whose device is missing ends here, or says once what computes in its place.
ComputeConfig settle(const StudyConfig& study, const std::string& party) try {
  const SettledCompute settled = settle_compute(compute_of(study, party));
  if (!settled.instead.empty())
    std::cerr << party << ": " << settled.instead << "; " << name(settled.compute.backend) << " computes" << std::endl;
  return settled.compute;
} catch (Error& e) {
  throw e.in("party " + party);
}

AlignmentProgress alignment_progress(const StudyArguments& a) {
  if (a.quiet) return {};
  return [](std::int64_t done, std::int64_t total) {
    std::cerr << "aligning records: " << done << " of " << total << " blinded points" << std::endl;
  };
}

/// The link of a study: room for its largest frame, and silence after which a peer counts as gone.
LinkSettings link_of(const Prepared& prepared, const ConnectionConfig& c) {
  LinkSettings s;
  s.window = prepared.plan.window;
  s.max_frame_bytes = largest_frame_bytes(prepared);
  s.peer_timeout = silence(c);
  return s;
}

std::uint64_t random_number() {
  std::uint64_t v = 0;
  require(sodium_init() >= 0, Errc::kInternal, "libsodium did not start");
  randombytes_buf(&v, sizeof v);
  return v;
}

}  // namespace

bool inspected(const StudyArguments& a, const LoadedStudy& loaded) {
  if (!a.check && !a.print_config) return false;
  if (a.json)
    print_json(nlohmann::json{{"ok", true}, {"study", loaded.config.study}, {"config", print_config(loaded)}}.dump());
  else if (a.print_config)
    std::cout << print_config(loaded);
  else
    std::cout << a.config << ": ok, study '" << loaded.config.study << "'\n";
  return true;
}

std::vector<Shape> stated_rows(const LoadedStudy& loaded) {
  try {
    return feature_rows(loaded.config, nullptr);
  } catch (const Error& e) {
    if (e.code() != Errc::kConfig) throw;
    throw Error(Errc::kConfig, loaded.finding("data", e.what()));
  }
}

void add_study_arguments(CLI::App& app, StudyArguments& a) {
  app.add_option("CONFIG", a.config, "study file (YAML)")->required();
  app.add_option("OVERRIDES", a.overrides, "key=value, as many as needed: seed=3 privacy.epsilon=2");
  app.add_flag("--json", a.json, "print one JSON object on stdout");
  app.add_flag("--check", a.check, "read the study, report all errors, run nothing");
  app.add_flag("--print-config", a.print_config, "print every value with its origin, run nothing");
  app.add_flag("--quiet", a.quiet, "no progress on stderr");
  app.add_option("--output", a.output, "folder of the run (default: the study's 'output', or runs/STUDY)");
}

int simulate_command(const StudyArguments& a) {
  const LoadedStudy loaded = load_study(a.config, a.overrides);
  if (inspected(a, loaded)) return 0;
  watch_stop_signals();
  for (const PartyConfig& p : loaded.config.topology.parties) settle(loaded.config, p.name);
  const std::vector<SiteData> sites = load_study_records(loaded.config);
  const Prepared prepared = prepare(loaded, feature_rows(loaded.config, &sites.at(0)));
  const auto folder = run_folder(a, loaded.config);
  std::vector<LaneSizes> sizes;
  for (const SiteData& s : sites) sizes.push_back({s.train.size(), s.validation.size(), s.test.size()});
  Progress progress(prepared, prepared.plan.party_of(prepared.plan.loss_node),
                    StepPlanner(loaded.config, prepared.plan.lanes, sizes).total_steps(), style_of(a));
  const PartyResult result = simulate(prepared, sites, folder, hooks_for(progress), a.replay);
  return finish(a, prepared, result, "all parties in one process", folder);
}

int server_command(const StudyArguments& a) {
  const LoadedStudy loaded = load_study(a.config, a.overrides);
  if (inspected(a, loaded)) return 0;
  watch_stop_signals();
  const ConnectionConfig& c = connection_of(loaded);
  const Prepared prepared = prepare(loaded, stated_rows(loaded));
  const auto server = std::find_if(prepared.plan.topology.parties.begin(), prepared.plan.topology.parties.end(),
                                   [](const PartyConfig& p) { return p.role == Role::kServer; });
  if (server == prepared.plan.topology.parties.end())
    throw Error(Errc::kConfig, loaded.finding("topology", "this topology has no server: use 'sutura simulate'"));
  const Instance self = instance_named(prepared.plan, server->name);
  settle(loaded.config, server->name);
  const auto ledger = ledger_of(loaded, prepared, self);
  if (c.authorised.empty())
    throw Error(Errc::kConfig,
                loaded.finding("connection", "the server needs 'authorised': the file of sites and their public keys"));
  std::optional<PartyRecords> own;  // a server that holds the labels of a vertical study
  std::optional<SealKeys> keys;
  if (loaded.config.data.party_tables.contains(self.name)) {
    own = load_party(loaded.config.data, self.name);
    keys.emplace(SealKeys{Identity(load_secret(at_site(c.secret_key, self.name))), load_roster(c.authorised)});
  }
  ServerSecurity security{load_secret(at_site(c.secret_key, self.name)), load_authorised(c.authorised)};
  ServerEndpoint endpoint(c.endpoint, std::move(security), link_of(prepared, c));
  const auto log = [&](const std::string& text) {
    if (!a.quiet) std::cerr << text << std::endl;
  };
  log("listening on " + endpoint.bound_endpoint() + "; a random key was tried and refused");
  const auto folder = run_folder(a, loaded.config) / self.name;

  const auto next = [&](Deadline deadline) -> std::unique_ptr<Arrival> {
    do {  // once even if the deadline has passed: who is there already is taken
      if (stop_requested()) throw Error(Errc::kInterrupted, "stopped while waiting for the clients");
      auto arrival = std::make_unique<Arrival>();
      arrival->channel = endpoint.accept(arrival->name, std::min(deadline, deadline_in(std::chrono::milliseconds(200))));
      if (arrival->channel != nullptr) return arrival;
    } while (std::chrono::steady_clock::now() < deadline);
    return nullptr;
  };
  Reception reception(prepared.plan, prepared.agreement, random_number(), next, log);
  SessionTerms session = reception.open(deadline_in(silence(c)), loaded.config.schedule.participation.min_clients);
  const StopWatcher watcher(kGrace, [&endpoint] { endpoint.stop(); });
  std::optional<SiteData> data;
  if (!loaded.config.data.party_tables.empty()) {
    AlignedServer aligned = align_at_server(loaded.config, self.name, std::move(own), keys ? &*keys : nullptr, reception,
                                            session.run, silence(c), alignment_progress(a));
    session.sizes = {aligned.sizes};
    data = std::move(aligned.data);
    log(std::to_string(aligned.sizes.train + aligned.sizes.validation + aligned.sizes.test) +
        " records are common to all parties");
  }
  Progress progress(prepared, self.party, StepPlanner(loaded.config, prepared.plan.lanes, session.sizes).total_steps(),
                    style_of(a));
  PartyRun run;
  run.self = self;
  run.data = data ? &*data : nullptr;
  run.folder = folder;
  run.ledger = ledger;
  run.peer = [&](int party, int lane) { return reception.channel(party, lane); };
  run.session = session;
  run.reception = &reception;
  const PartyResult result = run_and_write(prepared, run, hooks_for(progress));
  return finish(a, prepared, result, self.name, folder);
}

int client_command(const StudyArguments& a, const std::string& site) {
  const LoadedStudy loaded = load_study(a.config, a.overrides);
  if (inspected(a, loaded)) return 0;
  watch_stop_signals();
  const StudyConfig& study = loaded.config;
  const ConnectionConfig& c = connection_of(loaded);
  // What may leave is judged on the plan, which the study alone decides: a study that may not run reads no record.
  const Prepared prepared = prepare(loaded, stated_rows(loaded));
  const Instance self = instance_named(prepared.plan, site);
  const PartyConfig& role = prepared.plan.topology.parties[static_cast<std::size_t>(self.party)];
  const std::string& party = role.name;
  require(role.role == Role::kClient, Errc::kUsage, "'" + site + "' is the server: use sutura-server");
  enforce(policy_of(a), prepared.plan, study, self.party);
  const ComputeConfig compute = settle(study, party);
  const auto ledger = ledger_of(loaded, prepared, self);
  ClientRecords records = read_records(loaded, site, prepared.plan);
  SiteData data = records.whole ? party_view(study, *records.whole, party) : SiteData{};
  if (records.whole) check_rows(prepared.plan, self.party, data);
  const auto keys = seal_keys(loaded, prepared, site);

  ClientEndpoint endpoint(c.endpoint, load_public(c.server_public_key), load_secret(at_site(c.secret_key, site)),
                          link_of(prepared, c));
  Hello hello;
  hello.protocol = kSessionProtocol;
  hello.software = kVersionText;
  hello.backend = std::string(name(compute.backend));
  hello.site = site;
  hello.plan_digest = prepared.agreement.digest;
  hello.sizes = records.own ? std::vector<std::uint64_t>{records.own->records.ids.size(), 0, 0} : told_sizes(prepared.plan, data);
  hello.nonce = random_number();
  const StopWatcher watcher(kGrace, [&endpoint] { endpoint.stop(); });
  const auto explain = [&](const std::string& theirs) {
    const std::string text = explain_difference(loaded, theirs, "server");
    return text.empty() ? std::string("the server's study differs") : text;
  };
  if (!a.quiet) std::cerr << site << ": dialing " << c.endpoint << std::endl;
  SessionTerms session = join_session(endpoint.channel(), hello, prepared.plan, explain, deadline_in(silence(c)));
  if (records.own) {
    data = align_records(study, party, std::move(*records.own), endpoint.channel(), *keys, session.run, silence(c),
                         alignment_progress(a));
    check_rows(prepared.plan, self.party, data);
    session.sizes = {{data.train.size(), data.validation.size(), data.test.size()}};
  }
  const auto folder = run_folder(a, study) / site;
  Progress progress(prepared, self.party, StepPlanner(study, prepared.plan.lanes, session.sizes).total_steps(), style_of(a));
  PartyRun run;
  run.self = self;
  run.data = data.train.size() > 0 ? &data : nullptr;
  run.folder = folder;
  run.ledger = ledger;
  run.peer = [&](int, int) { return &endpoint.channel(); };
  run.session = session;
  run.keys = keys ? &*keys : nullptr;
  const PartyResult result = run_and_write(prepared, run, hooks_for(progress));
  return finish(a, prepared, result, site, folder);
}

}  // namespace sutura
