#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/study_run.h"

namespace sutura {

/// One line of progress: figures of an epoch that has ended, and the time that is left if the others take as long as those
/// up to here did. `spent`: seconds since the first epoch began.
std::string epoch_line(const EpochRecord& record, std::int64_t epochs, double spent);

/// How training ended where the study selects: "stopped early after epoch 7: no better validation loss for 3 passes; weights
/// of epoch 4". Epochs count from 1, as everywhere a person reads them. Empty where it does not select.
std::string ending_text(const TrainingConfig& training, const PartyResult& result);

/// The sites' own test figures as an aligned table, where there are two or more: at most 50 rows, then how many are left
/// out. Columns that no site has a value for are left out.
std::string sites_text(const std::vector<std::pair<std::string, Evaluation>>& sites);

/// What a person reads at the end of a run: figures, egress list, bytes per sample, controls, the privacy statement.
std::string result_text(const Prepared& prepared, const PartyResult& result, const std::string& instance);

/// "41 s", "2.3 min".
std::string time_text(double seconds);

}  // namespace sutura
