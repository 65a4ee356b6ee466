#include "core/error.h"
#include "kernels/cpu/channel_loops.h"
#include "kernels/ops/linear/linear_impl.h"

namespace sutura::onednn {
namespace {

using dnnl::memory;

// Float32 goes to oneDNN's matrix product directly: it needs no prepared primitive and no layout change, which is what a
// small layer costs most. bfloat16 goes through a prepared matmul with the weights rounded to bfloat16 on the way.

enum class Transposed : char { kNo = 'N', kYes = 'T' };

/// c[m, n] = op(a) op(b) + keep * c, row-major.
void multiply(Transposed ta, Transposed tb, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
              float keep, float* c) {
  const std::int64_t lda = ta == Transposed::kNo ? k : m;
  const std::int64_t ldb = tb == Transposed::kNo ? n : k;
  const dnnl::status status =
      dnnl::sgemm(static_cast<char>(ta), static_cast<char>(tb), m, n, k, 1.0f, a, lda, b, ldb, keep, c, n);
  require(status == dnnl::status::success, Errc::kDevice, "oneDNN's matrix product failed");
}

/// y = sums + bias, rounded once. y may be the sums.
template <class T>
struct AddBias {
  static SUTURA_INLINE void run(std::int64_t rows, std::int64_t outputs, const float* sums, const float* bias, T* y) {
    for (std::int64_t n = 0; n < rows; ++n, y += outputs, sums += outputs) {
#pragma GCC ivdep
      for (std::int64_t o = 0; o < outputs; ++o) y[o] = rounded<T>(sums[o] + bias[o]);
    }
  }
};

template <class T>
void add_bias(const Engine& engine, std::int64_t records, std::int64_t outputs, const float* sums, const float* bias, T* y) {
  const std::int64_t step = std::max<std::int64_t>(1, 8192 / outputs);
  parallel_for(engine, (records + step - 1) / step, step * outputs, [&](std::int64_t block, int) {
    const std::int64_t n = block * step;
    dispatch<AddBias<T>>(engine.isa, std::min(step, records - n), outputs, sums + n * outputs, bias, y + n * outputs);
  });
}

struct AddTo {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const float* x, float* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
  }
};

/// A row-major matrix, or the transpose of one.
struct Matrix {
  std::int64_t rows, columns;
  Transposed transposed;
  memory::desc desc(memory::data_type type) const {
    return transposed == Transposed::kNo ? memory::desc({rows, columns}, type, memory::format_tag::ab)
                                         : memory::desc({rows, columns}, type, memory::format_tag::ba);
  }
};

enum class Role : std::int64_t { kForward, kForwardSums, kBackwardData, kBackwardWeights };

/// The plan of c = a b for bfloat16 a and b; b is float32 in our memory where it is a weight.
const Plan& matmul_plan(Engine& engine, Role role, const Matrix& a, const Matrix& b, memory::data_type result) {
  const PlanKey key = {static_cast<std::int64_t>(PlanKind::kMatmul), static_cast<std::int64_t>(role), a.rows, a.columns,
                       b.columns};
  return engine.plan(key, [&] {
    const bool weights = role != Role::kBackwardWeights;
    const memory::desc right = weights ? memory::desc({b.rows, b.columns}, memory::data_type::bf16, memory::format_tag::any)
                                       : b.desc(memory::data_type::bf16);
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const memory::desc c({a.rows, b.columns}, result, memory::format_tag::ab);
    const dnnl::matmul::primitive_desc desc({a.desc(memory::data_type::bf16), right, c}, attr, engine.device);
    Plan plan;
    plan.run = dnnl::matmul(desc);
    plan.src = desc.src_desc();
    plan.weights = desc.weights_desc();
    plan.dst = desc.dst_desc();
    plan.scratchpad = desc.scratchpad_desc();
    plan.implementation = desc.impl_info_str();
    plan.plain_weights = weights ? b.desc(memory::data_type::f32) : plan.weights;
    if (weights) plan.load_weights = dnnl::reorder({engine.device, plan.plain_weights, engine.device, plan.weights});
    return plan;
  });
}

void run_matmul(Engine& engine, const Plan& plan, const void* a, const void* b, void* c) {
  engine.execute(plan, {{DNNL_ARG_SRC, engine.wrap(plan.src, a)},
                        {DNNL_ARG_WEIGHTS, engine.loaded_weights(plan, b)},
                        {DNNL_ARG_DST, engine.wrap(plan.dst, c)}});
}

}  // namespace

