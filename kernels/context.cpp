#include "kernels/context.h"

#include <cstring>

#include "core/error.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn_backend.h"
#include "kernels/device_ops.h"
#include "kernels/device_stream.h"

namespace sutura {

Backend backend_from_name(std::string_view name) {
  if (name == "reference") return Backend::kReference;
  if (name == "onednn") return Backend::kOnednn;
  if (name == "native") return Backend::kNative;
  if (name == "cudnn") return Backend::kCudnn;
  throw Error(Errc::kInvalidArgument, "unknown backend \"" + std::string(name) + "\": reference, onednn, native or cudnn");
}

std::string_view name(Backend b) {
  switch (b) {
    case Backend::kReference: return "reference";
    case Backend::kOnednn: return "onednn";
    case Backend::kNative: return "native";
    case Backend::kCudnn: return "cudnn";
  }
  return "unknown";
}

bool Context::cpu_has_bf16() {
  // oneDNN may be told to stay below what the CPU has (ONEDNN_MAX_CPU_ISA); both must agree.
  return widest_isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16") && onednn::allows_bf16();
}

namespace {
std::shared_ptr<DeviceStream> new_stream(const DeviceOps& ops) {
  auto stream = std::make_shared<DeviceStream>(*ops.runtime);
  if (ops.attachment != nullptr) stream->attach(ops.attachment(*stream));
  return stream;
}
bool is_device(Backend b) { return b == Backend::kNative || b == Backend::kCudnn; }
void check_compute(DType compute) {
  require(compute == DType::kFloat32 || compute == DType::kBfloat16, Errc::kInvalidArgument,
          "activations are float32 or bfloat16, not " + std::string(name(compute)));
}
}  // namespace

Context::Context(Backend backend, int threads, DType compute, Math math)
    : backend_(backend), threads_(backend == Backend::kOnednn ? threads : 1), compute_(compute), math_(math) {
  require(threads >= 1 && threads <= 1024, Errc::kInvalidArgument, "a context needs 1 to 1024 threads");
  check_compute(compute);
  if (is_device(backend)) {
    ops_ = &device_ops(backend);
    stream_ = new_stream(*ops_);
    return;
  }
  require(math == Math::kIeee, Errc::kDevice, "tf32 is a mode of devices; the CPU computes in float32 or bfloat16");
  if (compute == DType::kBfloat16) {
    require(backend == Backend::kOnednn, Errc::kDevice, "the reference backend computes in float32 only");
    require(cpu_has_bf16(), Errc::kDevice, "this CPU has no AVX512-BF16: compute in float32");
  }
  if (backend == Backend::kOnednn) engine_ = onednn::make_engine(threads);
}

Context::Context(Backend backend, const DeviceOps& ops, DType compute, Math math)
    : backend_(backend), threads_(1), compute_(compute), math_(math), ops_(&ops), stream_(new_stream(ops)) {
  require(is_device(backend), Errc::kInvalidArgument, "a CPU backend has no device");
  check_compute(compute);
}

Context::~Context() = default;
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;

onednn::Engine& Context::engine() {
  require(engine_ != nullptr, Errc::kInternal, "only the onednn backend has an engine");
  return *engine_;
}

const DeviceOps& Context::device() const {
  require(on_device(), Errc::kInternal, "only a device backend has device functions");
  return *ops_;
}
DeviceStream& Context::stream() const {
  require(on_device(), Errc::kInternal, "only a device backend has a stream");
  return *stream_;
}

Tensor Context::tensor(const Shape& shape, DType dtype) const {
  return on_device() ? Tensor::on_device(stream_, shape, dtype) : Tensor(shape, dtype);
}
Tensor Context::pinned(const Shape& shape, DType dtype) const {
  return on_device() ? Tensor::pinned(stream_, shape, dtype) : Tensor(shape, dtype);
}
Tensor Context::zeros(const Shape& shape, DType dtype) const {
  Tensor t = tensor(shape, dtype);
  fill_zero(t);
  return t;
}
void Context::fill_zero(Tensor& t) const {
  if (t.bytes_size() == 0) return;
  if (t.place() == Tensor::Place::kHost) {
    std::memset(t.data(), 0, t.bytes_size());
  } else {
    stream().runtime().fill(stream().stream(), t.data(), 0, t.bytes_size());
  }
}
Tensor Context::clone(const Tensor& t) const {
  if (!t.defined()) return {};
  Tensor c = tensor(t.shape(), t.dtype());
  copy(t, c);
  return c;
}
Tensor Context::here(Tensor t) const {
  const auto wanted = on_device() ? Tensor::Place::kDevice : Tensor::Place::kHost;
  if (!t.defined() || t.place() == wanted) return t;
  return clone(t);
}
Tensor Context::host(Tensor t) const {
  if (!t.defined() || t.place() == Tensor::Place::kHost) return t;
  Tensor h(t.shape(), t.dtype());
  t.copy_to(h);
  return h;
}
void Context::copy(const Tensor& from, Tensor& to) const {
  require(from.shape() == to.shape() && from.dtype() == to.dtype(), Errc::kShapeMismatch,
          "a copy of " + from.shape().text() + " into " + to.shape().text());
  const std::size_t size = from.bytes_size();
  if (size == 0) return;
  const bool from_device = from.place() == Tensor::Place::kDevice, to_device = to.place() == Tensor::Place::kDevice;
  if (!from_device && !to_device) {
    std::memcpy(to.data(), from.data(), size);
    return;
  }
  const DeviceRuntime& r = stream().runtime();
  const Stream s = stream().stream();
  if (from_device && to_device) {
    r.copy_on_device(s, to.data(), from.data(), size);
  } else if (to_device) {
    stream().note_host_access();
    r.copy_to_device(s, to.data(), from.data(), size);
  } else {
    stream().note_host_access();
    r.copy_to_host(s, to.data(), from.data(), size);
  }
}
void Context::synchronise() const {
  if (!on_device()) return;
  stream().note_host_access();
  stream().synchronise();
}

std::string Context::description() const {
  if (backend_ == Backend::kReference) return "reference, 1 thread, f32";
  if (on_device())
    return std::string(name(backend_)) + ", " +
           (compute_ == DType::kBfloat16 ? "bf16, " : math_ == Math::kTf32 ? "tf32, " : "f32, ") + ops_->runtime->describe();
  return onednn::version() + ", " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
         (compute_ == DType::kBfloat16 ? "bf16, " : "f32, ") + onednn::isa();
}

}  // namespace sutura
