#include "runtime/engine/executor.h"

#include <algorithm>
#include <cmath>

#include "core/random/philox.h"
#include "kernels/ops/add/add.h"
#include "kernels/ops/cast/cast.h"
#include "runtime/data/batches.h"
#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"

namespace sutura {

namespace {

OptimizerSettings optimizer_settings(const TrainingConfig& t) {
  OptimizerSettings s;
  s.kind = t.optimizer;
  s.momentum = t.momentum;
  s.weight_decay = t.weight_decay;
  s.clip_gradients = t.clip_gradients;
  return s;
}

}  // namespace

Executor::Executor(const PartySetup& setup, Context& ctx)
    : setup_(setup),
      ctx_(ctx),
      loss_(make_loss(setup.study.training.loss, setup.study.training.class_weights)),
      active_(setup.plan.lanes.size(), true),
      missing_(setup.plan.topology.parties.size(), false) {
  make_copies(setup_.study.seed);
  if (!ctx_.on_device()) return;
  host_.emplace(Backend::kReference);
  staging_ = std::make_unique<Staging>(ctx_);
  if (may_record()) graphs_ = std::make_unique<StepGraphs>(ctx_);
}

Executor::~Executor() = default;

void Executor::make_copies(std::uint64_t seed) {
  const Plan& plan = setup_.plan;
  copies_.clear();
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    const NodeConfig& node = plan.topology.nodes[n];
    if (node.kind != NodeKind::kSegment || plan.party_of(static_cast<int>(n)) != setup_.self.party) continue;
    const bool per_lane = setup_.self.lane < 0 && setup_.study.schedule.tail == Tail::kPerClient;
    for (std::size_t c = 0; c < (per_lane ? plan.lanes.size() : 1); ++c) {
      SegmentCopy copy;
      copy.params = setup_.segments.networks[setup_.segments.index(node.segment)].make_params(seed);
      if (plan.trains[n]) copy.optimizer = make_optimizer(optimizer_settings(setup_.study.training), copy.params.trained());
      copies_[node.segment].push_back(std::move(copy));
    }
  }
}

void Executor::restart(std::uint64_t variant) {
  require(in_flight_.empty(), Errc::kInternal, "a run was started again while steps of the last one were in flight");
  make_copies(setup_.study.seed + 1 + variant);
  residuals_.clear();
  means_.clear();
  if (graphs_ != nullptr) graphs_->clear();
}

void Executor::permute_stored_labels(std::uint64_t variant) {
  for (auto& [key, rows] : store_) {
    const auto& [edge, lane, split] = key;
    if (split != Split::kTrain || !setup_.plan.edges[static_cast<std::size_t>(edge)].labels) continue;
    rows = gather_rows(
        rows, permutation(rows.shape()[0], PhiloxStream(setup_.study.seed, "control:" + setup_.plan.lanes[lane], variant)));
  }
}

std::vector<SegmentCopy>& Executor::copies(const std::string& segment) {
  const auto it = copies_.find(segment);
  require(it != copies_.end(), Errc::kInternal, "segment " + segment + " is not held here");
  return it->second;
}

void Executor::adopt(const std::string& segment, const Tensor& values) {
  SegmentCopy copy;
  copy.params = setup_.segments.networks[setup_.segments.index(segment)].make_params(setup_.study.seed);
  require(values.elements() == copy.params.total(), Errc::kProtocol, "delivered weights of " + segment + " have another size");
  std::ranges::copy(values.f32(), copy.params.values().f32().begin());
  if (graphs_ != nullptr) graphs_->clear();
  copies_[segment].clear();
  copies_[segment].push_back(std::move(copy));
}

Channel& Executor::channel(int party, std::uint32_t lane) const {
  Channel* c = setup_.peer ? setup_.peer(party, static_cast<int>(lane)) : nullptr;
  require(c != nullptr, Errc::kNetwork, "no channel to a peer of this run");
  return *c;
}

std::map<std::string, Tensor> Executor::snapshot() {
  std::map<std::string, Tensor> weights;
  for (auto& [segment, all] : copies_) weights[segment] = all[0].params.values().clone();
  return weights;
}

