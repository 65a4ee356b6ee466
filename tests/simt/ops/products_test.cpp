// Matrix products of devices beyond the table tests: fused epilogues, the ways operands are read, repeatability, graphs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "executor.h"
#include "kernels/cuda/gemm/choice.h"
#include "kernels/device_stream.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/linear/linear.h"
#include "tests/ops/operation.h"

namespace sutura::testing {
namespace {

struct Case {
  Conv2dSpec spec;
  Shape x;
  std::int64_t filters;
};
/// At the executor's four multiprocessors.
const Case kCases[] = {
    {{3, 3, 1, 1, 1, 1}, {2, 9, 9, 8}, 24},   // chunks; three blocks of 64 rows, the last ragged
    {{3, 3, 2, 2, 1, 1}, {3, 7, 5, 3}, 5},    // element by element, odd filters
    {{1, 1, 1, 1, 0, 0}, {2, 16, 9, 8}, 72},  // three blocks of 128x128 would not fill the device: six of 128x64
    {{1, 1, 1, 1, 0, 0}, {2, 16, 9, 8}, 40},  // nor would three of 128x64: five of 64x64
    {{1, 1, 1, 1, 0, 0}, {5, 12, 9, 8}, 72},  // 128x128
    {{1, 1, 1, 1, 0, 0}, {5, 12, 9, 8}, 40},  // 128x64
};
const Case kSliced{{3, 3, 1, 1, 1, 1}, {3, 14, 14, 8}, 16};  // slices of the depth in the weights' gradient

class Products : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    ctx_ = make_context(GetParam());
    if (!ctx_) GTEST_SKIP() << "this machine cannot run " << text(GetParam());
  }
  Tensor draw(const std::string& name, const Shape& shape, DType dtype) {
    return ctx_->here(to_tensor(draw_values({name, shape}, dtype, 7), shape, dtype));
  }
  Tensor activation(const std::string& name, const Shape& shape) { return draw(name, shape, ctx_->compute()); }
  Tensor parameter(const std::string& name, const Shape& shape) { return draw(name, shape, DType::kFloat32); }
  Tensor weight(const Case& k) { return parameter("w", {k.filters, k.spec.kernel_h, k.spec.kernel_w, k.x[3]}); }
  Tensor empty(const Shape& shape) { return ctx_->tensor(shape, ctx_->compute()); }
  std::vector<double> doubles(const Tensor& t) { return to_doubles(ctx_->host(Tensor::borrow(t))); }
  void expect_equal_bits(const Tensor& a, const Tensor& b) {
    EXPECT_TRUE(std::ranges::equal(ctx_->host(Tensor::borrow(a)).bytes(), ctx_->host(Tensor::borrow(b)).bytes()));
  }
  /// The values of t at an address that no 16-byte access reaches.
  Tensor misaligned(const Tensor& t, Tensor& memory) {
    memory = ctx_->tensor({t.elements() + 1}, t.dtype());
    Tensor view = Tensor::part(memory, 1, t.shape());
    ctx_->copy(t, view);
    return view;
  }

  std::optional<Context> ctx_;
};
/// Of our own kernels: a library keeps promises of its own.
std::vector<Variant> native_variants() {
  std::vector<Variant> native = all_variants();
  std::erase_if(native, [](const Variant& v) { return v.backend != Backend::kNative; });
  return native;
}
INSTANTIATE_TEST_SUITE_P(Devices, Products, ::testing::ValuesIn(native_variants()), [](const auto& i) { return text(i.param); });

