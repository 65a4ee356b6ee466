#pragma once
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "models/network.h"

namespace sutura {

/// A value of a layer or zoo option as it stands in YAML.
using Option = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>>;
using Options = std::map<std::string, Option>;

/// One entry of a layer list: {name: conv1, type: conv2d, filters: 24, kernel: 3}.
struct LayerSpec {
  std::string name;
  std::string type;
  Options options;
};

/// A network is either a zoo name with options or a list of layers.
struct NetworkSpec {
  std::string zoo;
  Options options;
  std::vector<LayerSpec> layers;
};

/// Builds a network for inputs of shape `input` ([N, ...], N ignored) with `outputs` values per record.
/// In a layer list a last linear layer may write `outputs: -1` for "as many as the task needs".
/// Errors: kConfig for an unknown type, zoo name or option (with the nearest name), or an option outside its range.
Network build_network(const NetworkSpec& spec, const Shape& input, std::int64_t outputs);
std::vector<std::string> layer_types();
std::vector<std::string> zoo_names();

}  // namespace sutura
