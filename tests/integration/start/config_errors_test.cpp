// A study that is wrong: exit 3, a compiler's line on stderr, nothing written. tests/config holds every finding by itself;
// here all programs meet one of each kind, and those that only show when the study is compiled.
#include "tests/integration/start/refused_start.h"

namespace sutura::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr int kConfig = 3;

struct Edit {
  const char* name;
  const char* from;
  const char* to;
  const char* finding;  ///< how the report begins, from the folder of the study on
};
void PrintTo(const Edit& e, std::ostream* out) { *out << e.name; }

class ConfigError : public RefusedStart, public ::testing::WithParamInterface<Edit> {
 protected:
  std::filesystem::path edited() const {
    return write_study("study.yaml", replaced(content_of(shipped("wdbc_vanilla.yaml")), GetParam().from, GetParam().to));
  }
};

TEST_P(ConfigError, IsRefusedByEveryProgramAndNothingIsWritten) {
  make_keys();
  const auto path = edited();
  const std::string start_of_report = path.parent_path().string() + "/" + GetParam().finding;
  const std::string records = "data.table.path=" + shipped_records().string();
  EXPECT_THAT(refused("sutura-server", with(path, server_overrides({records})), kConfig), StartsWith(start_of_report));
  EXPECT_THAT(
      refused("sutura-client",
              with(path, client_overrides({records, "connection.endpoint=tcp://127.0.0.1:1"}), {"--site", kHospitalA}), kConfig),
      StartsWith(start_of_report));
  EXPECT_THAT(refused("sutura", with(path, {records}, {"simulate"}), kConfig), StartsWith(start_of_report));
  EXPECT_THAT(refused("sutura", {"plan", path.string(), records}, kConfig), StartsWith(start_of_report));
}

