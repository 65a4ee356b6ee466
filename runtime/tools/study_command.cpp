#include "runtime/tools/study_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sodium.h>

#include "runtime/config/load_study.h"
#include "runtime/data/load.h"
#include "runtime/engine/run_folder.h"
#include "runtime/engine/study_run.h"
#include "runtime/tools/console.h"
#include "runtime/tools/version.h"
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
    throw Error(Errc::kConfig, loaded.finding("study", "there is no 'connection' section",
                                              "connection: {endpoint: tcp://host:port, server_public_key: ..., secret_key: ...}"));
  return *loaded.config.connection;
}

std::chrono::milliseconds silence(const ConnectionConfig& c) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(1000.0 * c.deadline_s));
}

std::filesystem::path at_site(const std::filesystem::path& path, const std::string& site) {
  static constexpr std::string_view kMark = "{site}";
  std::string text = path.string();
  for (auto at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at + site.size())) text.replace(at, kMark.size(), site);
  return text;
}

/// Where a party's privacy ledger is kept; what decides how much may be released has no default.
std::filesystem::path ledger_of(const LoadedStudy& loaded, const Prepared& prepared, const Instance& self) {
  const ConnectionConfig& c = *loaded.config.connection;
  if (!releases_rows(prepared.plan, self.party)) return {};
  if (c.ledger.empty())
    throw Error(Errc::kConfig, loaded.finding("connection", "'" + self.name + "' releases guarded rows and needs connection.ledger, the "
                                              "file that counts them over all runs", "connection: {ledger: /var/lib/sutura/{site}.ledger}"));
  return at_site(c.ledger, self.name);
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
  const std::vector<SiteData> sites = load_sites(loaded.config.data, loaded.config.seed);
  const Prepared prepared = prepare(loaded, feature_rows(loaded.config, &sites.at(0)));
  const auto folder = run_folder(a, loaded.config);
  std::vector<LaneSizes> sizes;
  for (const SiteData& s : sites) sizes.push_back({s.train.size(), s.validation.size(), s.test.size()});
  Progress progress(prepared, StepPlanner(loaded.config, prepared.plan.lanes, sizes).total_steps(), style_of(a));
  const PartyResult result = simulate(prepared, sites, folder, hooks_for(progress));
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
  const auto ledger = ledger_of(loaded, prepared, self);
  if (c.authorised.empty())
    throw Error(Errc::kConfig, loaded.finding("connection", "the server needs 'authorised': the file of sites and their public keys"));
  ServerSecurity security{load_secret(at_site(c.secret_key, self.name)), load_authorised(c.authorised)};
  ServerEndpoint endpoint(c.endpoint, std::move(security), link_of(prepared, c));
  const auto log = [&](const std::string& text) {
    if (!a.quiet) std::cerr << text << std::endl;
  };
  log("listening on " + endpoint.bound_endpoint() + "; a random key was tried and refused");
  const auto folder = run_folder(a, loaded.config) / self.name;

  Reception reception(prepared.plan, prepared.agreement, random_number());
  const auto next = [&](Deadline deadline) -> std::unique_ptr<Arrival> {
    while (std::chrono::steady_clock::now() < deadline) {
      if (stop_requested()) throw Error(Errc::kInterrupted, "stopped while waiting for the clients");
      auto arrival = std::make_unique<Arrival>();
      arrival->channel = endpoint.accept(arrival->name, std::min(deadline, deadline_in(std::chrono::milliseconds(200))));
      if (arrival->channel != nullptr) return arrival;
    }
    return nullptr;
  };
  const SessionTerms session = reception.wait_for_all(next, deadline_in(silence(c)), log);
  Progress progress(prepared, StepPlanner(loaded.config, prepared.plan.lanes, session.sizes).total_steps(), style_of(a));
  const StopWatcher watcher(kGrace, [&endpoint] { endpoint.stop(); });
  const PartyRun run{self, nullptr, folder, ledger, [&](int party, int lane) { return reception.channel(party, lane); }, session};
  const PartyResult result = run_and_write(prepared, run, hooks_for(progress));
  return finish(a, prepared, result, self.name, folder);
}

int client_command(const StudyArguments& a, const std::string& site) {
  const LoadedStudy loaded = load_study(a.config, a.overrides);
  if (inspected(a, loaded)) return 0;
  watch_stop_signals();
  const StudyConfig& study = loaded.config;
  const ConnectionConfig& c = connection_of(loaded);
  const bool replica = std::ranges::find(study.data.sites, site) != study.data.sites.end();
  // The plan first, from what the study says: a study that may not run reads no record.
  if (!study.data.record_shape.empty() || !study.data.party_shapes.empty())
    instance_named(prepare(loaded, stated_rows(loaded)).plan, site);
  const SiteData whole = load_site(study.data, study.seed, replica ? site : study.data.sites.at(0));
  const Prepared prepared = prepare(loaded, feature_rows(study, &whole));
  const Instance self = instance_named(prepared.plan, site);
  const std::string& party = prepared.plan.topology.parties[static_cast<std::size_t>(self.party)].name;
  require(prepared.plan.topology.parties[static_cast<std::size_t>(self.party)].role == Role::kClient, Errc::kUsage,
          "'" + site + "' is the server: use sutura-server");
  const auto ledger = ledger_of(loaded, prepared, self);
  const SiteData data = party_view(study, whole, party);

  ClientEndpoint endpoint(c.endpoint, load_public(c.server_public_key), load_secret(at_site(c.secret_key, site)),
                          link_of(prepared, c));
  Hello hello;
  hello.protocol = kSessionProtocol;
  hello.software = kVersionText;
  hello.backend = std::string(name(compute_of(study, party).backend));
  hello.site = site;
  hello.plan_digest = prepared.agreement.digest;
  hello.sizes = told_sizes(prepared.plan, data);
  hello.nonce = random_number();
  const StopWatcher watcher(kGrace, [&endpoint] { endpoint.stop(); });
  const auto explain = [&](const std::string& theirs) {
    const std::string text = explain_difference(loaded, theirs, "server");
    return text.empty() ? std::string("the server's study differs") : text;
  };
  if (!a.quiet) std::cerr << site << ": dialing " << c.endpoint << std::endl;
  const SessionTerms session = join_session(endpoint.channel(), hello, prepared.plan, explain, deadline_in(silence(c)));
  const auto folder = run_folder(a, study) / site;
  Progress progress(prepared, StepPlanner(study, prepared.plan.lanes, session.sizes).total_steps(), style_of(a));
  const PartyRun run{self, &data, folder, ledger, [&](int, int) { return &endpoint.channel(); }, session};
  const PartyResult result = run_and_write(prepared, run, hooks_for(progress));
  return finish(a, prepared, result, site, folder);
}

}  // namespace sutura
