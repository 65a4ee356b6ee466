// The canonical plan: what it is blind to, what it sees, and how a difference reads.
#include <gmock/gmock.h>

#include <set>

#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::kStudy;
using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class PlanText : public StudyFolder {
 protected:
  Digest digest(std::string_view text, const std::vector<std::string>& overrides = {}) const {
    return plan_digest(load(text, overrides));
  }
};

/// Valid values for every shared key that kVaried resolves, each different from what stands there.
struct Variation {
  const char* key;
  const char* value;
  std::vector<const char*> with = {};  // further overrides without which the value would be refused
};

/// kStudy with every optional shared section written out.
std::string varied() {
  std::string text =
      study_with("    classes: [\"0\", \"1\"]\n",
                 "    classes: [\"0\", \"1\"]\n    features: [age]\n    categories: {sex: [f, m]}\n    "
                 "missing: [NA]\n    missing_columns: [age]\n    drop: [id]\n    columns: [id, age]\n    "
                 "class_texts: {\"1\": [2, 3]}\n    group: patient\n    id: record\n    missing_in: {age: [\"0\"]}\n    "
                 "numbers: {age: {old: 90}}\n    ranges: {sex: {f: [1-3, x]}}\n    keep: {ward: [a]}\n    "
                 "leave_out: {exit: [b]}\n    first_of: patient\n");
  text = study_with("  sites:",
                    "  standardize: {centre: 1, scale: 2}\n  partition: {by: column, column: site}\n  party_columns: "
                    "{hospital: [age]}\n  record_shape: [3]\n"
                    "  party_shapes: {hospital: [3]}\n  sites:",
                    text);
  text = study_with("  optimizer:\n    name: adamw\n", "  optimizer:\n    name: sgd\n", text);
  text =
      study_with("    - {from: y, to: loss}\n", "    - {from: y, to: loss}\n  deliver: [{segment: tail, to: hospital}]\n", text);
  return text;
}

