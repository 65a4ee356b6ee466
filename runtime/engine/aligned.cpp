#include "runtime/engine/aligned.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/alignment/order.h"
#include "runtime/alignment/protocol.h"
#include "runtime/data/load.h"
#include "runtime/engine/executor_slots.h"
#include "transport/inproc.h"

namespace sutura {
namespace {


AlignmentTerms terms_of(const StudyConfig& study, std::uint64_t run, std::chrono::milliseconds patience, const AlignmentProgress& progress) {
  AlignmentTerms t;
  t.run = run;
  t.seed = study.seed;
  t.members = alignment_members(study);
  t.patience = patience;
  t.progress = progress;
  return t;
}

/// Alignment and splits of one member over its channel to the relay.
SiteData take_part(const StudyConfig& study, const std::string& party, PartyRecords&& own, Channel& relay, const SealKeys& keys,
                   const AlignmentTerms& terms) {
  const Alignment a = align_as_party(own.records.ids, party, relay, keys.self, keys.peers, terms);
  std::vector<std::uint8_t> splits;
  const std::string decides = split_party_of(study);
  if (decides == party) {
    splits = assign_splits(study.data, own, a.rows_by_position, study.seed);
    send_split(splits, party, relay, keys.self, keys.peers, terms);
  } else {
    splits = receive_split(decides, static_cast<std::int64_t>(a.rows_by_position.size()), party, relay, keys.self, keys.peers, terms);
  }
  return arrange(study.data, party, std::move(own), a.rows_by_position, splits);
}

LaneSizes sizes_of(const SiteData& data) { return {data.train.size(), data.validation.size(), data.test.size()}; }

bool same(const LaneSizes& a, const LaneSizes& b) { return a.train == b.train && a.validation == b.validation && a.test == b.test; }

/// What a member says when its records are arranged: the server needs the numbers, and they must be the same everywhere.
LaneSizes told_sizes_of(Channel& channel, const std::string& name, std::chrono::milliseconds patience) {
  auto answer = channel.receive(kControlTag, deadline_in(patience));
  require(std::holds_alternative<Message>(answer), Errc::kNetwork, "'" + name + "' did not say how many records it arranged");
  const auto j = nlohmann::json::parse(from_message<Report>(std::get<Message>(answer)).json, nullptr, false);
  const auto count = [&](const char* key) {
    require(j.is_object() && j.contains(key) && j[key].is_number_unsigned(), Errc::kProtocol, "'" + name + "' told no numbers of records");
    return j[key].get<std::int64_t>();
  };
  return {count("train"), count("validation"), count("test")};
}

/// Columns of `from` behind those of `to`, row by row.
void put_beside(Tensor& to, const Tensor& from) {
  if (!from.defined() || from.shape().row_elements() == 0) return;
  if (!to.defined()) {
    to = from.clone();
    return;
  }
  require(to.shape()[0] == from.shape()[0], Errc::kInternal, "aligned parties with different numbers of records");
  const std::int64_t rows = to.shape()[0], a = to.shape()[1], b = from.shape()[1];
  Tensor both(Shape{rows, a + b});  // [N, D]
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = both.f32().data() + r * (a + b);
    std::memcpy(row, to.f32().data() + r * a, static_cast<std::size_t>(a) * sizeof(float));
    std::memcpy(row + a, from.f32().data() + r * b, static_cast<std::size_t>(b) * sizeof(float));
  }
  to = std::move(both);
}

/// Own row of every position, by member, without messages.
std::vector<std::vector<std::int64_t>> positions_in_memory(const std::vector<PartyRecords>& members, std::uint64_t seed) {
  std::map<std::string_view, std::size_t> seen;
  for (const PartyRecords& m : members) {
    require_distinct(m.records.ids);
    for (const std::string& id : m.records.ids) ++seen[id];
  }
  std::vector<std::vector<std::int64_t>> rows;
  for (const PartyRecords& m : members) {
    std::vector<std::int64_t> common;
    for (std::size_t r = 0; r < m.records.ids.size(); ++r)
      if (seen[m.records.ids[r]] == members.size()) common.push_back(static_cast<std::int64_t>(r));
    require(!common.empty(), Errc::kData, "no record is common to all parties");
    rows.push_back(order_common(m.records.ids, common, seed).rows_by_position);
  }
  return rows;
}

}  // namespace

std::vector<std::string> alignment_members(const StudyConfig& study) {
  std::vector<std::string> members;
  for (const PartyConfig& p : study.topology.parties)
    if (study.data.party_tables.contains(p.name)) members.push_back(p.name);
  require(members.size() >= 2 && members.size() == study.data.party_tables.size(), Errc::kConfig,
          "data.party_tables must name at least two parties of the topology, and no others");
  return members;
}

