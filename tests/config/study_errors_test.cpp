// Every kind of finding in a study file, each with its whole report: place, message, source line, caret, hint.
#include <gmock/gmock.h>

#include <random>

#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::kStudy;
using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::HasSubstr;

struct Change {
  const char* name;
  const char* from;
  const char* to;
  const char* report;  // whole
};
void PrintTo(const Change& c, std::ostream* out) { *out << c.name; }

class StudyError : public StudyFolder, public ::testing::WithParamInterface<Change> {};

TEST_P(StudyError, IsReportedWithPlaceCaretAndHint) {
  EXPECT_EQ(report(study_with(GetParam().from, GetParam().to)), GetParam().report);
}

const auto kName = [](const auto& test) { return std::string(test.param.name); };

INSTANTIATE_TEST_SUITE_P(
    Scalars, StudyError,
    ::testing::Values(
        Change{"negative_epsilon", "epsilon: 2", "epsilon: -1",
               "study.yaml:41:12: error: privacy.epsilon must be > 0 (got -1)\n    epsilon: -1\n             ^"},
        Change{"zero_epsilon", "epsilon: 2", "epsilon: 0.0",
               "study.yaml:41:12: error: privacy.epsilon must be > 0 (got 0.0)\n    epsilon: 0.0\n             ^"},
        Change{"large_delta", "delta: 1e-5", "delta: 0.5",
               "study.yaml:42:10: error: privacy.delta must be > 0 and <= 0.1 (got 0.5)\n    delta: 0.5\n           ^"},
        Change{"no_integer", "epochs: 3", "epochs: ten",
               "study.yaml:33:11: error: training.epochs must be an integer (found the text ten)\n    epochs: ten\n    "
               "        ^"},
        Change{"float_for_integer", "epochs: 3", "epochs: 1e3",
               "study.yaml:33:11: error: training.epochs must be an integer (found the number 1e3)\n    epochs: 1e3\n  "
               "          ^\n"
               "  hint: write 1000"},
        Change{"octal", "epochs: 3", "epochs: 010",
               "study.yaml:33:11: error: training.epochs must be an integer (found the text 010)\n    epochs: 010\n    "
               "        ^\n"
               "  hint: a leading zero means octal to some readers; write the number without it"},
        Change{"octal_for_number", "epsilon: 2", "epsilon: 02.5",
               "study.yaml:41:12: error: privacy.epsilon must be a number (found the text 02.5)\n    epsilon: 02.5\n   "
               "          ^"},
        Change{"hexadecimal", "seed: 7", "seed: 0x1F",
               "study.yaml:2:7: error: seed must be an integer (found the text 0x1F)\n  seed: 0x1F\n        ^\n"
               "  hint: numbers are written in decimal"},
        Change{"quoted_integer", "epochs: 3", "epochs: \"3\"",
               "study.yaml:33:11: error: training.epochs must be an integer (found the text \"3\")\n    epochs: "
               "\"3\"\n            ^\n"
               "  hint: leave out the quotes"},
        Change{"separators", "epochs: 3", "epochs: 1_000",
               "study.yaml:33:11: error: training.epochs must be an integer (found the text 1_000)\n    epochs: "
               "1_000\n            ^\n"
               "  hint: write the number without separators"},
        Change{"integer_too_large", "seed: 7", "seed: 99999999999999999999",
               "study.yaml:2:7: error: seed must be >= 0 (got 99999999999999999999)\n  seed: 99999999999999999999\n    "
               "    ^"},
        Change{"integer_out_of_range", "epochs: 3", "epochs: 0",
               "study.yaml:33:11: error: training.epochs must be between 1 and 1000000 (got 0)\n    epochs: 0\n        "
               "    ^"},
        Change{"nan", "epsilon: 2", "epsilon: .nan",
               "study.yaml:41:12: error: privacy.epsilon must be a number (found the text .nan)\n    epsilon: .nan\n   "
               "          ^\n"
               "  hint: only finite numbers are allowed"},
        Change{"infinity", "epsilon: 2", "epsilon: .inf",
               "study.yaml:41:12: error: privacy.epsilon must be a number (found the text .inf)\n    epsilon: .inf\n   "
               "          ^\n"
               "  hint: only finite numbers are allowed"},
        Change{"overflow", "epsilon: 2", "epsilon: 1e999",
               "study.yaml:41:12: error: privacy.epsilon must be a number that a double can hold (found the number "
               "1e999)\n"
               "    epsilon: 1e999\n             ^"},
        Change{"yes_for_boolean", "wire: int8", "wire: int8\n  scale_to_norm: yes",
               "study.yaml:45:18: error: privacy.scale_to_norm must be true or false (found the text yes)\n    "
               "scale_to_norm: yes\n"
               "                   ^\n  hint: booleans are written true or false, in small letters"},
        Change{"quoted_boolean", "wire: int8", "wire: int8\n  scale_to_norm: \"true\"",
               "study.yaml:45:18: error: privacy.scale_to_norm must be true or false (found the text \"true\")\n"
               "    scale_to_norm: \"true\"\n                   ^\n  hint: leave out the quotes"},
        Change{"list_for_number", "epsilon: 2", "epsilon: [2]",
               "study.yaml:41:12: error: privacy.epsilon must be a number (found a list)\n    epsilon: [2]\n           "
               "  ^"},
        Change{"map_for_text", "study: demo", "study: {a: b}",
               "study.yaml:1:8: error: study must be a text (found a map)\n  study: {a: b}\n         ^"},
        Change{"text_for_list", "sites: [north, south]", "sites: north",
               "study.yaml:24:10: error: data.sites must be a list of texts (found the text north)\n    sites: north\n "
               "          ^\n"
               "  hint: write [north]"},
        Change{"text_for_map", "  table:\n    path: records.csv\n    label: outcome\n    classes: [\"0\", \"1\"]",
               "  table: records.csv",
               "study.yaml:20:10: error: data.table must be a map of keys (found the text records.csv)\n    table: "
               "records.csv\n"
               "           ^"},
        Change{"empty_value", "epochs: 3", "epochs:",
               "study.yaml:33:3: error: training.epochs is empty\n    epochs:\n    ^\n"
               "  hint: give it a value (integer, between 1 and 1000000) or leave the key out"},
        Change{"choice", "wire: int8", "wire: int4",
               "study.yaml:44:9: error: privacy.wire must be one of int8, int16 (found the text int4)\n    wire: "
               "int4\n          ^\n"
               "  hint: did you mean int8?"},
        Change{"bad_name", "study: demo", "study: two words",
               "study.yaml:1:8: error: study must be a name (found the text two words)\n  study: two words\n         ^\n"
               "  hint: 1 to 64 of letters, digits, _ and - and ."},
        Change{"after_umlauts", "classes: [\"0\", \"1\"]",
               "drop: [gr\xC3\xB6\xC3\x9F"
               "e, gr\xC3\xB6\xC3\x9F"
               "e]",
               "study.yaml:23:19: error: data.table.drop names gr\xC3\xB6\xC3\x9F"
               "e twice\n"
               "      drop: [gr\xC3\xB6\xC3\x9F"
               "e, gr\xC3\xB6\xC3\x9F"
               "e]\n                    ^"}),
    kName);

