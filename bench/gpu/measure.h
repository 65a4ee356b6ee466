#pragma once
#include <functional>
#include <string>

#include "kernels/context.h"

/// What the parts of scripts/gpu_check measure with.
namespace sutura::bench {

/// kTiny runs everything once on small shapes and times nothing: the host SIMT executor shows that the path works, not how fast.
enum class Effort { kFull, kQuick, kTiny };

/// Prints what was measured, one JSON object a line: {"key": ..., "value": ..., "unit": ...}, "value" null where nothing was
/// timed, {"key": ..., "error": ...} where it failed.
class Report {
 public:
  explicit Report(Effort effort) : effort_(effort) {}
  Effort effort() const { return effort_; }
  /// Measures one number; what `measure` throws is reported and the program goes on.
  void number(const std::string& key, const std::string& unit, const std::function<double()>& measure);
  void text(const std::string& key, const std::string& value);
  void failed(const std::string& key, const std::string& why);
  int failures() const { return failures_; }

 private:
  Effort effort_;
  int failures_ = 0;
};

/// Work for the device, given which of the prepared inputs to take: inputs take turns, so that no measurement lives in a cache
/// that training would not find warm.
using Work = std::function<void(int set)>;
constexpr int kSets = 3;

/// Seconds of one call, the median of several timings of enough calls to make a clock's step invisible. NaN for kTiny.
/// queued_seconds launches each call; graph_seconds records kSets calls in one graph, once they have all run, and replays it: what the
/// host costs falls away. step_graph_seconds records a graph for each set and calls `before` outside of it, as a training step
/// does. host_seconds is the time that the host needs to queue a call.
double queued_seconds(Context& ctx, Effort effort, const Work& work);
double graph_seconds(Context& ctx, Effort effort, const Work& work);
double step_graph_seconds(Context& ctx, Effort effort, const Work& before, const Work& work);
double host_seconds(Context& ctx, Effort effort, const Work& work);

/// Values about N(0, 1) where `ctx` computes: never zeros, which run faster than data does.
Tensor random_tensor(const Context& ctx, const Shape& shape, DType dtype, std::uint64_t seed);

}  // namespace sutura::bench
