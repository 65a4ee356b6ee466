#include "runtime/engine/wire_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/int8_rows/int8_rows.h"
#include "transport/codec.h"

namespace sutura {
namespace {

DType dtype_of(Codec c) { return c == Codec::kBfloat16 ? DType::kBfloat16 : DType::kFloat32; }

std::vector<WireTensor> int8_message(const Tensor& q, const Tensor& scales) {
  std::vector<WireTensor> tensors;
  tensors.push_back(to_wire(q));
  tensors.push_back(to_wire(scales));
  return tensors;
}

}  // namespace

WireTensor to_wire(const Tensor& t) { return {t.dtype(), t.shape(), Bytes(t.bytes().begin(), t.bytes().end())}; }

Tensor to_tensor(const WireTensor& w) {
  Tensor t(w.shape, w.dtype);
  if (!w.data.empty()) std::memcpy(t.data(), w.data.data(), w.data.size());
  return t;
}

std::vector<WireTensor> encode_values(Context& ctx, Codec codec, const Tensor& value) {
  std::vector<WireTensor> tensors;
  if (codec != Codec::kInt8) {
    tensors.push_back(to_wire(value.dtype() == dtype_of(codec) ? Tensor::borrow(value) : cast(ctx, value, dtype_of(codec))));
    return tensors;
  }
  const Tensor x = value.dtype() == DType::kFloat32 ? Tensor::borrow(value) : cast(ctx, value, DType::kFloat32);
  Tensor q(x.shape(), DType::kInt8);  // [n, ...]
  Tensor scales({x.shape()[0]});      // [n]
  int8_rows_quantise(ctx, x, q, scales);
  return int8_message(q, scales);
}

Tensor decode_values(Context& ctx, Codec codec, const std::vector<WireTensor>& tensors, const Shape& shape,
                     const std::string& what) {
  const std::size_t count = codec == Codec::kInt8 ? 2 : 1;
  require(tensors.size() == count, Errc::kProtocol, what + " has another number of tensors");
  expect(tensors[0], codec == Codec::kInt8 ? DType::kInt8 : dtype_of(codec), shape);
  if (codec != Codec::kInt8) return to_tensor(tensors[0]);
  expect(tensors[1], DType::kFloat32, Shape{shape[0]});
  const Tensor scales = to_tensor(tensors[1]);
  require(all_finite(tensors[1]), Errc::kProtocol, what + " holds NaN or infinity");
  require(std::ranges::all_of(scales.f32(), [](float s) { return s >= 0.0f; }), Errc::kProtocol,
          what + " holds a negative scale");
  Tensor value(shape);
  int8_rows_dequantise(ctx, to_tensor(tensors[0]), scales, value);
  return value;
}

std::vector<WireTensor> RoundingResidual::encode(Context& ctx, const Tensor& value, std::span<const std::int64_t> records,
                                                 std::int64_t total) {
  constexpr std::int64_t kMostKept = std::int64_t{1} << 30;  // 4 GiB of residuals for one edge of one site
  require(total > 0 && value.shape().row_elements() <= kMostKept / total, Errc::kResources,
          "wire.gradient: int8 would keep more than 4 GiB of rounding residuals: use bf16");
  if (!kept_.defined()) kept_ = Tensor::zeros(value.shape().with_batch(total));
  const auto width = static_cast<std::size_t>(value.shape().row_elements());
  require(kept_.shape()[0] == total && kept_.shape().row_elements() == value.shape().row_elements(), Errc::kInternal,
          "rounding residuals were kept for other records");
  for (const std::int64_t r : records)
    require(r >= 0 && r < total, Errc::kInternal, "a rounding residual of a record that is not there");
  const auto kept = kept_.f32();
  Tensor x = value.clone();  // [n, ...]
  for (std::size_t k = 0; k < records.size(); ++k)
    for (std::size_t j = 0; j < width; ++j) x.f32()[k * width + j] += kept[static_cast<std::size_t>(records[k]) * width + j];
  Tensor q(x.shape(), DType::kInt8);  // [n, ...]
  Tensor scales({x.shape()[0]});      // [n]
  Tensor sent(x.shape());             // [n, ...]
  int8_rows_quantise(ctx, x, q, scales);
  int8_rows_dequantise(ctx, q, scales, sent);
  for (std::size_t k = 0; k < records.size(); ++k)
    for (std::size_t j = 0; j < width; ++j)
      kept[static_cast<std::size_t>(records[k]) * width + j] = x.f32()[k * width + j] - sent.f32()[k * width + j];
  return int8_message(q, scales);
}

}  // namespace sutura
