#include <unordered_map>

#include "kernels/cpu/onednn_engine.h"
#include "kernels/cpu/row_loops.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/conv2d/conv2d_impl.h"

namespace sutura::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;

enum class HasBias : std::int64_t { kNo, kYes };

/// Everything that shapes one convolution, with image and filter in oneDNN's logical order (N, C, H, W).
struct Problem {
  Problem(const Conv2dSpec& s, const Shape& x, const Shape& y, DType type)
      : spec(s),
        dtype(type),
        src{x[0], x[3], x[1], x[2]},
        dst{y[0], y[3], y[1], y[2]},
        weights{y[3], x[3], s.kernel_h, s.kernel_w},
        strides{s.stride_h, s.stride_w},
        pads{s.pad_h, s.pad_w} {}

  PlanKey key(PlanKind kind, HasBias bias) const {
    return {static_cast<std::int64_t>(kind),
            static_cast<std::int64_t>(bias),
            static_cast<std::int64_t>(dtype),
            src[0],
            src[1],
            src[2],
            src[3],
            dst[1],
            dst[2],
            dst[3],
            spec.kernel_h,
            spec.kernel_w,
            spec.stride_h,
            spec.stride_w,
            spec.pad_h,
            spec.pad_w};
  }
  // Activations stay NHWC end to end; the weights' layout is oneDNN's choice: fixed ones fall to its reference code.
  memory::desc src_desc() const { return {src, data_type(dtype), memory::format_tag::nhwc}; }
  memory::desc dst_desc() const { return {dst, data_type(dtype), memory::format_tag::nhwc}; }
  memory::desc any_weights(memory::data_type type) const { return {weights, type, memory::format_tag::any}; }
  memory::desc plain_weights() const { return {weights, memory::data_type::f32, memory::format_tag::ohwi}; }
  memory::desc bias_desc() const { return {{weights[0]}, memory::data_type::f32, memory::format_tag::a}; }

  Conv2dSpec spec;
  DType dtype;
  Dims src, dst, weights, strides, pads;
};

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

dnnl::convolution_forward::primitive_desc forward_desc(const Engine& engine, const Problem& p, HasBias bias) {
  using Conv = dnnl::convolution_forward;
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const memory::desc weights = p.any_weights(data_type(p.dtype));
  const Conv::desc desc =
      bias == HasBias::kYes
          ? Conv::desc(kind, algorithm, p.src_desc(), weights, p.bias_desc(), p.dst_desc(), p.strides, p.pads, p.pads)
          : Conv::desc(kind, algorithm, p.src_desc(), weights, p.dst_desc(), p.strides, p.pads, p.pads);
  return {desc, user_scratchpad(), engine.device};
}

template <class Desc>
Plan common_plan(const Engine& engine, const Problem& p, const Desc& desc, const memory::desc& weights) {
  Plan plan;
  plan.weights = weights;
  plan.plain_weights = p.plain_weights();
  plan.scratchpad = desc.scratchpad_desc();
  plan.implementation = desc.impl_info_str();
  plan.load_weights = dnnl::reorder({engine.device, plan.plain_weights, engine.device, plan.weights});
  return plan;
}

Plan forward_plan(const Engine& engine, const Problem& p, HasBias bias) {
  const auto desc = forward_desc(engine, p, bias);
  Plan plan = common_plan(engine, p, desc, desc.weights_desc());
  plan.run = dnnl::convolution_forward(desc);
  return plan;
}

Plan backward_data_plan(const Engine& engine, const Problem& p) {
  const dnnl::convolution_backward_data::primitive_desc desc(
      {dnnl::algorithm::convolution_direct, p.src_desc(), p.any_weights(data_type(p.dtype)), p.dst_desc(), p.strides, p.pads,
       p.pads},
      user_scratchpad(), engine.device, forward_desc(engine, p, HasBias::kNo));
  Plan plan = common_plan(engine, p, desc, desc.weights_desc());
  plan.run = dnnl::convolution_backward_data(desc);
  return plan;
}

