// What a good study becomes: every value in its struct, defaults, origins, paths.
#include "runtime/config/load_study.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::kStudy;
using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class LoadStudy : public StudyFolder {};

TEST_F(LoadStudy, TheSampleBecomesTheStruct) {
  const StudyConfig c = load(kStudy).config;
  EXPECT_EQ(c.study, "demo");
  EXPECT_EQ(c.seed, 7u);
  ASSERT_EQ(c.topology.parties.size(), 2u);
  EXPECT_EQ(c.topology.parties[0].count, Count::kMany);
  EXPECT_EQ(c.topology.parties[1].role, Role::kServer);
  EXPECT_EQ(c.topology.parties[1].count, Count::kOne);
  ASSERT_EQ(c.topology.nodes.size(), 5u);
  EXPECT_EQ(c.topology.nodes[0].kind, NodeKind::kFeatures);
  EXPECT_EQ(c.topology.nodes[1].kind, NodeKind::kLabels);
  EXPECT_EQ(c.topology.nodes[2].kind, NodeKind::kSegment);
  EXPECT_EQ(c.topology.nodes[2].segment, "front");
  EXPECT_EQ(c.topology.nodes[4].kind, NodeKind::kLoss);
  EXPECT_EQ(c.topology.nodes[4].at, "server");
  ASSERT_EQ(c.topology.routes.size(), 4u);
  EXPECT_EQ(c.topology.routes[1].activation, GuardKind::kRows);
  EXPECT_EQ(c.topology.routes[1].gradient, GuardKind::kNone);
  EXPECT_THAT(c.data.sites, ElementsAre("north", "south"));
  ASSERT_TRUE(c.data.table);
  EXPECT_THAT(c.data.table->classes, ElementsAre("0", "1"));
  EXPECT_FALSE(c.data.arrays);
  EXPECT_EQ(c.data.validation_fraction, 0.2);
  ASSERT_EQ(c.network.whole.layers.size(), 2u);
  EXPECT_EQ(c.network.whole.layers[1].type, "linear");
  EXPECT_EQ(c.network.whole.layers[1].options.at("outputs"), Option(std::int64_t{-1}));
  EXPECT_THAT(c.network.cuts, ElementsAre("one"));
  EXPECT_EQ(c.training.epochs, 3);
  EXPECT_EQ(c.training.learning_rate, 0.01);
  EXPECT_EQ(c.training.batch_size, 32);
  EXPECT_EQ(c.privacy.mechanism, Mechanism::kRows);
  EXPECT_EQ(c.privacy.epsilon, 2.0);
  EXPECT_EQ(c.privacy.delta, 1e-5);
  EXPECT_EQ(c.privacy.labels, LabelPolicy::kPublic);
  EXPECT_FALSE(c.privacy.noise_multiplier);
  EXPECT_FALSE(c.connection);
  EXPECT_EQ(c.compute.at("default").backend, Backend::kOnednn);
  EXPECT_GE(c.compute.at("default").threads, 1);
  EXPECT_EQ(c.output, "runs/demo");
  EXPECT_EQ(c.control_permutations, 20);
}

constexpr const char* kRest = R"(study: rest
topology:
  name: t
  parties: [{name: clinic, role: client}, {name: lab, role: client, count: one}, {name: server, role: server}]
  nodes:
    - {name: xa, at: clinic, source: features}
    - {name: a, at: clinic, segment: a}
    - {name: j, at: server, join: mean}
    - {name: b, at: server, segment: b}
    - {name: l, at: server, loss: study}
  routes:
    - {from: xa, to: a}
    - {from: a, to: j, gradient: {guard: rows}}
    - {from: j, to: b}
    - {from: b, to: l}
  deliver: [{segment: b, to: clinic}]
schedule: {visit: in_turn, tail: per_client, average: [a]}
data:
  arrays:
    path: images.npz
    train: {features: train_images, labels: train_labels}
    validation: {features: val_images, labels: val_labels}
    test: {features: test_images, labels: test_labels}
    divide_by: 255
    classes: 3
  standardize: {centre: 0.5, scale: [0.25]}
  sites: [all.of-them_1]
  partition: {by: label_skew, alpha: 0.3}
  party_columns: {clinic: [age, "blood pressure"], lab: [0x]}
  record_shape: [28, 28, 1]
  party_shapes: {clinic: [2], lab: [1]}
  augment: {shift: 2}
network:
  segments:
    a: {zoo: mlp, hidden: [8, 4], rate: 0.5, kind: wide, betas: [0.9, 1], flag: true, text: "5"}
    b: {layers: [{name: out, type: linear, outputs: -1, eps: 1.0}]}
  frozen: [a]
