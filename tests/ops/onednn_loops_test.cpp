// Our own vector loops: every instruction set and thread count gives the same bits, and the numbers are right at the edges.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/random/philox.h"
#include "kernels/cpu/onednn_engine.h"
#include "kernels/cpu/row_loops.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/add/add.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/clip_gradients/clip_gradients.h"
#include "kernels/ops/concat/concat.h"
#include "kernels/ops/dropout/dropout.h"
#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sgd/sgd.h"
#include "kernels/ops/sigmoid/sigmoid.h"

namespace sutura {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor random_tensor(const Shape& shape, std::uint64_t index) {
  PhiloxStream random(11, "onednn_loops_test", index);
  Tensor t(shape);
  for (float& v : t.f32()) v = 4.0f * random.next_float() - 2.0f;
  return t;
}

using Outputs = std::vector<Tensor>;

/// All of our loops on one image shape; the tensors written, in a fixed order.
Outputs run_all(Context& ctx, const Shape& shape, DType type) {
  const std::int64_t n = shape[0], channels = shape[3], rows = shape.elements() / channels;
  Tensor wide = random_tensor(shape, 1);
  wide.f32()[static_cast<std::size_t>(shape.elements() / 2)] = kNan;
  const Tensor x = cast(ctx, wide, type), clean = cast(ctx, random_tensor(shape, 2), type);
  const Tensor grad = cast(ctx, random_tensor(shape, 3), type);
  const Tensor gamma = random_tensor({channels}, 4), beta = random_tensor({channels}, 5);
  Outputs out;
  const auto fresh = [&](const Shape& s, DType t) -> Tensor& { return out.emplace_back(Tensor::zeros(s, t)); };
  out.reserve(64);  // references into it stay valid

  Tensor& rectified = fresh(shape, type);
  relu_forward(ctx, x, rectified);
  relu_backward(ctx, rectified, grad, fresh(shape, type));
  gelu_forward(ctx, x, fresh(shape, type));
  gelu_backward(ctx, x, grad, fresh(shape, type));
  Tensor& s = fresh(shape, type);
  sigmoid_forward(ctx, x, s);
  sigmoid_backward(ctx, s, grad, fresh(shape, type));
  add(ctx, x, grad, fresh(shape, type));
  out.push_back(cast(ctx, x, DType::kFloat32));
  Tensor& dropped = fresh(shape, type);
  dropout_forward(ctx, 0.3f, {1, "loops", 2}, x, dropped, fresh(shape, DType::kUint8));

  const Pool2dSpec pool{3, 3, 2, 2, 1, 1};
  const Shape pooled = pool.output_shape(shape);
  Tensor& largest = fresh(pooled, type);
  Tensor& index = fresh(pooled, DType::kInt32);
  max_pool_forward(ctx, pool, x, largest, index);
  max_pool_backward(ctx, pool, index, largest, fresh(shape, type));
  Tensor& average = fresh(pooled, type);
  avg_pool_forward(ctx, pool, x, average);
  avg_pool_backward(ctx, pool, average, fresh(shape, type));
  Tensor& mean_of_image = fresh({n, channels}, type);
  global_avg_pool_forward(ctx, x, mean_of_image);
  global_avg_pool_backward(ctx, mean_of_image, fresh(shape, type));

  for (const Tensor* input : {&x, &clean}) {
    Tensor& mean = fresh({n, 1}, DType::kFloat32);
    Tensor& rstd = fresh({n, 1}, DType::kFloat32);
    group_norm_forward(ctx, 1, 1e-5f, *input, gamma, beta, fresh(shape, type), mean, rstd);
    group_norm_backward(ctx, 1, *input, grad, gamma, mean, rstd, fresh(shape, type), fresh({channels}, DType::kFloat32),
                        fresh({channels}, DType::kFloat32));
    Tensor& row_mean = fresh({rows}, DType::kFloat32);
    Tensor& row_rstd = fresh({rows}, DType::kFloat32);
    layer_norm_forward(ctx, 1e-5f, *input, gamma, beta, fresh(shape, type), row_mean, row_rstd);
    layer_norm_backward(ctx, *input, grad, gamma, row_mean, row_rstd, fresh(shape, type), fresh({channels}, DType::kFloat32),
                        fresh({channels}, DType::kFloat32));
    Tensor& channel_mean = fresh({channels}, DType::kFloat32);
    Tensor& channel_rstd = fresh({channels}, DType::kFloat32);
    Tensor& running_mean = fresh({channels}, DType::kFloat32);
    Tensor& running_var = fresh({channels}, DType::kFloat32);
    batch_norm_forward_train(ctx, 1e-5f, 0.1f, *input, gamma, beta, running_mean, running_var, fresh(shape, type), channel_mean,
                             channel_rstd);
    batch_norm_backward(ctx, *input, grad, gamma, channel_mean, channel_rstd, fresh(shape, type),
                        fresh({channels}, DType::kFloat32), fresh({channels}, DType::kFloat32));
    batch_norm_forward_evaluate(ctx, 1e-5f, *input, gamma, beta, running_mean, running_var, fresh(shape, type));
  }
  return out;
}

/// The optimizers on a flat buffer.
Outputs run_flat(Context& ctx, std::int64_t n) {
  Outputs out;
  for (std::uint64_t i = 0; i < 5; ++i) out.push_back(random_tensor({n}, 20 + i));
  for (float& v : out[3].f32()) v = v * v;
  const Tensor grads = random_tensor({n}, 30);
  sgd_step(ctx, {0.1f, 0.9f, 0.01f}, grads, out[0], out[1]);
  adamw_step(ctx, {.learning_rate = 0.1f, .weight_decay = 0.01f}, 3, grads, out[2], out[4], out[3]);
  out.push_back(grads.clone());
  const double norm = clip_gradients(ctx, 0.5, out[5]);
  out.push_back(Tensor({2}));
  std::memcpy(out[6].data(), &norm, sizeof norm);
  return out;
}

void expect_same_bits(const Outputs& a, const Outputs& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].bytes_size()), 0) << what << ", output " << i;
  }
}

