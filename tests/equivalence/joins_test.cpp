// A graph with branches: one front feeds three segments, which meet in a join. Wherever its nodes lie, it trains the same.
#include "runtime/engine/executor_slots.h"
#include "tests/equivalence/split_run.h"

namespace sutura {
namespace {

using namespace sutura::testing;

/// `left`, `mid` and `right` lie at the given parties; the front lies at the hospital.
std::string branches(const std::string& join, const std::string& left, const std::string& mid, const std::string& right,
                     const std::string& rest) {
  const std::string parties = rest == "hospital" ? "[{name: hospital, role: client, count: many}]"
                                                 : "[{name: hospital, role: client, count: many}, {name: server, role: server}]";
  return "topology:\n  name: branches\n  parties: " + parties + R"(
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: front, at: hospital, segment: front}
    - {name: left, at: )" +
         left + R"(, segment: left}
    - {name: mid, at: )" +
         mid + R"(, segment: mid}
    - {name: right, at: )" +
         right + R"(, segment: right}
    - {name: join, at: )" +
         rest + ", join: " + join + R"(}
    - {name: tail, at: )" +
         rest + R"(, segment: tail}
    - {name: loss, at: )" +
         rest + R"(, loss: study}
  routes:
    - {from: x, to: front}
    - {from: front, to: left}
    - {from: front, to: mid}
    - {from: front, to: right}
    - {from: left, to: join}
    - {from: mid, to: join}
    - {from: right, to: join}
    - {from: join, to: tail}
    - {from: tail, to: loss}
    - {from: y, to: loss}
)";
}

StudyText study(const std::string& topology) {
  StudyText t;
  t.topology = topology;
  t.network =
      "segments: {front: {layers: [{name: front_fc, type: linear, outputs: 7}, {name: front_act, type: gelu}]}, "
      "left: {layers: [{name: left_fc, type: linear, outputs: 4}]}, mid: {layers: [{name: mid_fc, type: linear, outputs: 4}]}, "
      "right: {layers: [{name: right_fc, type: linear, outputs: 4}]}, "
      "tail: {layers: [{name: act, type: gelu}, {name: out, type: linear, outputs: -1}]}}";
  t.sites = {"north"};
  t.record = {1, 6};
  t.micro_batches = 2;
  t.epochs = 3;
  return t;
}

class Branches : public SplitRun, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Joins, Branches, ::testing::Values("concat", "sum", "mean", "max"),
                         [](const auto& info) { return info.param; });

TEST_P(Branches, LieWhereTheyWill) {
  std::vector<SiteData> sites;
  sites.push_back(make_site("north", {1, 6}, {29}));
  const Trained whole = run(study(branches(GetParam(), "hospital", "hospital", "hospital", "hospital")), sites);
  EXPECT_NE(whole.losses().front(), whole.losses().back());
  // The gradient of the front is a sum of three: some arrive by message, some are made here, and the order must not show.
  for (const auto& [left, mid, right] : {std::tuple{"hospital", "server", "server"},
                                         {"server", "hospital", "server"},
                                         {"server", "server", "hospital"},
                                         {"server", "server", "server"}}) {
    SCOPED_TRACE(std::string(left) + ", " + mid + ", " + right);
    expect_same_run(run(study(branches(GetParam(), left, mid, right, "server")), sites), whole);
  }
}

// ---- the joins against their formulas -------------------------------------------------------------------------------------

std::vector<Tensor> inputs() {
  std::vector<Tensor> xs;
  xs.push_back(Tensor::from({2, 2}, std::vector<float>{1.0f, -2.0f, 0.5f, 4.0f}));
  xs.push_back(Tensor::from({2, 2}, std::vector<float>{3.0f, -2.0f, 0.25f, 8.0f}));
  xs.push_back(Tensor::from({2, 2}, std::vector<float>{2.0f, -4.0f, 1.25f, 8.0f}));
  return xs;
}

std::vector<float> values(const Tensor& t) { return {t.f32().begin(), t.f32().end()}; }

std::vector<std::vector<float>> backward(Context& ctx, JoinKind kind, const Tensor& winners) {
  const Tensor grad = kind == JoinKind::kConcat ? Tensor::from({2, 6}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
                                                : Tensor::from({2, 2}, std::vector<float>{3, 6, 9, 12});
  std::vector<std::vector<float>> all;
  for (const Tensor& g : join_backward(ctx, kind, grad, {Shape{2, 2}, Shape{2, 2}, Shape{2, 2}}, winners))
    all.push_back(values(g));
  return all;
}

TEST(Join, ConcatLaysRowsSideBySide) {
  Context ctx(Backend::kReference);
  Tensor winners;
  const Tensor y = join_forward(ctx, JoinKind::kConcat, inputs(), winners);
  EXPECT_EQ(y.shape(), (Shape{2, 6}));
  EXPECT_EQ(values(y), (std::vector<float>{1, -2, 3, -2, 2, -4, 0.5f, 4, 0.25f, 8, 1.25f, 8}));
  EXPECT_EQ(backward(ctx, JoinKind::kConcat, winners),
            (std::vector<std::vector<float>>{{1, 2, 7, 8}, {3, 4, 9, 10}, {5, 6, 11, 12}}));
}

TEST(Join, SumAndMean) {
  Context ctx(Backend::kReference);
  Tensor winners;
  EXPECT_EQ(values(join_forward(ctx, JoinKind::kSum, inputs(), winners)), (std::vector<float>{6, -8, 2, 20}));
  EXPECT_EQ(backward(ctx, JoinKind::kSum, winners), std::vector<std::vector<float>>(3, {3, 6, 9, 12}));
  EXPECT_EQ(values(join_forward(ctx, JoinKind::kMean, inputs(), winners)),
            (std::vector<float>{2, -8.0f / 3, 2.0f / 3, 20.0f / 3}));
  EXPECT_EQ(backward(ctx, JoinKind::kMean, winners), std::vector<std::vector<float>>(3, {1, 2, 3, 4}));
}

TEST(Join, MaxGivesTheGradientToTheWinnerAndTiesToTheFirst) {
  Context ctx(Backend::kReference);
  Tensor winners;
  EXPECT_EQ(values(join_forward(ctx, JoinKind::kMax, inputs(), winners)), (std::vector<float>{3, -2, 1.25f, 8}));
  EXPECT_EQ(backward(ctx, JoinKind::kMax, winners), (std::vector<std::vector<float>>{{0, 6, 0, 0}, {3, 0, 0, 12}, {0, 0, 9, 0}}));
}

}  // namespace
}  // namespace sutura
