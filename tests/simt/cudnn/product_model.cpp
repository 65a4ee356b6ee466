// Products of the model: cuBLASLt on column-major matrices.
#include <cublasLt.h>

#include <bit>
#include <deque>
#include <mutex>

#include "tests/simt/cudnn/model.h"

/// A handle of the model.
struct cublasLtContext {
  int unused = 0;
};

namespace {

using namespace sutura::testing::model;

std::deque<cublasLtContext> handles;
std::mutex handles_mutex;
void must_be_made(cublasLtHandle_t handle) {
  const std::lock_guard lock(handles_mutex);
  bool made = false;
  for (const cublasLtContext& h : handles) made = made || &h == handle;
  must(made, "a handle that was not made");
}

constexpr std::size_t kWorkspaceBytes = 96;

void readable(cublasStatus_t status) { must(status == CUBLAS_STATUS_SUCCESS, "a description was not readable"); }

template <class V>
V attribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t which) {
  V value{};
  std::size_t written = 0;
  readable(cublasLtMatmulDescGetAttribute(d, which, &value, sizeof value, &written));
  return value;
}

struct Matrix {
  std::uint32_t type = 0;
  std::uint64_t rows = 0, columns = 0;
  std::int64_t leading = 0;
  explicit Matrix(cublasLtMatrixLayout_t l) {
    std::size_t written = 0;
    std::int32_t order = 0;
    readable(cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type, &written));
    readable(cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof rows, &written));
    readable(cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns, &written));
    readable(cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_LD, &leading, sizeof leading, &written));
    readable(cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order, &written));
    must(order == CUBLASLT_ORDER_COL && static_cast<std::uint64_t>(leading) >= rows, "another order");
  }
  cudnnDataType_t data_type() const { return type == CUDA_R_16BF ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }
  std::size_t at(std::uint64_t i, std::uint64_t j) const {
    return static_cast<std::size_t>(i + j * static_cast<std::uint64_t>(leading));
  }
};

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  const std::lock_guard lock(handles_mutex);
  *handle = &handles.emplace_back();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t preference, int, cublasLtMatmulHeuristicResult_t* found,
                                              int* count) {
  if (refuses(__func__)) return CUBLAS_STATUS_NOT_SUPPORTED;
  must_be_made(handle);
  std::uint32_t schemes = 0;
  std::size_t written = 0;
  readable(cublasLtMatmulPreferenceGetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes,
                                                &written));
  must(schemes == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, "sums of slices in another type, or in place");
  *found = {};
  found->workspaceSize = kWorkspaceBytes;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb, const void* beta,
                              const void* c, cublasLtMatrixLayout_t lc, void* out, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t bytes, cudaStream_t stream) {
  if (refuses(__func__)) return CUBLAS_STATUS_NOT_SUPPORTED;
  must_be_made(handle);
  must(stream != nullptr && algorithm != nullptr, "a product on no stream, or by no algorithm");
  use(workspace, bytes, kWorkspaceBytes);
  const Matrix of_a(la), of_b(lb), of_c(lc), of_d(ld);
  must(of_c.type == of_d.type && of_c.rows == of_d.rows && of_c.columns == of_d.columns && of_c.leading == of_d.leading,
       "what is added lies otherwise than the result");
  const bool turn_a = attribute<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSA) != CUBLAS_OP_N;
  const bool turn_b = attribute<std::int32_t>(d, CUBLASLT_MATMUL_DESC_TRANSB) != CUBLAS_OP_N;
  form(__func__, std::string(turn_a ? "T" : "N") + (turn_b ? "T" : "N"));
  const bool tf32 = attribute<std::int32_t>(d, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) == CUBLAS_COMPUTE_32F_FAST_TF32;
  const bool biased = attribute<std::uint32_t>(d, CUBLASLT_MATMUL_DESC_EPILOGUE) == CUBLASLT_EPILOGUE_BIAS;
  const auto* bias = attribute<const float*>(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  const std::uint64_t m = turn_a ? of_a.columns : of_a.rows, k = turn_a ? of_a.rows : of_a.columns,
                      n = turn_b ? of_b.rows : of_b.columns;
  must(c == out && of_d.rows == m && of_d.columns == n && k == (turn_b ? of_b.columns : of_b.rows), "operands that do not fit");
  must(attribute<std::int32_t>(d, CUBLASLT_MATMUL_DESC_SCALE_TYPE) == CUDA_R_32F, "factors that are not float32");
  must(!biased || of_d.type == CUDA_R_32F, "a bias takes the result's type");
  const auto read = [&](const void* p, const Matrix& of, std::size_t i) {
    const float v = load(p, of.data_type(), i);
    return double{tf32 ? std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffffe000u) : v};
  };
  for (std::uint64_t i = 0; i < m; ++i)
    for (std::uint64_t j = 0; j < n; ++j) {
      double sum = biased ? bias[i] : 0.0;
      for (std::uint64_t e = 0; e < k; ++e)
        sum += read(a, of_a, turn_a ? of_a.at(e, i) : of_a.at(i, e)) * read(b, of_b, turn_b ? of_b.at(j, e) : of_b.at(e, j));
      blend(out, of_d.data_type(), of_d.at(i, j), sum, alpha, beta);
    }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
