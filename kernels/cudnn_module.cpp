#include "kernels/cudnn_module.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace sutura {
namespace {

std::filesystem::path module_folder() {
  if (const char* set = std::getenv("SUTURA_MODULES"); set != nullptr && *set != '\0') return set;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib";
}

const CudnnModule& open_once() {
  const std::string path = (module_folder() / "sutura_cudnn.so").string();
  // Never closed: cuDNN has threads and static state. RTLD_NOW: what is missing shows here, not in the middle of a step.
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) throw Error(Errc::kDevice, dlerror());
  auto* function = reinterpret_cast<CudnnModuleFunction*>(dlsym(module, kCudnnModuleSymbol));
  require(function != nullptr, Errc::kDevice, path + " is not a module of Sutura");
  const CudnnModule* found = function();
  require(found->layout == module_layout(), Errc::kDevice, path + " is of another build than this program");
  return *found;
}

}  // namespace

const CudnnModule& open_cudnn_module() {
  static const CudnnModule& module = open_once();  // tried again after a failure
  return module;
}

}  // namespace sutura
