// The fused ops: each against a double oracle of the whole chain, forward and backward, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/ops/mlp/mlp.h"
#include "kernels/ops/pooled_head/pooled_head.h"
#include "operation.h"

namespace sutura::testing {
namespace {

struct HeadCase {
  std::int64_t records, height, width, channels, classes;
  HeadLoss loss = HeadLoss::kCrossEntropy;
};
std::ostream& operator<<(std::ostream& out, const HeadCase& c) {
  return out << "n" << c.records << "_" << c.height << "x" << c.width << "x" << c.channels << "_k" << c.classes
             << (c.loss == HeadLoss::kCrossEntropy ? "_cross_entropy" : "_binary");
}

class PooledHead : public ::testing::TestWithParam<std::tuple<HeadCase, Variant>> {
 protected:
  void SetUp() override {
    made_ = make_context(variant());
    if (!made_) GTEST_SKIP();
  }
  const HeadCase& c() const { return std::get<0>(GetParam()); }
  const Variant& variant() const { return std::get<1>(GetParam()); }
  Context& ctx() { return *made_; }
  Shape x_shape() const { return {c().records, c().height, c().width, c().channels}; }
  std::int64_t kinds() const { return c().loss == HeadLoss::kCrossEntropy ? c().classes : 2; }
  std::vector<std::int32_t> labels() const {
    PhiloxStream random(3, "labels");
    std::vector<std::int32_t> l(static_cast<std::size_t>(c().records));
    for (auto& v : l) v = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(kinds())));
    return l;
  }

 private:
  std::optional<Context> made_;
};
// One record and one channel; a ragged line of channels; more channels than threads; more records than a warp; more classes than
// lanes; as many as there may be; more records than threads; more positions than threads that share them.
INSTANTIATE_TEST_SUITE_P(
    Shapes, PooledHead,
    ::testing::Combine(::testing::Values(HeadCase{1, 1, 1, 1, 1}, HeadCase{3, 2, 3, 5, 4}, HeadCase{9, 4, 4, 300, 10},
                                         HeadCase{37, 1, 5, 33, 40}, HeadCase{2, 1, 2, 2048, 64}, HeadCase{300, 1, 1, 3, 2},
                                         HeadCase{2, 5, 14, 6, 3}, HeadCase{7, 3, 3, 40, 1, HeadLoss::kBinaryCrossEntropy}),
                       ::testing::ValuesIn(all_variants())),
    [](const auto& i) {
      std::ostringstream name;
      name << std::get<0>(i.param) << "_" << text(std::get<1>(i.param));
      return name.str();
    });

/// Everything in double.
struct HeadOracle {
  std::vector<double> logits, grad_x, grad_weight, grad_bias;
  double loss = 0.0;
};
HeadOracle head_oracle(const HeadCase& c, const std::vector<double>& x, const std::vector<double>& w,
                       const std::vector<double>& b, const std::vector<std::int32_t>& labels, double scale,
                       const std::vector<double>& weights) {
  const auto N = static_cast<std::size_t>(c.records), P = static_cast<std::size_t>(c.height * c.width),
             C = static_cast<std::size_t>(c.channels), K = static_cast<std::size_t>(c.classes);
  HeadOracle o{std::vector<double>(N * K), std::vector<double>(N * P * C), std::vector<double>(K * C), std::vector<double>(K)};
  for (std::size_t n = 0; n < N; ++n) {
    std::vector<double> pooled(C), grad(K);
    for (std::size_t p = 0; p < P; ++p)
      for (std::size_t i = 0; i < C; ++i) pooled[i] += x[(n * P + p) * C + i] / static_cast<double>(P);
    double powers = 0.0;
    for (std::size_t k = 0; k < K; ++k) {
      double z = b[k];
      for (std::size_t i = 0; i < C; ++i) z += pooled[i] * w[k * C + i];
      o.logits[n * K + k] = z;
      powers += std::exp(z);
    }
    const auto t = static_cast<std::size_t>(labels[n]);
    const double factor = scale * (weights.empty() ? 1.0 : weights[t]), z0 = o.logits[n * K];
    if (c.loss == HeadLoss::kCrossEntropy) {
      o.loss += factor * (std::log(powers) - o.logits[n * K + t]);
      for (std::size_t k = 0; k < K; ++k) grad[k] = factor * (std::exp(o.logits[n * K + k]) / powers - (k == t ? 1.0 : 0.0));
    } else {
      o.loss += factor * std::log1p(std::exp(t == 1 ? -z0 : z0));
      grad[0] = factor * (1.0 / (1.0 + std::exp(-z0)) - static_cast<double>(t));
    }
    for (std::size_t k = 0; k < K; ++k) {
      o.grad_bias[k] += grad[k];
      for (std::size_t i = 0; i < C; ++i) {
        o.grad_weight[k * C + i] += grad[k] * pooled[i];
        for (std::size_t p = 0; p < P; ++p) o.grad_x[(n * P + p) * C + i] += grad[k] * w[k * C + i] / static_cast<double>(P);
      }
    }
  }
  return o;
}

