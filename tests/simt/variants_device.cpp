// The op tests of tests/ops on devices: our kernels under the host SIMT executor, and on a GPU where there is one.
#include <cstdlib>
#include <string_view>

#include "executor.h"
#include "tests/ops/operation.h"

namespace sutura::testing {
namespace {

void append(std::vector<Variant>& all, Backend backend, const DeviceOps* device) {
  all.push_back({backend, DType::kFloat32, Math::kIeee, device});
  all.push_back({backend, DType::kFloat32, Math::kTf32, device});
  all.push_back({backend, DType::kBfloat16, Math::kIeee, device});
}

}  // namespace

std::vector<Variant> all_variants() {
  std::vector<Variant> all;
  append(all, Backend::kNative, &simt::table());
  append(all, Backend::kNative, nullptr);
  append(all, Backend::kCudnn, nullptr);
  return all;
}

std::vector<Variant> f32_variants() {
  std::vector<Variant> exact;
  for (const Variant& v : all_variants())
    if (v.compute == DType::kFloat32 && v.math == Math::kIeee) exact.push_back(v);
  return exact;
}

}  // namespace sutura::testing