Plan backward_weights_plan(const Engine& engine, const Problem& p, HasBias bias) {
  using Conv = dnnl::convolution_backward_weights;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const memory::desc weights = p.any_weights(memory::data_type::f32);  // the gradient is summed in float32
  const Conv::desc operation =
      bias == HasBias::kYes ? Conv::desc(algorithm, p.src_desc(), weights, p.bias_desc(), p.dst_desc(), p.strides, p.pads, p.pads)
                            : Conv::desc(algorithm, p.src_desc(), weights, p.dst_desc(), p.strides, p.pads, p.pads);
  const Conv::primitive_desc desc(operation, user_scratchpad(), engine.device, forward_desc(engine, p, bias));
  Plan plan = common_plan(engine, p, desc, desc.diff_weights_desc());
  plan.run = Conv(desc);
  dnnl::post_ops sum;
  sum.append_sum(1.0f);
  dnnl::primitive_attr attr;
  attr.set_post_ops(sum);
  plan.add_weights = dnnl::reorder({engine.device, plan.weights, engine.device, plan.plain_weights, attr});
  return plan;
}

HasBias has(const Tensor& bias) { return bias.defined() ? HasBias::kYes : HasBias::kNo; }

}  // namespace

void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  if (y.elements() == 0) return;
  Engine& engine = ctx.engine();
  engine.enter();
  const Problem p(spec, x.shape(), y.shape(), x.dtype());
  const Plan& plan = engine.plan(p.key(PlanKind::kConvForward, has(bias)), [&] { return forward_plan(engine, p, has(bias)); });
  std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, engine.wrap(p.src_desc(), x.data())},
                                          {DNNL_ARG_WEIGHTS, engine.loaded_weights(plan, weight.data())},
                                          {DNNL_ARG_DST, engine.wrap(p.dst_desc(), y.data())}};
  if (bias.defined()) args.emplace(DNNL_ARG_BIAS, engine.wrap(p.bias_desc(), bias.data()));
  engine.execute(plan, std::move(args));
}

void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  if (grad_x.elements() == 0) return;
  Engine& engine = ctx.engine();
  engine.enter();
  const Problem p(spec, grad_x.shape(), grad_y.shape(), grad_x.dtype());
  const Plan& plan = engine.plan(p.key(PlanKind::kConvBackwardData, HasBias::kNo), [&] { return backward_data_plan(engine, p); });
  engine.execute(plan, {{DNNL_ARG_DIFF_DST, engine.wrap(p.dst_desc(), grad_y.data())},
                        {DNNL_ARG_WEIGHTS, engine.loaded_weights(plan, weight.data())},
                        {DNNL_ARG_DIFF_SRC, engine.wrap(p.src_desc(), grad_x.data())}});
}

void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias) {
  if (x.elements() == 0 || grad_y.elements() == 0) return;
  Engine& engine = ctx.engine();
  engine.enter();
  const Problem p(spec, x.shape(), grad_y.shape(), x.dtype());
  const HasBias bias = has(grad_bias);
  const Plan& plan =
      engine.plan(p.key(PlanKind::kConvBackwardWeights, bias), [&] { return backward_weights_plan(engine, p, bias); });
  const memory grad = engine.wrap(plan.weights, engine.memory(Slot::kGradWeights, plan.weights.get_size()));
  std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, engine.wrap(p.src_desc(), x.data())},
                                          {DNNL_ARG_DIFF_DST, engine.wrap(p.dst_desc(), grad_y.data())},
                                          {DNNL_ARG_DIFF_WEIGHTS, grad}};
  const auto filters = static_cast<std::size_t>(p.weights[0]);
  float* bias_sum = nullptr;
  if (bias == HasBias::kYes) {
    bias_sum = static_cast<float*>(engine.memory(Slot::kGradBias, filters * sizeof(float)));
    args.emplace(DNNL_ARG_DIFF_BIAS, engine.wrap(p.bias_desc(), bias_sum));
  }
  engine.execute(plan, std::move(args));
  dnnl::reorder add = plan.add_weights;
  add.execute(engine.stream, {{DNNL_ARG_FROM, grad}, {DNNL_ARG_TO, engine.wrap(plan.plain_weights, grad_weight.data())}});
  if (bias_sum != nullptr) {
    const std::span<float> total = grad_bias.f32();
    for (std::size_t k = 0; k < filters; ++k) total[k] += bias_sum[k];
  }
}

}  // namespace sutura::onednn