INSTANTIATE_TEST_SUITE_P(
    Keys, StudyError,
    ::testing::Values(
        Change{"unknown_near", "epochs: 3", "epocs: 3",
               "study.yaml:33:3: error: unknown key training.epocs\n    epocs: 3\n    ^\n  hint: did you mean epochs?"},
        Change{"unknown_top", "seed: 7", "sead: 7",
               "study.yaml:2:1: error: unknown key sead\n  sead: 7\n  ^\n  hint: did you mean seed?"},
        Change{"unknown_far", "{from: y, to: loss}", "{from: y, to: loss, colour: red}",
               "study.yaml:18:27: error: unknown key topology.routes[3].colour\n      - {from: y, to: loss, colour: red}\n"
               "                            ^\n  hint: known here: from, to, activation, gradient"},
        Change{"unknown_after_umlaut", "{from: y, to: loss}", "{\"\xC3\xBC\": 1, from: y, to: loss}",
               "study.yaml:18:8: error: unknown key topology.routes[3].\"\xC3\xBC\"\n      - {\"\xC3\xBC\": 1, from: "
               "y, to: loss}\n"
               "         ^\n  hint: known here: from, to, activation, gradient"},
        Change{"duplicate", "seed: 7", "seed: 7\nseed: 8",
               "study.yaml:3:1: error: duplicate key seed\n  seed: 8\n  ^\n  hint: it is set first in line 2"},
        Change{"required", "  epsilon: 2\n", "",
               "study.yaml:37:1: error: privacy.epsilon is required\n  privacy:\n  ^\n"
               "  hint: `rows`: hard budget of one owner's row releases of any record."},
        Change{"required_label", "    label: outcome\n", "",
               "study.yaml:20:3: error: data.table.label is required\n    table:\n    ^\n  hint: Column that holds the "
               "label."},
        Change{"required_top", "study: demo\n", "",
               "study.yaml:1:1: error: study is required\n  seed: 7\n  ^\n  hint: Name of the study."}),
    kName);

