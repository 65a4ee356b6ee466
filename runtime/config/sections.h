#pragma once
#include "runtime/config/reader.h"
#include "runtime/config/site_policy.h"
#include "runtime/config/study.h"

namespace sutura {

/// One function per top-level part of a study file. Each names its keys, ranges, defaults and meanings once; loading
/// and the reference page both run through them. `root` is the whole file.
void read_topology(Section& root, TopologyConfig& topology);
void read_schedule(Section& root, ScheduleConfig& schedule);
void read_data(Section& root, DataConfig& data);
/// A table of the whole study has a label; of tables that each belong to one party, one has it, and all have an id.
enum class TableOf { kWholeStudy, kOneParty };
void read_table(Section& section, TableOf whose, TableConfig& table);
void read_network(Section& root, NetworkConfig& network);
void read_training(Section& root, TrainingConfig& training);
void read_privacy(Section& root, PrivacyConfig& privacy);
void read_machine(Section& root, StudyConfig& study);  ///< wire, connection, compute, output
void read_study(Section root, StudyConfig& study);     ///< all of them, and study, seed, control_permutations

/// A file of its own, not part of a study. `root` is the whole file.
void read_site_policy(Section root, SitePolicy& policy);

/// Names that one part uses and another must have made: parties, nodes, segments, layers, columns.
void check_names(const StudyConfig& study, Reader& reader);
/// Settings of one part that only make sense with those of another: weights and classes, sites, validation records.
void check_settings(const StudyConfig& study, Reader& reader);

}  // namespace sutura
