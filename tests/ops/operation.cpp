#include "operation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/random/philox.h"

namespace sutura::testing {

namespace {

constexpr std::byte kPoison{0xff};  // read as a float: NaN
constexpr std::size_t kBandBytes = 256;

std::uint64_t seed_of(const std::string& name) {
  std::uint64_t h = 1469598103934665603u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return h;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// d sum(grad_y * y) / d inputs[which][at] by central differences of the double oracle.
double difference_quotient(const Operation& o, Arrays inputs, const std::vector<double>& grad_y, std::size_t which,
                           std::size_t at) {
  const double step = 1e-5;  // truncation h^2 ~ 1e-10, rounding 1e-16 * |sum| / h ~ 1e-10: balanced
  const double before = inputs[which][at];
  inputs[which][at] = before + step;
  const double up = dot(o.oracle(inputs).value, grad_y);
  inputs[which][at] = before - step;
  const double down = dot(o.oracle(inputs).value, grad_y);
  return (up - down) / (2.0 * step);
}

/// All elements if few, else a spread that always holds the first and the last.
std::vector<std::size_t> sample(std::size_t elements, std::size_t most) {
  std::vector<std::size_t> at;
  const std::size_t count = std::min(elements, most);
  for (std::size_t i = 0; i < count; ++i) at.push_back(count == 1 ? 0 : i * (elements - 1) / (count - 1));
  return at;
}

struct Call {
  Arrays values;                // what the oracle sees: already rounded to the variant's type
  std::vector<Tensor> tensors;  // what the op sees
};

Call draw_call(const Operation& o, const Variant& v, const Context& ctx) {
  Call call;
  for (const Input& input : o.inputs) {
    const DType dtype = input.role == Role::kActivation ? v.compute : DType::kFloat32;
    call.values.push_back(draw_values(input, dtype, seed_of(o.name)));
    call.tensors.push_back(ctx.here(to_tensor(call.values.back(), input.shape, dtype)));
  }
  return call;
}

std::vector<Guarded> guarded_saved(const Operation& o, const Context& ctx) {
  std::vector<Guarded> saved;
  for (const auto& [shape, dtype] : o.saved) saved.emplace_back(ctx, shape, dtype);
  return saved;
}

std::vector<Tensor> views(std::vector<Guarded>& guarded) {
  std::vector<Tensor> tensors;
  for (Guarded& g : guarded) tensors.push_back(Tensor::borrow(g.tensor()));
  return tensors;
}

struct Tolerances {
  double forward, gradient;
};
Tolerances tolerances(const Operation& o, const Variant& v) {
  const bool libraries = v.backend == Backend::kCudnn;
  if (v.compute == DType::kBfloat16) {
    const double excess = libraries ? o.cudnn_half_excess : 0.0;
    return {o.half_tolerance + excess, o.half_gradient_tolerance + excess};
  }
  if (v.math == Math::kTf32) {
    const double excess = libraries ? o.cudnn_tf32_excess : 0.0;
    return {o.tf32_tolerance + excess, o.tf32_gradient_tolerance + excess};
  }
  return {o.tolerance, o.gradient_tolerance};
}

void expect_unchanged(const Context& ctx, const std::vector<Tensor>& tensors, const std::vector<Tensor>& before) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(ctx.host(Tensor::borrow(tensors[i])).bytes(), before[i].bytes()))
        << "input " << i << " was written to";
  }
}

/// Each record alone must give the bits it gives within the batch.
void check_independence(const Operation& o, Context& ctx, const Call& call, const Tensor& y) {
  const std::int64_t records = o.output[0];
  for (const std::int64_t n : {std::int64_t{0}, records / 2, records - 1}) {
    std::vector<Tensor> one;
    for (std::size_t i = 0; i < o.inputs.size(); ++i) {
      one.push_back(o.inputs[i].role == Role::kActivation ? call.tensors[i].rows(n, 1).clone() : call.tensors[i].clone());
    }
    Tensor alone(o.output.with_batch(1), y.dtype());
    std::vector<Tensor> saved;
    for (const auto& [shape, dtype] : o.saved) saved.emplace_back(shape.with_batch(shape[0] / records), dtype);
    o.forward(ctx, one, alone, saved);
    EXPECT_TRUE(std::ranges::equal(alone.bytes(), y.rows(n, 1).bytes())) << "record " << n << " depends on its batch";
  }
}