TEST_P(PooledHead, MatchesTheOracle) {
  const DType type = variant().compute;
  const std::vector<double> x = draw_values({"x", x_shape()}, type, 1);
  std::vector<double> w = draw_values({"w", {c().classes, c().channels}}, DType::kFloat32, 2);
  for (double& v : w) v = static_cast<float>(v / 8.0);  // logits of a few units: a softmax with something to tell apart
  const std::vector<double> b = draw_values({"b", {c().classes}}, DType::kFloat32, 3);
  std::vector<double> weights(static_cast<std::size_t>(kinds()));
  for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = 0.5 + 0.25 * static_cast<double>(k % 5);
  constexpr double kScale = 0.25;
  constexpr float kStart = 0.5f;
  const HeadOracle want = head_oracle(c(), x, w, b, labels(), kScale, weights);
  const Shape wide{c().classes, c().channels}, narrow{c().classes};
  Guarded logits(ctx(), {c().records, c().classes}), grad_x(ctx(), x_shape(), type), grad_weight(ctx(), wide),
      grad_bias(ctx(), narrow);
  for (Guarded* g : {&grad_weight, &grad_bias}) {
    Tensor start(g->tensor().shape());
    std::ranges::fill(start.f32(), kStart);
    g->set(start);
  }
  LossSum sum(ctx());
  const Tensor weight = ctx().here(to_tensor(w, wide, DType::kFloat32)), bias = ctx().here(to_tensor(b, narrow, DType::kFloat32));
  pooled_head(ctx(), c().loss, ctx().here(to_tensor(x, x_shape(), type)), weight, bias,
              ctx().here(Tensor::from({c().records}, labels())), kScale, weights, logits.tensor(),
              {grad_x.tensor(), grad_weight.tensor(), grad_bias.tensor()}, sum);
  EXPECT_TRUE(sum.read(ctx()).sound());
  // float32: sums of up to 2048 products and one loss; the errors of a random sum grow with its root: 45 * 2^-24 = 3e-6 of the
  // largest value. bfloat16: a device rounds grad_x only (2^-9); the CPU also rounds pooled values, weights and logits, and a
  // logit's error of 2^-9 * 8 is a gradient's error of as much: 0.03 as the table tests'.
  const bool half = type == DType::kBfloat16, fused = ctx().on_device();
  const double tolerance = half && !fused ? 0.03 : 1e-5, x_tolerance = half ? (fused ? 0.004 : 0.03) : 1e-5;
  EXPECT_LE(worst_error(to_doubles(logits.values()), {want.logits, {}}), tolerance);
  EXPECT_LE(worst_error(to_doubles(grad_x.values()), {want.grad_x, {}}), x_tolerance);
  const auto added = [&](const Guarded& g) {
    std::vector<double> got = to_doubles(g.values());
    for (double& v : got) v -= kStart;
    return got;
  };
  // What was there joins the size that errors are measured against: adding to it rounds at its size.
  const auto with_start = [&](const std::vector<double>& v) {
    double largest = 0.0;
    for (const double d : v) largest = std::max(largest, std::abs(d));
    return Values{v, std::vector<double>(v.size(), largest + kStart)};
  };
  EXPECT_LE(worst_error(added(grad_weight), with_start(want.grad_weight)), tolerance);
  EXPECT_LE(worst_error(added(grad_bias), with_start(want.grad_bias)), tolerance);
  EXPECT_NEAR(sum.read(ctx()).loss, want.loss, tolerance * (1.0 + static_cast<double>(c().records) * kScale * 8.0));
  EXPECT_TRUE(logits.intact() && grad_x.intact() && grad_weight.intact() && grad_bias.intact());
}

