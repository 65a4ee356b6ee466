#include "kernels/mirrored.h"

#include <cstring>

#include "core/error.h"

namespace sutura {

void Mirrored::fetch() const {
  if (!device_newer_) return;
  device_.copy_to(host_);
  device_newer_ = false;
}

Tensor& Mirrored::host() {
  fetch();
  host_newer_ = true;
  return host_;
}

const Tensor& Mirrored::host() const {
  fetch();
  return host_;
}

Tensor Mirrored::on(const Context& ctx) const {
  if (!ctx.on_device()) {
    fetch();
    host_newer_ = true;
    return Tensor::borrow(host_);
  }
  if (!device_.defined()) device_ = ctx.tensor(host_.shape(), host_.dtype());
  if (host_newer_) {
    ctx.copy(host_, device_);
    host_newer_ = false;
    ++uploads_;
  }
  device_newer_ = true;
  return Tensor::borrow(device_);
}

void Mirrored::fill_zero(const Context& ctx) {
  if (!ctx.on_device()) {
    std::memset(host().data(), 0, host_.bytes_size());
    return;
  }
  if (!device_.defined()) device_ = ctx.tensor(host_.shape(), host_.dtype());
  ctx.fill_zero(device_);
  host_newer_ = false;
  device_newer_ = true;
}

}  // namespace sutura
