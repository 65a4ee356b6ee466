// One plain product by the kernels' own mainloop, for the tests that must see it fail when it is changed.
#include "tests/simt/product.h"

#include "kernels/cuda/gemm/epilogue.h"
#include "kernels/cuda/gemm/mainloop.h"
#include "kernels/cuda/gemm/operands.h"
#include "kernels/cuda/launch.h"

namespace sutura::SUTURA_DEVICE {
namespace {

template <gemm::Major kMajor>
struct Plain {
  static constexpr gemm::Major kMajorA = kMajor, kMajorB = kMajor;
  gemm::Product<gemm::Matrix<bf16>, gemm::Matrix<bf16>, gemm::StoreSlice> product;
  __device__ const auto& part(unsigned) const { return product; }
};

template <gemm::Major kMajor>
void start(const Plain<kMajor>& problem, Stream stream) {
  using Shape = gemm::Block64x64;  // the smallest: many blocks of a small product
  const auto blocks = [](int n, int size) { return static_cast<unsigned>((n + size - 1) / size); };
  const dim3 grid(blocks(problem.product.rows, Shape::kRows) * blocks(problem.product.columns, Shape::kColumns));
  SUTURA_LAUNCH((gemm::product_kernel<Shape, gemm::Bf16, gemm::Access::kChunks, Plain<kMajor>>), grid, Shape::kThreads,
                Shape::kSharedBytes, stream, problem);
}

}  // namespace

void product(testing::Layout layout, const bf16* a, const bf16* b, float* c, int m, int n, int k, Stream stream) {
  const gemm::StoreSlice store{c, gemm::StoreSlice::Into::kWorkspace};
  if (layout == testing::Layout::kDepth) {
    start(Plain<gemm::Major::kDepth>{{{a, m, k}, {b, n, k}, store, m, n, 0, k}}, stream);
  } else {
    start(Plain<gemm::Major::kRows>{{{a, k, m}, {b, k, n}, store, m, n, 0, k}}, stream);
  }
}

}  // namespace sutura::SUTURA_DEVICE