TEST_P(PooledHead, TellsABadLabelAndAnInfiniteRecord) {
  const DType type = variant().compute;
  std::vector<double> x = draw_values({"x", x_shape()}, type, 1);
  const std::vector<double> w(static_cast<std::size_t>(c().classes * c().channels), 0.125);
  const Tensor weight = ctx().here(to_tensor(w, {c().classes, c().channels}, DType::kFloat32));
  const Tensor no_bias;
  Tensor logits = ctx().zeros({c().records, c().classes}), grad_x = ctx().zeros(x_shape(), type), none;
  Tensor grad_weight = ctx().zeros(weight.shape());
  LossSum sum(ctx());
  const auto run = [&](const std::vector<std::int32_t>& l) {
    pooled_head(ctx(), c().loss, ctx().here(to_tensor(x, x_shape(), type)), weight, no_bias,
                ctx().here(Tensor::from({c().records}, l)), 1.0, {}, logits, {grad_x, grad_weight, none}, sum);
  };
  std::vector<std::int32_t> bad = labels();
  bad.back() = static_cast<std::int32_t>(kinds());
  if (ctx().on_device()) {
    run(bad);
    EXPECT_EQ(sum.read(ctx()).bad_labels, 1.0);
    EXPECT_EQ(sum.read(ctx()).loss, 0.0);
    for (const Tensor* t : {&logits, &grad_x, &grad_weight})
      for (const double v : to_doubles(ctx().host(Tensor::borrow(*t)))) ASSERT_EQ(v, 0.0) << "written in spite of a bad label";
  } else {
    EXPECT_THROW(run(bad), Error);
  }
  sum.clear(ctx());
  x.front() = INFINITY;
  run(labels());
  EXPECT_EQ(sum.read(ctx()).not_finite, 1.0);
  // An infinite logit that leaves the loss finite: of another class, or of the class that the label names.
  sum.clear(ctx());
  const bool softmax = c().loss == HeadLoss::kCrossEntropy;
  if (softmax && c().classes == 1) return;
  std::vector<float> biases(static_cast<std::size_t>(c().classes), 0.0f);
  biases.back() = softmax ? -INFINITY : INFINITY;
  const Tensor bias = ctx().here(Tensor::from({c().classes}, biases));
  Tensor grad_bias = ctx().zeros({c().classes});
  x.front() = 1.0;
  pooled_head(
      ctx(), c().loss, ctx().here(to_tensor(x, x_shape(), type)), weight, bias,
      ctx().here(Tensor::from({c().records}, std::vector<std::int32_t>(static_cast<std::size_t>(c().records), softmax ? 0 : 1))),
      1.0, {}, logits, {grad_x, grad_weight, grad_bias}, sum);
  EXPECT_TRUE(std::isfinite(sum.read(ctx()).loss));
  EXPECT_EQ(sum.read(ctx()).not_finite, static_cast<double>(c().records));
}

