// One quick look at each kind of network; the folder networks has every cut and topology.
#include "tests/equivalence/split_run.h"

namespace sutura {
namespace {

using namespace sutura::testing;

struct Small {
  std::string name, zoo, cuts;
  Shape record;
  friend void PrintTo(const Small& s, std::ostream* out) { *out << s.name; }
};
const Small kSmall[] = {
    {"xray_cnn", "zoo: xray_cnn, width: 4", "pool1, act4", {1, 8, 8, 1}},
    {"resnet18_batch", "zoo: resnet18, width: 4, norm: batch", "stem.norm, stage3.0", {1, 8, 8, 1}},
    {"ecg_cnn1d", "zoo: ecg_cnn1d, width: 4, kernel: 5", "act1, pool3", {1, 1, 16, 1}},
};

class SmallNetworks : public SplitRun, public ::testing::WithParamInterface<Small> {
 protected:
  StudyText study(const std::string& topology, const std::string& backend = "reference") {
    StudyText t;
    t.topology = topology;
    t.network = GetParam().zoo + (topology == "local" ? "" : ", cuts: [" + GetParam().cuts + "]");
    t.sites = {"north"};
    t.record = GetParam().record;
    t.batch_size = 5;
    t.micro_batches = 2;
    t.epochs = 1;
    t.backend = backend;
    return t;
  }
  std::vector<SiteData> sites() {
    std::vector<SiteData> all;
    all.push_back(make_site("north", GetParam().record, {9, 3, 3}));
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Zoo, SmallNetworks, ::testing::ValuesIn(kSmall), [](const auto& info) { return info.param.name; });

TEST_P(SmallNetworks, UShapedEqualsUnsplit) {
  const auto data = sites();
  expect_same_run(run(study("u_shaped"), data), run(study("local"), data));
}

class SmallOnednn : public SmallNetworks {};
/// Without batch norm over two or three records, which answers rounding with more than rounding.
INSTANTIATE_TEST_SUITE_P(Zoo, SmallOnednn,
                         ::testing::Values(Small{"mlp", "zoo: mlp, hidden: [7, 6]", "act1, fc2", {1, 6}}, kSmall[0], kSmall[2]),
                         [](const auto& info) { return info.param.name; });

TEST_P(SmallOnednn, AgreesToFloatTolerance) {
  const auto data = sites();
  StudyText split = study("u_shaped", "onednn"), whole = study("local");
  // Plain descent keeps a rounding difference a rounding difference.
  split.optimizer = whole.optimizer = "{name: sgd, learning_rate: 0.02, momentum: 0.5}";
  const Trained a = run(split, data), b = run(whole, data);
  EXPECT_LT(relative_distance(a.weights(), b.weights()), 1e-5);
  EXPECT_NEAR(a.losses()[0], b.losses()[0], 1e-5);
}

}  // namespace
}  // namespace sutura