training:
  loss: cross_entropy
  batch_size: 16
  micro_batches: 4
  optimizer: {name: sgd, learning_rate: 1e-1, momentum: 0, weight_decay: .5}
  clip_gradients: 2
  rate: {schedule: step, warmup_fraction: 0.1, step_epochs: 5, step_factor: 0.5}
  evaluate_every: 0
privacy: {mechanism: rows, regime: release-once, relation: replace-one-nonnegative, epsilon: 1.5, delta: 0.1,
          noise_multiplier: 3, clip_norm: 2.5, scale_to_norm: true, wire: int16, no_data_rule: [1, 2]}
wire: {activation: bf16, gradient: bf16}
connection: {endpoint: "tcp://h:1", server_public_key: s.pub, secret_key: "k/{site}.key", authorised: who, ledger: l, deadline_s: 5}
compute: {lab: {threads: 3}, default: {backend: reference, threads: 2}, server: {backend: onednn, precision: bf16}}
output: out
control_permutations: 0
)";

TEST_F(LoadStudy, EveryOtherKeyArrives) {
  const StudyConfig c = load(kRest).config;
  EXPECT_EQ(c.topology.nodes[2].kind, NodeKind::kJoin);
  EXPECT_EQ(c.topology.nodes[2].join, JoinKind::kMean);
  EXPECT_EQ(c.topology.routes[1].gradient, GuardKind::kRows);
  ASSERT_EQ(c.topology.deliver.size(), 1u);
  EXPECT_EQ(c.topology.deliver[0].to, "clinic");
  EXPECT_EQ(c.schedule.visit, Visit::kInTurn);
  EXPECT_EQ(c.schedule.tail, Tail::kPerClient);
  EXPECT_THAT(c.schedule.average, ElementsAre("a"));
  ASSERT_TRUE(c.data.arrays);
  EXPECT_EQ(c.data.arrays->train_features, "train_images");
  EXPECT_EQ(c.data.arrays->validation_labels, "val_labels");
  EXPECT_EQ(c.data.arrays->test_features, "test_images");
  EXPECT_EQ(c.data.arrays->divide_by, 255.0);
  EXPECT_EQ(c.data.arrays->classes, 3);
  EXPECT_EQ(c.data.standardize, Standardize::kConstants);
  EXPECT_THAT(c.data.centre, ElementsAre(0.5));
  EXPECT_THAT(c.data.scale, ElementsAre(0.25));
  EXPECT_EQ(c.data.partition, PartitionBy::kLabelSkew);
  EXPECT_EQ(c.data.partition_alpha, 0.3);
  EXPECT_THAT(c.data.party_columns,
              ElementsAre(Pair("clinic", ElementsAre("age", "blood pressure")), Pair("lab", ElementsAre("0x"))));
  EXPECT_THAT(c.data.record_shape, ElementsAre(28, 28, 1));
  EXPECT_THAT(c.data.party_shapes, ElementsAre(Pair("clinic", ElementsAre(2)), Pair("lab", ElementsAre(1))));
  EXPECT_EQ(c.data.augment_shift, 2);
  const NetworkSpec& a = c.network.segments.at("a");
  EXPECT_EQ(a.zoo, "mlp");
  EXPECT_EQ(a.options.at("hidden"), Option(std::vector<std::int64_t>{8, 4}));
  EXPECT_EQ(a.options.at("rate"), Option(0.5));
  EXPECT_EQ(a.options.at("kind"), Option(std::string("wide")));
  EXPECT_EQ(a.options.at("betas"), Option(std::vector<double>{0.9, 1.0}));
  EXPECT_EQ(a.options.at("flag"), Option(std::string("true")));
  EXPECT_EQ(a.options.at("text"), Option(std::string("5")));
  EXPECT_EQ(a.options.size(), 6u);
  EXPECT_EQ(c.network.segments.at("b").layers[0].options.at("eps"), Option(1.0));
  EXPECT_THAT(c.network.frozen, ElementsAre("a"));
  EXPECT_EQ(c.training.loss, LossKind::kCrossEntropy);
  EXPECT_EQ(c.training.micro_batches, 4);
  EXPECT_EQ(c.training.optimizer, OptimizerKind::kSgd);
  EXPECT_EQ(c.training.learning_rate, 0.1);
  EXPECT_EQ(c.training.momentum, 0.0);
  EXPECT_EQ(c.training.weight_decay, 0.5);
  EXPECT_EQ(c.training.clip_gradients, 2.0);
  EXPECT_EQ(c.training.rate_schedule, RateSchedule::kStep);
  EXPECT_EQ(c.training.warmup_fraction, 0.1);
  EXPECT_EQ(c.training.step_epochs, 5);
  EXPECT_EQ(c.training.step_factor, 0.5);
  EXPECT_EQ(c.training.evaluate_every, 0);
  EXPECT_EQ(c.privacy.regime, Regime::kReleaseOnce);
  EXPECT_EQ(c.privacy.relation, Relation::kReplaceOneNonnegative);
  EXPECT_EQ(c.privacy.noise_multiplier, 3.0);
  EXPECT_EQ(c.privacy.clip_norm, 2.5);
  EXPECT_TRUE(c.privacy.scale_to_norm);
  EXPECT_EQ(c.privacy.wire, DType::kInt16);
  EXPECT_FALSE(c.privacy.labels);
  EXPECT_THAT(c.privacy.no_data_rule, ElementsAre(1.0, 2.0));
  EXPECT_EQ(c.wire.activation, Codec::kBfloat16);
  EXPECT_EQ(c.wire.gradient, Codec::kBfloat16);
  ASSERT_TRUE(c.connection);
  EXPECT_EQ(c.connection->endpoint, "tcp://h:1");
  EXPECT_EQ(c.connection->secret_key, folder() / "k/{site}.key");
  EXPECT_EQ(c.connection->authorised, folder() / "who");
  EXPECT_EQ(c.connection->ledger, folder() / "l");
  EXPECT_EQ(c.connection->deadline_s, 5.0);
  EXPECT_EQ(c.output, folder() / "out");
  EXPECT_EQ(c.control_permutations, 0);
  // An entry of a party starts from `default`, wherever that stands in the file.
  EXPECT_EQ(c.compute.at("lab").backend, Backend::kReference);
  EXPECT_EQ(c.compute.at("lab").threads, 3);
  EXPECT_EQ(c.compute.at("server").threads, 2);
  EXPECT_EQ(c.compute.at("server").precision, DType::kBfloat16);
  EXPECT_EQ(c.compute.at("server").fallback, Fallback::kNone);
}