INSTANTIATE_TEST_SUITE_P(
    Study, ConfigError,
    ::testing::Values(
        Edit{
            "UnknownKey", "  batch_size: 32", "  bach_size: 32",
            "study.yaml:37:3: error: unknown key training.bach_size\n    bach_size: 32\n    ^\n  hint: did you mean batch_size?"},
        Edit{"DuplicateKey", "seed: 1\n", "seed: 1\nseed: 2\n", "study.yaml:14:1: error: duplicate key seed"},
        Edit{"WrongType", "  batch_size: 32", "  batch_size: many",
             "study.yaml:37:15: error: training.batch_size must be an integer"},
        Edit{"OutOfRange", "  epsilon: 250", "  epsilon: -1", "study.yaml:47:12: error: privacy.epsilon must be > 0 (got -1)"},
        Edit{"MissingKey", "  epsilon: 250\n", "", "study.yaml:42:1: error: privacy.epsilon is required"},
        Edit{"MissingSection", "\nprivacy:", "\nprivate:", "study.yaml:1:1: error: privacy is required"},
        Edit{"NoReasonForNoPrivacy", "  mechanism: rows\n", "  mechanism: none\n",
             "study.yaml:42:1: error: privacy.because is required"},
        Edit{"Tab", "  batch_size: 32", "\tbatch_size: 32", "study.yaml:37:1: error: a tab is used as indentation"},
        Edit{"MissingInclude", "topologies/vanilla.yaml", "topologies/none.yaml", "study.yaml:11:11: error: "},
        Edit{"NoSuchSegment", "average: [front]", "average: [frond]", "study.yaml:32:53: error: no segment is named frond"},
        Edit{"NoSuchLayer", "cuts: [act1]", "cuts: [act7]", "study.yaml:27:1: error: cannot cut after 'act7'"},
        Edit{"MoreClassesThanTheLossTakes", "classes: [B, M]", "classes: [B, M, N]",
             "study.yaml:27:1: error: binary cross entropy needs 2 classes, the data has 3"},
        Edit{"LossForOtherLabels", "loss: binary_cross_entropy", "loss: mean_squared_error",
             "study.yaml:35:3: error: mean_squared_error is for numbers"},
        Edit{"LabelsWithoutPolicy", "  labels: public\n", "",
             "topologies/vanilla.yaml:11:1: error: topology: the route y>loss sends labels"},
        Edit{"MoreNoiseThanTheTable", "epsilon: 250", "epsilon: 0.001",
             "study.yaml:42:1: error: the noise asked for is larger than the noise table reaches"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(RefusedStart, AllFindingsAreReportedAtOnce) {
  const std::string report =
      refused("sutura", with(study, {"training.epochs=0", "training.bach_size=1", "privacy.delta=2"}, {"simulate"}), kConfig);
  EXPECT_THAT(report, HasSubstr("training.epochs must be between"));
  EXPECT_THAT(report, HasSubstr("unknown key training.bach_size"));
  EXPECT_THAT(report, HasSubstr("privacy.delta must be"));
}

TEST_F(RefusedStart, NoStudyFile) {
  EXPECT_THAT(refused("sutura", with("none.yaml", {}, {"simulate"}), kConfig), StartsWith("none.yaml: error: "));
}

TEST_F(RefusedStart, AServerWithoutShapesListOrConnection) {
  make_keys();
  EXPECT_THAT(refused("sutura-server", with(study, server_overrides({"connection.endpoint=udp://127.0.0.1:1"})), kConfig),
              HasSubstr("error: connection.endpoint must be tcp://host:port"));
  const std::string text = content_of(study);
  const auto shapeless = write_study("shapeless.yaml", replaced(text, "  record_shape: [30]\n", ""));
  EXPECT_THAT(refused("sutura-server", with(shapeless, server_overrides({})), kConfig),
              MatchesRegex(".*/shapeless.yaml:[0-9]+:[0-9]+: error: the server holds no data(.|\n)*"));
  const auto listless = write_study("listless.yaml", replaced(text, "  authorised: ../keys/authorised\n", ""));
  EXPECT_THAT(refused("sutura-server", with(listless, {"connection.endpoint=tcp://127.0.0.1:*"}), kConfig),
              MatchesRegex(".*/listless.yaml:[0-9]+:[0-9]+: error: the server needs 'authorised'(.|\n)*"));
  const std::size_t at = text.find("connection:\n");
  const auto alone = write_study("alone.yaml", text.substr(0, at) + text.substr(text.find("compute:\n")));
  EXPECT_THAT(refused("sutura-client", with(alone, {}, {"--site", kHospitalA}), kConfig),
              MatchesRegex(".*/alone.yaml:[0-9]+:[0-9]+: error: there is no 'connection' section(.|\n)*"));
}

TEST_F(RefusedStart, ASiteThatTheStudyDoesNotHave) {
  EXPECT_THAT(refused("sutura-client", with(study, {}, {"--site", "hospital_z"}), 2),
              HasSubstr("no party or site 'hospital_z'; it has hospital_a, hospital_b, server"));
  EXPECT_THAT(refused("sutura-client", with(study, {}, {"--site", "server"}), 2),
              HasSubstr("'server' is the server: use sutura-server"));
}

TEST_F(RefusedStart, KeyFilesThatOthersMayRead) {
  make_keys();
  using std::filesystem::perms;
  const auto secret = key("hospital_a.secret");
  std::filesystem::permissions(secret, perms::owner_read | perms::owner_write | perms::group_read | perms::others_read);
  const std::string dead = "connection.endpoint=tcp://127.0.0.1:1";
  EXPECT_THAT(refused("sutura-client", with(study, client_overrides({dead}), {"--site", kHospitalA}), 4),
              HasSubstr("hospital_a.secret"));
  std::filesystem::permissions(key("server.secret"), perms::owner_read | perms::owner_write | perms::group_read);
  EXPECT_THAT(refused("sutura-server", with(study, server_overrides({})), 4), HasSubstr("server.secret"));
}

TEST_F(RefusedStart, KeyFilesThatAreMissingOrWrong) {
  make_keys();
  const std::string dead = "connection.endpoint=tcp://127.0.0.1:1";
  EXPECT_THAT(refused("sutura-client",
                      with(study, client_overrides({dead, "connection.secret_key=none.secret"}), {"--site", kHospitalA}), 4),
              HasSubstr("none.secret"));
  const auto text = write("not_a_key.public", "hello\n");
  EXPECT_THAT(
      refused("sutura-client",
              with(study, client_overrides({dead, "connection.server_public_key=" + text.string()}), {"--site", kHospitalA}), 4),
      HasSubstr("not_a_key.public"));
  const auto list = write("authorised", content_of(key("authorised")) + "hospital_c too_short\n");
  EXPECT_THAT(refused("sutura-server", with(study, server_overrides({"connection.authorised=" + list.string()})), 4),
              HasSubstr("authorised"));
}

}  // namespace
}  // namespace sutura::testing