const std::vector<Variation>& variations() {
  static const std::vector<Variation> all{
      {"study", "other"},
      {"seed", "8"},
      {"topology.name", "other"},
      {"topology.parties[0].name",
       "clinic",
       {"topology.nodes[0].at=clinic", "topology.nodes[1].at=clinic", "topology.nodes[2].at=clinic",
        "topology.deliver[0].to=clinic", "data.party_columns={clinic: [age]}", "data.party_shapes={clinic: [3]}"}},
      {"topology.parties[0].role", "server"},
      {"topology.parties[0].count", "one"},
      {"topology.parties[1].name", "host", {"topology.nodes[3].at=host", "topology.nodes[4].at=host"}},
      {"topology.parties[1].role", "client"},
      {"topology.parties[1].count", "many"},
      {"topology.nodes[0].name", "xx", {"topology.routes[0].from=xx"}},
      {"topology.nodes[0].at", "server"},
      {"topology.nodes[0].source", "labels"},
      {"topology.nodes[1].name", "yy", {"topology.routes[3].from=yy"}},
      {"topology.nodes[1].at", "server"},
      {"topology.nodes[1].source", "features"},
      {"topology.nodes[2].name", "ff", {"topology.routes[0].to=ff", "topology.routes[1].from=ff"}},
      {"topology.nodes[2].at", "server"},
      {"topology.nodes[2].segment", "other"},
      {"topology.nodes[3].name", "tt", {"topology.routes[1].to=tt", "topology.routes[2].from=tt"}},
      {"topology.nodes[3].at", "hospital"},
      {"topology.nodes[3].segment", "other", {"topology.deliver[0].segment=other"}},
      {"topology.nodes[4].name", "ll", {"topology.routes[2].to=ll", "topology.routes[3].to=ll"}},
      {"topology.nodes[4].at", "hospital"},
      {"topology.routes[0].from", "y"},
      {"topology.routes[0].to", "tail"},
      {"topology.routes[0].activation.guard", "rows"},
      {"topology.routes[0].gradient.guard", "rows"},
      {"topology.routes[1].from", "x"},
      {"topology.routes[1].to", "loss"},
      {"topology.routes[1].activation.guard", "none"},
      {"topology.routes[1].gradient.guard", "rows"},
      {"topology.routes[2].from", "x"},
      {"topology.routes[2].to", "front"},
      {"topology.routes[2].activation.guard", "rows"},
      {"topology.routes[2].gradient.guard", "rows"},
      {"topology.routes[3].from", "x"},
      {"topology.routes[3].to", "tail"},
      {"topology.routes[3].activation.guard", "rows"},
      {"topology.routes[3].gradient.guard", "rows"},
      {"topology.deliver[0].segment", "front"},
      {"topology.deliver[0].to", "server"},
      {"schedule.visit", "in_turn"},
      {"schedule.tail", "per_client"},
      {"schedule.average", "[front]"},
      {"schedule.hand_on", "[front]"},
      {"schedule.participation.min_clients", "1"},
      {"schedule.participation.deadline_s", "30"},
      {"schedule.participation.on_leave", "wait"},
      {"schedule.missing_party", "zero"},
      {"data.table.label", "other"},
      {"data.table.classes", "[\"1\", \"0\"]"},
      {"data.table.features", "[weight]"},
      {"data.table.categories.sex", "[m, f]"},
      {"data.table.missing", "[\"\"]"},
      {"data.table.missing_columns", "[weight]"},
      {"data.table.drop", "[name]"},
      {"data.table.columns", "[age, id]"},
      {"data.table.class_texts.1", "[2]"},
      {"data.table.group", "family"},
      {"data.table.id", "number"},
      {"data.table.missing_in.age", "[NA]"},
      {"data.table.numbers.age.old", "91"},
      {"data.table.ranges.sex.f", "[1-4, x]"},
      {"data.table.keep.ward", "[a, c]"},
      {"data.table.leave_out.exit", "[c]"},
      {"data.table.first_of", "family"},
      {"data.standardize.centre", "2"},
      {"data.standardize.scale", "[3]"},
      {"data.validation_fraction", "0.3"},
      {"data.test_fraction", "0.1"},
      {"data.folds", "5"},
      {"data.fold", "1", {"data.folds=5"}},
      {"data.sites", "[south, north]"},
      {"data.partition.by", "label_skew", {"data.partition={by: label_skew}"}},
      {"data.partition.column", "hospital"},
      {"data.party_columns.hospital", "[weight]"},
      {"data.record_shape", "[1, 3]"},
      {"data.party_shapes.hospital", "[4]"},
      {"data.augment.shift", "1"},
      {"network.cuts", "[two]"},
      {"network.frozen", "[front]"},
      {"network.layers[0].name", "first", {"network.cuts=[first]"}},
      {"network.layers[0].type", "relu"},
      {"network.layers[0].outputs", "9"},
      {"network.layers[1].name", "last"},
      {"network.layers[1].type", "relu"},
      {"network.layers[1].outputs", "-1.0"},
      {"training.loss", "cross_entropy"},
      {"training.epochs", "4"},
      {"training.batch_size", "33"},
      {"training.micro_batches", "2"},
      {"training.stale", "1"},
      {"training.class_weights", "[1, 2]"},
      {"training.keep", "best"},
      {"training.best_by", "auc", {"training.keep=best"}},
      {"training.early_stopping.patience", "3"},
      {"training.early_stopping.min_delta", "0.1", {"training.early_stopping.patience=3"}},
      {"training.optimizer.name", "adamw"},
      {"training.optimizer.learning_rate", "0.02"},
      {"training.optimizer.momentum", "0.8"},
      {"training.optimizer.weight_decay", "0.1"},
      {"training.clip_gradients", "1"},
      {"training.rate.schedule", "cosine"},
      {"training.rate.warmup_fraction", "0.5"},
      {"training.rate.step_epochs", "11", {"training.rate.schedule=step"}},
      {"training.rate.step_factor", "0.2", {"training.rate.schedule=step"}},
      {"training.evaluate_every", "2"},
      {"privacy.mechanism", "none", {"privacy.because=test"}},
      {"privacy.regime", "release-once"},
      {"privacy.relation", "zero-out"},
      {"privacy.epsilon", "2.5"},
      {"privacy.delta", "1e-6"},
      {"privacy.noise_multiplier", "1"},
      {"privacy.clip_norm", "2"},
      {"privacy.scale_to_norm", "true"},
      {"privacy.wire", "int16"},
      {"privacy.no_data_rule", "0"},
      {"wire.activation", "bf16"},
      {"wire.gradient", "int8"},
      {"control_permutations", "21"},
  };
  return all;
}

