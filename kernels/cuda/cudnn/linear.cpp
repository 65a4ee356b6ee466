// y = x W^T and its gradients through cuBLASLt. The library counts matrices by columns: a row-major [R, C] tensor is its column-major
// [C, R] matrix, so every product below is written for the transposed result.
#include <algorithm>

#include "kernels/cuda/cudnn/operands.h"
#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {
namespace {

/// A column-major operand.
struct Matrix {
  const void* data;
  std::int64_t rows, columns;  // as stored; the leading dimension is `rows`
  DType type;
  cublasOperation_t operation;
};

/// d = op(a) op(b) + beta * d, [m, n] column-major, plus `bias` [m] float32 along the columns where it is given (d float32 then).
struct Product {
  Matrix a, b;
  void* d;
  DType d_type;
  float beta;
  const void* bias;

  std::int64_t m() const { return a.operation == CUBLAS_OP_N ? a.rows : a.columns; }
  std::int64_t k() const { return a.operation == CUBLAS_OP_N ? a.columns : a.rows; }
  std::int64_t n() const { return b.operation == CUBLAS_OP_N ? b.columns : b.rows; }
};

cudaDataType_t cuda_type(DType t) { return t == DType::kBfloat16 ? CUDA_R_16BF : CUDA_R_32F; }

/// The largest power of two that divides the address, up to 256, which is as much as the library asks about.
std::uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256u;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

struct Layouts {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, d;
};

template <class V>
void set(Layouts& l, cublasLtMatmulDescAttributes_t attribute, V value) {
  check(cublasLtMatmulDescSetAttribute(&l.operation, attribute, &value, sizeof value), "the description of a product");
}

Layouts describe(const Context& ctx, const Product& p) {
  Layouts l;
  const bool tf32 = p.a.type == DType::kFloat32 && ctx.math() == Math::kTf32;
  check(cublasLtMatmulDescInit(&l.operation, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
  set(l, CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(p.a.operation));
  set(l, CUBLASLT_MATMUL_DESC_TRANSB, static_cast<std::int32_t>(p.b.operation));
  if (p.bias != nullptr) {
    set(l, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
    set(l, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  const auto matrix = [](cublasLtMatrixLayoutOpaque_t& layout, DType type, std::int64_t rows, std::int64_t columns) {
    check(cublasLtMatrixLayoutInit(&layout, cuda_type(type), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), rows),
          "the description of a matrix");
  };
  matrix(l.a, p.a.type, p.a.rows, p.a.columns);
  matrix(l.b, p.b.type, p.b.rows, p.b.columns);
  matrix(l.d, p.d_type, p.m(), p.n());
  return l;
}

/// The best algorithm by the library's heuristics among those that sum slices of k in float32 in a fixed order, if at all.
ProductPlan plan_of(const Context& ctx, const Product& p, Layouts& l, std::uint32_t align_d) {
  cublasLtMatmulPreferenceOpaque_t preference;
  check(cublasLtMatmulPreferenceInit(&preference), "a preference");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value), "a preference");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kMostWorkspaceBytes));
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.a.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.b.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_d);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_d);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(Handles::of(ctx).blas, &l.operation, &l.a, &l.b, &l.d, &l.d, &preference, 1, &found, &count);
  if (!served(status, "a choice of algorithm") || count == 0 || found.state != CUBLAS_STATUS_SUCCESS) return {};
  return {true, found.algo, found.workspaceSize};
}

/// False: the library has no algorithm for it, and nothing was done.
bool multiply(Context& ctx, const Product& p) {
  Layouts l = describe(ctx, p);
  // The bias is loaded with d's vectors.
  const std::uint32_t align_d = p.bias == nullptr ? alignment(p.d) : std::min(alignment(p.d), alignment(p.bias));
  const std::array<std::int64_t, 12> key{p.m(),
                                         p.n(),
                                         p.k(),
                                         p.a.operation,
                                         p.b.operation,
                                         static_cast<std::int64_t>(p.a.type),
                                         static_cast<std::int64_t>(p.d_type),
                                         static_cast<std::int64_t>(ctx.math()),
                                         p.bias != nullptr,
                                         alignment(p.a.data),
                                         alignment(p.b.data),
                                         align_d};
  Handles& handles = Handles::of(ctx);
  auto known = handles.products.find(key);
  if (known == handles.products.end()) known = handles.products.emplace(key, plan_of(ctx, p, l, align_d)).first;
  const ProductPlan& plan = known->second;
  if (!plan.served) return false;
  Tensor space = ctx.tensor({static_cast<std::int64_t>(plan.workspace_bytes)}, DType::kUint8);
  return served(cublasLtMatmul(handles.blas, &l.operation, &kOne, p.a.data, &l.a, p.b.data, &l.b, &p.beta, p.d, &l.d, p.d, &l.d,
                               &plan.algorithm, space.data(), plan.workspace_bytes, ctx.stream().stream()),
                "a product");
}

Matrix stored(const Tensor& t, cublasOperation_t operation) {
  return {t.data(), t.shape()[1], t.shape()[0], t.dtype(), operation};
}

}  // namespace

// y^T [O, N] = W [O, I] x^T [I, N]
bool linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const Tensor w = readable_as(ctx, weight, x.dtype());  // [O, I]
  const Matrix a{w.data(), weight.shape()[1], weight.shape()[0], x.dtype(), CUBLAS_OP_T};
  // With a bias, bfloat16 results are kept in float32 until it is added: one rounding, and none of the bias.
  const bool wide = bias.defined() && y.dtype() == DType::kBfloat16;
  Tensor sums = wide ? ctx.tensor(y.shape()) : Tensor();  // [N, O]
  const Product p{a,
                  stored(x, CUBLAS_OP_N),
                  wide ? sums.data() : y.data(),
                  wide ? DType::kFloat32 : y.dtype(),
                  0.0f,
                  bias.defined() ? bias.data() : nullptr};
  if (!multiply(ctx, p)) return false;
  if (wide) own().cast(ctx, sums, y);
  return true;
}

// grad_x^T [I, N] = W^T [I, O] grad_y^T [O, N]
bool linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const Tensor w = readable_as(ctx, weight, grad_y.dtype());  // [O, I]
  const Matrix a{w.data(), weight.shape()[1], weight.shape()[0], grad_y.dtype(), CUBLAS_OP_N};
  const Product p{a, stored(grad_y, CUBLAS_OP_N), grad_x.data(), grad_x.dtype(), 0.0f, nullptr};
  return multiply(ctx, p);
}

// grad_W^T [I, O] += x^T [I, N] grad_y [N, O]
bool linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias) {
  Tensor bias_sums;  // [O]
  if (grad_bias.defined()) {
    bias_sums = channel_sums(ctx, grad_y);
    if (!bias_sums.defined()) return false;
  }
  const Product p{stored(x, CUBLAS_OP_N), stored(grad_y, CUBLAS_OP_T), grad_weight.data(), DType::kFloat32, 1.0f, nullptr};
  if (!multiply(ctx, p)) return false;
  if (grad_bias.defined()) own().add(ctx, grad_bias, bias_sums, grad_bias);
  return true;
}

}  // namespace sutura::cudnn
