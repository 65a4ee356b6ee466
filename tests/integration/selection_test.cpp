// Early stopping and the best weights over real processes: all parties end at the same pass, with the weights of the same one,
// and say so.
#include <nlohmann/json.hpp>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SelectionTrial : public Trial {
 protected:
  /// Nothing is better by 100, so training ends two passes after the first.
  void run_all() {
    make_keys();
    shared = {"training.epochs=9", "training.evaluate_every=1", "training.keep=best", "training.early_stopping.patience=2",
              "training.early_stopping.min_delta=100", "privacy.epsilon=2000", "data.sites=[hospital_a, hospital_b]"};
    const auto server = start_server();
    const auto a = start_client(kHospitalA);
    const auto b = start_client(kHospitalB);
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
    for (const Process* p : {a.get(), b.get(), server.get()}) {
      EXPECT_THAT(p->err(), HasSubstr("epoch 3/9"));
      EXPECT_THAT(p->err(), Not(HasSubstr("epoch 4/9")));
      EXPECT_THAT(p->out(), HasSubstr("stopped early after epoch 3: no better validation loss for 2 passes (better by more than 100); weights of epoch "));
    }
    server_out_ = server->out();
    const auto expected = summary("server").at("best_epoch");
    EXPECT_TRUE(expected.is_number());
    for (const std::string party : {"server", kHospitalA, kHospitalB}) {
      EXPECT_EQ(summary(party).at("epochs"), 3) << party;
      EXPECT_EQ(summary(party).at("stopped_early"), true) << party;
      EXPECT_EQ(summary(party).at("best_epoch"), expected) << party;
    }
  }
  std::string server_out_;
};

TEST_F(SelectionTrial, WithTheLossAtTheServer) {
  run_all();
  EXPECT_THAT(server_out_, HasSubstr("test records of each site\n"));
  for (const std::string site : {kHospitalA, kHospitalB})
    EXPECT_EQ(summary(site).at("sites").at(site), summary("server").at("sites").at(site));
}

TEST_F(SelectionTrial, WithTheLossAtTheHospitals) {
  study = shipped("wdbc_u_shaped.yaml");
  run_all();
  EXPECT_THAT(server_out_, Not(HasSubstr("test records of each site")));
  EXPECT_TRUE(summary("server").at("sites").empty());
  for (const std::string site : {kHospitalA, kHospitalB}) EXPECT_EQ(summary(site).at("sites").size(), 1u);
}

}  // namespace
}  // namespace sutura::testing