void Executor::restore(const std::map<std::string, Tensor>& weights) {
  for (const auto& [segment, values] : weights)
    if (copies_.contains(segment)) std::ranges::copy(values.f32(), copies_.at(segment)[0].params.values().f32().begin());
}

void Executor::execute(const Instruction& i, Work& w) {
  switch (i.op) {
    case OpCode::kLoad: return load(i.node, w);
    case OpCode::kReceive: return receive(i, w);
    case OpCode::kStore: return store(i, w);
    case OpCode::kFetch: return fetch(i, w);
    case OpCode::kForward: return forward(i.node, w);
    case OpCode::kFit: return fit(i, w);
    case OpCode::kJoin: return join(i.node, w.slots());
    case OpCode::kRelease: return release(i, w);
    case OpCode::kSend: return send(i, w);
    case OpCode::kLoss: return loss_and_gradient(i.node, w);
    case OpCode::kBackward: return backward(i.node, w);
    case OpCode::kSplit: return split(i.node, w.slots());
  }
}

void Executor::load(int node, Work& w) {
  const Step& step = w.step();
  const Part& part = w.part();
  require(setup_.data != nullptr, Errc::kInternal, "a party without data was asked to load records");
  const Dataset& set = split_of(*setup_.data, step.split);
  const bool features = setup_.plan.topology.nodes[static_cast<std::size_t>(node)].kind == NodeKind::kFeatures;
  Tensor batch = gather_rows(features ? set.features : set.labels, setup_.planner.records(step, part));
  const std::int64_t shift = setup_.study.data.augment_shift;
  if (features && shift > 0 && step.purpose == Purpose::kTrain)
    batch =
        shift_images(batch, shift,
                     PhiloxStream(setup_.study.seed, "shift:" + setup_.plan.lanes[part.lane], step.id * 4096 + part.micro_batch));
  w.slots().values[node] = std::move(batch);
}

/// The value that a route brings to its end: of its edge where it came in, else of its node.
Tensor& Executor::input(int node, int route, Slots& slots) const {
  for (auto& [edge, value] : slots.received)
    if (setup_.plan.edges[static_cast<std::size_t>(edge)].route == route) return value;
  return slots.value(node);
}

void Executor::forward(int node, Work& w) {
  const auto at = static_cast<std::size_t>(node);
  const NodeConfig& config = setup_.plan.topology.nodes[at];
  const Network& net = setup_.segments.networks[setup_.segments.index(config.segment)];
  Slots& slots = w.slots();
  const Part& part = w.part();
  const Tensor& x = input(setup_.plan.wiring[at].inputs[0], setup_.plan.wiring[at].routes[0], slots);
  // A segment through which no gradient flows keeps nothing for backward and runs as in evaluation.
  const bool train = w.step().purpose == Purpose::kTrain && setup_.plan.needs_gradient[at];
  Pass pass{train ? Mode::kTrain : Mode::kEvaluate, setup_.study.seed, w.step().id, part.lane, part.micro_batch, w.draws};
  if (head_joins_loss(node, w)) pass.head = Head::kWithLoss;
  if (train) stash(config.segment, w);
  SegmentCopy& copy = copies(config.segment)[copy_index(config.segment, part.lane)];
  slots.values[node] = net.forward(ctx_, copy.params, Tensor::borrow(x), slots.saved[node], pass);
}

void Executor::backward(int node, Work& w) {
  const auto at = static_cast<std::size_t>(node);
  const NodeConfig& config = setup_.plan.topology.nodes[at];
  const Network& net = setup_.segments.networks[setup_.segments.index(config.segment)];
  Slots& slots = w.slots();
  const int input = setup_.plan.wiring[at].inputs[0];
  const auto want = setup_.plan.needs_gradient[static_cast<std::size_t>(input)] ? InputGrad::kNeeded : InputGrad::kNotNeeded;
  Tensor grad = net.backward(ctx_, params_of(config.segment, w), slots.saved[node], summed_gradient(node, slots), want);
  if (want == InputGrad::kNeeded) add_gradient(input, node, std::move(grad), slots);
}

void Executor::add_gradient(int node, int consumer, Tensor grad, Slots& slots) {
  Tensor& sum = slots.grads[{node, consumer}];
  if (!sum.defined()) {
    sum = std::move(grad);
    return;
  }
  sum = ctx_.here(std::move(sum));
  add(ctx_, sum, ctx_.here(std::move(grad)), sum);
}