TEST_P(Products, FusedForwardIsTheCompositionOfItsParts) {
  for (const Case& k : kCases) {
    SCOPED_TRACE(k.x.text() + " " + std::to_string(k.filters));
    const Tensor x = activation("x", k.x), w = weight(k), bias = parameter("b", {k.filters});
    const Shape out = k.spec.output_shape(k.x, k.filters);
    const Tensor residual = activation("r", out);
    Tensor plain = empty(out);
    conv2d_forward(*ctx_, k.spec, x, w, bias, plain);
    Guarded fused(*ctx_, out, ctx_->compute());
    Tensor statistics;
    ctx_->device().conv2d_forward_fused(
        *ctx_, k.spec, x, w, {.bias = &bias, .residual = &residual, .activation = Activation::kRelu, .statistics = &statistics},
        fused.tensor());
    EXPECT_TRUE(fused.intact());

    const std::vector<double> y = to_doubles(fused.values()), sum = doubles(plain), r = doubles(residual);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double want = std::max(0.0, sum[i] + r[i]);
      // float32: one rounding of the same sum, 2^-24 of it. bfloat16: the composition rounds the sum once more on the way, 2^-8
      // of it, and the fused result is rounded to 2^-8 of itself; 2^-15 for both at once.
      const bool half = ctx_->compute() == DType::kBfloat16;
      const double bound = half ? 0x1p-8 * (std::abs(sum[i]) + want) + 0x1p-15 * std::abs(sum[i]) : 0x1p-24 * want;
      ASSERT_LE(std::abs(y[i] - want), bound) << i;
    }

    ASSERT_EQ(statistics.shape().rank(), 3);
    const std::vector<double> partial = doubles(statistics);
    const auto filters = static_cast<std::size_t>(k.filters), blocks = static_cast<std::size_t>(statistics.shape()[0]);
    for (std::size_t c = 0; c < filters; ++c) {
      double got[2] = {0.0, 0.0}, want[2] = {0.0, 0.0}, size = 0.0;
      for (std::size_t b = 0; b < blocks; ++b)
        for (std::size_t which = 0; which < 2; ++which) got[which] += partial[(b * 2 + which) * filters + c];
      for (std::size_t i = c; i < y.size(); i += filters) {
        want[0] += y[i];
        want[1] += y[i] * y[i];
        size += std::abs(y[i]);
      }
      // Within a block a value passes at most 8 + 3 + 2 additions (its thread, warp, the warps) and one squaring: 14 roundings.
      EXPECT_LE(std::abs(got[0] - want[0]), 14 * 0x1p-24 * size) << c;
      EXPECT_LE(std::abs(got[1] - want[1]), 14 * 0x1p-24 * want[1]) << c;
    }
  }
}

TEST_P(Products, FusedLinearIsReluOfLinear) {
  const Tensor x = activation("x", {17, 24}), w = parameter("w", {10, 24}), bias = parameter("b", {10});
  Tensor plain = empty({17, 10}), fused = empty({17, 10});
  linear_forward(*ctx_, x, w, bias, plain);
  ctx_->device().linear_forward_fused(*ctx_, x, w, bias, Activation::kRelu, fused);
  const std::vector<double> y = doubles(plain), got = doubles(fused);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(got[i], std::max(0.0, y[i])) << i;
}

TEST_P(Products, ReluOfNanIsNan) {
  Tensor values = to_tensor(draw_values({"x", {3, 8}}, DType::kFloat32, 7), {3, 8}, DType::kFloat32);
  values.f32()[8] = NAN;
  const Tensor x = ctx_->here(to_tensor(to_doubles(values), {3, 8}, ctx_->compute())), w = parameter("w", {4, 8});
  Tensor y = empty({3, 4}), no_bias;
  ctx_->device().linear_forward_fused(*ctx_, x, w, no_bias, Activation::kRelu, y);
  const std::vector<double> got = doubles(y);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(std::isnan(got[i]), i / 4 == 1) << i;
}

TEST_P(Products, TheHalfCopyOfWeightsIsWhatBf16Reads) {
  const Tensor x = activation("x", {5, 16});
  Tensor w = parameter("w", {8, 16}), no_bias;
  const Tensor copy = draw("another", {8, 16}, DType::kBfloat16);  // other values, to tell the two apart
  const Tensor another = ctx_->here(to_tensor(doubles(copy), {8, 16}, DType::kFloat32));
  Tensor of_w = empty({5, 8}), of_copy = empty({5, 8}), of_another = empty({5, 8});
  linear_forward(*ctx_, x, w, no_bias, of_w);
  linear_forward(*ctx_, x, another, no_bias, of_another);
  w.set_half(static_cast<bf16*>(const_cast<void*>(copy.data())));
  linear_forward(*ctx_, x, w, no_bias, of_copy);
  expect_equal_bits(of_copy, ctx_->compute() == DType::kBfloat16 ? of_another : of_w);

  Tensor grad_w = empty({5, 16}), grad_copy = empty({5, 16});
  linear_backward_data(*ctx_, of_w, w, grad_copy);
  w.set_half(nullptr);
  linear_backward_data(*ctx_, of_w, ctx_->compute() == DType::kBfloat16 ? another : w, grad_w);
  expect_equal_bits(grad_copy, grad_w);
}

