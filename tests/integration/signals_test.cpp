// Ctrl-C: the step in hand is finished, what was learned is saved, the exit status is 75, and the others are not harmed.
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kInterrupted = 75;

class Signals : public Trial {
 protected:
  Signals() { shared = {"privacy.mechanism=none", "privacy.because=test", "training.evaluate_every=0"}; }
  void expect_saved(const std::string& party, const std::string& segment) {
    const auto s = summary(party);
    EXPECT_TRUE(s.at("interrupted").get<bool>()) << party;
    EXPECT_GE(s.at("epochs").get<int>(), 1) << party;
    EXPECT_GT(content_of(output(party) / "weights" / (segment + ".safetensors")).size(), 100u) << party;
    EXPECT_FALSE(metrics(party).empty());
  }
};

TEST_F(Signals, AClientThatIsStoppedSavesAndTheOthersFinish) {
  make_keys();
  shared.push_back("training.epochs=60");
  const auto server = start_server();
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  ASSERT_TRUE(b->says("epoch 1/60")) << b->err();
  b->send_signal(SIGINT);
  expect_exit(*b, kInterrupted);
  EXPECT_THAT(b->out(), HasSubstr("interrupted: what was learned so far is saved"));
  expect_saved(kHospitalB, "front");
  expect_exit(*a, 0);
  expect_exit(*server, 0);
  EXPECT_THAT(dropped(), ElementsAre(StartsWith("hospital_b: ")));
  EXPECT_THAT(dropped()[0], HasSubstr("stopped"));
  EXPECT_EQ(metrics("server").size(), 60u);
  EXPECT_EQ(metrics(kHospitalA).size(), 60u);
  EXPECT_FALSE(summary(kHospitalA).at("interrupted").get<bool>());
}

TEST_F(Signals, AStoppedServerStopsAndSavesEverybody) {
  make_keys();
  shared.push_back("training.epochs=100000");
  const auto server = start_server();
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  ASSERT_TRUE(a->says("epoch 1/100000")) << a->err();
  ASSERT_TRUE(b->says("epoch 1/100000")) << b->err();
  server->send_signal(SIGTERM);
  expect_exit(*server, kInterrupted);
  expect_exit(*a, kInterrupted);
  expect_exit(*b, kInterrupted);
  expect_saved("server", "tail");
  expect_saved(kHospitalA, "front");
  expect_saved(kHospitalB, "front");
}

TEST_F(Signals, AServerThatIsStoppedWhileItWaitsTellsWhoIsThere) {
  make_keys();
  const auto server = start_server();
  const auto a = start_client(kHospitalA);
  ASSERT_TRUE(server->says("hospital_a joined"));
  server->send_signal(SIGINT);
  expect_exit(*server, kInterrupted);
  EXPECT_THAT(server->err(), HasSubstr("stopped while waiting for the clients"));
  expect_exit(*a, kInterrupted);
  EXPECT_FALSE(std::filesystem::exists(output("server")));
}

TEST_F(Signals, ASecondSignalEndsTheProcessAtOnce) {
  make_keys();
  const auto a = start_client(kHospitalA, {"connection.endpoint=tcp://127.0.0.1:1"});
  ASSERT_TRUE(a->says("dialing"));
  a->send_signal(SIGINT);
  a->send_signal(SIGTERM);
  expect_exit(*a, 130);
}

TEST_F(Signals, AKilledHospitalIsLostAndTheOtherFinishes) {
  make_keys();
  shared.push_back("training.epochs=60");
  // A killed process says no goodbye: the server goes on once its deadline has passed.
  const auto server = start_server({"connection.deadline_s=5"});
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  ASSERT_TRUE(b->says("epoch 1/60")) << b->err();
  b->send_signal(SIGKILL);
  expect_exit(*b, 128 + SIGKILL);
  expect_exit(*a, 0);
  expect_exit(*server, 0);
  EXPECT_THAT(dropped(), ElementsAre(StartsWith("hospital_b: ")));
  EXPECT_EQ(metrics(kHospitalA).size(), 60u);
}

}  // namespace
}  // namespace sutura::testing