struct MlpCase {
  std::int64_t records;
  std::vector<std::int64_t> widths;
};
std::ostream& operator<<(std::ostream& out, const MlpCase& c) {
  out << "n" << c.records;
  for (const std::int64_t w : c.widths) out << "_" << w;
  return out;
}

class Mlp : public ::testing::TestWithParam<std::tuple<MlpCase, Variant>> {
 protected:
  void SetUp() override {
    made_ = make_context(std::get<1>(GetParam()));
    if (!made_) GTEST_SKIP();
  }
  const MlpCase& c() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()).compute; }
  Context& ctx() { return *made_; }
  std::size_t layers() const { return c().widths.size() - 1; }
  Shape weight_shape(std::size_t l) const { return {c().widths[l + 1], c().widths[l]}; }
  std::vector<double> draw_weight(std::size_t l) const {
    std::vector<double> w = draw_values({"w" + std::to_string(l), weight_shape(l)}, DType::kFloat32, 5);
    for (double& v : w) v = static_cast<float>(v / std::sqrt(static_cast<double>(c().widths[l])));  // values keep their size
    return w;
  }
  std::vector<double> draw_bias(std::size_t l) const {
    return draw_values({"b" + std::to_string(l), {c().widths[l + 1]}}, DType::kFloat32, 5);
  }

 private:
  std::optional<Context> made_;
};
// One layer; each width class of the float32 kernel (32, 64, 128, 256) on both sides; ragged tiles of records, several slices
// of them.
INSTANTIATE_TEST_SUITE_P(Shapes, Mlp,
                         ::testing::Combine(::testing::Values(MlpCase{1, {1, 1}}, MlpCase{17, {5, 3}},
                                                              MlpCase{16, {30, 64, 32, 1}}, MlpCase{5, {33, 100, 7, 65, 2}},
                                                              MlpCase{3, {256, 256, 10}}, MlpCase{300, {9, 20, 3}},
                                                              MlpCase{2, {3, 4, 5, 6, 7, 6, 5, 4, 2}}),
                                            ::testing::ValuesIn(all_variants())),
                         [](const auto& i) {
                           std::ostringstream name;
                           name << std::get<0>(i.param) << "_" << text(std::get<1>(i.param));
                           return name.str();
                         });

/// The chain in double, on the values that the op stored: `hidden` are its own outputs where it rounds them, so that a ReLU
/// close to 0 falls to the same side in both.
struct MlpOracle {
  std::vector<std::vector<double>> outputs;  // before the ReLU, per layer
  std::vector<std::vector<double>> grad_weights, grad_biases;
  std::vector<double> grad_x;
};
MlpOracle mlp_oracle(const MlpCase& c, const std::vector<double>& x, const std::vector<std::vector<double>>& hidden,
                     const std::vector<std::vector<double>>& w, const std::vector<std::vector<double>>& b,
                     const std::vector<double>& grad_y) {
  MlpOracle o;
  const auto N = static_cast<std::size_t>(c.records);
  const std::size_t layers = w.size();
  const auto input = [&](std::size_t l) -> const std::vector<double>& { return l == 0 ? x : hidden[l - 1]; };
  for (std::size_t l = 0; l < layers; ++l) {
    const auto I = static_cast<std::size_t>(c.widths[l]), O = static_cast<std::size_t>(c.widths[l + 1]);
    std::vector<double> y(N * O);
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t k = 0; k < O; ++k) {
        y[n * O + k] = b[l][k];
        for (std::size_t i = 0; i < I; ++i) y[n * O + k] += input(l)[n * I + i] * w[l][k * I + i];
      }
    o.outputs.push_back(std::move(y));
  }
  o.grad_weights.resize(layers);
  o.grad_biases.resize(layers);
  std::vector<double> grad = grad_y;
  for (std::size_t l = layers; l-- > 0;) {
    const auto I = static_cast<std::size_t>(c.widths[l]), O = static_cast<std::size_t>(c.widths[l + 1]);
    o.grad_weights[l].assign(O * I, 0.0);
    o.grad_biases[l].assign(O, 0.0);
    std::vector<double> below(N * I);
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t k = 0; k < O; ++k) {
        o.grad_biases[l][k] += grad[n * O + k];
        for (std::size_t i = 0; i < I; ++i) {
          o.grad_weights[l][k * I + i] += grad[n * O + k] * input(l)[n * I + i];
          below[n * I + i] += grad[n * O + k] * w[l][k * I + i];
        }
      }
    if (l > 0)
      for (std::size_t i = 0; i < below.size(); ++i) below[i] = hidden[l - 1][i] > 0.0 ? below[i] : 0.0;
    grad = std::move(below);
  }
  o.grad_x = std::move(grad);
  return o;
}

