#pragma once
#include <string>
#include <string_view>
#include <vector>

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
class ParamStore {
 public:
  ParamStore() = default;
  /// `specs[i]` belongs to layer `layer_names[i]`. Values start as their Init says, drawn from Philox(seed, full name):
  /// the same weights whether the network is cut or whole.
  ParamStore(const std::vector<std::string>& layer_names, const std::vector<std::vector<ParamSpec>>& specs, std::uint64_t seed);

  ParamView view(std::size_t layer) const;
  Tensor& values() { return values_; }               // [total]
  const Tensor& values() const { return values_; }   // [total]
  Tensor trained_values() const;                     // [trained], borrowed
  Tensor& grads() { return grads_; }                 // [trained]
  const Tensor& grads() const { return grads_; }     // [trained]
  void zero_grads();
  const std::vector<ParamEntry>& entries() const { return entries_; }
  std::int64_t total() const { return values_.defined() ? values_.elements() : 0; }
  std::int64_t trained() const { return grads_.defined() ? grads_.elements() : 0; }

 private:
  std::vector<ParamEntry> entries_;
  std::vector<std::vector<std::size_t>> by_layer_;
  Tensor values_;
  Tensor grads_;
};

}  // namespace sutura
