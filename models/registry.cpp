#include "models/registry.h"

#include <functional>
#include <optional>

#include "core/error.h"
#include "core/nearest_name.h"
#include "models/layers/activation.h"
#include "models/layers/band_energies.h"
#include "models/layers/conv.h"
#include "models/layers/dropout.h"
#include "models/layers/flatten.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"
#include "models/layers/option_reader.h"
#include "models/layers/pool.h"
#include "models/layers/residual.h"
#include "models/layers/unit_rows.h"
#include "models/zoo/zoo.h"

namespace sutura {
namespace {

using LayerFactory = std::function<LayerPtr(OptionReader&, const Shape& x, std::int64_t outputs)>;
using ZooFactory = Network (*)(OptionReader&, const Shape& x, std::int64_t outputs);
template <class Factory>
using Table = std::vector<std::pair<std::string, Factory>>;

template <class L>
LayerPtr without_options(OptionReader&, const Shape&, std::int64_t) {
  return std::make_unique<L>();
}

/// A factory that does not look at the number of outputs of the task.
LayerFactory plain(LayerPtr (*make)(OptionReader&, const Shape&)) {
  return [make](OptionReader& options, const Shape& x, std::int64_t) { return make(options, x); };
}

Table<LayerFactory> layer_table() {
  return {
      {"linear", make_linear},
      {"conv2d", plain(make_conv2d)},
      {"conv1d", plain(make_conv1d)},
      {"group_norm", plain(make_group_norm)},
      {"layer_norm", plain(make_layer_norm)},
      {"batch_norm", plain(make_batch_norm)},
      {"relu", without_options<Relu>},
      {"gelu", without_options<Gelu>},
      {"sigmoid", without_options<Sigmoid>},
      {"max_pool", plain(make_max_pool)},
      {"avg_pool", plain(make_avg_pool)},
      {"global_avg_pool", without_options<GlobalAvgPool>},
      {"flatten", without_options<Flatten>},
      {"dropout", plain(make_dropout)},
      {"residual", plain(make_residual)},
      {"band_energies", plain(make_band_energies)},
      {"unit_rows", without_options<UnitRows>},
  };
}

Table<ZooFactory> zoo_table() {
  return {{"mlp", make_mlp}, {"xray_cnn", make_xray_cnn}, {"resnet18", make_resnet18}, {"ecg_cnn1d", make_ecg_cnn1d}};
}

template <class Factory>
std::vector<std::string> names_of(const Table<Factory>& table) {
  std::vector<std::string> names;
  for (const auto& [name, factory] : table) names.push_back(name);
  return names;
}

template <class Factory>
const Factory* find(const Table<Factory>& table, const std::string& name) {
  for (const auto& [known, factory] : table)
    if (known == name) return &factory;
  return nullptr;
}

/// Index of the last linear layer: the only one that may write outputs: -1.
std::optional<std::size_t> last_linear(const std::vector<LayerSpec>& layers) {
  for (std::size_t i = layers.size(); i-- > 0;)
    if (layers[i].type == "linear") return i;
  return std::nullopt;
}

Network build_from_list(const std::vector<LayerSpec>& layers, Shape x, std::int64_t outputs) {
  const auto table = layer_table();
  const auto last = last_linear(layers);
  Network network;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerSpec& spec = layers[i];
    const std::string where = "layer " + (spec.name.empty() ? std::to_string(i + 1) : spec.name) + " (" + spec.type + ")";
    require(!spec.name.empty(), Errc::kConfig, where + ": needs a name");
    for (std::size_t j = 0; j < i; ++j)
      require(layers[j].name != spec.name, Errc::kConfig, where + ": another layer bears this name");
    const LayerFactory* make = find(table, spec.type);
    require(make != nullptr, Errc::kConfig,
            "layer " + spec.name + ": unknown type '" + spec.type + "'" + name_hint(spec.type, layer_types()));
    OptionReader options(where, spec.options);
    LayerPtr layer = (*make)(options, x, last && *last == i ? outputs : 0);
    options.finish();
    layer->set_name(spec.name);
    x = layer->output_shape(x);
    network.add(spec.name, std::move(layer));
  }
  return network;
}

}  // namespace

std::vector<std::string> layer_types() { return names_of(layer_table()); }
std::vector<std::string> zoo_names() { return names_of(zoo_table()); }

Network build_network(const NetworkSpec& spec, const Shape& input, std::int64_t outputs) {
  require(spec.zoo.empty() != spec.layers.empty(), Errc::kConfig, "a network is either a zoo name or a list of layers");
  const Shape x = input.with_batch(1);
  require(x.elements() >= 1, Errc::kConfig, "a network needs inputs with at least one value, got " + input.text());
  try {
    if (spec.zoo.empty()) {
      require(spec.options.empty(), Errc::kConfig,
              "options of a network go with a zoo name; those of a layer list stand at each layer");
      return build_from_list(spec.layers, x, outputs);
    }
    const auto table = zoo_table();
    const ZooFactory* make = find(table, spec.zoo);
    require(make != nullptr, Errc::kConfig, "unknown network '" + spec.zoo + "'" + name_hint(spec.zoo, zoo_names()));
    require(outputs >= 1, Errc::kConfig, "network " + spec.zoo + " needs at least one output");
    OptionReader options("network " + spec.zoo, spec.options);
    Network network = (*make)(options, x, outputs);
    options.finish();
    network.output_shape(x);
    return network;
  } catch (const Error& e) {
    // A layer that does not fit the one before it is a mistake in the study, whatever the check that found it.
    if (e.code() != Errc::kShapeMismatch && e.code() != Errc::kInvalidArgument) throw;
    throw Error(Errc::kConfig, e.what());
  }
}

}  // namespace sutura