TEST_F(LoadStudy, APartyMayComputeOnADevice) {
  const StudyConfig c = load(study_with("privacy:",
                                        "compute: {default: {fallback: reference}, server: {backend: native, precision: tf32}, "
                                        "hospital: {backend: cudnn, precision: bf16, fallback: onednn}}\nprivacy:"))
                            .config;
  const ComputeConfig server = compute_of(c, "server"), hospital = compute_of(c, "hospital"), other = compute_of(c, "nobody in particular");
  EXPECT_EQ(server.backend, Backend::kNative);
  EXPECT_EQ(server.precision, DType::kFloat32);
  EXPECT_EQ(server.math, Math::kTf32);
  EXPECT_EQ(server.fallback, Fallback::kReference);
  EXPECT_EQ(hospital.backend, Backend::kCudnn);
  EXPECT_EQ(hospital.precision, DType::kBfloat16);
  EXPECT_EQ(hospital.math, Math::kIeee);
  EXPECT_EQ(hospital.fallback, Fallback::kOnednn);
  EXPECT_EQ(other.backend, Backend::kOnednn);
  EXPECT_EQ(other.math, Math::kIeee);
  EXPECT_EQ(compute_of(load(kStudy).config, "server").fallback, Fallback::kNone);
}

TEST_F(LoadStudy, TablesTakeTextsAsWritten) {
  const StudyConfig c =
      load(study_with("classes: [\"0\", \"1\"]",
                      "classes: [0, yes, 010]\n    features: [age, 1.50]\n"
                      "    categories: {sex: [f, m], \"blood type\": [A, no]}\n    missing: [\"\", NA, -9]\n    drop: [id]"))
          .config;
  EXPECT_THAT(c.data.table->classes, ElementsAre("0", "yes", "010"));
  EXPECT_THAT(c.data.table->features, ElementsAre("age", "1.50"));
  EXPECT_THAT(c.data.table->categories,
              ElementsAre(Pair("blood type", ElementsAre("A", "no")), Pair("sex", ElementsAre("f", "m"))));
  EXPECT_THAT(c.data.table->missing, ElementsAre("", "NA", "-9"));
  EXPECT_THAT(c.data.table->drop, ElementsAre("id"));
}

TEST_F(LoadStudy, StandardizeAndPartitionTakeAWordOrAMap) {
  EXPECT_EQ(load(study_with("  sites:", "  standardize: training\n  partition: evenly\n  sites:")).config.data.standardize,
            Standardize::kTraining);
  const auto by = load(study_with("  sites:", "  partition: {by: column, column: site}\n  sites:")).config.data;
  EXPECT_EQ(by.partition, PartitionBy::kColumn);
  EXPECT_EQ(by.partition_column, "site");
  EXPECT_THAT(report(study_with("  sites:", "  partition: column\n  sites:")), HasSubstr("data.partition must be evenly"));
}