void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  Engine& engine = ctx.engine();
  engine.enter();
  const std::int64_t records = x.shape()[0], inputs = weight.shape()[1], outputs = weight.shape()[0];
  if (x.dtype() == DType::kFloat32) {
    multiply(Transposed::kNo, Transposed::kYes, records, outputs, inputs, values<float>(x), values<float>(weight), 0.0f,
             values<float>(y));
    if (bias.defined()) add_bias(engine, records, outputs, values<float>(y), values<float>(bias), values<float>(y));
    return;
  }
  // With a bias the product stays float32 until the bias has joined it.
  const auto result = bias.defined() ? memory::data_type::f32 : memory::data_type::bf16;
  const Plan& plan = matmul_plan(engine, bias.defined() ? Role::kForwardSums : Role::kForward, {records, inputs, Transposed::kNo},
                                 {inputs, outputs, Transposed::kYes}, result);
  if (!bias.defined()) return run_matmul(engine, plan, x.data(), weight.data(), y.data());
  auto* sums = static_cast<float*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(y.elements()) * sizeof(float)));
  run_matmul(engine, plan, x.data(), weight.data(), sums);
  add_bias(engine, records, outputs, sums, values<float>(bias), values<bf16>(y));
}

void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  Engine& engine = ctx.engine();
  engine.enter();
  const std::int64_t records = grad_y.shape()[0], inputs = weight.shape()[1], outputs = weight.shape()[0];
  if (grad_y.dtype() == DType::kFloat32) {
    return multiply(Transposed::kNo, Transposed::kNo, records, inputs, outputs, values<float>(grad_y), values<float>(weight),
                    0.0f, values<float>(grad_x));
  }
  const Plan& plan = matmul_plan(engine, Role::kBackwardData, {records, outputs, Transposed::kNo},
                                 {outputs, inputs, Transposed::kNo}, memory::data_type::bf16);
  run_matmul(engine, plan, grad_y.data(), weight.data(), grad_x.data());
}

void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias) {
  Engine& engine = ctx.engine();
  engine.enter();
  const std::int64_t records = x.shape()[0], inputs = x.shape()[1], outputs = grad_y.shape()[1];
  const std::int64_t weights = grad_weight.elements();
  auto* sums = static_cast<float*>(engine.memory(Slot::kGradWeights, static_cast<std::size_t>(weights) * sizeof(float)));
  if (x.dtype() == DType::kFloat32) {
    multiply(Transposed::kYes, Transposed::kNo, outputs, inputs, records, values<float>(grad_y), values<float>(x), 0.0f, sums);
  } else {
    const Plan& plan = matmul_plan(engine, Role::kBackwardWeights, {outputs, records, Transposed::kYes},
                                   {records, inputs, Transposed::kNo}, memory::data_type::f32);
    run_matmul(engine, plan, grad_y.data(), x.data(), sums);
  }
  elementwise<AddTo>(engine, weights, NoScalars{}, static_cast<const float*>(sums), values<float>(grad_weight));
  if (!grad_bias.defined()) return;
  const ChannelTile tile(outputs);
  const std::int64_t step = block_values(tile), total = grad_y.elements();
  auto* part = static_cast<float*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(tile.width) * sizeof(float)));
  auto* bias = static_cast<double*>(engine.memory(Slot::kGradBias, static_cast<std::size_t>(outputs) * sizeof(double)));
  std::fill(bias, bias + outputs, 0.0);
  with_element(x.dtype(), [&]<class T>(T*) {
    for (std::int64_t i = 0; i < total; i += step) {
      dispatch<ChannelSum<T>>(engine.isa, tile, std::min(step, total - i), values<T>(grad_y) + i, part);
      for (std::int64_t o = 0; o < outputs; ++o) bias[o] += static_cast<double>(part[o]);
    }
  });
  for (std::int64_t o = 0; o < outputs; ++o) values<float>(grad_bias)[o] += static_cast<float>(bias[o]);
}

}  // namespace sutura::onednn