TEST_F(PlanText, EverySharedKeyChangesTheDigest) {
  const std::string text = varied();
  const LoadedStudy base = load(text);
  const Digest before = plan_digest(base);
  std::set<std::string> covered;
  for (const Variation& v : variations()) {
    std::vector<std::string> with{v.with.begin(), v.with.end()};
    const bool whole = std::string(v.key) == "data.partition.by";
    if (!whole) with.push_back(std::string(v.key) + "=" + v.value);
    const LoadedStudy changed = load(text, with);
    EXPECT_NE(plan_digest(changed), before) << v.key;
    // The key itself differs, not only what had to change with it.
    const auto line_of = [&](const LoadedStudy& study) {
      for (const OriginLine& line : study.resolved)
        if (line.key == v.key) return line.value;
      return std::string("(absent)");
    };
    EXPECT_NE(line_of(base), line_of(changed)) << v.key;
    covered.insert(v.key);
  }
  // Of these there is only one value; to change them is to take them away. The party of the splits is varied with party tables.
  for (const char* single : {"topology.nodes[4].loss", "privacy.labels", "data.split_party"}) covered.insert(single);
  for (const OriginLine& line : base.resolved)
    EXPECT_TRUE(line.scope == Scope::kLocal || covered.contains(line.key)) << line.key << " is shared and has no variation";
  EXPECT_NE(digest(study_with("  labels: public\n", "", text)), before);
}

/// The other two forms of data, each with all of its shared keys that the table lacks.
TEST_F(PlanText, EverySharedKeyOfArraysAndPartyTablesChangesTheDigest) {
  const std::string table = "  table:\n    path: records.csv\n    label: outcome\n    classes: [\"0\", \"1\"]\n";
  const std::string arrays = study_with(table,
                                        "  arrays: {path: a.npz, train: {features: x, labels: y, groups: g}, classes: 2,\n"
                                        "           class_values: [3, 5], layout: rows, divide_by: 2,\n"
                                        "           validation: {features: vx, labels: vy}, test: {features: tx, labels: ty}}\n");
  const std::string parties = study_with(
      table,
      "  party_tables:\n    hospital: {path: h.csv, label: y, classes: [a, b], features: [u], id: i, numbers: {u: {x: 1}}}\n"
      "    lab: {path: l.csv, id: j}\n  split_party: lab\n",
      study_with("- {name: server, role: server}", "- {name: server, role: server}\n    - {name: lab, role: client}",
                 study_with("- {name: x, at: hospital, source: features}",
                            "- {name: x, at: hospital, source: features}\n    - {name: z, at: lab, source: features}")));
  const std::vector<std::pair<std::string, std::vector<const char*>>> all{
      {arrays,
       {"data.arrays.train.features=xx", "data.arrays.train.labels=yy", "data.arrays.train.groups=gg",
        "data.arrays.class_values=[5, 3]", "data.arrays.layout=images", "data.arrays.divide_by=3",
        "data.arrays.validation.features=v", "data.arrays.validation.labels=v", "data.arrays.test.features=t",
        "data.arrays.test.labels=t", "data.partition={by: column, column: site}"}},
      {parties,
       {"data.party_tables.hospital.label=z", "data.party_tables.hospital.classes=[b, a]",
        "data.party_tables.hospital.features=[v]", "data.party_tables.hospital.id=k", "data.party_tables.hospital.numbers.u.x=2",
        "data.party_tables.lab.id=k", "data.party_tables.lab.group=k", "data.split_party=hospital"}}};
  for (const auto& [text, changes] : all) {
    const Digest before = digest(text);
    for (const char* change : changes) EXPECT_NE(digest(text, {change}), before) << change;
  }
  EXPECT_EQ(digest(arrays, {"data.arrays.path=other.npz"}), digest(arrays));
  EXPECT_EQ(digest(parties, {"data.party_tables.lab.path=/else/where.csv", "data.party_tables.hospital.path=o.csv"}),
            digest(parties));
  EXPECT_THAT(canonical_plan(load(parties)), Not(HasSubstr(".csv")));
}

TEST_F(PlanText, OrderCommentsFormsAndLocalKeysDoNotChangeTheDigest) {
  const Digest before = digest(kStudy);
  EXPECT_EQ(digest(study_with("study: demo\nseed: 7\n", "# a comment\nseed: 7   # lucky\n\nstudy: \"demo\"\n")), before);
  EXPECT_EQ(digest(study_with("delta: 1e-5", "delta: 0.00001")), before);
  EXPECT_EQ(digest(study_with("epsilon: 2", "epsilon: 2.0")), before);
  EXPECT_EQ(digest(study_with("{name: server, role: server}", "{role: server, count: one, name: server}")), before);
  EXPECT_EQ(digest(study_with("  epochs: 3\n", "  epochs: 3\n  batch_size: 32\n  rate: {schedule: constant}\n")), before);
  EXPECT_EQ(digest(kStudy, {"schedule={}", "wire={}", "topology.deliver=[]"}), before);
  EXPECT_EQ(digest(kStudy, {"data.table.path=/elsewhere.csv", "output=/o", "compute={default: {threads: 7, backend: reference}}",
                            "connection={endpoint: \"tcp://h:1\", server_public_key: p, secret_key: s, peers: q}"}),
            before);
  std::string windows;
  for (const char c : std::string(kStudy)) windows += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(digest(windows), before);
  write("rest.yaml", kStudy);
  EXPECT_EQ(digest("include: [rest.yaml]\n"), before);
}