void check_backward(const Operation& o, const Variant& v, Context& ctx, const Call& call, const Tensor& y,
                    const std::vector<Tensor>& saved) {
  const Input cotangent{"grad_y", o.output};
  const std::vector<double> grad_y = draw_values(cotangent, v.compute, seed_of(o.name) + 1);
  const Tensor grad_tensor = ctx.here(to_tensor(grad_y, o.output, v.compute));
  constexpr float kStart = 0.5f;  // gradients of parameters are added to what is there
  std::vector<Guarded> guarded;
  for (const Input& input : o.inputs) {
    const bool added = input.role == Role::kParameter;
    guarded.emplace_back(ctx, input.shape, added ? DType::kFloat32 : v.compute);
    if (!added) continue;
    Tensor start(input.shape);
    std::ranges::fill(start.f32(), kStart);
    guarded.back().set(start);
  }
  std::vector<Tensor> grads = views(guarded);
  o.backward(ctx, call.tensors, y, saved, grad_tensor, grads);

  const double tolerance = tolerances(o, v).gradient;
  std::vector<Values> exact;
  if (o.gradient) exact = o.gradient(call.values, grad_y);
  for (std::size_t i = 0; i < o.inputs.size(); ++i) {
    SCOPED_TRACE("gradient of " + o.inputs[i].name);
    EXPECT_TRUE(guarded[i].intact()) << "written outside";
    std::vector<double> got = to_doubles(guarded[i].values());
    if (o.inputs[i].role == Role::kParameter) {
      for (double& g : got) g -= kStart;
    }
    const auto places = sample(got.size(), o.gradient ? 6 : 40);
    Values want;
    std::vector<double> picked;
    for (const std::size_t at : places) {
      want.value.push_back(difference_quotient(o, call.values, grad_y, i, at));
      picked.push_back(o.gradient ? exact[i].value[at] : got[at]);
    }
    if (o.gradient) {
      // Double against double: 1e-6 leaves room for the difference quotient alone.
      for (const std::size_t at : places) want.magnitude.push_back(1.0 + exact[i].magnitude[at]);
      EXPECT_LE(worst_error(picked, want), 1e-6) << "the gradient oracle contradicts the forward oracle";
      // kStart joins the magnitude: adding to it rounds once at its size.
      Values all = exact[i];
      for (double& m : all.magnitude) m += kStart;
      EXPECT_LE(worst_error(got, all), tolerance);
    } else {
      // The largest gradient of the whole tensor is the scale: an element is a sum of terms of that size.
      double scale = kStart;
      for (const double g : got) scale = std::max(scale, std::isfinite(g) ? std::abs(g) : 0.0);
      want.magnitude.assign(want.value.size(), scale);
      EXPECT_LE(worst_error(picked, want), tolerance);
      EXPECT_TRUE(std::ranges::all_of(got, [](double g) { return std::isfinite(g); })) << "an element was not written";
    }
  }
}

}  // namespace

std::string text(const Variant& v) {
  std::string t(name(v.backend));
  if (v.device != nullptr) t += "_simt";
  return t + (v.compute == DType::kBfloat16 ? "_bf16" : v.math == Math::kTf32 ? "_tf32" : "_f32");
}
std::ostream& operator<<(std::ostream& out, const Variant& v) { return out << text(v); }
std::ostream& operator<<(std::ostream& out, const Operation& o) { return out << o.name; }

std::optional<Context> make_context(const Variant& v) {
  if (v.device != nullptr) return Context(v.backend, *v.device, v.compute, v.math);
  try {
    return Context(v.backend, v.backend == Backend::kOnednn ? 2 : 1, v.compute, v.math);
  } catch (const Error& e) {
    const bool of_gpu = v.backend == Backend::kNative || v.backend == Backend::kCudnn;
    const char* required = std::getenv("SUTURA_REQUIRE_GPU");
    if (of_gpu && required != nullptr && std::string_view(required) == "1") throw;
    if (e.code() == Errc::kDevice) return std::nullopt;
    throw;
  }
}

Guarded::Guarded(const Context& ctx, const Shape& shape, DType dtype)
    : ctx_(&ctx), payload_bytes_(static_cast<std::size_t>(shape.elements()) * size_bytes(dtype)) {
  Tensor poison({static_cast<std::int64_t>(payload_bytes_ + 2 * kBandBytes)}, DType::kUint8);
  std::ranges::fill(poison.bytes(), kPoison);
  memory_ = ctx.clone(poison);
  tensor_ = Tensor::carve(memory_, kBandBytes, shape, dtype);
}

void Guarded::set(const Tensor& values) { ctx_->copy(values, tensor_); }

