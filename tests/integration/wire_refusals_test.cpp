// A hospital that breaks the protocol after it was welcomed: it is told why and lost; the other hospital finishes.
#include <csignal>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/integration/raw_site.h"
#include "tests/integration/rogue.h"
#include "tests/integration/trial.h"
#include "transport/socket_options.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const Overrides kGuarded{"training.epochs=2"};
const Overrides kUnguarded{"training.epochs=2", "privacy.mechanism=none", "privacy.because=test"};

void put_float(Message& m, float value) { std::memcpy(m.tensors[0].data.data(), &value, sizeof value); }
void reshape(Message& m, const Shape& shape) {
  m.tensors[0].shape = shape;
  m.tensors[0].data.resize(static_cast<std::size_t>(shape.elements()) * size_bytes(m.tensors[0].dtype));
}

class WireRefusal : public Trial {
 protected:
  /// Both ends of the story, once the rogue has done its deed.
  void expect_others_finish(Process& server, Process& honest, const std::string& why) {
    expect_exit(honest, 0);
    expect_exit(server, 0);
    EXPECT_THAT(dropped(), ElementsAre(AllOf(StartsWith("hospital_b: "), HasSubstr(why))));
    EXPECT_FALSE(summary(kHospitalA).at("interrupted").get<bool>());
    EXPECT_EQ(summary(kHospitalA).at("epochs"), 2);
    EXPECT_EQ(metrics(kHospitalA).size(), 2u);
    EXPECT_TRUE(metrics(kHospitalA).back().at("train_loss").is_number());
    EXPECT_TRUE(std::filesystem::exists(output("server") / "weights" / "tail.safetensors"));
  }
};

struct Deed {
  const char* name;
  Overrides study;
  Errc code;        ///< of the refusal that the rogue hears
  const char* why;  ///< in that refusal and in the server's summary
  void (*act)(LinkedRogue& link, const Rogue& mind);
};
void PrintTo(const Deed& d, std::ostream* out) { *out << d.name; }

void whole_epoch(LinkedRogue& link, const Rogue& mind, std::size_t steps) {
  for (std::size_t s = 0; s < steps; ++s) {
    const Step step = mind.step(s);
    link.send(mind.rows(step));
    link.send(mind.labels(step));
  }
}
constexpr std::size_t kStepsOfAnEpoch = 11;  // 341 training records in steps of 32

const Deed kDeeds[] = {
    {"RowsOfAnotherWidth", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       reshape(m, Shape{mind.part(mind.step()).count, 7});
       link.send(std::move(m));
     }},
    {"OneRowMore", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       reshape(m, Shape{mind.part(mind.step()).count + 1, 8});
       link.send(std::move(m));
     }},
    {"AnotherRank", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       reshape(m, Shape{mind.part(mind.step()).count * 8});
       link.send(std::move(m));
     }},
    {"NoRows", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       reshape(m, Shape{0, 8});
       link.send(std::move(m));
     }},
    {"FloatsForGuardedRows", kGuarded, Errc::kProtocol, "the plan expects int8, the peer sent f32",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       const Shape shape = m.tensors[0].shape;
       m.tensors[0].dtype = DType::kFloat32;
       reshape(m, shape);
       link.send(std::move(m));
     }},
    {"TwoTensors", kGuarded, Errc::kProtocol, "another number of tensors",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       m.tensors.push_back(m.tensors[0]);
       link.send(std::move(m));
     }},
    {"ALabelOutsideTheClasses", kGuarded, Errc::kProtocol, "a label is outside the study's classes",
     [](LinkedRogue& link, const Rogue& mind) {
       link.send(mind.rows(mind.step()));
       Message m = mind.labels(mind.step());
       m.tensors[0].data[0] = std::byte{2};
       link.send(std::move(m));
     }},
    {"TooFewLabels", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       link.send(mind.rows(mind.step()));
       Message m = mind.labels(mind.step());
       reshape(m, Shape{mind.part(mind.step()).count - 1});
       link.send(std::move(m));
     }},
    {"UnguardedNan", kUnguarded, Errc::kProtocol, "front>tail holds NaN or infinity",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       put_float(m, std::numeric_limits<float>::quiet_NaN());
       link.send(std::move(m));
     }},
    {"UnguardedInfinity", kUnguarded, Errc::kProtocol, "front>tail holds NaN or infinity",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       put_float(m, -std::numeric_limits<float>::infinity());
       link.send(std::move(m));
     }},
    {"UnguardedNumbersThatOverflow", kUnguarded, Errc::kProtocol, "holds a number beyond a million",
     [](LinkedRogue& link, const Rogue& mind) {
       Message m = mind.rows(mind.step());
       // All patterns of signs: one of them goes with the signs of some unit's weights.
       std::vector<float> huge(m.tensors[0].data.size() / sizeof(float));
       for (std::size_t i = 0; i < huge.size(); ++i)
         huge[i] = ((i / 8 * 37 + 11) >> (i % 8)) & 1 ? std::numeric_limits<float>::max() : std::numeric_limits<float>::lowest();
       std::memcpy(m.tensors[0].data.data(), huge.data(), m.tensors[0].data.size());
       link.send(std::move(m));
       link.send(mind.labels(mind.step()));
     }},
    {"NanInTheWeightsOfARound", kGuarded, Errc::kProtocol, "a weights message holds NaN or infinity",
     [](LinkedRogue& link, const Rogue& mind) {
       whole_epoch(link, mind, kStepsOfAnEpoch);
       Message m = mind.front_weights(0);
       put_float(m, std::numeric_limits<float>::quiet_NaN());
       link.send(std::move(m));
     }},
    {"WeightsOfAnotherSize", kGuarded, Errc::kProtocol, "the plan expects",
     [](LinkedRogue& link, const Rogue& mind) {
       whole_epoch(link, mind, kStepsOfAnEpoch);
       Message m = mind.front_weights(0);
       reshape(m, Shape{m.tensors[0].shape.elements() + 1});
       link.send(std::move(m));
     }},
};

