// What the table test of the ops cannot see: which oneDNN code runs, the cache of prepared computations, threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cstring>
#include <dnnl.hpp>

#include "core/error.h"
#include "kernels/cpu/onednn_engine.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/relu/relu.h"

namespace sutura {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Values in [-1, 1) from a multiplicative hash: the weights of ResNet-18 are many, and quality does not matter here.
Tensor random_tensor(const Shape& shape, std::uint32_t index) {
  Tensor t(shape);
  for (float& v : t.f32()) v = static_cast<float>((++index * 2654435761u) >> 16) / 32768.0f - 1.0f;
  return t;
}

struct ConvShape {
  std::int64_t size, in, out, kernel, stride;
};

/// Every distinct convolution of ResNet-18 with the stem for small images, and of the x-ray network, on 28 x 28 x 1.
std::vector<ConvShape> network_convolutions() {
  return {{28, 1, 64, 3, 1},    {28, 64, 64, 3, 1},  {28, 64, 128, 3, 2},  {14, 128, 128, 3, 1}, {28, 64, 128, 1, 2},
          {14, 128, 256, 3, 2}, {7, 256, 256, 3, 1}, {14, 128, 256, 1, 2}, {7, 256, 512, 3, 2},  {4, 512, 512, 3, 1},
          {7, 256, 512, 1, 2},  {28, 1, 24, 3, 1},   {28, 24, 48, 3, 1},   {28, 48, 48, 3, 1},   {14, 48, 96, 3, 1},
          {14, 96, 96, 3, 1},   {64, 3, 64, 7, 2}};
}

void run_convolutions(Context& ctx, std::int64_t batch, const std::vector<ConvShape>& shapes) {
  for (const ConvShape& c : shapes) {
    const Conv2dSpec spec{c.kernel, c.kernel, c.stride, c.stride, c.kernel / 2, c.kernel / 2};
    const Tensor x = cast(ctx, random_tensor({batch, c.size, c.size, c.in}, 1), ctx.compute());
    const Tensor weight = random_tensor({c.out, c.kernel, c.kernel, c.in}, 2);
    const Tensor bias = random_tensor({c.out}, 3);
    Tensor y(spec.output_shape(x.shape(), c.out), ctx.compute()), grad_x(x.shape(), ctx.compute());
    Tensor grad_weight = Tensor::zeros(weight.shape()), grad_bias = Tensor::zeros({c.out}), none;
    conv2d_forward(ctx, spec, x, weight, none, y);
    conv2d_forward(ctx, spec, x, weight, bias, y);
    conv2d_backward_data(ctx, spec, y, weight, grad_x);
    conv2d_backward_weights(ctx, spec, x, y, grad_weight, none);
    conv2d_backward_weights(ctx, spec, x, y, grad_weight, grad_bias);
  }
}

void run_linear(Context& ctx, std::int64_t n, std::int64_t in, std::int64_t out) {
  const Tensor x = cast(ctx, random_tensor({n, in}, 1), ctx.compute());
  const Tensor weight = random_tensor({out, in}, 2), bias = random_tensor({out}, 3);
  Tensor y({n, out}, ctx.compute()), grad_x({n, in}, ctx.compute()), none;
  Tensor grad_weight = Tensor::zeros(weight.shape()), grad_bias = Tensor::zeros({out});
  linear_forward(ctx, x, weight, none, y);
  linear_forward(ctx, x, weight, bias, y);
  linear_backward_data(ctx, y, weight, grad_x);
  linear_backward_weights(ctx, x, y, grad_weight, grad_bias);
}

class OnednnComputeType : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (GetParam() == DType::kBfloat16 && !Context::cpu_has_bf16()) GTEST_SKIP() << "no AVX512-BF16 here";
  }
};
INSTANTIATE_TEST_SUITE_P(Types, OnednnComputeType, ::testing::Values(DType::kFloat32, DType::kBfloat16),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(OnednnComputeType, NoConvolutionOrProductFallsToReferenceCode) {
  Context ctx(Backend::kOnednn, 2, GetParam());
  run_convolutions(ctx, 2, network_convolutions());
  for (const auto& [n, in, out] : {std::array<std::int64_t, 3>{32, 512, 2}, {64, 30, 64}, {512, 64, 1}, {3, 5, 7}}) {
    run_linear(ctx, n, in, out);
  }
  const std::vector<std::string> used = ctx.engine().implementations();
  EXPECT_GE(used.size(), 5 * network_convolutions().size());
  for (const std::string& implementation : used) EXPECT_THAT(implementation, Not(StartsWith("ref")));
}

TEST_P(OnednnComputeType, PreparedComputationsAreMadeOnce) {
  Context ctx(Backend::kOnednn, 2, GetParam());
  const std::vector<ConvShape> shapes = {{28, 1, 24, 3, 1}, {14, 48, 96, 3, 2}};
  run_convolutions(ctx, 1, shapes);
  const std::uint64_t made = ctx.engine().plans_made();
  EXPECT_EQ(made, 5 * shapes.size());
  run_convolutions(ctx, 1, shapes);
  EXPECT_EQ(ctx.engine().plans_made(), made);
  run_convolutions(ctx, 2, shapes);
  EXPECT_EQ(ctx.engine().plans_made(), 2 * made) << "another batch size is another computation";
}

TEST_P(OnednnComputeType, SecondRunGivesTheSameBits) {
  Context ctx(Backend::kOnednn, 2, GetParam());
  const Conv2dSpec spec{3, 3, 1, 1, 1, 1};
  const Tensor x = cast(ctx, random_tensor({9, 14, 14, 48}, 1), GetParam());
  const Tensor grad_y = cast(ctx, random_tensor({9, 14, 14, 96}, 2), GetParam());
  Tensor first = Tensor::zeros({96, 3, 3, 48}), second = Tensor::zeros({96, 3, 3, 48}), none;
  conv2d_backward_weights(ctx, spec, x, grad_y, first, none);
  conv2d_backward_weights(ctx, spec, x, grad_y, second, none);
  EXPECT_EQ(std::memcmp(first.data(), second.data(), first.bytes_size()), 0);
}

// The control of the test above it: the layout that must not be asked for does fall to reference code.
TEST(OnednnImplementation, FixedWeightLayoutIsRecognisedAsReferenceCode) {
  using dnnl::memory;
  const dnnl::engine device(dnnl::engine::kind::cpu, 0);
  const memory::desc x({2, 64, 28, 28}, memory::data_type::f32, memory::format_tag::nhwc);
  const memory::desc w({64, 64, 3, 3}, memory::data_type::f32, memory::format_tag::ohwi);
  const dnnl::convolution_forward::primitive_desc desc(
      {dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, x, w, x, {1, 1}, {1, 1}, {1, 1}}, device);
  const dnnl::convolution_backward_weights::primitive_desc backward(
      {dnnl::algorithm::convolution_direct, x, w, x, {1, 1}, {1, 1}, {1, 1}}, device, desc);
  EXPECT_THAT(std::string(backward.impl_info_str()), StartsWith("ref"));
}

TEST(OnednnImplementation, GradientOfWeightsIsAddedToWhatIsThere) {
  Context ctx(Backend::kOnednn, 2);
  const Conv2dSpec spec{3, 3, 2, 2, 1, 1};
  const Tensor x = random_tensor({4, 9, 9, 5}, 1), grad_y = random_tensor({4, 5, 5, 7}, 2);
  Tensor once = Tensor::zeros({7, 3, 3, 5}), bias_once = Tensor::zeros({7});
  conv2d_backward_weights(ctx, spec, x, grad_y, once, bias_once);
  Tensor more = random_tensor({7, 3, 3, 5}, 3), bias_more = random_tensor({7}, 4);
  const Tensor start = more.clone(), bias_start = bias_more.clone();
  conv2d_backward_weights(ctx, spec, x, grad_y, more, bias_more);
  for (std::size_t i = 0; i < more.f32().size(); ++i) EXPECT_EQ(more.f32()[i], start.f32()[i] + once.f32()[i]);
  for (std::size_t i = 0; i < bias_more.f32().size(); ++i)
    EXPECT_EQ(bias_more.f32()[i], bias_start.f32()[i] + bias_once.f32()[i]);
}

TEST(OnednnImplementation, Bfloat16ConvolutionIsFloat32WithRoundedInputs) {
  if (!Context::cpu_has_bf16()) GTEST_SKIP() << "no AVX512-BF16 here";
  Context wide(Backend::kOnednn, 2), narrow(Backend::kOnednn, 2, DType::kBfloat16);
  const Conv2dSpec spec{3, 3, 1, 1, 1, 1};
  const Tensor x = cast(narrow, random_tensor({3, 8, 8, 32}, 1), DType::kBfloat16);
  const Tensor w = cast(wide, cast(wide, random_tensor({16, 3, 3, 32}, 2), DType::kBfloat16), DType::kFloat32);
  Tensor y({3, 8, 8, 16}, DType::kBfloat16), expected({3, 8, 8, 16}), none;
  conv2d_forward(narrow, spec, x, w, none, y);
  conv2d_forward(wide, spec, cast(wide, x, DType::kFloat32), w, none, expected);
  const Tensor got = cast(wide, y, DType::kFloat32);
  for (std::size_t i = 0; i < got.f32().size(); ++i) {
    // Half a unit in the last place of bfloat16, and the order of the float32 sum.
    EXPECT_NEAR(got.f32()[i], expected.f32()[i], std::abs(expected.f32()[i]) / 256.0f + 1e-4f);
  }
}

TEST(OnednnEngine, FullCacheIsDroppedNotGrown) {
  Context ctx(Backend::kOnednn, 1);
  ctx.engine().plan_capacity = 3;
  const Conv2dSpec spec{1, 1, 1, 1, 0, 0};
  const Tensor w = random_tensor({4, 1, 1, 4}, 1);
  Tensor none;
  for (std::int64_t n = 1; n <= 8; ++n) {
    Tensor y({n, 2, 2, 4});
    conv2d_forward(ctx, spec, random_tensor({n, 2, 2, 4}, 2), w, none, y);
    EXPECT_LE(ctx.engine().implementations().size(), 3u);
  }
  EXPECT_EQ(ctx.engine().plans_made(), 8u);
}

TEST(OnednnEngine, UnsupportedComputationIsADeviceError) {
  Context ctx(Backend::kOnednn, 1);
  try {
    ctx.engine().plan({}, []() -> onednn::Plan { throw dnnl::error(dnnl_unimplemented, "no such primitive"); });
    FAIL() << "an error of oneDNN passed unseen";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kDevice);
  }
}

