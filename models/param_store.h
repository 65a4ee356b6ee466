#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/mirrored.h"
#include "kernels/ops/device_step/device_step.h"
#include "models/layer.h"

namespace sutura {

struct ParamEntry {
  std::string name;  ///< "conv1.weight"
  Shape shape;
  ParamRole role;
  std::int64_t offset;  ///< in elements, from the start of the flat buffer
};

/// All parameters of one segment in two flat float32 buffers, values and gradients, with a name table. Trained values
/// come first, statistics last, so the optimizer steps one contiguous range and an average covers the whole buffer.
/// Contexts on a device work on copies there (Mirrored); values() and grads() are the host's, brought up to date. Where such a
/// context computes in bfloat16, the trained weights of rank 2 and more also have a bfloat16 copy there (Tensor::half()), which
/// the optimizer writes with the values.
class ParamStore {
 public:
  ParamStore() = default;
  /// `specs[i]` belongs to layer `layer_names[i]`. Values start as their Init says, drawn from Philox(seed, full name):
  /// the same weights whether the network is cut or whole.
  ParamStore(const std::vector<std::string>& layer_names, const std::vector<std::vector<ParamSpec>>& specs, std::uint64_t seed);

  /// A layer's parameters and gradients where `ctx` computes, refresh()ed.
  ParamView view(const Context& ctx, std::size_t layer) const;
  Tensor& values() { return values_.host(); }              // [total]
  const Tensor& values() const { return values_.host(); }  // [total]
  Tensor& grads() { return grads_.host(); }                // [trained]
  const Tensor& grads() const { return grads_.host(); }    // [trained]
  /// What an optimizer steps, where `ctx` computes. [trained], borrowed.
  Tensor trained_values_on(const Context& ctx) const;
  Tensor grads_on(const Context& ctx) const { return grads_.on(ctx); }
  /// The trained values of a store of the same shape, where `ctx` computes.
  void assign_trained(const Context& ctx, const ParamStore& from);
  /// As trained_values_on(), with the bfloat16 copy if there is one: for a step on a device.
  StepTarget step_target(const Context& ctx) const;
  /// Brings what the host wrote to the device where `ctx` computes, bfloat16 copies included; nothing where nothing was written.
  /// A captured graph holds no such copies: call this before a replay.
  void refresh(const Context& ctx) const;
  void zero_grads(const Context& ctx) { grads_.fill_zero(ctx); }
  const std::vector<ParamEntry>& entries() const { return entries_; }
  std::int64_t total() const { return values_.defined() ? values_.elements() : 0; }
  std::int64_t trained() const { return grads_.defined() ? grads_.elements() : 0; }

 private:
  /// The bfloat16 copies, made for the first device context that computes in it.
  struct Half {
    WorkingCopy copy;
    std::vector<std::int64_t> offset;  ///< per entry, -1: no copy
    std::uint64_t uploads = 0;         ///< of values_, when the copies were last made from them
  };
  void make_half(const Context& ctx) const;
  std::vector<ParamEntry> entries_;
  std::vector<std::vector<std::size_t>> by_layer_;
  Mirrored values_;
  Mirrored grads_;
  mutable std::optional<Half> half_;
};

}  // namespace sutura
