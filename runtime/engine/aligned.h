#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/party_data.h"
#include "runtime/engine/hand_over.h"
#include "runtime/engine/session.h"
#include "runtime/engine/study_run.h"

namespace sutura {

// Vertical studies whose parties have files of their own (data.party_tables): records are linked before training
// (runtime/alignment, docs/alignment.md), the split party decides the splits, and each party arranges its own records.

/// Parties with a file of their own, in party order: the ring of the alignment.
std::vector<std::string> alignment_members(const StudyConfig& study);
/// The party whose file decides the splits: data.split_party, or the label holder. Errors: kConfig if it has no file.
std::string split_party_of(const StudyConfig& study);

using AlignmentProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// A client's part, after WELCOME. Returns its aligned records. Errors: as align_as_party; kData if its records have another
/// shape than the study says.
SiteData align_records(const StudyConfig& study, const std::string& party, PartyRecords&& own, Channel& server, const SealKeys& keys,
                       std::uint64_t run, std::chrono::milliseconds patience, const AlignmentProgress& progress);

struct AlignedServer {
  LaneSizes sizes;               ///< aligned records by split
  std::optional<SiteData> data;  ///< where the server is a label holder
};
/// The server's part, after WELCOME; `own` and `keys` where it has a file itself. Errors: as relay_alignment.
AlignedServer align_at_server(const StudyConfig& study, const std::string& party, std::optional<PartyRecords>&& own,
                              const SealKeys* keys, Reception& reception, std::uint64_t run, std::chrono::milliseconds patience,
                              const AlignmentProgress& progress);

/// The aligned records of all parties side by side, as one site, from this machine's files and without messages: for simulations.
/// The same records in the same positions and splits as over the network. Columns are named "party/column".
SiteData aligned_in_memory(const StudyConfig& study);
/// A party's own columns of such a site.
SiteData columns_of_party(const SiteData& joined, const std::string& party);

}  // namespace sutura
