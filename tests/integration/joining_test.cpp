// Who gets in: keys, servers that are none, and studies that differ. Whoever is refused learns why; the others finish.
#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Joining : public Trial {
 protected:
  void expect_all_finish(Process& server, Process& a, Process& b) {
    expect_exit(a, 0);
    expect_exit(b, 0);
    expect_exit(server, 0);
    EXPECT_THAT(dropped(), ElementsAre());
    EXPECT_EQ(summary(kHospitalA).at("epochs"), 2);
    EXPECT_EQ(summary(kHospitalB).at("epochs"), 2);
  }
  /// Nobody wrote a run for this party.
  void expect_no_run(const std::string& party) {
    EXPECT_FALSE(std::filesystem::exists(output(party))) << party << " wrote its folder";
  }
};

TEST_F(Joining, AnUnknownKeyIsRefusedAndNamedByItsFingerprint) {
  make_keys();
  expect_exit(*start("sutura", {"keys", "generate", "stranger", "--folder", "other"}), 0);
  const auto server = start_server();
  const auto stranger = start_client(kHospitalB, {"connection.secret_key=" + (folder() / "other" / "stranger.secret").string()});
  expect_exit(*stranger, 4);
  EXPECT_THAT(stranger->err(), HasSubstr("the server refused this key"));
  const auto shown = start("sutura", {"keys", "show", "other/stranger.public"});
  expect_exit(*shown, 0);
  const std::string print = shown->out().substr(shown->out().find("fingerprint ") + 12, 16);
  EXPECT_THAT(stranger->err(), HasSubstr("fingerprint " + print));
  expect_no_run(kHospitalB);
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  expect_all_finish(*server, *a, *b);
}

TEST_F(Joining, AServerWithoutCurveGetsNothing) {
  make_keys();
  zmq::context_t context;
  zmq::socket_t plain(context, zmq::socket_type::router);
  plain.set(zmq::sockopt::linger, 0);
  plain.bind("tcp://127.0.0.1:*");
  const auto client = start_client(kHospitalA, {"connection.endpoint=" + plain.get(zmq::sockopt::last_endpoint)});
  expect_exit(*client, 4);
  EXPECT_THAT(client->err(), HasSubstr("not a Sutura server"));
  zmq::message_t nothing;
  EXPECT_FALSE(plain.recv(nothing, zmq::recv_flags::dontwait)) << "the client spoke to a server without a key";
  expect_no_run(kHospitalA);
}

TEST_F(Joining, AServerWithAnotherKeyGetsNothing) {
  make_keys();
  expect_exit(*start("sutura", {"keys", "generate", "impostor", "--folder", "other"}), 0);
  const auto server = start_server();
  const auto client =
      start_client(kHospitalA, {"connection.server_public_key=" + (folder() / "other" / "impostor.public").string()});
  expect_exit(*client, 4);
  EXPECT_THAT(client->err(), HasSubstr("wrong server key"));
  expect_no_run(kHospitalA);
  EXPECT_THAT(server->err(), Not(HasSubstr("joined")));
}

TEST_F(Joining, APlanThatDiffersIsRefusedWithKeyLineAndColumn) {
  make_keys();
  const std::string text = content_of(study);
  const auto edited = write_study("edited.yaml", replaced(text, "batch_size: 32", "batch_size: 64"));
  const std::string records = "data.table.path=" + shipped_records().string();
  const std::size_t at = content_of(edited).find("batch_size");
  const std::string before = content_of(edited).substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto column = 1 + at - (before.rfind('\n') + 1);

  const auto server = start_server();
  const auto original = study;
  study = edited;
  const auto other = start_client(kHospitalB, {records});
  expect_exit(*other, 6);
  EXPECT_THAT(other->err(), HasSubstr(edited.string() + ":" + std::to_string(line) + ":" + std::to_string(column) +
                                      ": plan differs: training.batch_size is 64 here and 32 at the server"));
  study = original;
  const auto overridden = start_client(kHospitalB, {"privacy.epsilon=251"});
  expect_exit(*overridden, 6);
  EXPECT_THAT(overridden->err(), HasSubstr("command line: plan differs: privacy.epsilon is 251 here and 250 at the server"));
  expect_no_run(kHospitalB);
  EXPECT_THAT(server->err(), HasSubstr("refused hospital_b: the study differs"));

  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  expect_all_finish(*server, *a, *b);
}

TEST_F(Joining, KeysThatAreLocalMayDiffer) {
  make_keys();
  const auto server = start_server();
  const auto a = start_client(kHospitalA, {"connection.deadline_s=77"});
  const auto b = start_client(kHospitalB, {"compute.default.threads=2"});
  expect_all_finish(*server, *a, *b);
}

TEST_F(Joining, ASiteThatRestartsBeforeTheStartJoinsAgain) {
  make_keys();
  const auto server = start_server();
  {
    const auto first = start_client(kHospitalA);
    EXPECT_TRUE(server->says("hospital_a joined (1 of 2)")) << server->err();
    first->send_signal(SIGKILL);
    expect_exit(*first, 128 + SIGKILL);
  }
  const auto a = start_client(kHospitalA);
  EXPECT_TRUE(server->says("hospital_a joined again")) << server->err();
  const auto b = start_client(kHospitalB);
  expect_all_finish(*server, *a, *b);
}

TEST_F(Joining, AMissingHospitalIsNamedAtTheDeadline) {
  make_keys();
  const auto server = start_server({"connection.deadline_s=3"});
  const auto a = start_client(kHospitalA);
  expect_exit(*server, 5);
  EXPECT_THAT(server->err(), HasSubstr("still missing: hospital_b"));
  expect_exit(*a, 5);
  EXPECT_THAT(a->err(), HasSubstr("still missing: hospital_b"));
  expect_no_run("server");
  expect_no_run(kHospitalA);
}

TEST_F(Joining, NobodyListens) {
  make_keys();
  const auto client = start_client(kHospitalA, {"connection.endpoint=tcp://127.0.0.1:1", "connection.deadline_s=1"});
  expect_exit(*client, 5);
  EXPECT_THAT(client->err(), HasSubstr("no WELCOME from the server: the deadline passed"));
  expect_no_run(kHospitalA);
}

}  // namespace
}  // namespace sutura::testing
