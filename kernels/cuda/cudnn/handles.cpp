#include "kernels/cuda/cudnn/handles.h"

#include <string>

#include "core/error.h"
#include "kernels/cuda/cudnn/convolution_plan.h"

namespace sutura::cudnn {

Handles::Handles(Stream stream) {
  check(cudnnCreate(&dnn), "a cuDNN handle");
  cudnnStatus_t bound = cudnnSetStream(dnn, stream);
  const cublasStatus_t made = bound == CUDNN_STATUS_SUCCESS ? cublasLtCreate(&blas) : CUBLAS_STATUS_NOT_INITIALIZED;
  if (made == CUBLAS_STATUS_SUCCESS) return;
  cudnnDestroy(dnn);
  check(bound, "the stream of a cuDNN handle");
  check(made, "a cuBLASLt handle");
}

Handles::~Handles() {
  convolutions.clear();  // descriptors before their handle
  cublasLtDestroy(blas);
  cudnnDestroy(dnn);
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  throw Error(memory ? Errc::kResources : Errc::kDevice, std::string("cuDNN, ") + what + ": " + cudnnGetErrorString(status));
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? Errc::kResources : Errc::kDevice,
              std::string("cuBLAS, ") + what + ": " + cublasLtGetStatusString(status));
}

bool served(cudnnStatus_t status, const char* what) {
  switch (status) {
    // "Not supported" because of what is installed is a fault to report, not a shape to leave to another kernel.
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER:
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART:
    case CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH:
    case CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING:
    case CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE: break;
    default:
      if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) return false;
  }
  check(status, what);
  return true;
}

}  // namespace sutura::cudnn
