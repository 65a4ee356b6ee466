// sutura-ops-bench: where the time of a ResNet-18 training step goes, op by op, on the onednn backend.
// One step is the real sequence (stem for small images, width 64, batch norm, global pooling, linear head, SGD with
// momentum), with a fresh tensor for every activation, as the layers make them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/ops/add/add.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sgd/sgd.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"

namespace {

using namespace sutura;
using Clock = std::chrono::steady_clock;
using Spent = std::map<std::string, double>;

/// A context and milliseconds by op name, summed over one step.
struct Run {
  Context ctx;
  Spent spent;
  template <class F>
  void time(const char* op, F work) {
    const auto begin = Clock::now();
    work();
    spent[op] += std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }
  Tensor fresh(const Shape& shape) const { return Tensor(shape, ctx.compute()); }
};

Tensor random_tensor(const Shape& shape, float scale, std::uint64_t index) {
  PhiloxStream random(1, "bench", index);
  Tensor t(shape);
  for (float& v : t.f32()) v = scale * (2.0f * random.next_float() - 1.0f);
  return t;
}

/// Convolution and batch norm with what backward needs; `x` must outlive backward.
class ConvNorm {
 public:
  ConvNorm(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride)
      : spec_{kernel, kernel, stride, stride, kernel / 2, kernel / 2},
        weight_(random_tensor({out, kernel, kernel, in}, 0.05f, static_cast<std::uint64_t>(in * out))),
        grad_weight_(Tensor::zeros(weight_.shape())),
        velocity_(Tensor::zeros(weight_.shape())),
        gamma_(random_tensor({out}, 1.0f, 1)),
        beta_(Tensor::zeros({out})),
        running_mean_(Tensor::zeros({out})),
        running_var_(Tensor::zeros({out})),
        grad_gamma_(Tensor::zeros({out})),
        grad_beta_(Tensor::zeros({out})),
        mean_(Shape{out}),
        rstd_(Shape{out}) {}

  Tensor forward(Run& run, const Tensor& x) {
    x_ = Tensor::borrow(x);
    run.time("conv forward", [&] {
      convolved_ = run.fresh(spec_.output_shape(x.shape(), weight_.shape()[0]));
      conv2d_forward(run.ctx, spec_, x_, weight_, Tensor(), convolved_);
    });
    Tensor y;
    run.time("batch norm forward", [&] {
      y = run.fresh(convolved_.shape());
      batch_norm_forward_train(run.ctx, 1e-5f, 0.1f, convolved_, gamma_, beta_, running_mean_, running_var_, y, mean_, rstd_);
    });
    return y;
  }

  enum class InputGradient { kWanted, kUnused };
  Tensor backward(Run& run, Tensor grad, InputGradient want = InputGradient::kWanted) {
    run.time("batch norm backward",
             [&] { batch_norm_backward(run.ctx, convolved_, grad, gamma_, mean_, rstd_, grad, grad_gamma_, grad_beta_); });
    run.time("conv backward weights", [&] {
      Tensor none;
      conv2d_backward_weights(run.ctx, spec_, x_, grad, grad_weight_, none);
    });
    if (want == InputGradient::kUnused) return {};
    Tensor grad_x;
    run.time("conv backward data", [&] {
      grad_x = run.fresh(x_.shape());
      conv2d_backward_data(run.ctx, spec_, grad, weight_, grad_x);
    });
    return grad_x;
  }

  void step(Run& run, const SgdSettings& settings) {
    Tensor flat_grad = Tensor::borrow(grad_weight_.data(), {grad_weight_.elements()});
    Tensor flat = Tensor::borrow(weight_.data(), {weight_.elements()});
    Tensor flat_velocity = Tensor::borrow(velocity_.data(), {velocity_.elements()});
    run.time("sgd", [&] { sgd_step(run.ctx, settings, flat_grad, flat, flat_velocity); });
    run.time("zero gradients", [&] { std::fill(grad_weight_.f32().begin(), grad_weight_.f32().end(), 0.0f); });
  }

 private:
  Conv2dSpec spec_;
  Tensor weight_, grad_weight_, velocity_;                                                   // [K, R, S, C]
  Tensor gamma_, beta_, running_mean_, running_var_, grad_gamma_, grad_beta_, mean_, rstd_;  // [K]
  Tensor x_, convolved_;                                                                     // [N, H, W, C], [N, P, Q, K]
};

class Block {
 public:
  Block(std::int64_t in, std::int64_t out, std::int64_t stride) : first_(in, out, 3, stride), second_(out, out, 3, 1) {
    if (stride != 1 || in != out) shortcut_.emplace_back(in, out, 1, stride);
  }
  Tensor forward(Run& run, Tensor x) {
    x_ = std::move(x);
    hidden_ = first_.forward(run, x_);
    run.time("relu forward", [&] { relu_forward(run.ctx, hidden_, hidden_); });
    Tensor y = second_.forward(run, hidden_);
    Tensor side = shortcut_.empty() ? Tensor::borrow(x_) : shortcut_[0].forward(run, x_);
    run.time("add", [&] { add(run.ctx, y, side, y); });
    run.time("relu forward", [&] { relu_forward(run.ctx, y, y); });
    y_ = Tensor::borrow(y);
    return y;
  }
  Tensor backward(Run& run, Tensor grad) {
    run.time("relu backward", [&] { relu_backward(run.ctx, y_, grad, grad); });
    Tensor side;
    run.time("copy gradient", [&] { side = grad.clone(); });
    Tensor inner = second_.backward(run, std::move(grad));
    run.time("relu backward", [&] { relu_backward(run.ctx, hidden_, inner, inner); });
    inner = first_.backward(run, std::move(inner));
    if (!shortcut_.empty()) side = shortcut_[0].backward(run, std::move(side));
    run.time("add", [&] { add(run.ctx, inner, side, inner); });
    return inner;
  }
  void step(Run& run, const SgdSettings& settings) {
    first_.step(run, settings);
    second_.step(run, settings);
    for (ConvNorm& c : shortcut_) c.step(run, settings);
  }

