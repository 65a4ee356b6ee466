#pragma once
#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

/// A model of NVIDIA's libraries: what their documentation says that each call computes, in plain loops on the executor's device
/// memory. The program defines the functions that compute, so they stand before the libraries'; descriptors are the libraries' own,
/// which need no GPU for them. What the model cannot show: which shapes a real library serves, and how it rounds.
namespace sutura::testing::model {

/// What a call that is refused answers; a success: none is.
inline cudnnStatus_t answer = CUDNN_STATUS_SUCCESS;
/// The only function that is refused; empty: every one that computes or chooses.
inline std::string refused;
/// Calls that were not refused, by function, and again by function and the form of it that was asked for ("cublasLtMatmul TN");
/// and the refused ones.
inline std::map<std::string, int> calls, refusals;

/// Counts the call; true: it must do nothing and answer `answer`.
inline bool refuses(const char* function) {
  const bool no = answer != CUDNN_STATUS_SUCCESS && (refused.empty() || refused == function);
  ++(no ? refusals : calls)[function];
  return no;
}
inline void form(const char* function, const std::string& what) { ++calls[std::string(function) + " " + what]; }

inline void must(bool condition, const char* what) {
  require(condition, Errc::kInternal, std::string("model of the libraries: ") + what);
}
/// A call on a handle that is not the model's, or is bound to no stream, is a mistake.
void must_be_bound(cudnnHandle_t handle);
/// The memory of a call that was told to need `stated` bytes: it uses what it was given, so that too little or memory of somebody
/// else's shows.
inline void use(void* workspace, std::size_t given, std::size_t stated) {
  must(given >= stated && (stated == 0 || workspace != nullptr), "a workspace that is too small");
  must(reinterpret_cast<std::uintptr_t>(workspace) % 16 == 0, "a workspace that is not aligned");
  if (given > 0) std::memset(workspace, 0xa5, given);
}
inline void must(cudnnStatus_t status) { must(status == CUDNN_STATUS_SUCCESS, "a descriptor was not readable"); }

inline float load(const void* p, cudnnDataType_t type, std::size_t i) {
  return type == CUDNN_DATA_BFLOAT16 ? to_float(static_cast<const bf16*>(p)[i]) : static_cast<const float*>(p)[i];
}
inline void store(void* p, cudnnDataType_t type, std::size_t i, double v) {
  const auto f = static_cast<float>(v);
  if (type == CUDNN_DATA_BFLOAT16) {
    static_cast<bf16*>(p)[i] = to_bf16(f);
  } else {
    static_cast<float*>(p)[i] = f;
  }
}
/// result = alpha * value + beta * result; with beta = 0 what is there is not read.
inline void blend(void* p, cudnnDataType_t type, std::size_t i, double value, const void* alpha, const void* beta) {
  const float a = *static_cast<const float*>(alpha), b = *static_cast<const float*>(beta);
  store(p, type, i, a * value + (b == 0.0f ? 0.0 : b * load(p, type, i)));
}

/// A tensor as its descriptor says.
struct Described {
  cudnnDataType_t type{};
  int n = 0, c = 0, h = 0, w = 0, by_n = 0, by_c = 0, by_h = 0, by_w = 0;
  explicit Described(cudnnTensorDescriptor_t d) {
    must(cudnnGetTensor4dDescriptor(d, &type, &n, &c, &h, &w, &by_n, &by_c, &by_h, &by_w));
  }
  std::size_t at(int i, int j, int k, int l) const {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(by_n) +
           static_cast<std::size_t>(j) * static_cast<std::size_t>(by_c) +
           static_cast<std::size_t>(k) * static_cast<std::size_t>(by_h) +
           static_cast<std::size_t>(l) * static_cast<std::size_t>(by_w);
  }
  void must_be_laid_out_as(const Described& x) const {
    must(type == x.type && n == x.n && c == x.c && h == x.h && w == x.w && by_n == x.by_n && by_c == x.by_c && by_h == x.by_h &&
             by_w == x.by_w,
         "another layout than its operand's");
  }
  std::size_t elements() const {
    return static_cast<std::size_t>(n) * static_cast<std::size_t>(c) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w);
  }
  /// visit(index) for all elements of channel j.
  template <class Visit>
  void for_channel(int j, Visit visit) const {
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < h; ++k)
        for (int l = 0; l < w; ++l) visit(at(i, j, k, l));
  }
  void must_be_channels_of(const Described& x) const {
    must(n == 1 && c == x.c && h == 1 && w == 1, "not one value per channel");
  }
};

}  // namespace sutura::testing::model

/// A handle of the model: the libraries leave the type to themselves.
struct cudnnContext {
  cudaStream_t stream = nullptr;
};
