#include "kernels/device_ops.h"

#include <map>

#include "core/error.h"
#include "kernels/cudnn_module.h"

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
  const auto refuse = [&](const std::string& why) {
    throw Error(Errc::kDevice, "the " + std::string(name(backend)) + " backend cannot be used here: " + why);
  };
  if (backend == Backend::kNative || backend == Backend::kCudnn) {
    const DeviceOps& own = native::table();
    const std::string why = own.runtime->why_unusable();
    if (backend == Backend::kNative) {
      if (!why.empty()) refuse(why);
      return own;
    }
    try {
      const CudnnModule& module = open_cudnn_module();
      if (!why.empty()) throw Error(Errc::kDevice, why + " (" + module.versions() + " found)");
      static const DeviceOps& table = module.table(own);
      return table;
    } catch (const Error& e) {
      refuse(e.what());
    }
  }
#endif
  throw Error(Errc::kDevice, "the " + std::string(name(backend)) + " backend is not part of this build (SUTURA_CUDA=OFF, or no toolkit was found)");
}

}  // namespace sutura