INSTANTIATE_TEST_SUITE_P(
    Rules, StudyError,
    ::testing::Values(
        Change{"two_kinds_of_node", "at: hospital, source: labels", "at: hospital, source: labels, loss: study",
               "study.yaml:10:7: error: topology.nodes[1] must hold exactly one of source, segment, join, loss (found 2)\n"
               "      - {name: y, at: hospital, source: labels, loss: study}\n        ^\n"
               "  hint: for example {name: front, at: hospital, segment: front}"},
        Change{"unknown_party", "{name: tail, at: server,", "{name: tail, at: sever,",
               "study.yaml:12:24: error: no party is named sever\n      - {name: tail, at: sever, segment: tail}\n"
               "                         ^\n  hint: did you mean server?"},
        Change{"two_parties", "{name: server, role: server}", "{name: hospital, role: server}",
               "study.yaml:7:14: error: two parties are named hospital\n      - {name: hospital, role: server}\n       "
               "        ^\n"
               "study.yaml:12:24: error: no party is named server\n      - {name: tail, at: server, segment: tail}\n"
               "                         ^\n  hint: known here: hospital, hospital\n"
               "study.yaml:13:24: error: no party is named server\n      - {name: loss, at: server, loss: study}\n"
               "                         ^\n  hint: known here: hospital, hospital"},
        Change{"unknown_node", "{from: tail, to: loss}", "{from: tial, to: loss}",
               "study.yaml:17:14: error: no node is named tial\n      - {from: tial, to: loss}\n               ^\n"
               "  hint: did you mean tail?"},
        Change{"two_nodes", "{name: y, at: hospital", "{name: x, at: hospital",
               "study.yaml:10:14: error: two nodes are named x\n      - {name: x, at: hospital, source: labels}\n      "
               "         ^\n"
               "study.yaml:18:14: error: no node is named y\n      - {from: y, to: loss}\n               ^\n  hint: "
               "did you mean x?"},
        Change{"two_routes", "{from: y, to: loss}", "{from: tail, to: loss}",
               "study.yaml:18:14: error: the route tail>loss is there twice\n      - {from: tail, to: loss}\n          "
               "     ^"},
        Change{"two_sites", "[north, south]", "[north, north]",
               "study.yaml:24:18: error: data.sites names north twice\n    sites: [north, north]\n                   ^"},
        Change{"bad_site", "[north, south]", "[north, sou/th]",
               "study.yaml:24:18: error: data.sites[1] must be a name (found the text sou/th)\n    sites: [north, "
               "sou/th]\n"
               "                   ^\n  hint: 1 to 64 of letters, digits, _ and - and ."},
        Change{"dots_as_site", "[north, south]", "[north, ..]",
               "study.yaml:24:18: error: data.sites[1] must be a name (found the text ..)\n    sites: [north, ..]\n"
               "                   ^\n  hint: 1 to 64 of letters, digits, _ and - and ."},
        Change{"no_sites", "[north, south]", "[]",
               "study.yaml:24:10: error: data.sites must name 1 to 1000 sites (found 0)\n    sites: []\n           ^"},
        Change{"fractions", "validation_fraction: 0.2", "validation_fraction: 0.6\n  test_fraction: 0.4",
               "study.yaml:26:18: error: data.validation_fraction and data.test_fraction leave nothing to train on\n"
               "    test_fraction: 0.4\n                   ^\n  hint: their sum must be < 1"},
        Change{"table_and_arrays", "  sites:", "  arrays: {path: a.npz, train: {features: x, labels: y}}\n  sites:",
               "study.yaml:19:1: error: data must hold exactly one of table, arrays, party_tables (found 2)\n  data:\n  ^"},
        Change{"cuts_and_segments", "  cuts: [one]", "  cuts: [one]\n  segments: {front: {zoo: mlp}, tail: {zoo: mlp}}",
               "study.yaml:27:3: error: network holds both segments and layers\n    layers:\n    ^\n"
               "  hint: give each segment by itself, or one network with cuts\n"
               "study.yaml:30:9: error: network holds both segments and cuts\n    cuts: [one]\n          ^\n"
               "  hint: give each segment by itself, or one network with cuts"},
        Change{"number_of_cuts", "  cuts: [one]", "  cuts: [one, two]",
               "study.yaml:30:9: error: network.cuts names 2 layers, but the topology needs 1\n    cuts: [one, two]\n  "
               "        ^\n"
               "  hint: its segments are front, tail"},
        Change{"unknown_cut", "  cuts: [one]", "  cuts: [ones]",
               "study.yaml:30:10: error: no layer is named ones\n    cuts: [ones]\n           ^\n  hint: did you mean "
               "one?"},
        Change{"two_layers", "{name: two, type", "{name: one, type",
               "study.yaml:29:14: error: two layers are named one\n      - {name: one, type: linear, outputs: -1}\n    "
               "           ^\n"
               "  hint: layer names must differ"},
        Change{"option_map", "outputs: 8", "outputs: {a: 1}",
               "study.yaml:28:42: error: network.layers[0].outputs must be a number, a word or a list of numbers "
               "(found a map)\n"
               "      - {name: one, type: linear, outputs: {a: 1}}\n                                           ^"},
        Change{"option_octal", "outputs: 8", "outputs: 08",
               "study.yaml:28:42: error: network.layers[0].outputs must be a number or a word (found the text 08)\n"
               "      - {name: one, type: linear, outputs: 08}\n                                           ^\n"
               "  hint: a leading zero means octal to some readers; write the number without it"},
        Change{"unknown_segment", "  cuts: [one]", "  cuts: [one]\n  frozen: [fornt]",
               "study.yaml:31:12: error: no segment is named fornt\n    frozen: [fornt]\n             ^\n  hint: did "
               "you mean front?"},
        Change{"momentum_of_adamw", "    name: adamw", "    name: adamw\n    momentum: 0.9",
               "study.yaml:36:15: error: training.optimizer.momentum belongs to sgd\n      momentum: 0.9\n             "
               "   ^\n"
               "  hint: adamw has its own fixed betas"},
        Change{"micro_batches", "  epochs: 3", "  batch_size: 4\n  micro_batches: 5",
               "study.yaml:34:18: error: training.micro_batches must not be larger than training.batch_size (4)\n"
               "    micro_batches: 5\n                   ^"},
        Change{"one_class", "[\"0\", \"1\"]", "[\"0\"]",
               "study.yaml:23:14: error: data.table.classes must name at least two classes\n      classes: [\"0\"]\n   "
               "            ^\n"
               "  hint: leave it out for a regression"},
        Change{"label_is_feature", "classes: [\"0\", \"1\"]", "features: [age, outcome]",
               "study.yaml:23:21: error: column outcome is a feature and also the label\n      features: [age, outcome]\n"
               "                      ^"},
        Change{"centres_and_scales", "  sites:", "  standardize: {centre: [1, 2], scale: [1, 2, 3]}\n  sites:",
               "study.yaml:24:40: error: data.standardize holds 2 centres and 3 scales\n"
               "    standardize: {centre: [1, 2], scale: [1, 2, 3]}\n                                         ^"},
        Change{"zero_scale", "  sites:", "  standardize: {centre: 0, scale: [1, 0]}\n  sites:",
               "study.yaml:24:39: error: data.standardize.scale[1] must be > 0 (got 0)\n"
               "    standardize: {centre: 0, scale: [1, 0]}\n                                        ^"},
        Change{"partition_column", "  sites:", "  partition: {by: column}\n  sites:",
               "study.yaml:24:3: error: data.partition.column is required\n    partition: {by: column}\n    ^\n"
               "  hint: `by: column`: the table column, or the array, whose text is the site's name."},
        Change{"record_shape", "  sites:", "  record_shape: [28, 0, 1.5]\n  sites:",
               "study.yaml:24:22: error: data.record_shape[1] must be between 1 and 16777216 (got 0)\n    "
               "record_shape: [28, 0, 1.5]\n"
               "                       ^\n"
               "study.yaml:24:25: error: data.record_shape[2] must be an integer (found the number 1.5)\n"
               "    record_shape: [28, 0, 1.5]\n                          ^"},
        Change{"record_rank", "  sites:", "  record_shape: [1, 1, 1, 1, 1, 1]\n  sites:",
               "study.yaml:24:17: error: data.record_shape has more than 5 dimensions\n    record_shape: [1, 1, 1, 1, "
               "1, 1]\n"
               "                  ^"},
        Change{"unset_variable", "records.csv", "${SUTURA_TEST_UNSET}/records.csv",
               "study.yaml:21:11: error: data.table.path uses ${SUTURA_TEST_UNSET}, which is not set in the environment\n"
               "      path: ${SUTURA_TEST_UNSET}/records.csv\n            ^\n  hint: run: export "
               "SUTURA_TEST_UNSET=/path/to/it"},
        Change{"bad_variable", "records.csv", "$HOME/records.csv",
               "study.yaml:21:11: error: data.table.path holds a $ that begins no variable\n      path: "
               "$HOME/records.csv\n"
               "            ^\n  hint: variables are written ${NAME}"},
        Change{"compute_party", "privacy:", "compute: {sever: {threads: 2}}\nprivacy:",
               "study.yaml:37:11: error: no party is named sever\n  compute: {sever: {threads: 2}}\n            ^\n"
               "  hint: did you mean server?"},
        Change{"tf32_on_a_cpu", "privacy:", "compute: {default: {backend: onednn, precision: tf32}}\nprivacy:",
               "study.yaml:37:49: error: compute.default.precision tf32 needs the backend native or cudnn\n"
               "  compute: {default: {backend: onednn, precision: tf32}}\n"
               "                                                  ^"},
        Change{"bf16_on_reference", "privacy:", "compute: {default: {backend: reference, precision: bf16}}\nprivacy:",
               "study.yaml:37:52: error: compute.default.precision bf16 needs the backend onednn, native or cudnn\n"
               "  compute: {default: {backend: reference, precision: bf16}}\n"
               "                                                     ^"}),
    kName);

