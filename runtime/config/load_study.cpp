#include "runtime/config/load_study.h"

#include "runtime/config/sections.h"

namespace sutura {

void read_study(Section root, StudyConfig& study) {
  root.text({"study", "Name of the study.", Need::kRequired}, TextRule::kName, study.study);
  root.integer({"seed", "Seed of initial weights, shuffles, dropout and splits; never of noise."}, {0, INT64_MAX}, study.seed);
  read_topology(root, study.topology);
  read_schedule(root, study.schedule);
  read_data(root, study.data);
  read_network(root, study.network);
  read_training(root, study.training);
  read_privacy(root, study.privacy);
  read_machine(root, study);
  root.integer({"control_permutations", "Controls of a private result that are trained on permuted labels."}, {0, 10'000},
               study.control_permutations);
}

LoadedStudy load_study(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  Diagnostics found;
  const YamlNode root = load_yaml(path, overrides, found);
  Reader reader(ReadMode::kLoad, root, found);
  LoadedStudy study;
  read_study(reader.root(), study.config);
  check_names(study.config, reader);
  check_settings(study.config, reader);
  reader.finish();
  found.throw_if_any();
  study.resolved = reader.resolved();
  study.places = reader.key_places();
  study.sources = std::move(found.sources());
  return study;
}

}  // namespace sutura
