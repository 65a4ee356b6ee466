#include "bench/gpu/guard_speed.h"

#include <vector>

#include "core/error.h"
#include "kernels/ops/release_rows/release_rows.h"

namespace sutura::bench {

void measure_guard(Report& report) {
  Context ctx(Backend::kNative);
  const Effort effort = report.effort();
  const Shape shape = effort == Effort::kTiny ? Shape{2, 40} : Shape{128, 64 * 28 * 28};
  const RowSettings settings;
  std::vector<std::byte> bytes(32);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(7 * i + 1);  // a key for speed, not for privacy
  const ChaChaKey key{ByteSpan(bytes)};
  std::vector<Tensor> rows;
  for (int i = 0; i < kSets; ++i) rows.push_back(random_tensor(ctx, shape, DType::kFloat32, 41 + static_cast<std::uint64_t>(i)));
  Tensor wire = ctx.tensor(shape, settings.wire), pinned = ctx.pinned(shape, settings.wire), back = ctx.tensor(shape, DType::kFloat32);
  std::uint64_t step = 0;
  const auto release = [&](int set, Tensor& to) {
    release_rows(ctx, settings, key, {++step, 1}, 0, rows[static_cast<std::size_t>(set)], to);
  };
  const auto values = static_cast<double>(shape.elements());
  report.number("guard.release", "values/s", [&] { return values / queued_seconds(ctx, effort, [&](int set) { release(set, wire); }); });
  report.number("guard.release_to_host", "values/s", [&] {
    return values / queued_seconds(ctx, effort, [&](int set) {
             release(set, wire);
             ctx.copy(wire, pinned);
           });
  });
  report.number("guard.dequantise", "values/s",
                [&] { return values / queued_seconds(ctx, effort, [&](int) { dequantise_rows(ctx, settings, wire, back); }); });
}

}  // namespace sutura::bench
