#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/release_rows_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kEach = 4, kMostBlocks = 132 * 16;

/// Four values that move as one load or store.
template <class T>
struct alignas(kEach * sizeof(T)) Four {
  T at[kEach];
};

template <class Row, class Wire>
__device__ __forceinline__ Row value_of(Wire wire, double step) {
  const auto v = static_cast<float>(exact_mul(static_cast<double>(wire), step));
  if constexpr (sizeof(Row) == sizeof(bf16)) {
    return to_bf16(v);
  } else {
    return v;
  }
}

/// rows[i] = wire[i] * step, rounded to float32 and, for bf16 rows, from there to bf16.
/// Limit: memory, 3 to 6 bytes a value; the two conversions a value to and from fp64 come next. Shape: four values a thread make
/// accesses of 4 to 16 bytes, a full line for a warp; `whole` is 0 where a pointer is not aligned for that.
template <class Wire, class Row>
__global__ void __launch_bounds__(kThreads)
    dequantise_kernel(std::int64_t n, double step, int whole, const Wire* wire, Row* rows) {
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kEach; i < n;
       i += static_cast<std::int64_t>(gridDim.x) * kThreads * kEach) {
    if (whole != 0 && i + kEach <= n) {
      const Four<Wire> in = *reinterpret_cast<const Four<Wire>*>(wire + i);
      Four<Row> out;
      SUTURA_UNROLL
      for (int k = 0; k < kEach; ++k) out.at[k] = value_of<Row>(in.at[k], step);
      *reinterpret_cast<Four<Row>*>(rows + i) = out;
    } else {
      for (std::int64_t k = i; k < n && k < i + kEach; ++k) rows[k] = value_of<Row>(wire[k], step);
    }
  }
}

template <class Wire, class Row>
void dequantise(Context& ctx, double step, const Tensor& wire, Tensor& rows) {
  const auto* from = static_cast<const Wire*>(wire.data());
  auto* to = static_cast<Row*>(rows.data());
  const std::int64_t n = wire.elements();
  const int whole = reinterpret_cast<std::uintptr_t>(from) % alignof(Four<Wire>) == 0 &&
                    reinterpret_cast<std::uintptr_t>(to) % alignof(Four<Row>) == 0;
  const std::int64_t each_block = kThreads * kEach;
  const auto grid = static_cast<unsigned>(std::min((n + each_block - 1) / each_block, kMostBlocks));
  SUTURA_LAUNCH((dequantise_kernel<Wire, Row>), grid, kThreads, 0, ctx.stream().stream(), n, step, whole, from, to);
}

template <class Wire>
void dequantise(Context& ctx, double step, const Tensor& wire, Tensor& rows) {
  if (rows.dtype() == DType::kBfloat16) {
    dequantise<Wire, bf16>(ctx, step, wire, rows);
  } else {
    dequantise<Wire, float>(ctx, step, wire, rows);
  }
}

}  // namespace

void dequantise_rows(Context& ctx, const RowSettings& settings, const Tensor& wire, Tensor& rows) {
  const double step = std::ldexp(settings.grid(), settings.shift);
  if (settings.wire == DType::kInt8) {
    dequantise<std::int8_t>(ctx, step, wire, rows);
  } else {
    dequantise<std::int16_t>(ctx, step, wire, rows);
  }
}

}  // namespace sutura::SUTURA_DEVICE