TEST_F(StudyFolder, AllFindingsComeAtOnceInOrder) {
  std::string text = kStudy;
  text = study_with("epsilon: 2", "epsilon: -1", text);
  text = study_with("epochs: 3", "epocs: 010", text);
  text = study_with("seed: 7", "seed: 7\nseed: 8", text);
  text = study_with("[north, south]", "[north, north]", text);
  const std::string all = report(text, {"privacy.delta=nan", "nonsense=1"});
  const std::vector<std::string> wanted{
      "study.yaml:3:1: error: duplicate key seed",           "study.yaml:25:18: error: data.sites names north twice",
      "study.yaml:34:3: error: unknown key training.epocs",  "study.yaml:42:12: error: privacy.epsilon must be > 0",
      "command line: error: privacy.delta must be a number", "command line: error: unknown key nonsense"};
  std::size_t at = 0;
  for (const std::string& finding : wanted) {
    const std::size_t next = all.find(finding, at);
    ASSERT_NE(next, std::string::npos) << finding << " is missing or out of order in\n" << all;
    at = next;
  }
  std::size_t errors = 0;
  for (std::size_t i = 0; (i = all.find(": error: ", i)) != std::string::npos; ++i) ++errors;
  EXPECT_EQ(errors, wanted.size()) << all;
}

