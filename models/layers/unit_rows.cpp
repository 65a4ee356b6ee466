#include "models/layers/unit_rows.h"

#include <cmath>

#include "core/error.h"
#include "kernels/ops/cast/cast.h"

namespace sutura {

Shape UnitRows::output_shape(const Shape& x) const {
  require(x.rank() == 2, Errc::kShapeMismatch, "layer " + name() + " (unit_rows) takes [N, D], got " + x.text());
  require(x[1] >= 1 && x[1] <= kMaxColumns, Errc::kShapeMismatch,
          "layer " + name() + " (unit_rows) takes 1 to " + std::to_string(kMaxColumns) + " columns, got " + std::to_string(x[1]) +
              ": more noise would be needed than a row can bear");
  return x;
}

Tensor UnitRows::do_forward(Context& ctx, const ParamView&, Tensor x, Saved&, const Pass&) const {
  const Tensor in = ctx.host(cast(ctx, x, DType::kFloat32));  // [N, D]
  Tensor y(x.shape());                              // [N, D]
  const auto columns = static_cast<std::size_t>(x.shape()[1]);
  const auto from = in.f32();
  const auto to = y.f32();
  for (std::size_t row = 0; row < from.size(); row += columns) {
    double square = 0.0;
    for (std::size_t i = row; i < row + columns; ++i) square += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    const double factor = square == 0.0 ? 0.0 : 1.0 / std::sqrt(square);
    for (std::size_t i = row; i < row + columns; ++i) to[i] = static_cast<float>(static_cast<double>(from[i]) * factor);
  }
  return cast(ctx, ctx.here(std::move(y)), x.dtype());
}

Tensor UnitRows::do_backward(Context&, const ParamView&, Saved&, Tensor, InputGrad) const {
  throw Error(Errc::kInternal, "layer " + name() + " (unit_rows) is a public front and has no backward");
}

}  // namespace sutura
