#include "kernels/device_ops.h"

#include <map>

#include "core/error.h"

namespace sutura {

#if defined(SUTURA_WITH_CUDA)
namespace native {
const DeviceOps& table();  // kernels/cuda/device_table.cpp
}
#endif

namespace {
std::map<Backend, const DeviceOps*>& provided() {
  static std::map<Backend, const DeviceOps*> tables;
  return tables;
}
}  // namespace

void provide_device(Backend backend, const DeviceOps& table) { provided()[backend] = &table; }

const DeviceOps& device_ops(Backend backend) {
  if (const auto it = provided().find(backend); it != provided().end()) return *it->second;
#if defined(SUTURA_WITH_CUDA)
  if (backend == Backend::kNative) {
    const DeviceOps& table = native::table();
    if (const std::string why = table.runtime->why_unusable(); !why.empty())
      throw Error(Errc::kDevice, "the native backend cannot be used here: " + why);
    return table;
  }
#endif
  throw Error(Errc::kDevice, "the " + std::string(name(backend)) + " backend is not part of this build (SUTURA_CUDA)");
}

}  // namespace sutura