bool Guarded::intact() const {
  const Tensor all = ctx_->host(Tensor::borrow(memory_));
  const auto poisoned = [](std::byte b) { return b == kPoison; };
  return std::ranges::all_of(all.bytes().first(kBandBytes), poisoned) &&
         std::ranges::all_of(all.bytes().last(kBandBytes), poisoned);
}

std::vector<double> draw_values(const Input& input, DType dtype, std::uint64_t seed) {
  PhiloxStream random(seed, input.name);
  const auto spread = [&] { return random.next_double() + random.next_double() + random.next_double() - 1.5; };
  const std::int64_t channels = input.shape.rank() > 0 ? input.shape[input.shape.rank() - 1] : 1;
  std::vector<double> values(static_cast<std::size_t>(input.shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i) / channels;
    double x = 0.0;
    switch (input.draw) {
      case Draw::kNormal: x = random.next_below(50) == 0 ? 8.0 : 2.0 * spread(); break;
      case Draw::kAwayFrom0: x = (random.next_below(2) == 0 ? 1.0 : -1.0) * (0.25 + 1.75 * random.next_double()); break;
      case Draw::kDistinct:
        x = static_cast<double>((position * 73 + static_cast<std::int64_t>(i) % channels * 31) % 251 - 125);
        break;
      case Draw::kPositive: x = 0.5 + random.next_double(); break;
    }
    const auto rounded = static_cast<float>(x);
    values[i] = dtype == DType::kBfloat16 ? to_float(to_bf16(rounded)) : rounded;
  }
  return values;
}

Tensor to_tensor(const std::vector<double>& values, const Shape& shape, DType dtype) {
  Tensor t(shape, dtype);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBfloat16) {
      t.as<bf16>()[i] = to_bf16(static_cast<float>(values[i]));
    } else {
      t.f32()[i] = static_cast<float>(values[i]);
    }
  }
  return t;
}

std::vector<double> to_doubles(const Tensor& t) {
  std::vector<double> values(static_cast<std::size_t>(t.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = t.dtype() == DType::kBfloat16 ? to_float(t.as<bf16>()[i]) : t.f32()[i];
  }
  return values;
}

void product_tolerances(Operation& o) {
  o.tf32_tolerance = o.tf32_gradient_tolerance = 0x1p-10 + 0x1p-22 + 2.0 * o.tolerance;
  o.cudnn_tf32_excess = 0x1p-10 + 0x1p-20;
  o.half_tolerance = o.half_gradient_tolerance = 0x1p-7 + 0x1p-16 + 2.0 * o.tolerance;
}

double worst_error(const std::vector<double>& got, const Values& want) {
  if (got.size() != want.value.size()) return INFINITY;
  double largest = 0.0;
  for (const double v : want.value) largest = std::isfinite(v) ? std::max(largest, std::abs(v)) : largest;
  double worst = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(want.value[i])) continue;
    if (got[i] == want.value[i]) continue;
    const double magnitude = want.magnitude.empty() ? largest : want.magnitude[i];
    const double error = std::abs(got[i] - want.value[i]) / std::max(magnitude, 1e-30);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

void check_operation(const Operation& o, const Variant& v) {
  std::optional<Context> ctx = make_context(v);
  if (!ctx) GTEST_SKIP() << "this machine cannot run " << text(v);
  const Call call = draw_call(o, v, *ctx);
  std::vector<Tensor> before;
  for (const Tensor& t : call.tensors) before.push_back(ctx->host(ctx->clone(t)));

  Guarded y(*ctx, o.output, v.compute);
  std::vector<Guarded> saved = guarded_saved(o, *ctx);
  std::vector<Tensor> saved_views = views(saved);
  o.forward(*ctx, call.tensors, y.tensor(), saved_views);
  EXPECT_LE(worst_error(to_doubles(y.values()), o.oracle(call.values)), tolerances(o, v).forward) << "forward";
  EXPECT_TRUE(y.intact()) << "forward wrote outside y";
  for (const Guarded& s : saved) EXPECT_TRUE(s.intact()) << "forward wrote outside a saved tensor";
  if (v.backend == Backend::kReference && o.records == Operation::Records::kIndependent && o.output[0] > 1) {
    check_independence(o, *ctx, call, y.tensor());
  }
  if (o.backward) check_backward(o, v, *ctx, call, y.tensor(), saved_views);
  EXPECT_TRUE(y.intact());
  expect_unchanged(*ctx, call.tensors, before);
}

}  // namespace sutura::testing