TEST_F(StudyFolder, FindingsOfOverridesShowTheOverride) {
  EXPECT_EQ(report(kStudy, {"seed=8", "training.epochs=ten"}),
            "command line: error: training.epochs must be an integer (found the text ten)\n  training.epochs=ten\n     "
            "             ^");
  EXPECT_EQ(report(kStudy, {"training.epoch=3"}),
            "command line: error: unknown key training.epoch\n  training.epoch=3\n  ^\n  hint: did you mean epochs?");
}

TEST_F(StudyFolder, FindingsInAnIncludeNameThatFile) {
  write("parts/training.yaml", "training: {loss: cross_entropy, epochs: 0}\n");
  std::string text = kStudy;
  text = study_with("  loss: binary_cross_entropy\n  epochs: 3\n", "  batch_size: 4\n", text);
  EXPECT_EQ(report("include: [parts/training.yaml]\n" + text),
            "parts/training.yaml:1:41: error: training.epochs must be between 1 and 1000000 (got 0)\n"
            "  training: {loss: cross_entropy, epochs: 0}\n                                          ^");
}

TEST_F(StudyFolder, PrivacyHasNoDefaults) {
  const std::string text = kStudy;
  const std::string without = text.substr(0, text.find("privacy:"));
  EXPECT_THAT(report(without), HasSubstr("error: privacy is required"));
  EXPECT_THAT(report(without + "privacy: {}\n"), HasSubstr("error: privacy.mechanism is required"));
  EXPECT_THAT(report(without + "privacy: {mechanism: none}\n"), HasSubstr("error: privacy.because is required"));
  EXPECT_THAT(report(without + "privacy: {mechanism: none, because: \"  \"}\n"),
              HasSubstr("error: privacy.because must not be empty"));
  EXPECT_EQ(report(without + "privacy: {mechanism: none, because: a baseline}\n"), "");
  for (const char* line :
       {"regime: message-noise", "relation: replace-one", "epsilon: 2", "delta: 1e-5", "clip_norm: 1", "wire: int8"}) {
    const std::string key = std::string(line).substr(0, std::string(line).find(':'));
    EXPECT_THAT(report(study_with(std::string("  ") + line + "\n", "")), HasSubstr("error: privacy." + key + " is required"));
  }
  EXPECT_EQ(report(study_with("  labels: public\n", "")), "");
}

