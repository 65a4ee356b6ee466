#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"
#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/add/add.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/clip_gradients/clip_gradients.h"
#include "kernels/ops/concat/concat.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/dropout/dropout.h"
#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/mean_squared_error/mean_squared_error.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sgd/sgd.h"
#include "kernels/ops/sigmoid/sigmoid.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "operation.h"

namespace sutura::testing {
namespace {

using ::testing::HasSubstr;

/// One wrong call: the code it must end with, and a piece of the message (an op's name, a shape).
struct Refusal {
  std::string name;
  Errc code;
  std::string message;
  std::function<void(Context&)> call;
};

Tensor zeros(const Shape& s, DType t = DType::kFloat32) { return Tensor::zeros(s, t); }

constexpr Errc kShape = Errc::kShapeMismatch;
constexpr Errc kArgument = Errc::kInvalidArgument;

std::vector<Refusal> matrix_refusals() {
  const auto linear = [](Shape x, Shape w, Shape b, Shape y) {
    return [=](Context& c) {
      Tensor out = zeros(y);
      linear_forward(c, zeros(x), zeros(w), zeros(b), out);
    };
  };
  const auto conv = [](Conv2dSpec s, Shape x, Shape w, Shape y) {
    return [=](Context& c) {
      Tensor out = zeros(y), none;
      conv2d_forward(c, s, zeros(x), zeros(w), none, out);
    };
  };
  return {
      {"linear_inner", kShape, "linear_forward: weight is [4, 9], expected [4, 8]", linear({2, 8}, {4, 9}, {4}, {2, 4})},
      {"linear_bias", kShape, "bias is [5], expected [4]", linear({2, 8}, {4, 8}, {5}, {2, 4})},
      {"linear_batch", kShape, "y is [3, 4], expected [2, 4]", linear({2, 8}, {4, 8}, {4}, {3, 4})},
      {"linear_rank", kShape, "x is [2, 2, 4]", linear({2, 2, 4}, {4, 8}, {4}, {2, 4})},
      {"linear_no_features", kShape, "x is [2, 0]", linear({2, 0}, {4, 0}, {4}, {2, 4})},
      {"linear_undefined", kArgument, "linear_forward: x is undefined",
       [](Context& c) {
         Tensor none, y = zeros({2, 4});
         linear_forward(c, none, zeros({4, 8}), none, y);
       }},
      {"linear_type", kArgument, "weight is bf16, expected f32",
       [](Context& c) {
         Tensor none, y = zeros({2, 4});
         linear_forward(c, zeros({2, 8}), zeros({4, 8}, DType::kBfloat16), none, y);
       }},
      {"linear_grad_bias", kShape, "grad_bias is [3], expected [4]",
       [](Context& c) {
         Tensor gw = zeros({4, 8}), gb = zeros({3});
         linear_backward_weights(c, zeros({2, 8}), zeros({2, 4}), gw, gb);
       }},
      {"linear_grad_x", kShape, "linear_backward_data: weight is [4, 8], expected [4, 7]",
       [](Context& c) {
         Tensor gx = zeros({2, 7});
         linear_backward_data(c, zeros({2, 4}), zeros({4, 8}), gx);
       }},
      {"conv_channels", kShape, "weight is [4, 3, 3, 2], expected [4, 3, 3, 3]",
       conv({3, 3}, {1, 5, 5, 3}, {4, 3, 3, 2}, {1, 3, 3, 4})},
      {"conv_kernel", kShape, "weight is [4, 5, 5, 3]", conv({3, 3}, {1, 5, 5, 3}, {4, 5, 5, 3}, {1, 3, 3, 4})},
      {"conv_output", kShape, "y is [1, 5, 5, 4], expected [1, 3, 3, 4]", conv({3, 3}, {1, 5, 5, 3}, {4, 3, 3, 3}, {1, 5, 5, 4})},
      {"conv_window", kShape, "does not fit images [1, 2, 2, 3]", conv({3, 3}, {1, 2, 2, 3}, {4, 3, 3, 3}, {1, 1, 1, 4})},
      {"conv_pad", kArgument, "padding", conv({3, 3, 1, 1, 3, 0}, {1, 5, 5, 3}, {4, 3, 3, 3}, {1, 3, 3, 4})},
      {"conv_stride", kArgument, "strides", conv({3, 3, 0, 1}, {1, 5, 5, 3}, {4, 3, 3, 3}, {1, 3, 3, 4})},
      {"conv_rank", kShape, "x is [5, 5, 3]", conv({3, 3}, {5, 5, 3}, {4, 3, 3, 3}, {1, 3, 3, 4})},
      {"conv_backward_data", kShape, "conv2d_backward_data: grad_y is [1, 2, 3, 4], expected [1, 3, 3, 4]",
       [](Context& c) {
         Tensor gx = zeros({1, 5, 5, 3});
         conv2d_backward_data(c, {3, 3}, zeros({1, 2, 3, 4}), zeros({4, 3, 3, 3}), gx);
       }},
      {"conv_backward_weights", kShape, "grad_bias is [3], expected [4]",
       [](Context& c) {
         Tensor gw = zeros({4, 3, 3, 3}), gb = zeros({3});
         conv2d_backward_weights(c, {3, 3}, zeros({1, 5, 5, 3}), zeros({1, 3, 3, 4}), gw, gb);
       }},
  };
}

std::vector<Refusal> norm_and_pool_refusals() {
  const auto group = [](std::int64_t groups, float eps, Shape gamma, Shape mean) {
    return [=](Context& c) {
      Tensor y = zeros({2, 3, 3, 6}), m = zeros(mean), r = zeros({2, 3});
      group_norm_forward(c, groups, eps, zeros({2, 3, 3, 6}), zeros(gamma), zeros({6}), y, m, r);
    };
  };
  const auto batch = [](Shape x, float eps, float momentum) {
    return [=](Context& c) {
      Tensor rm = zeros({4}), rv = zeros({4}), y = zeros(x), m = zeros({4}), r = zeros({4});
      batch_norm_forward_train(c, eps, momentum, zeros(x), zeros({4}), zeros({4}), rm, rv, y, m, r);
    };
  };
  const auto max_pool = [](Pool2dSpec s, Shape x, Shape y, DType index_type) {
    return [=](Context& c) {
      Tensor out = zeros(y), index = zeros(y, index_type);
      max_pool_forward(c, s, zeros(x), out, index);
    };
  };
  return {
      {"group_split", kShape, "do not split into 4 groups", group(4, 1e-5f, {6}, {2, 3})},
      {"group_zero", kArgument, "groups must be at least 1", group(0, 1e-5f, {6}, {2, 3})},
      {"group_eps", kArgument, "eps must be positive", group(3, 0.0f, {6}, {2, 3})},
      {"group_gamma", kShape, "gamma is [5], expected [6]", group(3, 1e-5f, {5}, {2, 3})},
      {"group_mean", kShape, "mean is [3, 2], expected [2, 3]", group(3, 1e-5f, {6}, {3, 2})},
      {"layer_rows", kShape, "mean is [5], expected [4]",
       [](Context& c) {
         Tensor y = zeros({4, 6}), m = zeros({5}), r = zeros({4});
         layer_norm_forward(c, 1e-5f, zeros({4, 6}), zeros({6}), zeros({6}), y, m, r);
       }},
      {"layer_scalar", kShape, "x is []",
       [](Context& c) {
         Tensor y = zeros(Shape{}), m = zeros({1}), r = zeros({1});
         layer_norm_forward(c, 1e-5f, zeros(Shape{}), zeros({1}), zeros({1}), y, m, r);
       }},
      {"batch_single_value", kArgument, "more than one value per channel", batch({1, 4}, 1e-5f, 0.1f)},
      {"batch_momentum", kArgument, "momentum", batch({3, 4}, 1e-5f, 1.5f)},
      {"batch_channels", kShape, "gamma is [4], expected [5]", batch({3, 5}, 1e-5f, 0.1f)},
      {"pool_pad", kArgument, "padding must lie in [0, kernel / 2]",
       max_pool({3, 3, 1, 1, 2, 0}, {1, 4, 4, 2}, {1, 2, 2, 2}, DType::kInt32)},
      {"pool_output", kShape, "y is [1, 1, 1, 2], expected [1, 2, 2, 2]",
       max_pool({2, 2, 2, 2}, {1, 4, 4, 2}, {1, 1, 1, 2}, DType::kInt32)},
      {"pool_index_type", kArgument, "index is f32, expected int32",
       max_pool({2, 2, 2, 2}, {1, 4, 4, 2}, {1, 2, 2, 2}, DType::kFloat32)},
      {"pool_index_range", kArgument, "index lies outside the image",
       [](Context& c) {
         const std::vector<std::int32_t> places{0, 1, 2, 16};
         Tensor gx = zeros({1, 4, 4, 1});
         max_pool_backward(c, {2, 2, 2, 2}, Tensor::from({1, 2, 2, 1}, places), zeros({1, 2, 2, 1}), gx);
       }},
      {"avg_pool_window", kShape, "does not fit",
       [](Context& c) {
         Tensor y = zeros({1, 1, 1, 2});
         avg_pool_forward(c, {5, 5, 1, 1, 0, 0}, zeros({1, 4, 4, 2}), y);
       }},
      {"global_pool", kShape, "y is [1, 3], expected [1, 2]",
       [](Context& c) {
         Tensor y = zeros({1, 3});
         global_avg_pool_forward(c, zeros({1, 4, 4, 2}), y);
       }},
  };
}

std::vector<Refusal> elementwise_refusals() {
  return {
      {"relu_shape", kShape, "relu_forward: y is [3], expected [2]",
       [](Context& c) {
         Tensor y = zeros({3});
         relu_forward(c, zeros({2}), y);
       }},
      {"relu_type", kArgument, "x is int32",
       [](Context& c) {
         Tensor y = zeros({2});
         relu_forward(c, zeros({2}, DType::kInt32), y);
       }},
      {"gelu_backward", kShape, "grad_y is [3], expected [2]",
       [](Context& c) {
         Tensor d = zeros({2});
         gelu_backward(c, zeros({2}), zeros({3}), d);
       }},
      {"sigmoid_undefined", kArgument, "y is undefined",
       [](Context& c) {
         Tensor y;
         sigmoid_forward(c, zeros({2}), y);
       }},
      {"add_shape", kShape, "add: b is [3], expected [2]",
       [](Context& c) {
         Tensor y = zeros({2});
         add(c, zeros({2}), zeros({3}), y);
       }},
      {"cast_type", kArgument, "only float32 and bfloat16", [](Context& c) { (void)cast(c, zeros({2}), DType::kInt8); }},
      {"concat_nothing", kArgument, "nothing to join",
       [](Context& c) {
         Tensor y = zeros({2});
         concat_forward(c, {}, y);
       }},
      {"concat_leading", kShape, "a part is [3, 2], expected [2, 2]",
       [](Context& c) {
         Tensor a = zeros({2, 2}), b = zeros({3, 2}), y = zeros({2, 4});
         concat_forward(c, {&a, &b}, y);
       }},
      {"concat_width", kShape, "grad_y is [2, 5], expected [2, 4]",
       [](Context& c) {
         Tensor a = zeros({2, 2}), b = zeros({2, 2});
         concat_backward(c, zeros({2, 5}), {&a, &b});
       }},
      {"dropout_rate", kArgument, "rate must lie in [0, 1)",
       [](Context& c) {
         Tensor y = zeros({2}), mask = zeros({2}, DType::kUint8);
         dropout_forward(c, 1.0f, {1, "d", 0}, zeros({2}), y, mask);
       }},
      {"dropout_mask", kArgument, "mask is f32, expected uint8",
       [](Context& c) {
         Tensor d = zeros({2});
         dropout_backward(c, 0.5f, zeros({2}), zeros({2}), d);
       }},
      {"cross_entropy_labels", kShape, "labels is [3], expected [2]",
       [](Context& c) {
         Tensor g = zeros({2, 4});
         softmax_cross_entropy(c, zeros({2, 4}), zeros({3}, DType::kInt32), 1.0, g);
       }},
      {"binary_columns", kShape, "logits is [2, 2], expected [2, 1]",
       [](Context& c) {
         Tensor g = zeros({2, 2});
         binary_cross_entropy_with_logits(c, zeros({2, 2}), zeros({2}, DType::kInt32), 1.0, g);
       }},
      {"squared_target", kShape, "target is [2], expected [2, 3]",
       [](Context& c) {
         Tensor g = zeros({2, 3});
         mean_squared_error(c, zeros({2, 3}), zeros({2}), 1.0, g);
       }},
      {"sgd_negative", kArgument, "not negative",
       [](Context& c) {
         Tensor p = zeros({2}), v = zeros({2});
         sgd_step(c, {-0.1f, 0, 0}, zeros({2}), p, v);
       }},
      {"sgd_velocity", kArgument, "velocity is undefined",
       [](Context& c) {
         Tensor p = zeros({2}), v;
         sgd_step(c, {0.1f, 0.9f, 0}, zeros({2}), p, v);
       }},
      {"adamw_step", kArgument, "count from 1",
       [](Context& c) {
         Tensor p = zeros({2}), m = zeros({2}), v = zeros({2});
         adamw_step(c, {0.1f}, 0, zeros({2}), p, m, v);
       }},
      {"adamw_beta", kArgument, "betas",
       [](Context& c) {
         Tensor p = zeros({2}), m = zeros({2}), v = zeros({2});
         adamw_step(c, {0.1f, 1.0f}, 1, zeros({2}), p, m, v);
       }},
      {"adamw_state", kShape, "m is [3], expected [2]",
       [](Context& c) {
         Tensor p = zeros({2}), m = zeros({3}), v = zeros({2});
         adamw_step(c, {0.1f}, 1, zeros({2}), p, m, v);
       }},
      {"clip_norm", kArgument, "max_norm",
       [](Context& c) {
         Tensor g = zeros({2});
         clip_gradients(c, 0.0, g);
       }},
  };
}

std::vector<Refusal> all_refusals() {
  std::vector<Refusal> all = matrix_refusals();
  for (auto more : {norm_and_pool_refusals(), elementwise_refusals()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::ostream& operator<<(std::ostream& out, const Refusal& r) { return out << r.name; }

class Refused : public ::testing::TestWithParam<std::tuple<Refusal, Variant>> {};
INSTANTIATE_TEST_SUITE_P(Calls, Refused,
                         ::testing::Combine(::testing::ValuesIn(all_refusals()), ::testing::ValuesIn(f32_variants())),
                         [](const auto& i) { return std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

TEST_P(Refused, WithCodeAndShapes) {
  const auto& [refusal, variant] = GetParam();
  auto ctx = make_context(variant);
  if (!ctx) GTEST_SKIP();
  try {
    refusal.call(*ctx);
    ADD_FAILURE() << "the call was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), refusal.code) << e.what();
    EXPECT_THAT(e.what(), HasSubstr(refusal.message));
  }
}

TEST(Checks, ReferenceRefusesHalfPrecision) {
  Context ctx(Backend::kReference);
  Tensor y = zeros({2}, DType::kBfloat16);
  try {
    relu_forward(ctx, zeros({2}, DType::kBfloat16), y);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), kArgument);
    EXPECT_THAT(e.what(), HasSubstr("backend reference does not compute in"));
  }
}

}  // namespace
}  // namespace sutura::testing
