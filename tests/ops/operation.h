#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/context.h"
#include "kernels/device_ops.h"
#include "kernels/tensor.h"

/// The harness all op tests share: one Operation describes inputs, an oracle in double and how to call the op; check_operation()
/// proves values, gradients, bounds and independence of records on one backend.
namespace sutura::testing {

/// A backend with the element type of its activations.
struct Variant {
  Backend backend;
  DType compute;
  Math math = Math::kIeee;
  const DeviceOps* device = nullptr;  ///< nullptr: the backend's own (device_ops())
};
/// Of the program: the CPU's (variants_cpu.cpp) or the devices' (tests/simt/variants_device.cpp).
std::vector<Variant> all_variants();
std::vector<Variant> f32_variants();  ///< those that compute exactly in float32
std::string text(const Variant& v);
std::ostream& operator<<(std::ostream& out, const Variant& v);
/// Nothing where this machine lacks what the variant needs (Errc::kDevice): the only reason to skip. With SUTURA_REQUIRE_GPU=1 in
/// the environment a variant of a GPU is never skipped: the error is thrown.
std::optional<Context> make_context(const Variant& v);

/// What an input is to the op: activations take the variant's type, parameters stay float32 and their gradients are added to.
enum class Role { kActivation, kParameter };
/// How its values are drawn.
enum class Draw {
  kNormal,     ///< about N(0, 1), with an outlier of 8 in one value out of 50
  kAwayFrom0,  ///< |x| in [0.25, 2]: for kinks at 0
  kDistinct,   ///< integers within [-125, 125], no two equal in one image's channel: for maxima
  kPositive,   ///< [0.5, 1.5]
};

struct Input {
  std::string name;
  Shape shape;
  Role role = Role::kActivation;
  Draw draw = Draw::kNormal;
};

/// Double values and, per element, the size the rounding error is measured against (empty: the largest |value| of all).
struct Values {
  std::vector<double> value;
  std::vector<double> magnitude;
};
using Arrays = std::vector<std::vector<double>>;

/// Memory where `ctx` computes, between two poisoned bands. The tensor starts as the poison too (a NaN pattern), so unwritten
/// elements show.
class Guarded {
 public:
  explicit Guarded(const Context& ctx, const Shape& shape, DType dtype = DType::kFloat32);
  Tensor& tensor() { return tensor_; }
  /// Sets the values from the host's.
  void set(const Tensor& values);
  /// The values, on the host.
  Tensor values() const { return ctx_->host(Tensor::borrow(tensor_)); }
  /// True while both bands hold the poison.
  bool intact() const;

 private:
  const Context* ctx_;
  std::size_t payload_bytes_;
  Tensor memory_;
  Tensor tensor_;
};

struct Operation {
  std::string name;
  std::vector<Input> inputs;
  Shape output;
  /// y in double, written independently of the op.
  std::function<Values(const Arrays&)> oracle;
  /// Tensors that forward leaves for backward (statistics, indices, masks): shape and type.
  std::vector<std::pair<Shape, DType>> saved = {};
  std::function<void(Context&, const std::vector<Tensor>& in, Tensor& y, std::vector<Tensor>& saved)> forward;
  /// Writes activations' gradients, adds to parameters'. Empty if the op has none.
  std::function<void(Context&, const std::vector<Tensor>& in, const Tensor& y, const std::vector<Tensor>& saved,
                     const Tensor& grad_y, std::vector<Tensor>& grads)>
      backward = {};
  /// Gradients of sum(grad_y * y) in double for every element; without it the gradient comes from central differences of
  /// `oracle` at sampled elements. Where given, it is itself checked against those differences.
  std::function<std::vector<Values>(const Arrays&, const std::vector<double>& grad_y)> gradient = {};
  /// Largest |error| / magnitude of forward. Say why next to the number.
  double tolerance = 1e-6;
  double gradient_tolerance = 1e-5;
  /// For tf32 variants: operands of products carry 10 fraction bits, 2^-11 of rounding each, two operands a product, and one bit
  /// is left for sums of several such terms: 2^-11 * 2 * 2 < 0.002. Ops without products compute exactly in float32.
  double tf32_tolerance = 0.002;
  double tf32_gradient_tolerance = 0.004;
  /// For bfloat16 variants. Each rounding of a stored value or weight to 8 significand bits costs up to 2^-8 of it; a result meets
  /// at most one per operand and one on the way out: 2^-8 * 3 < 0.012.
  double half_tolerance = 0.012;
  double half_gradient_tolerance = 0.03;
  /// What NVIDIA's libraries may err beyond the above, on the backend cudnn.
  double cudnn_tf32_excess = 0.0;
  double cudnn_half_excess = 0.0;
  /// Forward of a record alone gives the same bits as within its batch (asserted on the reference backend).
  enum class Records { kIndependent, kCoupled } records = Records::kIndependent;
};
std::ostream& operator<<(std::ostream& out, const Operation& o);

/// The low-precision tolerances of an operation that is one sum of products, from its float32 tolerance, which must be set. Tensor
/// cores add with up to one bit less than float32: twice the float32 tolerance. On top of it, of the sum of sizes:
/// tf32: both operands rounded to nearest at 11 significand bits, 2^-11 each: 2^-10, and 2^-22 for both at once.
/// bfloat16: activations are exact, the weights and then the stored result are rounded to nearest at 8 bits, 2^-8 each: 2^-7, and
/// 2^-16 for both at once.
/// The libraries do not say how they narrow float32 to tf32: cut off, an operand errs by up to 2^-10, twice as much as rounded.
void product_tolerances(Operation& o);

/// Runs every check on one variant; failures are reported through GoogleTest.
void check_operation(const Operation& o, const Variant& v);

/// Reproducible inputs, already rounded to `dtype`.
std::vector<double> draw_values(const Input& input, DType dtype, std::uint64_t seed);
Tensor to_tensor(const std::vector<double>& values, const Shape& shape, DType dtype);  ///< on the host
std::vector<double> to_doubles(const Tensor& t);                                       ///< of a host tensor
/// Largest |got - want| / magnitude over all elements, +inf where exactly one is NaN.
double worst_error(const std::vector<double>& got, const Values& want);

}  // namespace sutura::testing