TEST(OnednnEngine, ThreadCountIsSetInTheCallingThread) {
  Context ctx(Backend::kOnednn, 2);
  omp_set_num_threads(1);
  run_linear(ctx, 4, 4, 4);
  EXPECT_EQ(omp_get_max_threads(), 2);
}

TEST(ContextTest, RefusesWhatTheDeviceCannot) {
  const auto code_of = [](auto make) {
    try {
      make();
    } catch (const Error& e) {
      return e.code();
    }
    return Errc::kInternal;
  };
  EXPECT_EQ(code_of([] { Context(Backend::kReference, 1, DType::kBfloat16); }), Errc::kDevice);
  EXPECT_EQ(code_of([] { Context(Backend::kOnednn, 0); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([] { Context(Backend::kOnednn, 1, DType::kInt8); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([] { backend_from_name("cuda"); }), Errc::kInvalidArgument);
  if (!Context::cpu_has_bf16()) {
    EXPECT_EQ(code_of([] { Context(Backend::kOnednn, 1, DType::kBfloat16); }), Errc::kDevice);
  }
}

TEST(ContextTest, DescribesItself) {
  EXPECT_EQ(Context(Backend::kReference, 4).description(), "reference, 1 thread, f32");
  EXPECT_EQ(Context(Backend::kReference, 4).threads(), 1);
  const std::string text = Context(Backend::kOnednn, 2).description();
  EXPECT_THAT(text, StartsWith("onednn "));
  EXPECT_THAT(text, HasSubstr("2 threads, f32, "));
  EXPECT_EQ(backend_from_name(name(Backend::kOnednn)), Backend::kOnednn);
}

}  // namespace
}  // namespace sutura
