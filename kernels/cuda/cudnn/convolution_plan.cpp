#include "kernels/cuda/cudnn/convolution_plan.h"

#include <algorithm>
#include <vector>

namespace sutura::cudnn {
namespace {

struct Candidate {
  int algorithm;
  cudnnMathType_t math;
};

/// How the operands may be multiplied: see cudnnMathType_t. For float32, the default rounds to tf32 where the GPU can, and only FMA
/// does not; ALLOW_CONVERSION, which may narrow float32 further, is never taken.
cudnnMathType_t math_of(const Context& ctx, DType type) {
  if (type == DType::kBfloat16) return CUDNN_TENSOR_OP_MATH;
  return ctx.math() == Math::kTf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

/// The library's proposals, best first, then `direct` as they stand: heuristics may leave out what would work.
template <class Proposal, class Ask>
std::vector<Candidate> candidates(std::initializer_list<int> direct, cudnnMathType_t wanted, Ask ask) {
  std::vector<Proposal> proposals(16);
  int count = 0;
  std::vector<Candidate> list;
  if (served(ask(static_cast<int>(proposals.size()), &count, proposals.data()), "a choice of convolution algorithm",
             "algorithms are tried in Sutura's order")) {
    for (int i = 0; i < count; ++i) {
      const Proposal& p = proposals[static_cast<std::size_t>(i)];
      const bool sums = std::find(direct.begin(), direct.end(), static_cast<int>(p.algo)) != direct.end();
      if (p.status != CUDNN_STATUS_SUCCESS || p.determinism != CUDNN_DETERMINISTIC || !sums) continue;
      if (p.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) continue;
      list.push_back({static_cast<int>(p.algo), wanted == CUDNN_FMA_MATH ? CUDNN_FMA_MATH : p.mathType});
    }
  }
  for (const int algorithm : direct) list.push_back({algorithm, wanted});
  return list;
}

/// The first candidate whose workspace the library will state and Sutura will give. Only that the library does not support a
/// candidate, or calls its arguments wrong, leads to the next one: a plan made in a moment without memory would be kept.
template <class Workspace>
void choose(ConvolutionPlan& plan, const std::vector<Candidate>& list, Workspace workspace) {
  constexpr const char* kWhat = "the workspace of a convolution";
  cudnnStatus_t wrong = CUDNN_STATUS_SUCCESS;
  for (const Candidate& c : list) {
    check(cudnnSetConvolutionMathType(plan.convolution, c.math), "the precision of a convolution");
    std::size_t bytes = 0;
    const cudnnStatus_t status = workspace(c.algorithm, &bytes);
    if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM) {
      wrong = status;
      continue;
    }
    if (!served(status, kWhat) || bytes > kMostWorkspaceBytes) continue;
    plan.served = true;
    plan.algorithm = c.algorithm;
    plan.workspace_bytes = bytes;
    return;
  }
  if (wrong != CUDNN_STATUS_SUCCESS) served(wrong, kWhat);  // says so, now that no other candidate computes it
}

void choose_forward(cudnnHandle_t h, cudnnMathType_t math, ConvolutionPlan& p) {
  const auto list = candidates<cudnnConvolutionFwdAlgoPerf_t>(
      {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
       CUDNN_CONVOLUTION_FWD_ALGO_GEMM},
      math, [&](int most, int* count, auto* out) {
        return cudnnGetConvolutionForwardAlgorithm_v7(h, p.x, p.weight, p.convolution, p.y, most, count, out);
      });
  choose(p, list, [&](int algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(h, p.x, p.weight, p.convolution, p.y,
                                                   static_cast<cudnnConvolutionFwdAlgo_t>(algorithm), bytes);
  });
}

// Backward, the library's header marks algorithm 0 (and 3 of the weights) as not deterministic: algorithm 1 remains.
void choose_backward_data(cudnnHandle_t h, cudnnMathType_t math, ConvolutionPlan& p) {
  const auto list = candidates<cudnnConvolutionBwdDataAlgoPerf_t>(
      {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1}, math, [&](int most, int* count, auto* out) {
        return cudnnGetConvolutionBackwardDataAlgorithm_v7(h, p.weight, p.y, p.convolution, p.x, most, count, out);
      });
  choose(p, list, [&](int algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(h, p.weight, p.y, p.convolution, p.x,
                                                        static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm), bytes);
  });
}

void choose_backward_weights(cudnnHandle_t h, cudnnMathType_t math, ConvolutionPlan& p) {
  const auto list = candidates<cudnnConvolutionBwdFilterAlgoPerf_t>(
      {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1}, math, [&](int most, int* count, auto* out) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(h, p.x, p.y, p.convolution, p.weight, most, count, out);
      });
  choose(p, list, [&](int algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(h, p.x, p.y, p.convolution, p.weight,
                                                          static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm), bytes);
  });
}

std::unique_ptr<ConvolutionPlan> make_plan(Context& ctx, Direction direction, const Conv2dSpec& s, const Shape& x, const Shape& w,
                                           const Shape& y, DType type) {
  auto plan = std::make_unique<ConvolutionPlan>();
  if (!fits(x) || !fits(w) || !fits(y)) return plan;
  const cudnnMathType_t math = math_of(ctx, type);
  describe(plan->x, x, type);
  describe(plan->y, y, type);
  check(cudnnSetFilter4dDescriptor(plan->weight, type_of(type), CUDNN_TENSOR_NHWC, static_cast<int>(w[0]), static_cast<int>(w[3]),
                                   static_cast<int>(w[1]), static_cast<int>(w[2])),
        "the description of a filter");
  check(cudnnSetConvolution2dDescriptor(plan->convolution, static_cast<int>(s.pad_h), static_cast<int>(s.pad_w),
                                        static_cast<int>(s.stride_h), static_cast<int>(s.stride_w), 1, 1, CUDNN_CROSS_CORRELATION,
                                        CUDNN_DATA_FLOAT),
        "a convolution");
  check(cudnnSetConvolutionMathType(plan->convolution, math), "the precision of a convolution");
  const cudnnHandle_t h = Handles::of(ctx).dnn;
  switch (direction) {
    case Direction::kForward: choose_forward(h, math, *plan); break;
    case Direction::kBackwardData: choose_backward_data(h, math, *plan); break;
    case Direction::kBackwardWeights: choose_backward_weights(h, math, *plan); break;
  }
  return plan;
}

}  // namespace

const ConvolutionPlan& convolution_plan(Context& ctx, Direction direction, const Conv2dSpec& s, const Shape& x, const Shape& w,
                                        const Shape& y, DType type) {
  const std::array<std::int64_t, 16> key{static_cast<std::int64_t>(direction),
                                         static_cast<std::int64_t>(type),
                                         static_cast<std::int64_t>(ctx.math()),
                                         x[0],
                                         x[1],
                                         x[2],
                                         x[3],
                                         w[0],
                                         w[1],
                                         w[2],
                                         s.stride_h,
                                         s.stride_w,
                                         s.pad_h,
                                         s.pad_w};
  auto& plan = Handles::of(ctx).convolutions[key];
  if (plan == nullptr) plan = make_plan(ctx, direction, s, x, w, y, type);
  return *plan;
}

}  // namespace sutura::cudnn