Tensor Executor::summed_gradient(int node, Slots& slots) {
  Tensor sum;
  for (auto it = slots.grads.lower_bound({node, -1}); it != slots.grads.end() && it->first.first == node;
       it = slots.grads.erase(it)) {
    if (sum.defined())
      add(ctx_, sum, it->second, sum);
    else
      sum = std::move(it->second);
  }
  require(sum.defined(), Errc::kInternal, "a gradient was used before it was made");
  return sum;
}

void Executor::join(int node, Slots& slots) {
  const auto at = static_cast<std::size_t>(node);
  const Wiring& w = setup_.plan.wiring[at];
  std::vector<Tensor> xs;  // float32 copies: the inputs may come from different precisions
  for (std::size_t i = 0; i < w.inputs.size(); ++i)
    xs.push_back(cast(ctx_, input(w.inputs[i], w.routes[i], slots), DType::kFloat32));
  slots.values[node] = join_forward(ctx_, setup_.plan.topology.nodes[at].join, xs, slots.winners[node]);
}

void Executor::split(int node, Slots& slots) {
  const auto at = static_cast<std::size_t>(node);
  const auto& inputs = setup_.plan.wiring[at].inputs;
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    shapes.push_back(input(inputs[i], setup_.plan.wiring[at].routes[i], slots).shape());
  const Tensor grad = cast(ctx_, summed_gradient(node, slots), DType::kFloat32);
  std::vector<Tensor> grads = join_backward(ctx_, setup_.plan.topology.nodes[at].join, grad, shapes, slots.winners[node]);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (setup_.plan.needs_gradient[static_cast<std::size_t>(inputs[i])])
      add_gradient(inputs[i], node, std::move(grads[i]), slots);
}

void Executor::loss_and_gradient(int node, Work& w) {
  Slots& slots = w.slots();
  const Wiring& wiring = setup_.plan.wiring[static_cast<std::size_t>(node)];
  if (head_joins_loss(wiring.inputs[0], w)) return head_and_loss(node, w);
  const Tensor& made = input(wiring.inputs[0], wiring.routes[0], slots);
  const Tensor outputs =
      made.dtype() == DType::kFloat32 ? Tensor::borrow(made) : cast(ctx_, made, DType::kFloat32);  // [n, outputs]
  const Tensor& labels = input(wiring.labels, wiring.label_route, slots);                          // [n]
  const double scale = 1.0 / static_cast<double>(w.step().records);
  Tensor grad = ctx_.tensor(outputs.shape());
  if (ctx_.on_device()) {
    loss_on_device(outputs, labels, scale, grad, w);
  } else {
    const double loss = loss_->evaluate(ctx_, outputs, labels, scale, grad);
    const bool finite = std::isfinite(loss) && std::ranges::all_of(outputs.f32(), [](float v) { return std::isfinite(v); });
    judge_loss(w, loss, finite ? Finite::kYes : Finite::kNo, outputs, labels);
  }
  if (w.step().purpose == Purpose::kTrain) add_gradient(wiring.inputs[0], node, std::move(grad), slots);
}

/// Books the loss of a part and, in a pass without training, its scores; all on the host.
void Executor::judge_loss(const Work& w, double loss, Finite finite, const Tensor& outputs, const Tensor& labels) {
  // Caught here, where it still has one origin: a step later it is in everybody's weights.
  if (finite == Finite::kNo)
    throw PeerLost(Errc::kDetector,
                   "the loss of a micro-batch is not finite: its activations are too large, or the training "
                   "diverges (a smaller training.learning_rate may help)");
  w.flight.loss += loss;
  if (w.step().purpose == Purpose::kTrain) return;
  Scores& s = scores_[{w.part().lane, w.step().split}];
  const Tensor values = loss_->scores(outputs);
  s.values.insert(s.values.end(), values.f32().begin(), values.f32().end());
  for (std::int64_t i = 0; i < labels.elements(); ++i)
    s.labels.push_back(labels.dtype() == DType::kInt32
                           ? static_cast<float>(labels.as<std::int32_t>()[static_cast<std::size_t>(i)])
                           : labels.f32()[static_cast<std::size_t>(i)]);
}

}  // namespace sutura