class BadMessage : public WireRefusal, public ::testing::WithParamInterface<Deed> {};

TEST_P(BadMessage, EndsThatHospitalsPartOnly) {
  make_keys();
  shared = GetParam().study;
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
  rogue.join();
  GetParam().act(rogue, mind);
  const Error told = rogue.refusal();
  ASSERT_EQ(told.code(), GetParam().code) << told.what();
  EXPECT_THAT(told.what(), HasSubstr(GetParam().why));
  expect_others_finish(*server, *honest, GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(Wire, BadMessage, ::testing::ValuesIn(kDeeds),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(WireRefusal, AnHonestRogueWouldNotBeLost) {
  // The control of all tests here: the same rogue, unbent, goes through the first epoch.
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
  rogue.join();
  whole_epoch(rogue, mind, kStepsOfAnEpoch);
  rogue.send(mind.front_weights(0));
  EXPECT_TRUE(server->says("epoch 1/2")) << server->err();
  EXPECT_THAT(server->err(), ::testing::Not(HasSubstr("lost")));
}

TEST_F(WireRefusal, AHospitalThatSaysItWasStoppedStopsNobodyElse) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
  rogue.join();
  rogue.send(to_message(Reject{Errc::kInterrupted, false, "stopped here", ""}));
  expect_others_finish(*server, *honest, "stopped here");
}

TEST_F(WireRefusal, AHospitalThatLeavesWhileItsAnswerIsMade) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  ASSERT_TRUE(server->says("hospital_a joined"));
  honest->send_signal(SIGSTOP);  // the server waits for this hospital first
  {
    Rogue mind(study, client_overrides({}), kHospitalB);
    LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
    rogue.join();
    rogue.send(mind.rows(mind.step()));
    rogue.send(mind.labels(mind.step()));
    rogue.send(to_message(Reject{Errc::kInterrupted, false, "gone", ""}));
  }  // everything has been acknowledged here
  honest->send_signal(SIGCONT);
  expect_others_finish(*server, *honest, "gone");
}

/// Begins a session by hand and waits until it is welcomed.
void begin(RawSite& raw, const Rogue& mind) {
  raw.send(1, to_message(mind.hello()));
  ASSERT_TRUE(raw.receive(MessageType::kWelcome)) << "no WELCOME";
}

TEST_F(WireRefusal, AnOversizedFrame) {
  make_keys();
  // The connection is cut; the site itself might come back, so the server waits for its deadline.
  const auto server = start_server({"connection.deadline_s=5"});
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  RawSite raw(endpoint(), key("server.public"), key("hospital_b.secret"));
  begin(raw, mind);
  raw.send({Bytes(LinkSettings{}.max_frame_bytes + kFrameSlack + 1)});
  EXPECT_TRUE(raw.sees(ZMQ_EVENT_DISCONNECTED));
  expect_others_finish(*server, *honest, "while waiting for front>tail");
}

TEST_F(WireRefusal, ASizeBombInARefusal) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  RawSite raw(endpoint(), key("server.public"), key("hospital_b.secret"));
  begin(raw, mind);
  raw.send(2, control_message(MessageType::kReject, size_bomb(2)));
  const auto told = raw.receive(MessageType::kReject);
  ASSERT_TRUE(told);
  EXPECT_THAT(from_message<Reject>(*told).text, HasSubstr("a field of a control message is too long"));
  expect_others_finish(*server, *honest, "a field of a control message is too long");
}

