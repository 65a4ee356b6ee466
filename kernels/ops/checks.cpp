#include "kernels/ops/checks.h"

#include <string>

#include "core/error.h"

namespace sutura {

namespace {
std::string text(std::string_view op, std::string_view what) { return std::string(op) + ": " + std::string(what) + " "; }

void check_place(const Context& ctx, std::string_view op, std::string_view what, const Tensor& t) {
  const auto wanted = ctx.on_device() ? Tensor::Place::kDevice : Tensor::Place::kHost;
  if (t.place() != wanted)
    throw Error(Errc::kInternal, text(op, what) + (ctx.on_device() ? "lies on the host" : "lies in a device's memory"));
}
}  // namespace

void OpCheck::type(std::string_view what, const Tensor& t, DType dtype) const {
  if (!t.defined()) throw Error(Errc::kInvalidArgument, text(op_, what) + "is undefined");
  if (t.dtype() != dtype) {
    throw Error(Errc::kInvalidArgument,
                text(op_, what) + "is " + std::string(name(t.dtype())) + ", expected " + std::string(name(dtype)));
  }
  check_place(ctx_, op_, what, t);
}

void OpCheck::activation(std::string_view what, const Tensor& t) const {
  if (!t.defined()) throw Error(Errc::kInvalidArgument, text(op_, what) + "is undefined");
  const bool half = t.dtype() == DType::kBfloat16 && ctx_.backend() != Backend::kReference;
  if (t.dtype() != DType::kFloat32 && !half) {
    throw Error(Errc::kInvalidArgument, text(op_, what) + "is " + std::string(name(t.dtype())) + ", which backend " +
                                            std::string(name(ctx_.backend())) + " does not compute in");
  }
  check_place(ctx_, op_, what, t);
}

void OpCheck::activation_like(std::string_view what, const Tensor& t, const Tensor& like) const {
  activation(what, t);
  type(what, t, like.dtype());
}

void OpCheck::shape(std::string_view what, const Tensor& t, const Shape& expected) const {
  if (t.shape() != expected) {
    throw Error(Errc::kShapeMismatch, text(op_, what) + "is " + t.shape().text() + ", expected " + expected.text());
  }
}

void OpCheck::rank(std::string_view what, const Tensor& t, int least, int most, int first_positive) const {
  bool good = t.shape().rank() >= least && t.shape().rank() <= most;
  for (int i = first_positive; i < t.shape().rank(); ++i) good = good && t.shape()[i] >= 1;
  if (!good) {
    throw Error(Errc::kShapeMismatch, text(op_, what) + "is " + t.shape().text() + ", expected rank " + std::to_string(least) +
                                          (most > least ? " to " + std::to_string(most) : "") +
                                          " with dimensions of at least 1 from position " + std::to_string(first_positive) +
                                          " on");
  }
}

void OpCheck::f32(std::string_view what, const Tensor& t, const Shape& expected) const {
  type(what, t, DType::kFloat32);
  shape(what, t, expected);
}

void OpCheck::setting(bool good, std::string_view rule) const {
  if (!good) throw Error(Errc::kInvalidArgument, std::string(op_) + ": " + std::string(rule));
}

std::int64_t last_dimension(const Shape& s) { return s[s.rank() - 1]; }

}  // namespace sutura
