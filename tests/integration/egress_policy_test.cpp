// A hospital whose allow-list stands against a study, among real processes: nobody hears of it, and the study goes on without
// harm; and studies that stay within a list of guarded rows run under it.
#include <nlohmann/json.hpp>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class EgressPolicy : public Trial {
 protected:
  void expect_whole_run(const std::vector<Process*>& all) {
    for (Process* p : all) expect_exit(*p, 0);
    EXPECT_THAT(dropped(), ElementsAre());
  }
};

TEST_F(EgressPolicy, ARefusalIsNotHeardAtTheServerWhichWaitsOn) {
  make_keys();
  const auto server = start_server();
  const auto before = files();
  const auto refused = start_client(kHospitalB, {}, shipped("egress/guarded_rows.yaml"));
  expect_exit(*refused, 3);
  for (const char* part : {"the site policy 'guarded rows only'", "labels y>loss to server, in clear",
                           "weights front to server, in clear", "privacy.epsilon 250: "})
    EXPECT_THAT(refused->err(), HasSubstr(part));
  EXPECT_THAT(refused->err(), Not(HasSubstr("dialing")));
  EXPECT_EQ(files(), before) << "a refused client wrote something";
  EXPECT_THAT(server->err(), Not(HasSubstr(kHospitalB)));

  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB);
  expect_whole_run({a.get(), b.get(), server.get()});
}

TEST_F(EgressPolicy, ReleaseOnceRunsUnderGuardedRowsAndPublicLabels) {
  make_keys();
  study = shipped("wdbc_release_once.yaml");
  shared = {"training.epochs=3", "control_permutations=0"};
  const auto policy = shipped("egress/guarded_rows_public_labels.yaml");
  const auto server = start_server();
  const auto a = start_client(kHospitalA, {}, policy);
  const auto b = start_client(kHospitalB, {}, policy);
  expect_whole_run({a.get(), b.get(), server.get()});
  EXPECT_TRUE(summary(kHospitalA).at("auc").is_number());
}

TEST_F(EgressPolicy, ThreeHospitalsKeepTheirLabelsUnderGuardedRowsAlone) {
  make_keys({kHospitalA, kHospitalB, "hospital_c"});
  study = shipped("wdbc_u_shaped.yaml");
  const auto policy = shipped("egress/guarded_rows.yaml");
  // As it ships the study averages weights that were trained on records: not under this list.
  shared = {"training.epochs=1", "privacy.epsilon=8"};
  const auto averaged = start_client(kHospitalA, {"connection.endpoint=tcp://127.0.0.1:1"}, policy);
  expect_exit(*averaged, 3);
  EXPECT_THAT(averaged->err(), HasSubstr("weights head to server, in clear"));

  shared.push_back("schedule.average=[]");
  const auto server = start_server();
  std::vector<std::unique_ptr<Process>> clients;
  for (const char* site : {kHospitalA, kHospitalB, "hospital_c"}) clients.push_back(start_client(site, {}, policy));
  expect_whole_run({clients[0].get(), clients[1].get(), clients[2].get(), server.get()});
}

}  // namespace
}  // namespace sutura::testing