 private:
  ConvNorm first_, second_;
  std::vector<ConvNorm> shortcut_;
  Tensor x_, hidden_, y_;  // [N, H, W, C], then [N, P, Q, K] twice
};

class ResNet18 {
 public:
  ResNet18() : stem_(1, 64, 3, 1), head_(random_tensor({2, 512}, 0.05f, 2)), grad_head_(Tensor::zeros({2, 512})) {
    std::int64_t in = 64;
    for (const std::int64_t width : {64, 128, 256, 512}) {
      blocks_.emplace_back(in, width, width == 64 ? 1 : 2);
      blocks_.emplace_back(width, width, 1);
      in = width;
    }
  }
  double step(Run& run, const Tensor& images, const Tensor& labels) {
    const std::int64_t n = images.shape()[0];
    Tensor x;
    run.time("cast", [&] { x = cast(run.ctx, images, run.ctx.compute()); });
    Tensor stem = stem_.forward(run, x);
    run.time("relu forward", [&] { relu_forward(run.ctx, stem, stem); });
    const Tensor stem_out = Tensor::borrow(stem);
    Tensor y = std::move(stem);
    for (Block& b : blocks_) y = b.forward(run, std::move(y));

    double loss = 0.0;
    Tensor grad = run.fresh(y.shape());
    run.time("head and loss", [&] {
      Tensor pooled = run.fresh({n, 512}), scores = run.fresh({n, 2}), grad_pooled = run.fresh({n, 512}), none;
      global_avg_pool_forward(run.ctx, y, pooled);
      linear_forward(run.ctx, pooled, head_, none, scores);
      const Tensor logits = cast(run.ctx, scores, DType::kFloat32);
      Tensor grad_logits(logits.shape());
      loss = softmax_cross_entropy(run.ctx, logits, labels, 1.0 / static_cast<double>(n), grad_logits);
      const Tensor grad_scores = cast(run.ctx, grad_logits, run.ctx.compute());
      linear_backward_weights(run.ctx, pooled, grad_scores, grad_head_, none);
      linear_backward_data(run.ctx, grad_scores, head_, grad_pooled);
      global_avg_pool_backward(run.ctx, grad_pooled, grad);
    });
    for (auto b = blocks_.rbegin(); b != blocks_.rend(); ++b) grad = b->backward(run, std::move(grad));
    run.time("relu backward", [&] { relu_backward(run.ctx, stem_out, grad, grad); });
    stem_.backward(run, std::move(grad), ConvNorm::InputGradient::kUnused);

    const SgdSettings settings = {.learning_rate = 0.01f, .momentum = 0.9f};
    stem_.step(run, settings);
    for (Block& b : blocks_) b.step(run, settings);
    return loss;
  }

 private:
  ConvNorm stem_;
  std::vector<Block> blocks_;
  Tensor head_, grad_head_;  // [2, 512]
};

void measure(DType compute, int threads, std::int64_t batch, int rounds) {
  Run run{Context(Backend::kOnednn, threads, compute), {}};
  ResNet18 model;
  const Tensor images = random_tensor({batch, 28, 28, 1}, 1.0f, 3);
  Tensor labels = Tensor::zeros({batch}, DType::kInt32);
  for (int i = 0; i < 2; ++i) model.step(run, images, labels);  // prepares the primitives
  std::vector<double> steps;
  Spent least;  // per op over the rounds: other work on the machine only adds time
  for (int i = 0; i < rounds; ++i) {
    run.spent.clear();
    const auto begin = Clock::now();
    model.step(run, images, labels);
    steps.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    for (const auto& [op, ms] : run.spent) {
      const auto at = least.emplace(op, ms).first;
      at->second = std::min(at->second, ms);
    }
  }
  std::sort(steps.begin(), steps.end());
  const double median = steps[steps.size() / 2];
  std::printf("%s\n  step: median %.1f ms, best %.1f ms, %.1f samples/s\n", run.ctx.description().c_str(), median, steps.front(),
              1e3 * static_cast<double>(batch) / median);
  for (const auto& [op, ms] : least) std::printf("  %-24s %8.2f ms\n", op.c_str(), ms);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times a ResNet-18 training step on [N, 28, 28, 1] images, op by op");
  int threads = 2, rounds = 7;
  std::int64_t batch = 32;
  app.add_option("--threads", threads)->check(CLI::Range(1, 256));
  app.add_option("--batch", batch)->check(CLI::Range(1, 4096));
  app.add_option("--rounds", rounds, "timed steps per element type")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  try {
    measure(DType::kFloat32, threads, batch, rounds);
    if (Context::cpu_has_bf16()) measure(DType::kBfloat16, threads, batch, rounds);
  } catch (const Error& e) {
    std::fprintf(stderr, "sutura-ops-bench: %s\n", e.what());
    return exit_status(e.code());
  }
  return 0;
}
