#include "runtimes.h"

namespace sutura::simt {
extern const DeviceRuntime runtime;
}
namespace sutura::native {
extern const DeviceRuntime runtime;
}

namespace sutura::testing {

std::vector<Device> devices() {
  std::vector<Device> all = {{"simt", &simt::runtime, simt::apply, simt::product}};
#if defined(SUTURA_WITH_CUDA)
  all.push_back({"cuda", &native::runtime, native::apply, native::product});
#endif
  return all;
}

const DeviceRuntime& simt_runtime() { return simt::runtime; }

}  // namespace sutura::testing