TEST_P(Mlp, MatchesTheOracle) {
  const Shape x_shape{c().records, c().widths.front()}, y_shape{c().records, c().widths.back()};
  const std::vector<double> x = draw_values({"x", x_shape}, type(), 6), grad_y = draw_values({"g", y_shape}, type(), 7);
  std::vector<std::vector<double>> w, b;
  std::vector<Tensor> weights, biases, hidden, grad_weights, grad_biases;
  std::vector<Guarded> kept, grads;
  for (std::size_t l = 0; l < layers(); ++l) {
    w.push_back(draw_weight(l));
    b.push_back(draw_bias(l));
    weights.push_back(ctx().here(to_tensor(w[l], weight_shape(l), DType::kFloat32)));
    biases.push_back(ctx().here(to_tensor(b[l], {c().widths[l + 1]}, DType::kFloat32)));
    if (l + 1 < layers()) kept.emplace_back(ctx(), Shape{c().records, c().widths[l + 1]}, type());
    for (const Shape& s : {weight_shape(l), Shape{c().widths[l + 1]}}) {
      grads.emplace_back(ctx(), s);
      Tensor start(s);
      std::ranges::fill(start.f32(), 0.5f);
      grads.back().set(start);
    }
  }
  for (Guarded& g : kept) hidden.push_back(Tensor::borrow(g.tensor()));
  for (std::size_t l = 0; l < layers(); ++l) {
    grad_weights.push_back(Tensor::borrow(grads[2 * l].tensor()));
    grad_biases.push_back(Tensor::borrow(grads[2 * l + 1].tensor()));
  }
  Guarded y(ctx(), y_shape, type()), grad_x(ctx(), x_shape, type());
  const Tensor on_x = ctx().here(to_tensor(x, x_shape, type())), on_grad = ctx().here(to_tensor(grad_y, y_shape, type()));
  mlp_forward(ctx(), weights, biases, on_x, hidden, y.tensor());
  mlp_backward(ctx(), weights, on_x, hidden, on_grad, grad_x.tensor(), grad_weights, grad_biases);

  std::vector<std::vector<double>> stored;
  for (const Guarded& g : kept) stored.push_back(to_doubles(g.values()));
  const MlpOracle want = mlp_oracle(c(), x, stored, w, b, grad_y);
  // One layer's sums of up to 256 (300 records) products: 18 * 2^-24 = 1e-6 of the largest value, and seven more layers backward.
  // bfloat16: weights and the stored value are rounded, 2 * 2^-9 of the largest, doubled for sums of several such terms;
  // gradients meet that once a layer (eight): at most 0.06.
  const bool half = type() == DType::kBfloat16;
  const double forward = half ? 0.008 : 1e-5, gradient = half ? (layers() > 4 ? 0.06 : 0.03) : 2e-5;
  for (std::size_t l = 0; l + 1 < layers(); ++l) {
    std::vector<double> rectified = want.outputs[l];
    double largest = 0.0;
    for (const double v : rectified) largest = std::max(largest, std::abs(v));
    for (double& v : rectified) v = std::max(v, 0.0);
    EXPECT_LE(worst_error(stored[l], {rectified, std::vector<double>(rectified.size(), largest)}), forward) << "layer " << l;
  }
  EXPECT_LE(worst_error(to_doubles(y.values()), {want.outputs.back(), {}}), forward);
  EXPECT_LE(worst_error(to_doubles(grad_x.values()), {want.grad_x, {}}), gradient);
  for (std::size_t l = 0; l < layers(); ++l) {
    for (const auto& [got, exact] :
         {std::pair{&grads[2 * l], &want.grad_weights[l]}, std::pair{&grads[2 * l + 1], &want.grad_biases[l]}}) {
      std::vector<double> added = to_doubles(got->values());
      double largest = 0.5;
      for (double& v : added) v -= 0.5;
      for (const double v : *exact) largest = std::max(largest, std::abs(v));
      EXPECT_LE(worst_error(added, {*exact, std::vector<double>(added.size(), largest)}), gradient) << "layer " << l;
      EXPECT_TRUE(got->intact());
    }
  }
  EXPECT_TRUE(y.intact() && grad_x.intact());
  for (const Guarded& g : kept) EXPECT_TRUE(g.intact());

  // Again, without biases' gradients and the input's: the same bits of the rest.
  const std::vector<double> once = to_doubles(grads[0].values());
  Tensor start(weight_shape(0)), none;
  std::ranges::fill(start.f32(), 0.5f);
  grads[0].set(start);
  std::vector<Tensor> no_biases(layers());
  mlp_backward(ctx(), weights, on_x, hidden, on_grad, none, grad_weights, no_biases);
  EXPECT_EQ(to_doubles(grads[0].values()), once);
}

