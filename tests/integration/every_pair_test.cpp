// Every topology with every schedule that has a meaning for it, and vertical studies, over real sockets: what server and clients
// write as processes is what one process writes, byte for byte: weights and optimizer state of every party.
#include <stdlib.h>

#include "tests/equivalence/pairs.h"
#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

namespace fs = std::filesystem;

/// Column names of the shipped table, the label left out.
std::vector<std::string> feature_names() {
  const std::string table = content_of(shipped_records());
  std::vector<std::string> names;
  std::string name;
  for (const char c : table.substr(0, table.find('\n')) + ",") {
    if (c != ',') {
      name += c;
      continue;
    }
    names.push_back(name);
    name.clear();
  }
  names.erase(std::ranges::find(names, "diagnosis"));
  return names;
}

/// A study on the shipped table: 569 records in ten batches, two epochs, so 20 steps or more.
std::string study_text(const std::string& topology, const std::string& network, const std::string& schedule,
                       const std::string& data) {
  return topology + "study: pair\nseed: 5\ndata: {table: {path: " + shipped_records().string() +
         ", label: diagnosis, classes: [B, M]}, standardize: training, " + data + "}\nnetwork: {" + network +
         "}\nschedule: " + schedule +
         "\ntraining: {loss: binary_cross_entropy, epochs: 2, batch_size: 57, micro_batches: 2, evaluate_every: 0, optimizer: "
         "{name: "
         "adamw, learning_rate: 0.02, weight_decay: 0.01}, rate: {schedule: cosine, warmup_fraction: 0.2}}\nprivacy: {mechanism: "
         "none, "
         "because: a test, labels: public}\nconnection: {endpoint: \"tcp://127.0.0.1:5555\", server_public_key: k, secret_key: "
         "k, "
         "deadline_s: 60}\ncompute: {default: {backend: reference, threads: 1}}\n";
}

/// Sites of unequal size: shares of each class are drawn.
std::string sites_text(std::size_t count) {
  std::string names;
  for (const std::string& n : site_names(count)) names += (names.empty() ? "" : ", ") + n;
  return "record_shape: [30], sites: [" + names + "]" + (count > 1 ? ", partition: {by: label_skew, alpha: 3}" : "");
}

class EveryPairOverSockets : public Trial {
 protected:
  /// The clients' own allow-list: everything, for the records are public.
  EveryPairOverSockets() { ::setenv("SUTURA_EGRESS", shipped("egress/research_clear.yaml").c_str(), 1); }

  /// Server and clients as processes, then the same study in one; all that is learned must be in both, byte for byte.
  void expect_same(const std::vector<std::string>& clients) {
    shared.clear();
    std::vector<std::string> keys{"keys", "generate"};
    keys.insert(keys.end(), clients.begin(), clients.end());
    keys.insert(keys.end(), {"--folder", "keys", "--authorise", "keys/authorised"});
    expect_exit(*start("sutura", {"keys", "generate", "server", "--folder", "keys"}), 0);
    expect_exit(*start("sutura", keys), 0);
    {
      const auto server = start_server();
      std::vector<std::unique_ptr<Process>> all;
      for (const std::string& c : clients) all.push_back(start_client(c, {"connection.peers=" + key("authorised").string()}));
      for (const auto& client : all) expect_exit(*client, 0);
      expect_exit(*server, 0);
    }
    expect_exit(*start("sutura", {"simulate", study.string(), "--output", "alone", "--quiet"}), 0);
    const auto alone = learned(folder() / "alone");
    const auto processes = learned(folder() / "out");
    EXPECT_GE(alone.size(), 2 * clients.size()) << "there is nothing to compare";
    for (const auto& [file, content] : alone) {
      ASSERT_TRUE(processes.contains(file)) << file << " was not written by the processes";
      EXPECT_EQ(content, processes.at(file)) << file;
    }
    EXPECT_EQ(processes.size(), alone.size());
  }

  /// "north/weights/front.safetensors" -> bytes, of weights and optimizers.
  static std::map<std::string, std::string> learned(const fs::path& folder) {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.path().extension() == ".safetensors") all[fs::relative(entry.path(), folder).string()] = content_of(entry.path());
    return all;
  }

  void expect_same(const Pair& pair, const std::string& schedule) {
    study = write_study("pair.yaml", study_text("include: [topologies/" + pair.chain.topology + ".yaml]\n",
                                                network_text(pair.chain), schedule, sites_text(pair.sites)));
    std::vector<std::string> clients = site_names(pair.sites);
    const auto partners = pair.chain.partners();
    clients.insert(clients.end(), partners.begin(), partners.end());
    expect_same(clients);
  }
};

class Pairs : public EveryPairOverSockets, public ::testing::WithParamInterface<Pair> {};
INSTANTIATE_TEST_SUITE_P(OfTheTable, Pairs, ::testing::ValuesIn(every_pair({1, 2, 5})),
                         [](const auto& info) { return info.param.name(); });
TEST_P(Pairs, LearnWhatOneProcessLearns) { expect_same(GetParam(), schedule_text(GetParam())); }

class Joins : public EveryPairOverSockets, public ::testing::WithParamInterface<Columns> {};
INSTANTIATE_TEST_SUITE_P(OfColumns, Joins, ::testing::ValuesIn(every_join()), [](const auto& info) { return info.param.name(); });
TEST_P(Joins, LearnWhatOneProcessLearns) {
  const Columns& c = GetParam();
  study = write_study("pair.yaml", study_text(topology_text(c), network_text(c), "{visit: together}",
                                              "record_shape: [15], sites: [cohort], " + columns_text(c, feature_names())));
  std::vector<std::string> clients;
  for (std::size_t k = 0; k < c.holders; ++k) clients.push_back(c.holder(k));
  expect_same(clients);
}

/// The control: the files tell one schedule from another.
TEST_F(EveryPairOverSockets, AnotherScheduleIsSeen) {
  const Pair pair{chain("vanilla"), preset("splitfed_v2"), 2};
  expect_same(pair, schedule_text(pair));
  const auto first = learned(folder() / "out");
  expect_exit(*start("sutura", {"simulate", study.string(), "--output", "other", "--quiet", "schedule.visit=together"}), 0);
  const auto other = learned(folder() / "other");
  ASSERT_EQ(first.size(), other.size());
  for (const auto& [file, content] : first) EXPECT_NE(content, other.at(file)) << file;
}

}  // namespace
}  // namespace sutura::testing