TEST_P(Products, AnAddressWithoutWholeChunksGivesTheSameBits) {
  const Case& k = kSliced;
  const Shape out = k.spec.output_shape(k.x, k.filters);
  const Tensor x = activation("x", k.x), w = weight(k), g = activation("g", out);
  Tensor memory[3], no_bias;
  const Tensor odd_x = misaligned(x, memory[0]), odd_w = misaligned(w, memory[1]), odd_g = misaligned(g, memory[2]);
  Tensor y = empty(out), odd_y = empty(out);
  conv2d_forward(*ctx_, k.spec, x, w, no_bias, y);
  conv2d_forward(*ctx_, k.spec, odd_x, odd_w, no_bias, odd_y);
  expect_equal_bits(odd_y, y);
  Tensor grad_x = empty(k.x), odd_grad_x = empty(k.x);
  conv2d_backward_data(*ctx_, k.spec, g, w, grad_x);
  conv2d_backward_data(*ctx_, k.spec, odd_g, odd_w, odd_grad_x);
  expect_equal_bits(odd_grad_x, grad_x);
  Tensor grad_w = ctx_->zeros(w.shape()), odd_grad_w = ctx_->zeros(w.shape());
  conv2d_backward_weights(*ctx_, k.spec, x, g, grad_w, no_bias);
  conv2d_backward_weights(*ctx_, k.spec, odd_x, odd_g, odd_grad_w, no_bias);
  expect_equal_bits(odd_grad_w, grad_w);
}

TEST_P(Products, TheSameInputGivesTheSameBitsInAnyOrderOfWarps) {
  const Case& k = kSliced;
  const Shape out = k.spec.output_shape(k.x, k.filters);
  const Tensor x = activation("x", k.x), w = weight(k), bias = parameter("b", {k.filters}), g = activation("g", out);
  Tensor y[2], grad_x[2], grad_w[2], grad_b[2], statistics[2];
  for (std::uint32_t i = 0; i < 2; ++i) {
    simt::seed_schedule(100 + i);
    y[i] = empty(out);
    ctx_->device().conv2d_forward_fused(*ctx_, k.spec, x, w, {.bias = &bias, .statistics = &statistics[i]}, y[i]);
    grad_x[i] = empty(k.x);
    conv2d_backward_data(*ctx_, k.spec, g, w, grad_x[i]);
    grad_w[i] = ctx_->zeros(w.shape());
    grad_b[i] = ctx_->zeros({k.filters});
    conv2d_backward_weights(*ctx_, k.spec, x, g, grad_w[i], grad_b[i]);
  }
  expect_equal_bits(y[0], y[1]);
  expect_equal_bits(statistics[0], statistics[1]);
  expect_equal_bits(grad_x[0], grad_x[1]);
  expect_equal_bits(grad_w[0], grad_w[1]);
  expect_equal_bits(grad_b[0], grad_b[1]);
}

TEST_P(Products, ARecordAloneGivesTheBitsItGivesInItsBatch) {
  const Shape batch{5, 12, 9, 8};  // the batch in blocks of 128x128, a record in 64x64
  const Conv2dSpec spec{3, 3, 2, 2, 1, 1};
  const Tensor x = activation("x", batch), w = parameter("w", {72, 3, 3, 8});
  const Shape out = spec.output_shape(batch, 72);
  const Tensor g = activation("g", out);
  Tensor y = empty(out), grad_x = empty(batch), no_bias;
  conv2d_forward(*ctx_, spec, x, w, no_bias, y);
  conv2d_backward_data(*ctx_, spec, g, w, grad_x);
  for (const std::int64_t n : {0, 2, 4}) {
    Tensor alone = empty(out.with_batch(1)), grad_alone = empty(batch.with_batch(1));
    conv2d_forward(*ctx_, spec, x.rows(n, 1), w, no_bias, alone);
    conv2d_backward_data(*ctx_, spec, g.rows(n, 1), w, grad_alone);
    expect_equal_bits(alone, y.rows(n, 1));
    expect_equal_bits(grad_alone, grad_x.rows(n, 1));
  }
}

