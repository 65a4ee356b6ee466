#include "kernels/cuda/cudnn/handles.h"

#include <array>
#include <iostream>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/cudnn/convolution_plan.h"

namespace sutura::cudnn {

namespace {

/// Handles that no stream uses. Sessions run on threads of their own.
class Kept {
 public:
  LibraryHandles take() {
    const std::lock_guard lock(mutex_);
    if (handles_.empty()) return {};
    const LibraryHandles last = handles_.back();
    handles_.pop_back();
    return last;
  }
  void give(LibraryHandles handles) {
    const std::lock_guard lock(mutex_);
    handles_.push_back(handles);
  }

 private:
  std::mutex mutex_;
  std::vector<LibraryHandles> handles_;
};
/// Never destroyed: at the end of a program the libraries may be gone before it.
Kept& kept() {
  static Kept& handles = *new Kept;
  return handles;
}

/// The status and the sentence that the library keeps for this thread's last error: which of its conditions was not met.
std::string text(cudnnStatus_t status, const char* what) {
  std::array<char, 256> reason{};
  cudnnGetLastErrorString(reason.data(), reason.size());
  std::string line = std::string("cuDNN, ") + what + ": " + cudnnGetErrorString(status);
  if (reason[0] != '\0') line.append(" (").append(reason.data()).append(")");
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line;
}

void tell_once(const char* what, const std::string& line, const char* otherwise) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::lock_guard lock(mutex);
  if (told.insert(std::string(what) + otherwise).second) std::cerr << line + "; " + otherwise + "\n" << std::flush;
}

}  // namespace

Handles::Handles(Stream stream) {
  LibraryHandles own = kept().take();
  try {
    if (own.dnn == nullptr) check(cudnnCreate(&own.dnn), "a cuDNN handle");
    if (own.blas == nullptr) check(cublasLtCreate(&own.blas), "a cuBLASLt handle");
    check(cudnnSetStream(own.dnn, stream), "the stream of a cuDNN handle");
  } catch (...) {
    kept().give(own);
    throw;
  }
  dnn = own.dnn;
  blas = own.blas;
}

Handles::~Handles() {
  tally.report();
  cudnnSetStream(dnn, nullptr);  // its stream is about to go
  kept().give({dnn, blas});
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  throw Error(memory ? Errc::kResources : Errc::kDevice, text(status, what));
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? Errc::kResources : Errc::kDevice,
              std::string("cuBLAS, ") + what + ": " + cublasLtGetStatusString(status));
}

bool served(cudnnStatus_t status, const char* what, const char* otherwise) {
  switch (status) {
    // "Not supported" because of what is installed is a fault to report, not a shape to leave to another kernel.
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER:
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART:
    case CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING:
    case CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE: break;
    default:
      // Arguments are looked at before work is queued.
      if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) return false;
      if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM) {
        tell_once(what, text(status, what), otherwise);
        return false;
      }
  }
  check(status, what);
  return true;
}

bool served(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check(status, what);
  return true;
}

}  // namespace sutura::cudnn
