#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"
#include "models/registry.h"

namespace sutura {

// ---- topology: nodes on parties joined by routes (architecture.md 3) -------------------------------------------------
enum class Role { kClient, kServer };
enum class Count { kOne, kMany };  ///< kMany: one replica per site of the study
struct PartyConfig {
  std::string name;
  Role role = Role::kClient;
  Count count = Count::kOne;
};
enum class NodeKind { kFeatures, kLabels, kSegment, kJoin, kLoss };
enum class JoinKind { kConcat, kSum, kMean, kMax };
struct NodeConfig {
  std::string name;
  std::string at;  ///< party
  NodeKind kind = NodeKind::kSegment;
  std::string segment;  ///< kSegment: name of the segment
  JoinKind join = JoinKind::kConcat;
};
enum class GuardKind { kNone, kRows };
struct RouteConfig {
  std::string from;
  std::string to;
  GuardKind activation = GuardKind::kNone;  ///< guard of the forward leg
  GuardKind gradient = GuardKind::kNone;    ///< guard of the backward leg
};
/// Weights handed from one party to another when training ends ("weights tail server -> hospital").
struct DeliverConfig {
  std::string segment;
  std::string to;
};
struct TopologyConfig {
  std::string name;
  std::vector<PartyConfig> parties;
  std::vector<NodeConfig> nodes;
  std::vector<RouteConfig> routes;
  std::vector<DeliverConfig> deliver;
};

// ---- schedule ---------------------------------------------------------------------------------------------------------
enum class Visit { kTogether, kInTurn, kShuffled };
enum class Tail { kShared, kPerClient };
/// What a run does when a site leaves in the middle.
enum class OnLeave {
  kContinue,  ///< the others go on; the site may join again at the start of a round
  kWait,      ///< the run waits at the next start of a round until the site is back
  kStop,      ///< the run ends for everybody
};
struct ParticipationConfig {
  std::int64_t min_clients = 0;  ///< sites that a round needs; 0: all of them
  double deadline_s = 0.0;       ///< longest silence of a site inside a round, also the lease of a handed-on segment; 0: connection.deadline_s
  OnLeave on_leave = OnLeave::kContinue;
};
/// What a step does without a party that holds a part of its records (vertical studies).
enum class MissingParty {
  kAbort,        ///< the run ends
  kDropStep,     ///< nobody updates; the next step tries again
  kZero,         ///< its input to the join is zero
  kRunningMean,  ///< its input to the join is the mean of its rows so far
};
struct ScheduleConfig {
  Visit visit = Visit::kTogether;
  Tail tail = Tail::kShared;
  std::vector<std::string> average;  ///< segments averaged over their replicas at round end, weighted by samples
  std::vector<std::string> hand_on;  ///< segments handed from site to site with their optimizer, sealed for the other sites
  ParticipationConfig participation;
  MissingParty missing_party = MissingParty::kAbort;
};

// ---- data -------------------------------------------------------------------------------------------------------------
struct TableConfig {
  std::filesystem::path path;  ///< local: .csv or .csv.gz; "{site}" in it: each site has a file of its own
  std::string label;
  std::vector<std::string> classes;   ///< label texts in class order; empty: the label is a number (regression)
  std::vector<std::string> features;  ///< numeric columns; empty: all columns without another role
  std::map<std::string, std::vector<std::string>> categories;  ///< column -> known values, one-hot
  std::vector<std::string> missing;   ///< texts that mean "not there"; imputed by the centre, with an indicator column
  std::vector<std::string> missing_columns;  ///< feature columns where such texts may stand; a mark elsewhere is an error
  std::vector<std::string> drop;
  std::vector<std::string> columns;   ///< names of the columns of a file without a header line; empty: it has one
  std::map<std::string, std::vector<std::string>> class_texts;  ///< class -> texts that mean it; else the class's own name
  std::string group;                  ///< column whose equal texts (one patient) stay at one site and in one split
  std::map<std::string, std::vector<std::string>> missing_in;  ///< column -> texts that mean "not there" in this column alone
  std::map<std::string, std::map<std::string, double>> numbers;  ///< column -> text -> the number it stands for ("> 89" -> 90)
  /// Column -> word -> what becomes that word: texts, or number ranges "390-459" (both ends belong to it).
  std::map<std::string, std::map<std::string, std::vector<std::string>>> ranges;
  std::map<std::string, std::vector<std::string>> keep;       ///< only rows whose text in the column is one of these
  std::map<std::string, std::vector<std::string>> leave_out;  ///< rows that are not records of the study
  std::string first_of;               ///< column: of rows with equal texts only the first is a record
  std::string id;                     ///< vertical: column that names the record at every party; unique, never leaves, never a feature
};
enum class Layout { kRows, kImages, kSignals };
struct ArraysConfig {
  std::filesystem::path path;  ///< local: .npz, or a folder of .npy; "{site}" as in TableConfig
  std::string train_features, train_labels, validation_features, validation_labels, test_features, test_labels;
  double divide_by = 1.0;      ///< applied to the raw numbers, for example 255
  std::optional<Layout> layout;  ///< absent: 2-D arrays are rows, 3-D and 4-D are images; signals [N, L] become [N, 1, L, 1]
  std::string train_groups;      ///< as TableConfig::group, for the training array
  std::int64_t classes = 2;
  std::vector<std::int64_t> class_values;  ///< raw label values in class order; records with other values are left out. Empty: 0, 1, ...
};
enum class Standardize { kNone, kConstants, kTraining };
enum class PartitionBy { kEvenly, kColumn, kLabelSkew };
struct DataConfig {
  std::optional<TableConfig> table;
  std::optional<ArraysConfig> arrays;
  Standardize standardize = Standardize::kNone;
  std::vector<double> centre, scale;  ///< kConstants: one each, or one per feature column
  double validation_fraction = 0.0;   ///< tables: share of each site's records
  double test_fraction = 0.0;
  std::int64_t folds = 0;             ///< cross-validation: the test records are one of so many equal parts; 0: test_fraction says
  std::int64_t fold = 0;              ///< which part, from 0
  std::vector<std::string> sites;     ///< names of the hospitals, in order
  PartitionBy partition = PartitionBy::kEvenly;
  std::string partition_column;       ///< kColumn: the table column (or array) whose text is the site name
  double partition_alpha = 0.5;       ///< kLabelSkew: Dirichlet concentration
  std::map<std::string, std::vector<std::string>> party_columns;  ///< vertical: party -> columns it holds
  std::map<std::string, TableConfig> party_tables;  ///< vertical: each party's own file, aligned by its `id` before training
  std::string split_party;  ///< vertical: the party whose file (labels, group) decides the splits; empty: the label holder
  std::vector<std::int64_t> record_shape;  ///< shape of one record as the front sees it, [30] or [28, 28, 1]: the server holds
                                           ///< no data and needs it; data holders check it against their files
  std::map<std::string, std::vector<std::int64_t>> party_shapes;  ///< the same per party of a vertical study
  std::int64_t augment_shift = 0;     ///< images: random shift in pixels, training only, at the client
};

// ---- network and training ---------------------------------------------------------------------------------------------
struct NetworkConfig {
  NetworkSpec whole;                            ///< cut into the topology's segments in order ...
  std::vector<std::string> cuts;                ///< ... after these layers
  std::map<std::string, NetworkSpec> segments;  ///< or each segment by itself
  std::vector<std::string> frozen;              ///< segments that never train (public fronts)
};
enum class Keep { kLast, kBest };        ///< whose weights the run ends with: the last epoch's, or the best validated one's
enum class StopMetric { kLoss, kAuc };
struct TrainingConfig {
  LossKind loss = LossKind::kBinaryCrossEntropy;
  std::int64_t epochs = 1;
  std::int64_t batch_size = 32;    ///< records of a step; with visit: together shared among the sites by size
  std::int64_t micro_batches = 1;  ///< parts of a site's share in flight at once; one update for all
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  double learning_rate = 1e-3;
  double momentum = 0.9;
  double weight_decay = 0.0;
  double clip_gradients = 0.0;  ///< max norm of a segment's gradient, 0: off
  RateSchedule rate_schedule = RateSchedule::kConstant;
  double warmup_fraction = 0.0;  ///< share of all steps with a linear ramp
  std::int64_t step_epochs = 10;  ///< kStep: epochs between drops
  double step_factor = 0.1;
  std::int64_t evaluate_every = 1;  ///< epochs between validation passes; 0: only at the end
  std::int64_t stale = 0;  ///< steps that may be begun before the updates of earlier ones; their weights are stashed
  std::vector<double> class_weights;  ///< of each class in the loss; empty: all 1
  Keep keep = Keep::kLast;
  StopMetric stop_metric = StopMetric::kLoss;  ///< validation figure that decides what is best
  std::int64_t patience = 0;  ///< validation passes without a better figure after which training ends; 0: never early
  double min_delta = 0.0;     ///< what counts as better
};

// ---- privacy: no defaults for anything that decides ---------------------------------------------------------------------
enum class Mechanism { kNone, kRows };
enum class Regime { kMessageNoise, kReleaseOnce };
enum class Relation { kReplaceOne, kReplaceOneNonnegative, kZeroOut };
enum class LabelPolicy { kPublic };  ///< labels travel in clear by declared policy
struct PrivacyConfig {
  Mechanism mechanism = Mechanism::kNone;
  std::string because;  ///< kNone: the stated reason, printed in every report
  Regime regime = Regime::kMessageNoise;
  Relation relation = Relation::kReplaceOne;
  double epsilon = 0.0;  ///< hard budget of any record's row releases
  double delta = 0.0;
  std::optional<double> noise_multiplier;  ///< absent: calibrated so that the planned releases just fit the budget
  double clip_norm = 1.0;
  bool scale_to_norm = false;   ///< rows are scaled up to the norm too, not only clipped down
  DType wire = DType::kInt8;    ///< kInt8 or kInt16
  std::optional<LabelPolicy> labels;  ///< required when labels cross to another party
  std::vector<double> no_data_rule;   ///< public weights of the row that need no data: one value for all, or one per column
};

// ---- this machine: never part of the agreed plan ------------------------------------------------------------------------
struct ConnectionConfig {
  std::string endpoint;                    ///< tcp://host:port: the server binds it, clients dial it
  std::filesystem::path server_public_key;
  std::filesystem::path secret_key;        ///< server: its own; "{site}" is replaced by the site name at clients
  std::filesystem::path authorised;        ///< server: site names and their public keys
  std::filesystem::path ledger;            ///< privacy ledger of this data owner, kept over runs; empty: in the run's folder
  std::filesystem::path peers;             ///< client: the other sites' public keys; what is sealed for them needs it
  double deadline_s = 600.0;               ///< silence after which a party gives up
};
/// What computes, in float32, where a device cannot be used; kNone: the party ends.
enum class Fallback { kNone, kOnednn, kReference };
struct ComputeConfig {
  Backend backend = Backend::kReference;
  int threads = 1;
  DType precision = DType::kFloat32;
  Math math = Math::kIeee;
  Fallback fallback = Fallback::kNone;
};
/// Of unguarded activations and gradients. kInt8: one scale per record; gradients carry their rounding error on to the same
/// record's next one (error feedback).
enum class Codec { kFloat32, kBfloat16, kInt8 };
struct WireConfig {
  Codec activation = Codec::kFloat32;
  Codec gradient = Codec::kFloat32;
};

/// A whole study file, parsed once, then const. shared_text() of the resolved config is what the plan digest covers.
struct StudyConfig {
  std::string study;
  std::uint64_t seed = 0;
  TopologyConfig topology;
  ScheduleConfig schedule;
  DataConfig data;
  NetworkConfig network;
  TrainingConfig training;
  PrivacyConfig privacy;
  WireConfig wire;
  std::optional<ConnectionConfig> connection;
  std::map<std::string, ComputeConfig> compute;  ///< party name, or "default"
  std::filesystem::path output;                  ///< folder of the run
  std::int64_t control_permutations = 20;        ///< permuted-label controls of a private result
};

/// Compute settings of a party: its own entry, or "default".
inline ComputeConfig compute_of(const StudyConfig& study, const std::string& party) {
  const auto own = study.compute.find(party);
  const auto other = study.compute.find("default");
  return own != study.compute.end() ? own->second : other != study.compute.end() ? other->second : ComputeConfig{};
}

}  // namespace sutura