TEST_F(PlanText, TheCanonicalFormIsSortedAndHoldsNothingLocal) {
  const std::string plan =
      canonical_plan(load(kStudy, {"output=/canary", "data.table.path=/canary.csv", "compute={server: {threads: 999}}"}));
  EXPECT_THAT(plan, Not(HasSubstr("canary")));
  EXPECT_THAT(plan, Not(HasSubstr("999")));
  EXPECT_THAT(plan, HasSubstr("training.batch_size = 32\n"));
  std::vector<std::string> lines;
  std::istringstream stream(plan);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  EXPECT_GT(lines.size(), 60u);
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end()));
  EXPECT_EQ(to_hex(plan_digest(load(kStudy))).size(), 64u);
}

TEST_F(PlanText, TextsCannotImitateOtherKeys) {
  const auto plan = [this](const std::string& reason) {
    return canonical_plan(load(kStudy, {"privacy.mechanism=none", "privacy.because=" + reason}));
  };
  EXPECT_THAT(plan("\"x\\nseed = 9\""), HasSubstr("privacy.because = \"x\\x0aseed = 9\"\n"));
  EXPECT_NE(plan("\"a\\\"b\""), plan("\"ab\""));
  const auto classes = [this](const std::string& list) { return canonical_plan(load(kStudy, {"data.table.classes=" + list})); };
  EXPECT_NE(classes("[\"a, b\", c]"), classes("[a, \"b, c\"]"));
  EXPECT_NE(canonical_plan(load(kStudy, {"network.layers[0].outputs=8"})),
            canonical_plan(load(kStudy, {"network.layers[0].outputs=\"8\""})));
}

TEST_F(PlanText, TheFirstDifferenceIsNamedWithItsPlace) {
  const LoadedStudy here = load(study_with("  epochs: 3\n", "  epochs: 3\n  batch_size: 64\n"));
  const std::string there = canonical_plan(load(kStudy));
  const auto difference = first_difference(canonical_plan(here), there);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->key, "training.batch_size");
  EXPECT_EQ(difference->first, "64");
  EXPECT_EQ(difference->second, "32");
  // `there` was written to the same file name; only `here` is asked for places.
  EXPECT_EQ(without_folder(explain_difference(here, there, "server")),
            "study.yaml:34:3: plan differs: training.batch_size is 64 here and 32 at the server");
  EXPECT_EQ(explain_difference(here, canonical_plan(here), "server"), "");
  EXPECT_FALSE(first_difference(there, there));
  const LoadedStudy fewer = load(study_with("[north, south]", "[north]"));
  EXPECT_THAT(without_folder(explain_difference(fewer, there, "server")),
              StartsWith("study.yaml:24:3: plan differs: data.sites is [north] here and [north, south] at the server"));
  EXPECT_EQ(explain_difference(load(kStudy, {"seed=8"}), there, "server"),
            "command line: plan differs: seed is 8 here and 7 at the server");
}

TEST_F(PlanText, KeysOfOneSideAndHostileTextsAreHandled) {
  EXPECT_EQ(first_difference("a = 1\nb = 2\n", "a = 1\n")->key, "b");
  EXPECT_EQ(first_difference("a = 1\n", "a = 1\nb = 2\n")->first, std::nullopt);
  EXPECT_EQ(first_difference("", ""), std::nullopt);
  const LoadedStudy here = load(kStudy);
  const std::string mine = canonical_plan(here);
  EXPECT_THAT(explain_difference(here, "aaa = 1\n" + mine, "server"),
              HasSubstr("plan differs: aaa is not set here and 1 at the server"));
  const std::string hostile = explain_difference(here, "a\x1b[31m = " + std::string(100'000, 'x') + "\n" + mine, "server\n");
  EXPECT_LT(hostile.size(), 400u);
  EXPECT_EQ(hostile.find_first_of("\x1b\n"), std::string::npos);
  EXPECT_THAT(explain_difference(here, "garbage without equals", "server"), HasSubstr("plan differs: "));
}

}  // namespace
}  // namespace sutura
