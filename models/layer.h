#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

class DrawWords;

enum class Mode { kTrain, kEvaluate };
/// Whether backward must produce the gradient of its input.
enum class InputGrad { kNeeded, kNotNeeded };

/// Whether neighbouring layers may run as one kernel where the device has one (models/fusion.h); off: for tests and measurements
/// that compare.
enum class Fusion { kOn, kOff };
/// Who runs a network's head, its last two layers: forward and backward, or in a training step its loss (Network::head_loss()).
enum class Head { kWithNetwork, kWithLoss };

/// What a forward pass is part of: dropout masks are a pure function of it (and of the layer's name), so a split network
/// and a whole one draw the same.
struct Pass {
  Mode mode = Mode::kTrain;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint32_t lane = 0;          ///< index of the client within the step
  std::uint32_t micro_batch = 0;   ///< index of the micro-batch of that client
  DrawWords* draws = nullptr;      ///< on a device: whose words random draws begin with; nullptr: each draw copies its own there
  Fusion fusion = Fusion::kOn;     ///< of no effect on a CPU: its layers always run one by one
  Head head = Head::kWithNetwork;  ///< kWithLoss only where Network::joins_loss() says so
};

/// How a parameter starts. Fan-in uniform is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for linear and
/// convolution weights and biases (kaiming_uniform with a = sqrt 5, Linear.reset_parameters of PyTorch).
enum class Init { kZeros, kOnes, kFanInUniform };
/// Statistics (running mean and variance) are not trained but are averaged, sent and saved with the weights.
enum class ParamRole { kTrained, kStatistic };

struct ParamSpec {
  std::string name;  ///< local to the layer: "weight"
  Shape shape;
  Init init = Init::kFanInUniform;
  std::int64_t fan_in = 0;
  ParamRole role = ParamRole::kTrained;
};

/// One layer's parameters and gradients: borrowed tensors in the order of param_specs(). Gradients of statistics are empty.
/// Nested layers (residual blocks) take consecutive sub-ranges with slice().
struct ParamView {
  std::vector<Tensor> values;
  std::vector<Tensor> grads;
  ParamView slice(std::size_t begin, std::size_t count) const;
};

/// What backward needs from forward. Lives outside the layer, so layers are const and one tail serves many clients.
struct Saved {
  std::vector<Tensor> tensors;
  std::vector<Saved> children;     ///< one per nested layer
  Fusion fusion = Fusion::kOff;    ///< how forward ran the nested layers
  Head head = Head::kWithNetwork;  ///< kWithLoss: forward stopped before the head, and backward begins there
};

/// A pure function of (parameters, x). Public functions check, the do_ functions compute.
/// Threads: const, may be shared; the Context may not.
class Layer {
 public:
  virtual ~Layer() = default;
  /// Shape of y for an input of shape x ([N, ...], any N). Errors: kShapeMismatch naming the layer.
  virtual Shape output_shape(const Shape& x) const = 0;
  virtual std::vector<ParamSpec> param_specs() const { return {}; }
  /// Forward FLOPs (2 per multiply-add) for an input of this shape; 0 for layers that only move data.
  virtual double flops(const Shape& x) const {
    (void)x;
    return 0.0;
  }
  /// True if one record's output depends on other records of the batch in training (batch norm): refused before a private cut.
  virtual bool couples_records() const { return false; }
  /// False for public fronts, which no gradient may reach: refused where something before them trains.
  virtual bool has_backward() const { return true; }

  /// Consumes x: what backward needs of it moves into `saved` (left untouched in kEvaluate). The result may be borrowed from
  /// `saved`.
  Tensor forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const;
  /// Adds the parameters' gradients to params.grads and returns the gradient of x (undefined if not needed). Consumes `saved`.
  Tensor backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const;

  /// Full name inside the network, set once by Network ("stage2.0.conv1"); seeds dropout and initialisation.
  const std::string& name() const { return name_; }
  virtual void set_name(const std::string& name) { name_ = name; }

 protected:
  virtual Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const = 0;
  virtual Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const = 0;

 private:
  std::string name_;
};

using LayerPtr = std::unique_ptr<Layer>;

}  // namespace sutura
