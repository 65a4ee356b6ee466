// The cudnn module over the model of NVIDIA's libraries: every op test of tests/ops, and what happens where the library refuses.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/cudnn_module.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/relu/relu.h"
#include "tests/ops/operation.h"
#include "tests/simt/cudnn/model.h"
#include "tests/simt/cudnn/module.h"

extern "C" const sutura::CudnnModule* sutura_cudnn_module();

namespace sutura::testing {

const DeviceOps& module_over_the_model() {
  static const DeviceOps& table = sutura_cudnn_module()->table(simt::table());
  return table;
}

namespace {

class CudnnModuleTest : public ::testing::Test {
 protected:
  void TearDown() override {
    model::answer = CUDNN_STATUS_SUCCESS;
    model::refused.clear();
  }
  /// A ReLU and a product with a bias.
  std::vector<double> values() {
    const Tensor x = ctx_.here(Tensor::from({2, 3}, std::vector<float>{1, -2, 3, -4, 5, -6}));
    const Tensor w = ctx_.here(Tensor::from({2, 3}, std::vector<float>{1, 10, 100, 2, 20, 200})),
                 b = ctx_.here(Tensor::from({2}, std::vector<float>{0.5f, 0.25f}));
    Tensor rectified = ctx_.tensor({2, 3}), y = ctx_.tensor({2, 2});
    relu_forward(ctx_, x, rectified);
    linear_forward(ctx_, rectified, w, b, y);
    return to_doubles(ctx_.host(std::move(y)));
  }
  Context ctx_{Backend::kCudnn, module_over_the_model()};
  const std::vector<double> want_{301.5, 602.25, 50.5, 100.25};
};

TEST_F(CudnnModuleTest, TheLibraryComputes) {
  model::calls.clear();
  EXPECT_EQ(values(), want_);
  EXPECT_EQ(model::calls["cudnnActivationForward"], 1);
  EXPECT_EQ(model::calls["cublasLtMatmul"], 1);
}

TEST_F(CudnnModuleTest, WhatItDoesNotSupportOurKernelsCompute) {
  for (const cudnnStatus_t refusal :
       {CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
        CUDNN_STATUS_BAD_PARAM, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}) {
    model::calls.clear();
    model::answer = refusal;
    Context fresh(Backend::kCudnn, module_over_the_model());  // without the algorithms that the other one has chosen
    std::swap(ctx_, fresh);
    EXPECT_EQ(values(), want_) << cudnnGetErrorString(refusal);
    EXPECT_TRUE(model::calls.empty());
    EXPECT_GT(model::refusals["cudnnActivationForward"], 0);
  }
}

// One line, where it was asked for, when the stream goes; its counts are those of the calls that the model computed and refused.
TEST_F(CudnnModuleTest, ReportsWhoComputed) {
  const auto reported = [&](int served, int ours) {
    {
      Context fresh(Backend::kCudnn, module_over_the_model());
      std::swap(ctx_, fresh);
      for (int i = 0; i < served; ++i) values();
      model::answer = CUDNN_STATUS_NOT_SUPPORTED;
      model::refused = "cudnnActivationForward";
      for (int i = 0; i < ours; ++i) values();
      model::answer = CUDNN_STATUS_SUCCESS;
      std::swap(ctx_, fresh);
      ::testing::internal::CaptureStderr();
    }
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(reported(2, 1), "") << "nobody asked";
  ASSERT_EQ(setenv("SUTURA_CUDNN_REPORT", "1", 1), 0);
  EXPECT_EQ(reported(2, 1), "cudnn: linear_forward served 3 ours 0, relu_forward served 2 ours 1\n");
  EXPECT_EQ(reported(0, 1), "cudnn: linear_forward served 1 ours 0, relu_forward served 0 ours 1\n");
  EXPECT_EQ(reported(0, 0), "") << "no op was asked for";
  ASSERT_EQ(setenv("SUTURA_CUDNN_REPORT", "0", 1), 0);
  EXPECT_EQ(reported(1, 0), "");
  ASSERT_EQ(unsetenv("SUTURA_CUDNN_REPORT"), 0);
}

TEST_F(CudnnModuleTest, AFailureEndsTheSession) {
  for (const auto& [status, code] : {std::pair{CUDNN_STATUS_EXECUTION_FAILED, Errc::kDevice},
                                     {CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER, Errc::kDevice},
                                     {CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, Errc::kResources}}) {
    model::answer = status;
    try {
      values();
      ADD_FAILURE() << cudnnGetErrorString(status);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
    }
  }
}

}  // namespace

std::vector<Variant> all_variants() {
  const DeviceOps* device = &module_over_the_model();
  return {{Backend::kCudnn, DType::kFloat32, Math::kIeee, device},
          {Backend::kCudnn, DType::kFloat32, Math::kTf32, device},
          {Backend::kCudnn, DType::kBfloat16, Math::kIeee, device}};
}
std::vector<Variant> f32_variants() { return {all_variants().front()}; }

}  // namespace sutura::testing