TEST_F(StudyFolder, FiguresBesideNoMechanismAreRefused) {
  const std::string text = kStudy;
  const std::string none = text.substr(0, text.find("privacy:")) + "privacy: {mechanism: none, because: test, epsilon: 1}\n";
  EXPECT_THAT(report(none), HasSubstr("study.yaml:37:52: error: privacy.epsilon belongs to the mechanism rows"));
  EXPECT_THAT(report(study_with("mechanism: rows", "mechanism: rows\n  because: why")),
              HasSubstr("error: privacy.because belongs to the mechanism none"));
  // An ablation from the command line may leave the file's figures standing; they are not read.
  const LoadedStudy ablation = load(kStudy, {"privacy.mechanism=none", "privacy.because=ablation"});
  EXPECT_EQ(ablation.config.privacy.mechanism, Mechanism::kNone);
  EXPECT_EQ(ablation.config.privacy.epsilon, 0.0);
  EXPECT_THAT(canonical_plan(ablation), ::testing::Not(HasSubstr("privacy.epsilon")));
  EXPECT_THAT(report(kStudy, {"privacy.mechanism=none", "privacy.because=x", "privacy.epsilon=1"}),
              HasSubstr("belongs to the mechanism rows"));
}

TEST_F(StudyFolder, ConnectionsNeedKeysAndATcpEndpoint) {
  const auto with = [this](const std::string& connection) {
    return report(std::string(kStudy) + "connection: " + connection + "\n");
  };
  EXPECT_THAT(with("{}"), HasSubstr("connection.endpoint is required"));
  EXPECT_THAT(with("{}"), HasSubstr("connection.server_public_key is required"));
  EXPECT_THAT(with("{}"), HasSubstr("connection.secret_key is required"));
  const std::string keys = ", server_public_key: s.pub, secret_key: \"keys/{site}.key\"}";
  for (const char* good : {"tcp://server.example.org:5555", "\"tcp://[::1]:5555\"", "\"tcp://127.0.0.1:*\""})
    EXPECT_EQ(with(std::string("{endpoint: ") + good + keys), "") << good;
  for (const char* bad : {"server:5555", "ipc:///tmp/x", "tcp://server", "\"tcp://:5555\"", "tcp://server:0",
                          "tcp://server:65536", "\"tcp://::1:5555\"", "tcp://server:x", "tcp://a/b:1"})
    EXPECT_THAT(with(std::string("{endpoint: ") + bad + keys), HasSubstr("connection.endpoint must be tcp://host:port")) << bad;
}

