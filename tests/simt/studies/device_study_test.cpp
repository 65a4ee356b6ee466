// Studies by YAML whose parties compute on a device, in every topology and way of taking part: the losses of the reference backend.
#include <algorithm>
#include <cmath>

#include "tests/equivalence/split_run.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using namespace sutura::testing;

// float32 on both sides, so only the order of sums differs: products of at most 16 terms and a few layers round to some 1e-6; twelve
// steps of SGD carry that on without amplifying it.
constexpr double kTolerance = 1e-4;

struct Case {
  std::string name;
  std::function<void(StudyText&)> change;
  std::vector<std::string> devices;  ///< parties
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

constexpr const char* kSegments =
    "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 5}, {name: clinic_act, type: gelu}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 5}, {name: laboratory_act, type: relu}]}, "
    "tail: {layers: [{name: fc, type: linear, outputs: 6}, {name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";
constexpr const char* kColumns =
    ", party_columns: {clinic: [c0, c1, c2, c3], laboratory: [c4, c5]}, party_shapes: {clinic: [4], laboratory: [2]}";

void vertical(StudyText& t) {
  t.topology = "vertical";
  t.network = kSegments;
  t.sites = {"cohort"};
  t.data_more = kColumns;
}
void u_shaped(StudyText& t) {
  t.topology = "u_shaped";
  t.network = "zoo: mlp, hidden: [7, 6, 5], cuts: [act1, act2]";
}

const Case kCases[] = {
    {"vanilla_server", [](StudyText&) {}, {"server"}},
    {"vanilla_hospital", [](StudyText&) {}, {"hospital"}},
    {"micro_batches", [](StudyText& t) { t.micro_batches = 3; }, {"hospital", "server"}},
    {"in_turn_hand_on", [](StudyText& t) { t.schedule = "{visit: in_turn, hand_on: [front]}"; }, {"hospital", "server"}},
    {"averages",
     [](StudyText& t) { t.schedule = "{visit: together, tail: per_client, average: [front, tail]}"; },
     {"hospital", "server"}},
    {"best_weights",
     [](StudyText& t) {
       t.data_more = ", validation_fraction: 0.2";
       t.training_more = ", keep: best, best_by: loss, early_stopping: {patience: 1}";
     },
     {"server"}},
    {"clipped_adamw",
     [](StudyText& t) {
       t.optimizer = "{name: adamw, learning_rate: 0.01, weight_decay: 0.01}";
       t.training_more = ", clip_gradients: 0.05";
     },
     {"server"}},
    // Both ends round the same float32 values, but for differences in their last bits, which seldom cross a rounding.
    {"int8_on_the_wire", [](StudyText& t) { t.privacy += "\nwire: {activation: int8, gradient: int8}"; }, {"hospital", "server"}},
    {"bf16_on_the_wire", [](StudyText& t) { t.privacy += "\nwire: {activation: bf16, gradient: bf16}"; }, {"hospital", "server"}},
    {"u_shaped", u_shaped, {"hospital", "server"}},
    {"u_shaped_server", u_shaped, {"server"}},
    {"vertical", vertical, {"clinic", "server"}},
    {"federated",
     [](StudyText& t) {
       t.topology = kFederated;
       t.network = "zoo: mlp, hidden: [7, 6, 5]";
       t.schedule = "{visit: together, average: [whole]}";
     },
     {"hospital"}},
};

class DeviceStudyBase : public SplitRun {
 protected:
  DeviceStudyBase() { provide_device(Backend::kNative, simt::table()); }
  static StudyText study(const std::vector<std::string>& devices) {
    StudyText t;
    t.topology = "vanilla";
    t.network = "zoo: mlp, hidden: [7, 6, 5], cuts: [act1]";
    t.sites = {"north", "south"};
    t.record = {1, 6};
    t.epochs = 4;
    t.optimizer = "{name: sgd, learning_rate: 0.1, momentum: 0.5}";
    for (const std::string& d : devices) t.backend += ", threads: 1}, " + d + ": {backend: native";
    return t;
  }
  static std::vector<SiteData> sites(const StudyText& t) {
    std::vector<SiteData> all;
    for (std::size_t i = 0; i < t.sites.size(); ++i)
      all.push_back(make_site(t.sites[i], t.record, {21 - 4 * static_cast<std::int64_t>(i)}, 17 + i));
    return all;
  }
};
class DeviceStudy : public DeviceStudyBase, public ::testing::WithParamInterface<Case> {};
INSTANTIATE_TEST_SUITE_P(Ways, DeviceStudy, ::testing::ValuesIn(kCases), [](const auto& info) { return info.param.name; });

TEST_P(DeviceStudy, TrainsAsTheReferenceDoes) {
  StudyText plain = study({}), on_devices = study(GetParam().devices);
  GetParam().change(plain);
  GetParam().change(on_devices);
  const Trained want = run(plain, sites(plain)), got = run(on_devices, sites(on_devices));
  ASSERT_EQ(got.losses().size(), want.losses().size());
  for (std::size_t e = 0; e < want.losses().size(); ++e)
    EXPECT_NEAR(got.losses()[e], want.losses()[e], kTolerance * want.losses()[e]) << "epoch " << e;
  ASSERT_TRUE(got.result.test && want.result.test);
  EXPECT_NEAR(got.result.test->loss, want.result.test->loss, kTolerance * want.result.test->loss);
  ASSERT_EQ(got.files.size(), want.files.size());
  for (const auto& [file, weights] : want.files) EXPECT_LT(relative_distance(weights, got.files.at(file)), kTolerance) << file;
  EXPECT_EQ(got.result.best_epoch, want.result.best_epoch);
  EXPECT_EQ(got.result.epochs.back().traffic.up_bytes, want.result.epochs.back().traffic.up_bytes);
}

/// Guarded studies: noise differs from run to run, what it costs does not.
struct GuardedCase {
  std::string name, topology, network, regime, more;
  std::vector<std::string> devices;
};
std::ostream& operator<<(std::ostream& out, const GuardedCase& c) { return out << c.name; }
const GuardedCase kGuarded[] = {
    {"vanilla", "vanilla", "zoo: mlp, hidden: [5, 4], cuts: [act1]", "message-noise", "", {"hospital", "server"}},
    {"u_shaped", "u_shaped", "zoo: mlp, hidden: [5, 4], cuts: [act1, act2]", "message-noise", "", {"hospital", "server"}},
    {"released_once", "vertical", std::string(kSegments) + ", frozen: [front_clinic, front_laboratory]", "release-once", kColumns,
     {"clinic", "laboratory", "server"}},
};
class GuardedDeviceStudy : public DeviceStudyBase, public ::testing::WithParamInterface<GuardedCase> {};
INSTANTIATE_TEST_SUITE_P(Regimes, GuardedDeviceStudy, ::testing::ValuesIn(kGuarded), [](const auto& info) { return info.param.name; });

TEST_P(GuardedDeviceStudy, SpendsAndSendsWhatTheReferenceDoes) {
  const auto guarded = [&](const std::vector<std::string>& devices) {
    StudyText t = study(devices);
    t.topology = GetParam().topology;
    t.network = GetParam().network;
    t.sites = {"north"};
    t.data_more = GetParam().more;
    t.privacy = "{mechanism: rows, regime: " + GetParam().regime +
                ", relation: replace-one, epsilon: 60, delta: 1e-5, clip_norm: 1, wire: int16, labels: public}";
    return t;
  };
  const StudyText plain = guarded({}), on_devices = guarded(GetParam().devices);
  const Trained want = run(plain, sites(plain)), got = run(on_devices, sites(on_devices));
  ASSERT_EQ(got.result.epochs.size(), want.result.epochs.size());
  EXPECT_EQ(got.result.epochs.back().epsilon, want.result.epochs.back().epsilon);
  EXPECT_GT(got.result.epochs.back().epsilon, 0.0);
  EXPECT_EQ(got.result.epochs.back().traffic.up_bytes, want.result.epochs.back().traffic.up_bytes);
  ASSERT_EQ(got.files.size(), want.files.size());
  for (const auto& [file, weights] : got.files)
    for (const auto& [name, values] : weights)
      EXPECT_TRUE(std::ranges::all_of(values.f32(), [](float v) { return std::isfinite(v); })) << file << " " << name;
}

}  // namespace
}  // namespace sutura