std::string split_party_of(const StudyConfig& study) {
  std::string party = study.data.split_party;
  for (const NodeConfig& n : study.topology.nodes)
    if (party.empty() && n.kind == NodeKind::kLabels) party = n.at;
  require(study.data.party_tables.contains(party), Errc::kConfig, "data.party_tables has no table of '" + party + "', which decides the splits");
  return party;
}

SiteData align_records(const StudyConfig& study, const std::string& party, PartyRecords&& own, Channel& server, const SealKeys& keys,
                       std::uint64_t run, std::chrono::milliseconds patience, const AlignmentProgress& progress) {
  SiteData data = take_part(study, party, std::move(own), server, keys, terms_of(study, run, patience, progress));
  const LaneSizes n = sizes_of(data);
  const nlohmann::json j{{"train", n.train}, {"validation", n.validation}, {"test", n.test}};
  send_or_lose(server, to_message(Report{j.dump()}), deadline_in(patience), "numbers of aligned records");
  return data;
}

AlignedServer align_at_server(const StudyConfig& study, const std::string& party, std::optional<PartyRecords>&& own,
                              const SealKeys* keys, Reception& reception, std::uint64_t run, std::chrono::milliseconds patience,
                              const AlignmentProgress& progress) {
  const AlignmentTerms terms = terms_of(study, run, patience, progress);
  AlignedServer out;
  ChannelPair inside = make_channel_pair();  // the server as a member among the others
  std::exception_ptr failure;
  std::jthread member;
  if (own) {
    require(keys != nullptr, Errc::kInternal, "a member of the alignment without keys");
    member = std::jthread([&] {
      try {
        AlignmentTerms quiet = terms;
        quiet.progress = {};
        out.data = take_part(study, party, std::move(*own), *inside.first, *keys, quiet);
      } catch (...) {
        failure = std::current_exception();
        inside.first.reset();  // the relay stops waiting for this member
      }
    });
  }
  const auto channel_of = [&](const std::string& name) -> Channel& {
    if (name == party) return *inside.second;
    Channel* c = reception.channel(name);
    require(c != nullptr, Errc::kNetwork, "'" + name + "' is not there");
    return *c;
  };
  try {
    const AlignmentSizes sizes = relay_alignment(terms, channel_of);
    relay_split(split_party_of(study), sizes.common, terms, channel_of);
  } catch (...) {
    inside.second.reset();
    if (member.joinable()) member.join();
    throw;
  }
  if (member.joinable()) member.join();
  if (failure) std::rethrow_exception(failure);
  std::optional<LaneSizes> agreed;
  if (out.data) agreed = sizes_of(*out.data);
  for (const std::string& name : terms.members) {
    if (name == party) continue;
    const LaneSizes told = told_sizes_of(channel_of(name), name, patience);
    require(!agreed || same(*agreed, told), Errc::kData, "'" + name + "' arranged other numbers of records than the others");
    agreed = told;
  }
  out.sizes = *agreed;
  return out;
}

SiteData aligned_in_memory(const StudyConfig& study) {
  const std::vector<std::string> names = alignment_members(study);
  std::vector<PartyRecords> members;
  for (const std::string& name : names) members.push_back(load_party(study.data, name));
  const auto rows = positions_in_memory(members, study.seed);
  const auto decides = static_cast<std::size_t>(std::ranges::find(names, split_party_of(study)) - names.begin());
  const std::vector<std::uint8_t> splits = assign_splits(study.data, members[decides], rows[decides], study.seed);
  SiteData joined;
  joined.name = study.data.sites.at(0);
  for (std::size_t m = 0; m < members.size(); ++m) {
    SiteData part = arrange(study.data, names[m], std::move(members[m]), rows[m], splits);
    for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
      put_beside((joined.*split).features, (part.*split).features);
      if ((part.*split).labels.defined()) (joined.*split).labels = std::move((part.*split).labels);
    }
    if (part.classes > 0) joined.classes = part.classes;
    for (const std::string& f : part.feature_names) joined.feature_names.push_back(names[m] + "/" + f);
    for (const std::string& c : part.feature_columns) joined.feature_columns.push_back(names[m] + "/" + c);
  }
  return joined;
}

SiteData columns_of_party(const SiteData& joined, const std::string& party) {
  std::vector<std::string> own;
  for (const std::string& c : joined.feature_columns)
    if (c.starts_with(party + "/") && std::ranges::find(own, c) == own.end()) own.push_back(c);
  if (!own.empty()) return select_columns(joined, own);
  SiteData labels;  // a party that holds the labels alone
  labels.name = joined.name;
  labels.classes = joined.classes;
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test})
    labels.*split = {Tensor({(joined.*split).size(), 0}), (joined.*split).labels.defined() ? (joined.*split).labels.clone() : Tensor(), {}};
  return labels;
}

}  // namespace sutura