TEST_F(WireRefusal, BytesThatAreNoMessage) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  RawSite raw(endpoint(), key("server.public"), key("hospital_b.secret"));
  begin(raw, mind);
  raw.send({Bytes(kHeaderBytes), Bytes(3)});
  expect_others_finish(*server, *honest, "malformed message");
}

TEST_F(WireRefusal, TheSameNumberWithOtherContent) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  Rogue mind(study, client_overrides({}), kHospitalB);
  RawSite raw(endpoint(), key("server.public"), key("hospital_b.secret"));
  raw.send(1, to_message(mind.hello()));
  const auto welcome = raw.receive(MessageType::kWelcome);
  ASSERT_TRUE(welcome);
  const Welcome w = from_message<Welcome>(*welcome);
  SessionTerms session{w.run, {}};
  for (const auto& row : w.sizes)
    session.sizes.push_back(
        {static_cast<std::int64_t>(row[0]), static_cast<std::int64_t>(row[1]), static_cast<std::int64_t>(row[2])});
  mind.welcomed(session);
  Message m = mind.rows(mind.step());
  raw.send(2, m);
  m.tensors[0].data[0] = std::byte{1};
  raw.send(2, m);
  expect_others_finish(*server, *honest, "equivocation");
}

TEST_F(WireRefusal, ASizeBombInAHelloDoesNotKeepTheRealSiteOut) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  {
    RawSite raw(endpoint(), key("server.public"), key("hospital_b.secret"));
    raw.send(1, control_message(MessageType::kHello, size_bomb(4)));
    const auto told = raw.receive(MessageType::kReject);
    ASSERT_TRUE(told);
    EXPECT_EQ(from_message<Reject>(*told).code, Errc::kProtocol);
    EXPECT_THAT(from_message<Reject>(*told).text, HasSubstr("a field of a control message is too long"));
  }
  EXPECT_TRUE(server->says("refused hospital_b: a field of a control message is too long"));
  const auto real = start_client(kHospitalB);
  for (Process* p : {real.get(), honest.get(), server.get()}) expect_exit(*p, 0);
  EXPECT_THAT(dropped(), ElementsAre());
}

TEST_F(WireRefusal, TheKeyOfOneSiteDoesNotSpeakForAnother) {
  make_keys();
  const auto server = start_server();
  const auto honest = start_client(kHospitalA);
  {
    Rogue mind(study, client_overrides({}), kHospitalA);
    LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
    rogue.send(to_message(mind.hello()));
    const Error told = rogue.refusal();
    EXPECT_EQ(told.code(), Errc::kAuthentication) << told.what();
    EXPECT_THAT(told.what(), HasSubstr("the key belongs to another site"));
  }
  const auto real = start_client(kHospitalB);
  for (Process* p : {real.get(), honest.get(), server.get()}) expect_exit(*p, 0);
}

TEST_F(WireRefusal, AHospitalThatLeavesBeforeTheStart) {
  make_keys();
  const auto server = start_server();
  {
    Rogue mind(study, client_overrides({}), kHospitalB);
    LinkedRogue rogue(mind, endpoint(), key("server.public"), key("hospital_b.secret"));
    rogue.send(to_message(mind.hello()));
    EXPECT_TRUE(server->says("hospital_b joined (1 of 2)"));
  }
  const auto honest = start_client(kHospitalA);
  expect_others_finish(*server, *honest, "hospital_b");
}

}  // namespace
}  // namespace sutura::testing
