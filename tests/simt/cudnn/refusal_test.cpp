// A library that refuses one of the calls that an op is made of: our own kernel must compute all of it, to the last bit, from
// arguments that nothing was added to yet. Parameters lie in the middle of a buffer, where the module works on copies.
#include <gtest/gtest.h>

#include <functional>

#include "kernels/cuda/cudnn/handles.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sigmoid/sigmoid.h"
#include "tests/ops/operation.h"
#include "tests/simt/cudnn/model.h"
#include "tests/simt/cudnn/module.h"

namespace sutura::testing {
namespace {

using Results = std::vector<std::vector<double>>;

/// The tensors of one op: activations aligned, parameters not.
class Bench {
 public:
  explicit Bench(Context& ctx) : ctx_(ctx) {}
  Context& ctx() { return ctx_; }
  Tensor activation(const std::string& name, const Shape& shape) const {
    return ctx_.clone(to_tensor(draw_values({name, shape}, ctx_.compute(), 31), shape, ctx_.compute()));
  }
  Tensor parameter(const std::string& name, const Shape& shape, Draw draw = Draw::kNormal) {
    buffers_.push_back(ctx_.zeros({shape.elements() + 1}));
    Tensor inside = Tensor::part(buffers_.back(), 1, shape);
    ctx_.copy(
        ctx_.here(to_tensor(draw_values({name, shape, Role::kParameter, draw}, DType::kFloat32, 32), shape, DType::kFloat32)),
        inside);
    return inside;
  }
  std::vector<double> values(const Tensor& t) const { return to_doubles(ctx_.host(ctx_.clone(t))); }

