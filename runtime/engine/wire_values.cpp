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

/// The values of a message where they lie.
Tensor view(const WireTensor& w) {
  return w.data.empty() ? to_tensor(w) : Tensor::borrow(const_cast<std::byte*>(w.data.data()), w.shape, w.dtype);  // NOLINT: only read
}

}  // namespace

WireTensor to_wire(const Tensor& t) { return {t.dtype(), t.shape(), Bytes(t.bytes().begin(), t.bytes().end())}; }

Tensor to_tensor(const WireTensor& w) {
  Tensor t(w.shape, w.dtype);
  if (!w.data.empty()) std::memcpy(t.data(), w.data.data(), w.data.size());
  return t;
}

std::vector<WireTensor> to_wire(const std::vector<Tensor>& tensors) {
  std::vector<WireTensor> wire;
  for (const Tensor& t : tensors) wire.push_back(to_wire(t));
  return wire;
}

std::vector<Tensor> encoded_tensors(Context& ctx, Codec codec, const Tensor& value) {
  std::vector<Tensor> tensors;
  const DType wanted = codec == Codec::kInt8 ? DType::kFloat32 : dtype_of(codec);
  Tensor x = value.dtype() == wanted ? Tensor::borrow(value) : cast(ctx, value, wanted);
  if (codec != Codec::kInt8) {
    tensors.push_back(std::move(x));
    return tensors;
  }
  Tensor q = ctx.tensor(x.shape(), DType::kInt8);  // [n, ...]
  Tensor scales = ctx.tensor({x.shape()[0]});      // [n]
  int8_rows_quantise(ctx, x, q, scales);
  tensors.push_back(std::move(q));
  tensors.push_back(std::move(scales));
  return tensors;
}

std::vector<WireTensor> encode_values(Context& ctx, Codec codec, const Tensor& value) {
  std::vector<Tensor> tensors = encoded_tensors(ctx, codec, value);
  for (Tensor& t : tensors) t = ctx.host(std::move(t));
  return to_wire(tensors);
}

void check_values(Codec codec, const std::vector<WireTensor>& tensors, const Shape& shape, const std::string& what) {
  const std::size_t count = codec == Codec::kInt8 ? 2 : 1;
  require(tensors.size() == count, Errc::kProtocol, what + " has another number of tensors");
  expect(tensors[0], codec == Codec::kInt8 ? DType::kInt8 : dtype_of(codec), shape);
  if (codec != Codec::kInt8) return;
  expect(tensors[1], DType::kFloat32, Shape{shape[0]});
  const Tensor scales = view(tensors[1]);
  require(all_finite(tensors[1]), Errc::kProtocol, what + " holds NaN or infinity");
  require(std::ranges::all_of(scales.f32(), [](float s) { return s >= 0.0f; }), Errc::kProtocol,
          what + " holds a negative scale");
}

bool within_bounds(Codec codec, const std::vector<WireTensor>& tensors) {
  constexpr float kLargest = 1e6f;
  const Tensor value = view(tensors[0]);
  if (codec == Codec::kFloat32) return std::ranges::all_of(value.f32(), [](float v) { return std::abs(v) <= kLargest; });
  if (codec == Codec::kBfloat16) return std::ranges::all_of(value.as<bf16>(), [](bf16 v) { return std::abs(to_float(v)) <= kLargest; });
  const Tensor scales = view(tensors[1]);
  const auto q = value.as<std::int8_t>();
  const std::size_t rows = scales.f32().size(), width = rows == 0 ? 0 : q.size() / rows;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < width; ++j)
      if (std::abs(static_cast<float>(q[r * width + j]) * scales.f32()[r]) > kLargest) return false;
  return true;
}

Tensor decoded_tensors(Context& ctx, Codec codec, std::vector<Tensor> tensors) {
  if (codec != Codec::kInt8) return std::move(tensors.at(0));
  Tensor value = ctx.tensor(tensors.at(0).shape());
  int8_rows_dequantise(ctx, tensors[0], tensors.at(1), value);
  return value;
}

Tensor decode_values(Context& ctx, Codec codec, const std::vector<WireTensor>& tensors, const Shape& shape,
                     const std::string& what) {
  check_values(codec, tensors, shape, what);
  std::vector<Tensor> here;
  for (const WireTensor& t : tensors) here.push_back(ctx.here(to_tensor(t)));
  return decoded_tensors(ctx, codec, std::move(here));
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
