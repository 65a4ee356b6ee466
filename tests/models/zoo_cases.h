#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "core/random/philox.h"
#include "models/losses/loss.h"
#include "models/registry.h"

namespace sutura::testing {

/// A small network with data to run it on: widths 4 to 8, pictures of 8 x 8, so that every cut can be tried. The zoo, and a
/// layer list with the layer types that the zoo does not use.
struct ZooCase {
  std::string name;
  NetworkSpec spec;
  Shape input;
  std::int64_t outputs;
  LossKind loss;
};

inline void PrintTo(const ZooCase& c, std::ostream* out) { *out << c.name; }

inline std::vector<ZooCase> zoo_cases() {
  using List = std::vector<std::int64_t>;
  const auto zoo = [](std::string name, Options options) {
    NetworkSpec s;
    s.zoo = std::move(name);
    s.options = std::move(options);
    return s;
  };
  using Int = std::int64_t;
  const NetworkSpec layers{
      "",
      {},
      {
          {"conv1",
           "conv2d",
           {{"filters", Int{4}}, {"kernel", Int{3}}, {"stride", List{1, 2}}, {"pad", Int{1}}, {"bias", std::string("false")}}},
          {"norm1", "batch_norm", {{"momentum", 0.2}}},
          {"act1", "gelu", {}},
          {"block", "residual", {{"filters", Int{6}}, {"stride", Int{2}}}},
          {"pool1", "avg_pool", {{"kernel", List{2, 1}}, {"stride", Int{1}}}},
          {"norm2", "layer_norm", {}},
          {"drop", "dropout", {{"rate", 0.25}}},
          {"flat", "flatten", {}},
          {"fc", "linear", {{"outputs", Int{6}}, {"bias", std::string("false")}}},
          {"act2", "sigmoid", {}},
          {"out", "linear", {{"outputs", Int{-1}}}},
      }};
  return {
      {"layer_list", layers, {4, 8, 8, 2}, 3, LossKind::kCrossEntropy},
      {"mlp", zoo("mlp", {{"hidden", List{8, 6}}, {"dropout", 0.3}}), {5, 7}, 3, LossKind::kCrossEntropy},
      {"mlp_gelu",
       zoo("mlp", {{"hidden", List{8}}, {"activation", std::string("gelu")}}),
       {5, 7},
       2,
       LossKind::kMeanSquaredError},
      {"xray_cnn", zoo("xray_cnn", {{"width", std::int64_t{4}}}), {3, 8, 8, 1}, 1, LossKind::kBinaryCrossEntropy},
      {"resnet18_batch",
       zoo("resnet18", {{"width", std::int64_t{4}}, {"norm", std::string("batch")}}),
       {4, 8, 8, 1},
       1,
       LossKind::kBinaryCrossEntropy},
      {"resnet18_group", zoo("resnet18", {{"width", std::int64_t{4}}}), {3, 8, 8, 2}, 4, LossKind::kCrossEntropy},
      {"ecg_cnn1d",
       zoo("ecg_cnn1d", {{"width", std::int64_t{4}}, {"kernel", std::int64_t{5}}}),
       {4, 1, 16, 1},
       5,
       LossKind::kCrossEntropy},
  };
}

inline Network build(const ZooCase& c) { return build_network(c.spec, c.input, c.outputs); }

inline Tensor random_values(const Shape& shape, std::string_view stream) {
  Tensor t(shape);
  PhiloxStream random(11, stream);
  for (float& v : t.f32()) v = static_cast<float>(random.next_normal());
  return t;
}

inline Tensor inputs_of(const ZooCase& c) { return random_values(c.input, "x:" + c.name); }

inline Tensor labels_of(const ZooCase& c) {
  if (c.loss == LossKind::kMeanSquaredError) return random_values({c.input[0], c.outputs}, "labels");
  const std::int64_t classes = c.loss == LossKind::kBinaryCrossEntropy ? 2 : c.outputs;
  Tensor t({c.input[0]}, DType::kInt32);
  PhiloxStream random(12, "labels");
  for (std::int32_t& v : t.as<std::int32_t>())
    v = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(classes)));
  return t;
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.data(), b.data(), a.bytes_size()) == 0;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// ||a - b|| / ||b||, in double; b's norm is floored, because what is zero on paper (the bias before a norm) is rounding here.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-3);
}

/// Gradient (or value) of one entry of a store.
inline std::span<const float> part(const Tensor& flat, const ParamEntry& e) {
  return flat.f32().subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.shape.elements()));
}

}  // namespace sutura::testing