TEST_F(StudyFolder, MangledStudiesLoadOrAreRefusedAndNothingElse) {
  std::mt19937 random(20240501);
  const std::string pieces[] = {"\n",       ":",  " ",  "[",  "]", "{", "}",     "\"", "'",
                                "&a",       "*a", "!x", "- ", "?", "|", ">",     "%",  "\xC3",
                                "\xC3\xBC", "0",  "-",  ".",  ",", "#", "---\n", "\t", std::string(1, '\0'),
                                "true",     "1e9"};
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string text = kStudy;
    for (unsigned k = 0; k <= random() % 4; ++k) {
      const std::size_t at = random() % text.size();
      const std::string& piece = pieces[random() % std::size(pieces)];
      if (random() % 3 == 0)
        text.erase(at, random() % 12);
      else
        text.insert(at, piece);
    }
    // report() takes nothing but Error(kConfig); each finding must name its place.
    const std::string found = report(text);
    refused += found.empty() ? 0 : 1;
    EXPECT_TRUE(found.empty() || found.starts_with("study.yaml:")) << text << "\n" << found;
  }
  EXPECT_GT(refused, 200);
  EXPECT_LT(refused, 400);
}

TEST_F(StudyFolder, ManySitesAreBounded) {
  const auto sites = [](int n) {
    std::string list = "[s0";
    for (int i = 1; i < n; ++i) list += ", s" + std::to_string(i);
    return study_with("[north, south]", list + "]");
  };
  EXPECT_EQ(load(sites(1000)).config.data.sites.size(), 1000u);
  EXPECT_THAT(report(sites(1001)), HasSubstr("data.sites must name 1 to 1000 sites (found 1001)"));
}

}  // namespace
}  // namespace sutura