TEST_P(Products, ACapturedStepReplays) {
  const Case& k = kSliced;
  const Shape out = k.spec.output_shape(k.x, k.filters);
  const Tensor x = activation("x", k.x), w = weight(k), g = activation("g", out);
  Tensor y = empty(out), grad_x = empty(k.x), grad_w = ctx_->zeros(w.shape()), grad_b = ctx_->zeros({k.filters}), no_bias;
  const auto step = [&] {
    conv2d_forward(*ctx_, k.spec, x, w, no_bias, y);
    conv2d_backward_data(*ctx_, k.spec, g, w, grad_x);
    conv2d_backward_weights(*ctx_, k.spec, x, g, grad_w, grad_b);
  };
  step();  // takes the workspaces, which a capture may not
  const Tensor want_y = ctx_->clone(y), want_x = ctx_->clone(grad_x), want_w = ctx_->clone(grad_w), want_b = ctx_->clone(grad_b);
  const DeviceRuntime& runtime = ctx_->stream().runtime();
  const Stream stream = ctx_->stream().stream();
  runtime.begin_capture(stream);
  step();
  GraphExec* graph = runtime.end_capture(stream);
  for (int replay = 0; replay < 2; ++replay) {
    for (Tensor* t : {&y, &grad_x, &grad_w, &grad_b}) ctx_->fill_zero(*t);
    runtime.replay(graph, stream);
    expect_equal_bits(y, want_y);
    expect_equal_bits(grad_x, want_x);
    expect_equal_bits(grad_w, want_w);
    expect_equal_bits(grad_b, want_b);
  }
  runtime.destroy_graph(graph);
}

TEST(ProductChoice, TheLargestBlockThatFillsTheDevice) {
  using namespace gemm;
  constexpr std::int64_t kMultiprocessors = 132;  // an H100's
  const auto choose = [&](std::int64_t rows, std::int64_t columns, std::int64_t copies = 1) {
    return choose_block(rows, columns, copies, Access::kChunks, kMultiprocessors);
  };
  // A residual network's stages 2 to 4 at batch 128: positions x filters.
  EXPECT_EQ(choose(128 * 14 * 14, 128), Block::k128x128);  // 196 blocks
  EXPECT_EQ(choose(128 * 7 * 7, 256), Block::k128x64);     // 98 blocks of 128x128, 196 of 128x64
  EXPECT_EQ(choose(128 * 4 * 4, 512), Block::k64x64);      // 64, 128 and 256 blocks
  EXPECT_EQ(choose(128 * 56 * 56, 64), Block::k128x64);    // half of 128 columns would be empty
  EXPECT_EQ(choose(32, 512, 1000), Block::k64x64);         // half of 128 rows would be
  EXPECT_EQ(choose(256, 256, 33), Block::k128x128);        // copies count
  EXPECT_EQ(choose(256, 256, 32), Block::k128x64);
  EXPECT_EQ(choose_block(1 << 20, 512, 1, Access::kElements, kMultiprocessors), Block::k64x64);
}

TEST(ProductChoice, SlicesFillTheDeviceAndStayLong) {
  using gemm::choose_slices;
  EXPECT_EQ(choose_slices(9, 3136, 132), 29);  // 64 filters, 576 of a window, 100352 positions
  EXPECT_EQ(choose_slices(576, 64, 132), 1);   // enough blocks without
  EXPECT_EQ(choose_slices(1, 20, 132), 2);     // 8 stages at least
  EXPECT_EQ(choose_slices(1, 3, 132), 1);
}

}  // namespace
}  // namespace sutura::testing
