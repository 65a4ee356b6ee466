#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// What losses add their values to without waiting for the device: whoever wants to know reads it later, for example after a
/// captured step was replayed. On a CPU backend plain host memory. Threads: one at a time.
class LossSum {
 public:
  static constexpr int kLoss = 0, kNotFinite = 1, kBadLabels = 2, kNumbers = 3;
  struct Value {
    double loss = 0.0;        ///< sum over the losses evaluated since clear()
    double not_finite = 0.0;  ///< records whose outputs or loss were not finite
    double bad_labels = 0.0;  ///< evaluations that were refused for a label outside the classes; nothing was written by them
    bool sound() const { return loss - loss == 0.0 && not_finite == 0.0 && bad_labels == 0.0; }
  };

  explicit LossSum(const Context& ctx) : numbers_(ctx.zeros({kNumbers}, DType::kFloat64)) {}
  /// Zeros, in stream order.
  void clear(const Context& ctx) { ctx.fill_zero(numbers_); }
  /// Waits for the work that makes it.
  Value read(const Context& ctx) const { return of(ctx.host(Tensor::borrow(numbers_)).as<double>()); }
  /// The same from a copy of tensor() that somebody made.
  static Value of(std::span<const double> numbers) { return {numbers[kLoss], numbers[kNotFinite], numbers[kBadLabels]}; }
  /// [kNumbers] float64 where the context computes.
  Tensor& tensor() { return numbers_; }
  const Tensor& tensor() const { return numbers_; }
  /// On a CPU backend: what a device adds in its kernels.
  void add(double loss, double not_finite) {
    numbers_.as<double>()[kLoss] += loss;
    numbers_.as<double>()[kNotFinite] += not_finite;
  }

 private:
  Tensor numbers_;
};

}  // namespace sutura
