#include "kernels/ops/working_copy/working_copy.h"

#include <algorithm>
#include <limits>

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/working_copy/working_copy_impl.h"

namespace sutura {

namespace {
constexpr std::int64_t kPad = 8;  // 16 bytes of bfloat16: what one asynchronous copy moves
std::int64_t padded(std::int64_t n) { return (n + kPad - 1) / kPad * kPad; }

/// [begin, end) in chunks; `half` is where the first element goes, -1: nowhere.
void append(std::vector<std::int32_t>& table, std::int64_t begin, std::int64_t end, std::int64_t half) {
  for (std::int64_t at = begin; at < end; at += WorkingCopy::kChunk) {
    table.push_back(static_cast<std::int32_t>(at));
    table.push_back(static_cast<std::int32_t>(std::min(WorkingCopy::kChunk, end - at)));
    table.push_back(static_cast<std::int32_t>(half < 0 ? -1 : half + (at - begin)));
  }
}
}  // namespace

std::vector<std::int64_t> working_offsets(std::span<const FlatRange> copied) {
  std::vector<std::int64_t> offsets;
  std::int64_t next = 0;
  for (const FlatRange& r : copied) {
    offsets.push_back(next);
    next += padded(r.count);
  }
  return offsets;
}

WorkingCopy make_working_copy(const Context& ctx, std::int64_t total, std::span<const FlatRange> copied) {
  const OpCheck check(ctx, "make_working_copy");
  check.setting(total < std::numeric_limits<std::int32_t>::max(), "a buffer of 2^31 elements or more");
  const std::vector<std::int64_t> offsets = working_offsets(copied);
  std::vector<std::int32_t> table;
  std::int64_t at = 0, half = 0;
  for (std::size_t i = 0; i < copied.size(); ++i) {
    const FlatRange& r = copied[i];
    check.setting(r.begin >= at && r.count >= 0 && r.begin + r.count <= total, "ranges must ascend within the buffer");
    append(table, at, r.begin, -1);
    append(table, r.begin, r.begin + r.count, offsets[i]);
    at = r.begin + r.count;
    half = offsets[i] + padded(r.count);
  }
  append(table, at, total, -1);
  const Tensor chunks = Tensor::from({static_cast<std::int64_t>(table.size()) / 3, 3}, std::span<const std::int32_t>(table));
  return {ctx.clone(chunks), ctx.zeros({half}, DType::kBfloat16)};
}

void refresh_working_copy(const Context& ctx, const Tensor& values, WorkingCopy& copy) {
  const OpCheck check(ctx, "refresh_working_copy");
  check.type("values", values, DType::kFloat32);
  check.rank("values", values, 1, 1);
  check.type("chunks", copy.chunks, DType::kInt32);
  check.type("half", copy.half, DType::kBfloat16);
  if (copy.half.elements() == 0) return;
  device_entry(ctx, &DeviceOps::refresh_working_copy)(ctx, values, copy);
}

}  // namespace sutura
