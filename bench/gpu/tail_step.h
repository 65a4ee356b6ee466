#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bench/gpu/measure.h"
#include "models/losses/loss.h"
#include "models/network.h"
#include "models/optimizers/optimizer.h"

namespace sutura::bench {

/// The server's part of ResNet-18, cut after stage 1, for square pictures of `pixels` with this stem.
struct Tail {
  std::string name;  ///< "28px"
  std::int64_t pixels;
  std::string stem;
  std::int64_t width;
  std::int64_t batch;
};
std::vector<Tail> tails(Effort effort);

/// One training step of a tail on data that lies where it computes: forward, binary cross-entropy, backward to the gradient that
/// goes back to the client, SGD with momentum. As in a study, the loss runs the head where it can.
class TailStep {
 public:
  /// Fusion kOff: nothing but the backend's own layers and loss, one by one.
  TailStep(Context& ctx, const Tail& tail, Fusion fusion);
  /// What changes with every step, and stays out of a graph.
  void prepare();
  /// Queues a prepared step on input `set`; waits for nothing.
  void run(int set);
  /// The loss of the last step; waits for it. Errors: kDevice if it is not sound.
  double loss() const;

 private:
  Context& ctx_;
  Network network_;
  ParamStore params_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Tensor> inputs_, labels_;
  LossSum sum_;
  double scale_;
  Pass pass_;
};

/// Seconds of a step, launched kernel by kernel and as one graph: on the native backend as studies run it, and on cudnn the same
/// tail of the library's layers alone, without our fused kernels.
void measure_tails(Report& report);

}  // namespace sutura::bench