 private:
  Context& ctx_;
  std::vector<Tensor> buffers_;
};

struct Case {
  std::string op;
  std::vector<std::string> calls;  ///< of the libraries, each of which may be refused
  std::function<Results(Bench&)> run;
};

const Shape kImage{3, 6, 5, 8}, kFilter{16, 3, 3, 8}, kResult{3, 6, 5, 16};
const Conv2dSpec kSpec{3, 3, 1, 1, 1, 1};
const Pool2dSpec kPool{2, 2, 2, 2, 0, 0};

Results conv2d(Bench& b) {
  const Tensor x = b.activation("x", kImage), w = b.parameter("w", kFilter), bias = b.parameter("bias", {16});
  Tensor y = b.activation("y", kResult);
  conv2d_forward(b.ctx(), kSpec, x, w, bias, y);
  return {b.values(y)};
}
Results conv2d_data(Bench& b) {
  const Tensor g = b.activation("g", kResult), w = b.parameter("w", kFilter);
  Tensor d = b.activation("d", kImage);
  conv2d_backward_data(b.ctx(), kSpec, g, w, d);
  return {b.values(d)};
}
Results conv2d_weights(Bench& b) {
  const Tensor x = b.activation("x", kImage), g = b.activation("g", kResult);
  Tensor dw = b.parameter("dw", kFilter), db = b.parameter("db", {16});
  conv2d_backward_weights(b.ctx(), kSpec, x, g, dw, db);
  return {b.values(dw), b.values(db)};
}
Results linear(Bench& b) {
  const Tensor x = b.activation("x", {7, 24}), w = b.parameter("w", {16, 24}), bias = b.parameter("bias", {16});
  Tensor y = b.activation("y", {7, 16});
  linear_forward(b.ctx(), x, w, bias, y);
  return {b.values(y)};
}
Results linear_data(Bench& b) {
  const Tensor g = b.activation("g", {7, 16}), w = b.parameter("w", {16, 24});
  Tensor d = b.activation("d", {7, 24});
  linear_backward_data(b.ctx(), g, w, d);
  return {b.values(d)};
}
Results linear_weights(Bench& b) {
  const Tensor x = b.activation("x", {7, 24}), g = b.activation("g", {7, 16});
  Tensor dw = b.parameter("dw", {16, 24}), db = b.parameter("db", {16});
  linear_backward_weights(b.ctx(), x, g, dw, db);
  return {b.values(dw), b.values(db)};
}
Results batch_norm_train(Bench& b) {
  const Tensor x = b.activation("x", kImage), gamma = b.parameter("gamma", {8}), beta = b.parameter("beta", {8});
  Tensor running_mean = b.parameter("running_mean", {8}), running_var = b.parameter("running_var", {8}, Draw::kPositive);
  Tensor y = b.activation("y", kImage), mean = b.parameter("mean", {8}), rstd = b.parameter("rstd", {8});
  batch_norm_forward_train(b.ctx(), 1e-3f, 0.25f, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  return {b.values(y), b.values(mean), b.values(rstd), b.values(running_mean), b.values(running_var)};
}
Results batch_norm_evaluate(Bench& b) {
  const Tensor x = b.activation("x", kImage), gamma = b.parameter("gamma", {8}), beta = b.parameter("beta", {8});
  const Tensor mean = b.parameter("mean", {8}), var = b.parameter("var", {8}, Draw::kPositive);
  Tensor y = b.activation("y", kImage);
  batch_norm_forward_evaluate(b.ctx(), 1e-3f, x, gamma, beta, mean, var, y);
  return {b.values(y)};
}
/// Over its incoming gradient, as the contract allows.
Results batch_norm_gradient(Bench& b) {
  const Tensor x = b.activation("x", kImage), gamma = b.parameter("gamma", {8});
  const Tensor mean = b.parameter("mean", {8}), rstd = b.parameter("rstd", {8}, Draw::kPositive);
  Tensor g = b.activation("g", kImage), dg = b.parameter("dg", {8}), db = b.parameter("db", {8});
  const Tensor incoming = Tensor::borrow(g);
  batch_norm_backward(b.ctx(), x, incoming, gamma, mean, rstd, g, dg, db);
  return {b.values(g), b.values(dg), b.values(db)};
}
Results pool(Bench& b) {
  const Tensor x = b.activation("x", kImage), g = b.activation("g", kPool.output_shape(kImage));
  Tensor y = b.activation("y", kPool.output_shape(kImage)), d = b.activation("d", kImage);
  avg_pool_forward(b.ctx(), kPool, x, y);
  avg_pool_backward(b.ctx(), kPool, g, d);
  return {b.values(y), b.values(d)};
}
Results activations(Bench& b) {
  const Tensor x = b.activation("x", {3, 21}), g = b.activation("g", {3, 21});
  Tensor r = b.activation("r", {3, 21}), s = b.activation("s", {3, 21}), d = b.activation("d", {3, 21});
  relu_forward(b.ctx(), x, r);
  sigmoid_forward(b.ctx(), x, s);
  sigmoid_backward(b.ctx(), b.activation("y", {3, 21}), g, d);
  return {b.values(r), b.values(s), b.values(d)};
}

const std::string kProduct = "cublasLtMatmul", kChoice = "cublasLtMatmulAlgoGetHeuristic", kSums = "cudnnConvolutionBackwardBias";

constexpr const char* kOurs = "; Sutura's own kernel computes it";  // what scripts/gpu_check looks for

std::vector<Case> cases() {
  return {{"conv2d", {"cudnnGetConvolutionForwardWorkspaceSize", "cudnnConvolutionForward", "cudnnAddTensor"}, conv2d},
          {"conv2d_data", {"cudnnGetConvolutionBackwardDataWorkspaceSize", "cudnnConvolutionBackwardData"}, conv2d_data},
          {"conv2d_weights",
           {"cudnnGetConvolutionBackwardFilterWorkspaceSize", kSums, "cudnnConvolutionBackwardFilter"},
           conv2d_weights},
          {"linear", {kChoice, kProduct}, linear},
          {"linear_data", {kChoice, kProduct}, linear_data},
          {"linear_weights", {kChoice, kProduct, kSums}, linear_weights},
          {"batch_norm_train", {"cudnnBatchNormalizationForwardTraining"}, batch_norm_train},
          {"batch_norm_evaluate", {"cudnnBatchNormalizationForwardInference"}, batch_norm_evaluate},
          {"batch_norm_gradient", {"cudnnBatchNormalizationBackward"}, batch_norm_gradient}};
}

class CudnnModuleRefusal : public ::testing::TestWithParam<Variant> {
 protected:
  void TearDown() override {
    model::answer = CUDNN_STATUS_SUCCESS;
    model::refused.clear();
  }
  Results run(const Case& c, const DeviceOps& ops) {
    const Variant& v = GetParam();
    Context ctx(v.backend, ops, v.compute, v.math);  // without choices made before
    Bench bench(ctx);
    Results results = c.run(bench);
    if (ctx.stream().attachment() != nullptr) tally_ = cudnn::Handles::of(ctx).tally;
    return results;
  }
  cudnn::Tally tally_;  ///< of the last run through the module
};
INSTANTIATE_TEST_SUITE_P(Variants, CudnnModuleRefusal, ::testing::ValuesIn(all_variants()),
                         [](const auto& i) { return text(i.param); });

TEST_P(CudnnModuleRefusal, OfOneCallLeavesTheOpToOurKernel) {
  for (const Case& c : cases()) {
    const Results ours = run(c, simt::table());
    for (const std::string& call : c.calls) {
      SCOPED_TRACE(c.op + " without " + call);
      model::answer = CUDNN_STATUS_NOT_SUPPORTED;
      model::refused = call;
      model::refusals.clear();
      EXPECT_EQ(run(c, module_over_the_model()), ours);
      EXPECT_GT(model::refusals[call], 0);
      for (std::size_t op = 0; op < cudnn::kOpNames.size(); ++op) EXPECT_EQ(tally_[op].served, 0u) << cudnn::kOpNames[op];
      model::answer = CUDNN_STATUS_SUCCESS;
    }
  }
}

// Both are held to the oracle elsewhere, but not with parameters inside a buffer. How far the two may lie apart, of the largest
// value of a result; the sum of the sizes of a value's products is below four times that in these draws, of at most 90 products.
// float32: sums in another order, 2^-24 a term. tf32: the model cuts both operands off, by up to 2^-10 each, ours are rounded, by
// 2^-11 each: 3 * 2^-10 a product. bfloat16: operands are the same; ours rounds the result, the library its sums, the bias and the
// result: four roundings of 2^-9 of a value below twice the largest.
TEST_P(CudnnModuleRefusal, OfNothingGivesTheSameWithinItsRoundings) {
  const Variant& v = GetParam();
  const double tolerance = v.compute == DType::kBfloat16 ? 4.0 * 0x1p-8
                           : v.math == Math::kTf32       ? 4.0 * 3.0 * 0x1p-10
                                                         : 4.0 * 90.0 * 0x1p-24;
  std::vector<Case> all = cases();
  all.push_back({"pool", {}, pool});
  all.push_back({"activations", {}, activations});
  for (const Case& c : all) {
    const Results ours = run(c, simt::table()), theirs = run(c, module_over_the_model());
    for (std::size_t op = 0; op < cudnn::kOpNames.size(); ++op) EXPECT_EQ(tally_[op].ours, 0u) << cudnn::kOpNames[op];
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LE(worst_error(theirs[i], {ours[i], {}}), tolerance) << c.op << ", result " << i;
  }
}

// Heuristics without an answer, or called wrong: the algorithms of the list are tried.
TEST_P(CudnnModuleRefusal, OfAChoiceOfAlgorithmLeavesTheList) {
  const Case forward = cases().front();
  for (const cudnnStatus_t status : {CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_BAD_PARAM}) {
    model::answer = status;
    model::refused = "cudnnGetConvolutionForwardAlgorithm_v7";
    model::calls.clear();
    ::testing::internal::CaptureStderr();
    run(forward, module_over_the_model());
    EXPECT_EQ(::testing::internal::GetCapturedStderr().find(kOurs), std::string::npos) << "the library computed it";
    EXPECT_EQ(model::calls["cudnnConvolutionForward of the list"], 1);
    EXPECT_EQ(model::calls["cudnnConvolutionForward as proposed"], 0);
  }
}

// No algorithm is left whose workspace the library states, because it calls the question wrong: said once in a program.
TEST_P(CudnnModuleRefusal, OfWrongArgumentsIsSaidWhereOurKernelComputes) {
  static bool said = false;
  const Case forward = cases().front();
  const Results ours = run(forward, simt::table());
  model::answer = CUDNN_STATUS_BAD_PARAM;
  model::refused = "cudnnGetConvolutionForwardWorkspaceSize";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run(forward, module_over_the_model()), ours);
  said = ::testing::internal::GetCapturedStderr().find(kOurs) != std::string::npos || said;
  EXPECT_TRUE(said);
}

// A query that fails in a moment without memory ends the session; the plan is not kept as one that the library does not serve.
TEST_P(CudnnModuleRefusal, ForWantOfMemoryIsNotKept) {
  const Variant& v = GetParam();
  Context ctx(v.backend, module_over_the_model(), v.compute, v.math);
  Bench bench(ctx);
  model::answer = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  model::refused = "cudnnGetConvolutionForwardWorkspaceSize";
  try {
    conv2d(bench);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kResources);
  }
  model::answer = CUDNN_STATUS_SUCCESS;
  model::calls.clear();
  conv2d(bench);
  EXPECT_EQ(model::calls["cudnnConvolutionForward"], 1);
}

}  // namespace
}  // namespace sutura::testing