const std::vector<Shape>& image_shapes() {
  static const std::vector<Shape> shapes = {{3, 5, 7, 1},  {2, 9, 4, 3},   {5, 14, 14, 24},
                                            {2, 7, 7, 67}, {1, 3, 3, 512}, {9, 28, 28, 16}};
  return shapes;
}

TEST(OnednnLoops, EveryInstructionSetGivesTheSameBits) {
  Context ctx(Backend::kOnednn, 1);
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (isa > widest_isa()) continue;
    for (const DType type : {DType::kFloat32, DType::kBfloat16}) {
      for (const Shape& shape : image_shapes()) {
        ctx.engine().isa = Isa::kBaseline;
        const Outputs plain = run_all(ctx, shape, type);
        ctx.engine().isa = isa;
        expect_same_bits(run_all(ctx, shape, type), plain, std::string(name(isa)) + " " + shape.text());
      }
    }
    for (const std::int64_t n : {1, 63, 1000, 40001}) {
      ctx.engine().isa = Isa::kBaseline;
      const Outputs plain = run_flat(ctx, n);
      ctx.engine().isa = isa;
      expect_same_bits(run_flat(ctx, n), plain, "flat");
    }
  }
}

TEST(OnednnLoops, ThreadCountDoesNotChangeTheBits) {
  Context one(Backend::kOnednn, 1), three(Backend::kOnednn, 3);
  for (const Shape& shape : image_shapes()) {
    expect_same_bits(run_all(three, shape, DType::kFloat32), run_all(one, shape, DType::kFloat32), shape.text());
  }
  expect_same_bits(run_flat(three, 100003), run_flat(one, 100003), "flat");
}

TEST(OnednnLoops, Bfloat16RoundingEqualsTheScalarOneOnAllExponents) {
  Context ctx(Backend::kOnednn, 2);
  Tensor x({1 << 18});
  for (std::uint32_t i = 0; i < (1u << 18); ++i) {
    // All upper halves, with lower halves around the rounding boundary.
    const std::uint32_t low = std::array<std::uint32_t, 4>{0x0000, 0x7fff, 0x8000, 0x8001}[i & 3];
    x.f32()[i] = std::bit_cast<float>(((i >> 2) << 16) | low);
  }
  const Tensor rounded = cast(ctx, x, DType::kBfloat16);
  const Tensor widened = cast(ctx, rounded, DType::kFloat32);
  for (std::size_t i = 0; i < x.f32().size(); ++i) {
    const bf16 expected = to_bf16(x.f32()[i]);
    ASSERT_EQ(rounded.as<bf16>()[i].bits, expected.bits) << i;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(widened.f32()[i]), std::uint32_t{expected.bits} << 16) << i;
  }
}

TEST(OnednnLoops, ReluOnEveryBfloat16) {
  Context ctx(Backend::kOnednn, 1);
  Tensor x({1 << 16}, DType::kBfloat16), y(x.shape(), DType::kBfloat16), grad(x.shape(), DType::kBfloat16);
  for (std::uint32_t i = 0; i < (1u << 16); ++i) x.as<bf16>()[i] = {static_cast<std::uint16_t>(i)};
  relu_forward(ctx, x, y);
  relu_backward(ctx, x, x, grad);
  for (std::uint32_t i = 0; i < (1u << 16); ++i) {
    const float v = to_float(x.as<bf16>()[i]);
    const bool passes = !(v <= 0.0f);
    ASSERT_EQ(y.as<bf16>()[i].bits, passes ? i : 0u) << i;
    ASSERT_EQ(grad.as<bf16>()[i].bits, v > 0.0f ? i : 0u) << i;
  }
}

TEST(VectorMath, ExponentialAndNormalDistributionAgainstDouble) {
  double worst_exp = 0.0, worst_cdf = 0.0;
  for (int i = 0; i <= 200000; ++i) {
    const float x = -87.0f * static_cast<float>(i) / 200000.0f;
    const double exact = std::exp(static_cast<double>(x));
    worst_exp = std::max(worst_exp, std::abs(onednn::exp_nonpositive(x) - exact) / exact);
    const float z = -12.0f + 24.0f * static_cast<float>(i) / 200000.0f;
    const double cdf = 0.5 * std::erfc(-static_cast<double>(z) / std::sqrt(2.0));
    worst_cdf = std::max(worst_cdf, std::abs(onednn::normal_cdf(z, onednn::exp_nonpositive(-0.5f * z * z)) - cdf));
  }
  EXPECT_LT(worst_exp, 2e-7);  // 2^-24 is 6e-8: about three units in the last place
  EXPECT_LT(worst_cdf, 3e-7);  // formula 7.1.26 itself: 0.75e-7 here, the rest is float32
  EXPECT_EQ(onednn::exp_nonpositive(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(onednn::exp_nonpositive(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(onednn::exp_nonpositive(kNan)));
}

}  // namespace
}  // namespace sutura
