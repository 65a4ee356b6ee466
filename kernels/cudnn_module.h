#pragma once
#include <array>
#include <cstddef>
#include <string>

#include "kernels/context.h"
#include "kernels/device_ops.h"
#include "kernels/device_stream.h"

namespace sutura {

/// What lib/sutura_cudnn.so hands out. The module alone needs cuDNN and cuBLAS: a program opens it when a study asks for the
/// cudnn backend, so programs start where no NVIDIA file exists. Its undefined symbols (Context, Tensor, DeviceStream, Error) are
/// the program's own, exported for it: one copy of every type, and the module stays a few tens of kilobytes.
struct CudnnModule {
  /// Sizes of what crosses between program and module: a module of another build is refused instead of misread.
  std::array<std::size_t, 5> layout;
  std::string (*versions)();  ///< "cuDNN 9.19.0, cuBLAS 13.1.0"
  /// The table of `native` with the library's functions where it serves the op. Call once.
  const DeviceOps& (*table)(const DeviceOps& native);
};
constexpr std::array<std::size_t, 5> module_layout() {
  return {sizeof(DeviceOps), sizeof(DeviceRuntime), sizeof(DeviceStream), sizeof(Context), sizeof(Tensor)};
}
/// The one symbol that the module exports.
constexpr const char* kCudnnModuleSymbol = "sutura_cudnn_module";
using CudnnModuleFunction = const CudnnModule*();

/// Opens sutura_cudnn.so in the folder SUTURA_MODULES, or in ../lib beside the program, and keeps it open.
/// Errors: kDevice with one line that says what is missing.
const CudnnModule& open_cudnn_module();

}  // namespace sutura
