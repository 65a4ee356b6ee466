#include "tests/engine/vertical_case.h"

#include <algorithm>

#include "models/losses/loss.h"
#include "runtime/data/batches.h"

namespace sutura::testing {
namespace {

constexpr std::int64_t kClinic = 4, kLaboratory = 2;        // columns
constexpr std::int64_t kClinicOut = 5, kLaboratoryOut = 3;  // outputs of the fronts

Network layers(const std::vector<LayerSpec>& specs, std::int64_t inputs) {
  NetworkSpec spec;
  spec.layers = specs;
  return build_network(spec, {1, inputs}, 1);
}

Tensor columns(const Tensor& x, std::int64_t from, std::int64_t to) {
  Tensor y({x.shape()[0], to - from});
  for (std::int64_t i = 0; i < x.shape()[0]; ++i)
    for (std::int64_t j = from; j < to; ++j)
      y.f32()[static_cast<std::size_t>(i * (to - from) + j - from)] = x.f32()[static_cast<std::size_t>(i * x.shape()[1] + j)];
  return y;
}

Tensor beside(const Tensor& x, const Tensor& z) {
  Tensor y({x.shape()[0], x.shape()[1] + z.shape()[1]});
  std::size_t out = 0;
  for (std::int64_t i = 0; i < x.shape()[0]; ++i)
    for (const Tensor* t : {&x, &z})
      for (std::int64_t j = 0; j < t->shape()[1]; ++j) y.f32()[out++] = t->f32()[static_cast<std::size_t>(i * t->shape()[1] + j)];
  return y;
}

struct Piece {
  Network network;
  ParamStore params;
  std::unique_ptr<Optimizer> optimizer;
  Piece(Network n, const OracleSchedule& s)
      : network(std::move(n)), params(network.make_params(s.seed)), optimizer(make_optimizer(s.optimizer, params.trained())) {}
  void step(Context& ctx, double rate) {
    optimizer->step(ctx, params, rate);
    params.zero_grads(ctx);
  }
  std::vector<float> weights() const { return {params.values().f32().begin(), params.values().f32().end()}; }
};

}  // namespace

StudyText vertical_study() {
  StudyText t;
  t.topology = "vertical";
  t.network =
      "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 5}, {name: clinic_act, type: gelu}]}, "
      "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 3}, {name: laboratory_act, type: relu}]}, "
      "tail: {layers: [{name: fc, type: linear, outputs: 6}, {name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";
  t.sites = {"cohort"};
  t.record = {1, 6};
  t.epochs = 5;
  t.data_more = ", party_columns: {clinic: [c0, c1, c2, c3], laboratory: [c4, c5]}, party_shapes: {clinic: [4], laboratory: [2]}";
  return t;
}

std::vector<SiteData> vertical_cohort() {
  std::vector<SiteData> sites;
  sites.push_back(make_site("cohort", {1, 6}, {29}));  // 4 steps an epoch, 20 in all
  return sites;
}

VerticalLine train_without(MissingParty policy, std::int64_t lost, std::int64_t back, const StudyText& text,
                           const SiteData& site) {
  const OracleSchedule s = schedule_of(text);
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy);
  Piece a(layers({{"clinic_fc", "linear", {{"outputs", kClinicOut}}}, {"clinic_act", "gelu", {}}}, kClinic), s);
  Piece b(layers({{"laboratory_fc", "linear", {{"outputs", kLaboratoryOut}}}, {"laboratory_act", "relu", {}}}, kLaboratory), s);
  Piece tail(layers({{"fc", "linear", {{"outputs", std::int64_t{6}}}},
                     {"act", "relu", {}},
                     {"out", "linear", {{"outputs", std::int64_t{-1}}}}},
                    kClinicOut + kLaboratoryOut),
             s);
  std::vector<double> sums(static_cast<std::size_t>(kLaboratoryOut), 0.0);
  double seen = 0.0;
  const auto stand_in = [&](std::int64_t n) {
    Tensor z = Tensor::zeros({n, kLaboratoryOut});
    if (policy == MissingParty::kRunningMean && seen > 0.0)
      for (std::size_t i = 0; i < z.f32().size(); ++i) z.f32()[i] = static_cast<float>(sums[i % sums.size()] / seen);
    return z;
  };
  VerticalLine line;
  const std::int64_t n = site.train.size(), per_epoch = (n + s.batch_size - 1) / s.batch_size, total = s.epochs * per_epoch;
  for (std::int64_t k = 0; k < total; ++k) {
    const bool gone = k >= lost && k < back;
    if (gone && policy == MissingParty::kDropStep) continue;
    const auto order = epoch_order(n, s.seed, site.name, k / per_epoch);
    const std::int64_t t = k % per_epoch;
    const std::vector<std::int64_t> batch(order.begin() + n * t / per_epoch, order.begin() + n * (t + 1) / per_epoch);
    const auto rows = static_cast<std::int64_t>(batch.size());
    const Tensor x = gather_rows(site.train.features, batch), labels = gather_rows(site.train.labels, batch);
    const Pass pass{Mode::kTrain, s.seed, 0, 0, 0};
    Saved sa, sb, st;
    const Tensor za = a.network.forward(ctx, a.params, columns(x, 0, kClinic), sa, pass);
    Tensor zb = stand_in(rows);
    if (!gone) {
      zb = b.network.forward(ctx, b.params, columns(x, kClinic, kClinic + kLaboratory), sb, pass);
      for (std::size_t i = 0; i < zb.f32().size(); ++i) sums[i % sums.size()] += static_cast<double>(zb.f32()[i]);
      seen += static_cast<double>(rows);
    }
    const Tensor out = tail.network.forward(ctx, tail.params, beside(za, zb), st, pass);
    Tensor grad(out.shape());
    line.losses.push_back(loss->evaluate(ctx, out, labels, 1.0 / static_cast<double>(rows), grad));
    grad = tail.network.backward(ctx, tail.params, st, std::move(grad), InputGrad::kNeeded);
    a.network.backward(ctx, a.params, sa, columns(grad, 0, kClinicOut), InputGrad::kNotNeeded);
    if (!gone)
      b.network.backward(ctx, b.params, sb, columns(grad, kClinicOut, kClinicOut + kLaboratoryOut), InputGrad::kNotNeeded);
    const double rate = rate_at(s.rate, k, total, per_epoch);
    a.step(ctx, rate);
    tail.step(ctx, rate);
    if (!gone) b.step(ctx, rate);
  }
  const bool gone = total >= lost && total < back;
  const Tensor& x = site.validation.features;
  const Pass pass{Mode::kEvaluate, s.seed, 0, 0, 0};
  Saved none;
  const Tensor za = a.network.forward(ctx, a.params, columns(x, 0, kClinic), none, pass);
  const Tensor zb =
      gone ? stand_in(x.shape()[0]) : b.network.forward(ctx, b.params, columns(x, kClinic, kClinic + kLaboratory), none, pass);
  const Tensor scores = loss->scores(tail.network.forward(ctx, tail.params, beside(za, zb), none, pass));
  line.validation.assign(scores.f32().begin(), scores.f32().end());
  line.clinic = a.weights();
  line.laboratory = b.weights();
  line.tail = tail.weights();
  return line;
}

}  // namespace sutura::testing
