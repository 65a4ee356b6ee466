#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// A tensor that code on the host reads and writes, and that also lies on a device where a context computes there: whichever
/// side was written last is copied over when the other is asked for. On a CPU backend both are the same memory.
/// Threads: one at a time.
class Mirrored {
 public:
  Mirrored() = default;
  explicit Mirrored(Tensor host) : host_(std::move(host)) {}
  bool defined() const { return host_.defined(); }
  std::int64_t elements() const { return host_.elements(); }
  const Shape& shape() const { return host_.shape(); }

  /// For writing (and reading) on the host. Waits for the device where it wrote last.
  Tensor& host();
  /// For reading on the host. Waits as above.
  const Tensor& host() const;
  /// A view of the copy where `ctx` computes, for reading and writing by ops. One device for the object's whole life; there the
  /// address stays the same.
  Tensor on(const Context& ctx) const;
  /// All zeros, wherever the newest values lie; no copy.
  void fill_zero(const Context& ctx);
  /// Counts the copies from host to device: whoever derives something from the device's values compares.
  std::uint64_t uploads() const { return uploads_; }

 private:
  void fetch() const;
  mutable Tensor host_;
  mutable Tensor device_;           // defined once a device context asked
  mutable bool host_newer_ = true;  // both false: equal
  mutable bool device_newer_ = false;
  mutable std::uint64_t uploads_ = 0;
};

}  // namespace sutura
