#include "runtime/tools/privacy_command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/privacy/accountant.h"
#include "runtime/privacy/audit.h"
#include "runtime/privacy/row_plan.h"
#include "runtime/tools/console.h"

namespace sutura {
namespace {

struct PrivacyArguments {
  double noise_multiplier = 1.0;
  double releases = 1.0;
  double epsilon = 8.0;
  double delta = 1e-5;
  std::string relation = "replace-one";
  std::int64_t draws = 1000000;
  bool json = false;
};

std::string exact(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

Relation relation_named(const std::string& text) {
  for (const Relation r : {Relation::kReplaceOne, Relation::kReplaceOneNonnegative, Relation::kZeroOut})
    if (text == name(r)) return r;
  throw Error(Errc::kUsage, "--relation is replace-one, replace-one-nonnegative or zero-out");
}

int epsilon(const PrivacyArguments& a) {
  const double e = gaussian_epsilon(a.noise_multiplier, a.releases, a.delta);
  if (a.json)
    print_json(nlohmann::json{{"epsilon", e}, {"delta", a.delta}, {"noise_multiplier", a.noise_multiplier}, {"releases", a.releases}}.dump());
  else
    std::cout << exact(e) << "\n";
  return 0;
}

int calibrate(const PrivacyArguments& a) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.relation = relation_named(a.relation);
  c.epsilon = a.epsilon;
  c.delta = a.delta;
  require(a.releases >= 1.0 && a.releases < 1e15 && std::floor(a.releases) == a.releases, Errc::kUsage, "--releases is a whole number");
  const RowPlan p = plan_rows(c, static_cast<std::uint64_t>(a.releases));
  if (a.json) {
    print_json(nlohmann::json{{"noise_multiplier", p.requested_multiplier}, {"bound", p.settings.bound}, {"sigma_int", 256},
                              {"claimed_noise_multiplier", p.noise_multiplier}, {"epsilon", p.epsilon}, {"delta", p.delta},
                              {"releases", p.releases}, {"relation", a.relation}}.dump());
    return 0;
  }
  std::cout << "noise multiplier " << exact(p.requested_multiplier) << "\nbound B " << p.settings.bound << " with sigma_int 256, so z = "
            << exact(p.noise_multiplier) << "\nclaim (" << exact(p.epsilon) << ", " << p.delta << ") for " << p.releases
            << " release(s) of a record, " << a.relation << "\n";
  return 0;
}

int audit(const PrivacyArguments& a) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.relation = relation_named(a.relation);
  c.noise_multiplier = a.noise_multiplier;
  c.delta = a.delta;
  c.epsilon = gaussian_epsilon(a.noise_multiplier, 1.0, a.delta);
  AuditSettings settings;
  settings.releases = a.draws;
  settings.delta = a.delta;
  Context ctx(Backend::kReference);
  const AuditResult r = audit_rows(ctx, plan_rows(c, 1), settings);
  const bool consistent = r.verdict == AuditVerdict::kConsistent;
  if (a.json)
    print_json(nlohmann::json{{"noise_multiplier", a.noise_multiplier}, {"delta", a.delta}, {"releases", a.draws},
                              {"epsilon_lower_bound", r.epsilon_lower_bound}, {"epsilon_claim", r.epsilon_claim},
                              {"ratio", r.ratio}, {"consistent", consistent}}.dump());
  else
    std::cout << "lower bound " << exact(r.epsilon_lower_bound) << ", claim " << exact(r.epsilon_claim) << " at delta " << a.delta
              << ", ratio " << r.ratio << ": " << (consistent ? "consistent with the claim" : "CLAIM REFUTED") << "\n";
  return consistent ? 0 : exit_status(Errc::kDetector);
}

}  // namespace

void add_privacy_commands(CLI::App& app, int& status) {
  auto a = std::make_shared<PrivacyArguments>();  // shared: the callbacks below outlive this function together
  CLI::App* privacy = app.add_subcommand("privacy", "what noise costs and buys");
  privacy->require_subcommand(1);
  CLI::App* e = privacy->add_subcommand("epsilon", "epsilon of k Gaussian releases of the same record (analytic, exact)");
  e->add_option("--noise-multiplier", a->noise_multiplier, "noise deviation over sensitivity, z")->required();
  e->add_option("--releases", a->releases, "releases of the same record")->required();
  e->add_option("--delta", a->delta, "delta")->required();
  CLI::App* c = privacy->add_subcommand("calibrate", "noise and integer bound for a budget");
  c->add_option("--epsilon", a->epsilon, "epsilon")->required();
  c->add_option("--delta", a->delta, "delta")->required();
  c->add_option("--releases", a->releases, "releases of the same record")->capture_default_str();
  c->add_option("--relation", a->relation, "replace-one, replace-one-nonnegative or zero-out")->capture_default_str();
  CLI::App* u = privacy->add_subcommand("audit", "attack the mechanism as built: lower bound on epsilon against the claim");
  u->add_option("--noise-multiplier", a->noise_multiplier, "noise deviation over sensitivity, z")->required();
  auto* delta = u->add_option("--delta", a->delta, "delta of the comparison; 1e-2 is where a million releases can tell");
  delta->required();
  u->add_option("--relation", a->relation, "replace-one, replace-one-nonnegative or zero-out")->capture_default_str();
  u->add_option("--draws", a->draws, "releases of each of the two rows")->capture_default_str();
  for (CLI::App* sub : {e, c, u}) sub->add_flag("--json", a->json, "print one JSON object");
  e->callback([a, &status] { status = run_program([&] { return epsilon(*a); }); });
  c->callback([a, &status] { status = run_program([&] { return calibrate(*a); }); });
  u->callback([a, &status] { status = run_program([&] { return audit(*a); }); });
}

}  // namespace sutura
