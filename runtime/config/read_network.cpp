#include <set>

#include "runtime/config/sections.h"

namespace sutura {
namespace {

/// Reads {zoo: NAME, options...} or {layers: [...]}.
void read_spec(Section& section, NetworkSpec& spec) {
  if (section.has("zoo")) {
    section.text({"zoo", "A ready network by name; its options stand beside it."}, TextRule::kIdentifier, spec.zoo);
  }
  std::set<std::string> names;
  for (Section& item : section.sections({"layers", "The network layer by layer."})) {
    LayerSpec& layer = spec.layers.emplace_back();
    item.text({"name", "Name of the layer, used by cuts.", Need::kRequired}, TextRule::kName, layer.name);
    item.text({"type", "Kind of layer.", Need::kRequired}, TextRule::kIdentifier, layer.type);
    item.options("Option of this kind of layer.", layer.options);
    if (!layer.name.empty() && !names.insert(layer.name).second)
      item.error_at("name", "two layers are named " + layer.name, "layer names must differ");
  }
  if (section.has("zoo")) section.options("Option of the ready network.", spec.options);
}

void need_one_form(const Section& section, const NetworkSpec& spec) {
  const bool zoo = section.has("zoo"), layers = section.has("layers");
  if (zoo && layers) section.error_at("layers", section.path() + " holds both zoo and layers", "give one of them");
  if (!zoo && !layers) section.error(section.path() + " must hold zoo or layers");
  if (!zoo && layers && spec.layers.empty())
    section.error_at("layers", section.path_of("layers") + " must hold at least one layer");
}

}  // namespace

void read_network(Section& root, NetworkConfig& network) {
  const auto found = root.section({"network", "The layers and where they are cut.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  section.texts({"cuts", "The network is cut after these layers into the topology's segments, in order."}, TextRule::kName,
                network.cuts);
  section.texts({"frozen", "Segments that never train (public fronts)."}, TextRule::kIdentifier, network.frozen);
  const auto segments =
      section.section({"segments", "Each segment of the topology by itself, in place of one network with cuts."});
  if (segments) {
    Section all = *segments;
    for (auto& [name, part] : all.named_sections("SEGMENT", "A segment: zoo or layers.", TextRule::kIdentifier)) {
      NetworkSpec& spec = network.segments[name];
      read_spec(part, spec);
      if (!section.describes()) need_one_form(part, spec);
    }
    if (network.segments.empty() && !section.describes())
      section.error_at("segments", "network.segments must hold at least one segment");
  }
  read_spec(section, network.whole);
  if (section.describes()) return;
  if (!segments) {
    need_one_form(section, network.whole);
    return;
  }
  for (const char* other : {"cuts", "zoo", "layers"})
    if (section.has(other))
      section.error_at(other, "network holds both segments and " + std::string(other),
                       "give each segment by itself, or one network with cuts");
}

}  // namespace sutura
