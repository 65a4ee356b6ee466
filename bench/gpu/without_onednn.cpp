// Stands for kernels/cpu/onednn_engine.cpp in a build without oneDNN (scripts/cmake/GpuCheck.cmake).
#include "core/error.h"
#include "kernels/cpu/onednn_backend.h"

namespace sutura::onednn {

std::unique_ptr<Engine, void (*)(Engine*)> make_engine(int) { throw Error(Errc::kDevice, "this build has no oneDNN"); }
bool allows_bf16() { return false; }
std::string version() { return "no oneDNN"; }
std::string isa() { return "none"; }

}  // namespace sutura::onednn