TEST_F(LoadStudy, PathsAreRelativeToTheFileThatNamesThem) {
  write("sub/data.yaml", "data: {table: {path: ../records/r.csv}}\n");
  const std::string text = "include: [sub/data.yaml]\n" + study_with("    path: records.csv\n", "");
  EXPECT_EQ(load(text).config.data.table->path, folder() / "records/r.csv");
  EXPECT_EQ(load(text, {"data.table.path=here.csv"}).config.data.table->path, "here.csv");
  EXPECT_EQ(load(text, {"data.table.path=/abs/here.csv"}).config.data.table->path, "/abs/here.csv");
  ::setenv("SUTURA_TEST_FOLDER", "/some/where", 1);
  EXPECT_EQ(load(text, {"data.table.path=${SUTURA_TEST_FOLDER}/r.csv"}).config.data.table->path, "/some/where/r.csv");
  ::unsetenv("SUTURA_TEST_FOLDER");
  // Variables are for paths only.
  EXPECT_EQ(load(text, {"data.table.label=${SUTURA_TEST_FOLDER}"}).config.data.table->label, "${SUTURA_TEST_FOLDER}");
}

TEST_F(LoadStudy, EveryKeyHasAValueAndAnOrigin) {
  write("parts/base.yaml", "training:\n  batch_size: 64\n");
  const LoadedStudy study = load(std::string("include: [parts/base.yaml]\n") + kStudy, {"training.epochs=9"});
  std::map<std::string, OriginLine> lines;
  for (const OriginLine& line : study.resolved)
    EXPECT_TRUE(lines.emplace(line.key, line).second) << line.key << " is there twice";
  const auto origin = [&](const std::string& key) { return without_folder(lines.at(key).origin); };
  EXPECT_EQ(origin("seed"), "study.yaml:3:1");
  EXPECT_EQ(origin("training.batch_size"), "parts/base.yaml:2:3");
  EXPECT_EQ(lines.at("training.batch_size").value, "64");
  EXPECT_EQ(origin("training.epochs"), "override");
  EXPECT_EQ(lines.at("training.epochs").value, "9");
  EXPECT_EQ(origin("training.evaluate_every"), "default");
  EXPECT_EQ(lines.at("training.evaluate_every").value, "1");
  EXPECT_EQ(lines.at("privacy.delta").value, "1e-05");
  EXPECT_EQ(lines.at("data.sites").value, "[north, south]");
  EXPECT_EQ(lines.at("data.table.classes").value, "[\"0\", \"1\"]");
  EXPECT_EQ(lines.at("topology.nodes[2].segment").value, "front");
  EXPECT_EQ(lines.at("privacy.noise_multiplier").value, "(none)");
  for (const auto& [key, line] : lines) {
    const bool local = key.ends_with(".path") || key.starts_with("connection.") || key.starts_with("compute.") || key == "output";
    EXPECT_EQ(line.scope, local ? Scope::kLocal : Scope::kShared) << key;
  }
  const std::string printed = without_folder(print_config(study));
  EXPECT_THAT(printed, HasSubstr("seed = 7 "));
  EXPECT_THAT(printed, HasSubstr("  # study.yaml:3:1\n"));
  EXPECT_THAT(printed, ::testing::ContainsRegex("training\\.epochs = 9 +# override\n"));
  EXPECT_THAT(printed, ::testing::ContainsRegex("compute\\.default\\.backend = onednn +# default, local\n"));
}

TEST_F(LoadStudy, PlacesAreFoundByDottedPath) {
  const LoadedStudy study = load(kStudy, {"seed=1"});
  EXPECT_EQ(without_folder(study.place("network.layers[1].outputs")), "study.yaml:29:33");
  EXPECT_EQ(without_folder(study.place("network.layers[1].kernel")), "study.yaml:29:7");
  EXPECT_EQ(without_folder(study.place("network.layers[7].kernel")), "study.yaml:27:3");
  EXPECT_EQ(without_folder(study.place("data.table.path")), "study.yaml:21:5");
  EXPECT_EQ(study.place("seed"), "command line");
  EXPECT_EQ(without_folder(study.place("nonsense")), "study.yaml");
  EXPECT_EQ(without_folder(study.finding("network.cuts", "no cut is possible here", "cut earlier")),
            "study.yaml:30:3: error: no cut is possible here\n    cuts: [one]\n    ^\n  hint: cut earlier");
}

}  // namespace
}  // namespace sutura
