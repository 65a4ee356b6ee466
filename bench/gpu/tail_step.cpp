#include "bench/gpu/tail_step.h"

#include "core/error.h"
#include "models/registry.h"

namespace sutura::bench {

std::vector<Tail> tails(Effort effort) {
  if (effort == Effort::kTiny) return {{"tiny", 8, "cifar", 8, 2}};
  return {{"28px", 28, "cifar", 64, 128}, {"64px", 64, "imagenet", 64, 128}, {"224px", 224, "imagenet", 64, 128}};
}

TailStep::TailStep(Context& ctx, const Tail& tail, Fusion fusion)
    : ctx_(ctx), sum_(ctx), scale_(1.0 / static_cast<double>(tail.batch)) {
  const Shape picture{tail.batch, tail.pixels, tail.pixels, 1};
  const NetworkSpec spec{"resnet18", {{"width", tail.width}, {"norm", std::string("batch")}, {"stem", tail.stem}}, {}};
  std::vector<Network> parts = build_network(spec, picture, 1).cut_after({"stage1.1"});
  network_ = std::move(parts[1]);
  params_ = network_.make_params(1);
  loss_ = make_loss(LossKind::kBinaryCrossEntropy);
  pass_.fusion = fusion;
  if (network_.joins_loss(ctx, *loss_, fusion)) pass_.head = Head::kWithLoss;
  OptimizerSettings settings;
  settings.kind = OptimizerKind::kSgd;
  optimizer_ = make_optimizer(settings, params_.trained());
  for (int i = 0; i < kSets; ++i) {
    inputs_.push_back(random_tensor(ctx, parts[0].output_shape(picture), ctx.compute(), 31 + static_cast<std::uint64_t>(i)));
    Tensor labels({tail.batch}, DType::kInt32);
    for (std::int64_t n = 0; n < tail.batch; ++n)
      labels.as<std::int32_t>()[static_cast<std::size_t>(n)] = static_cast<std::int32_t>((n + i) % 2);
    labels_.push_back(ctx.here(std::move(labels)));
  }
}

void TailStep::prepare() {
  params_.refresh(ctx_);
  optimizer_->prepare(ctx_, 1e-3);
}

void TailStep::run(int set) {
  const auto i = static_cast<std::size_t>(set);
  sum_.clear(ctx_);
  params_.zero_grads(ctx_);
  Saved saved;
  Tensor grad;
  const Tensor y = network_.forward(ctx_, params_, ctx_.clone(inputs_[i]), saved, pass_);
  if (pass_.head == Head::kWithLoss)
    grad = network_.head_loss(ctx_, params_, *loss_, y, labels_[i], scale_, sum_);
  else
    loss_->evaluate_into(ctx_, y, labels_[i], scale_, grad, sum_);
  const Tensor to_client = network_.backward(ctx_, params_, saved, std::move(grad), InputGrad::kNeeded);
  optimizer_->apply(ctx_, params_, &sum_);
}

double TailStep::loss() const {
  const LossSum::Value value = sum_.read(ctx_);
  require(value.sound(), Errc::kDevice, "the loss of the step is not finite");
  return value.loss;
}

void measure_tails(Report& report) {
  const Effort effort = report.effort();
  for (const Tail& tail : tails(effort)) {
    for (const Backend backend : {Backend::kNative, Backend::kCudnn}) {
      if (backend == Backend::kCudnn && effort == Effort::kTiny) continue;  // the library does not run without a GPU
      const std::string key = "tail." + tail.name + ".b" + std::to_string(tail.batch) + "." + std::string(name(backend));
      for (const bool graph : {false, true}) {
        report.number(key + (graph ? ".graph" : ".launched"), "s", [&] {
          Context ctx(backend, 1, DType::kBfloat16);
          TailStep step(ctx, tail, backend == Backend::kCudnn ? Fusion::kOff : Fusion::kOn);
          const Work prepare = [&](int) { step.prepare(); }, run = [&](int set) { step.run(set); };
          const double seconds =
              graph ? step_graph_seconds(ctx, effort, prepare, run) : queued_seconds(ctx, effort, [&](int set) {
                prepare(set);
                run(set);
              });
          step.loss();  // a step that computed nonsense is no measurement
          return seconds;
        });
      }
    }
  }
}

}  // namespace sutura::bench