TEST_P(Mlp, NanReachesTheOutputsOfItsRecord) {
  const Shape x_shape{c().records, c().widths.front()}, y_shape{c().records, c().widths.back()};
  std::vector<double> x = draw_values({"x", x_shape}, type(), 6);
  x.front() = NAN;
  std::vector<Tensor> weights, biases(layers()), hidden;
  for (std::size_t l = 0; l < layers(); ++l) {
    weights.push_back(ctx().here(to_tensor(draw_weight(l), weight_shape(l), DType::kFloat32)));
    if (l + 1 < layers()) hidden.push_back(ctx().tensor({c().records, c().widths[l + 1]}, type()));
  }
  Tensor y = ctx().tensor(y_shape, type());
  mlp_forward(ctx(), weights, biases, ctx().here(to_tensor(x, x_shape, type())), hidden, y);
  const std::vector<double> got = to_doubles(ctx().host(std::move(y)));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(std::isnan(got[i]), i < static_cast<std::size_t>(y_shape[1])) << i;
}

TEST(MlpChecks, RefusesChainsThatDoNotFit) {
  Context ctx(Backend::kReference);
  const Tensor x = Tensor::zeros({2, 3});
  Tensor y = Tensor::zeros({2, 4});
  std::vector<Tensor> weights, biases(1), hidden;
  EXPECT_THROW(mlp_forward(ctx, weights, {}, x, hidden, y), Error) << "no layer";
  weights.push_back(Tensor::zeros({4, 3}));
  EXPECT_NO_THROW(mlp_forward(ctx, weights, biases, x, hidden, y));
  EXPECT_THROW(mlp_forward(ctx, weights, {}, x, hidden, y), Error) << "biases missing";
  weights.push_back(Tensor::zeros({4, 5}));
  biases.emplace_back();
  hidden.push_back(Tensor::zeros({2, 4}));
  EXPECT_THROW(mlp_forward(ctx, weights, biases, x, hidden, y), Error) << "layers that do not meet";
  weights[0] = Tensor::zeros({257, 3});
  weights[1] = Tensor::zeros({4, 257});
  hidden[0] = Tensor::zeros({2, 257});
  EXPECT_THROW(mlp_forward(ctx, weights, biases, x, hidden, y), Error) << "too wide";
}

}  // namespace
}  // namespace sutura::testing
