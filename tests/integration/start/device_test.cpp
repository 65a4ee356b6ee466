// A study that asks for a GPU, on a machine without one: one line says why, and the party ends or falls back as its study says.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "kernels/device_ops.h"
#include "tests/integration/start/refused_start.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kDevice = 71;
const std::filesystem::path kModules = std::filesystem::path(SUTURA_BIN_DIR).parent_path() / "lib";

/// The line that this machine and build call for.
std::string why_not(Backend backend) {
  try {
    device_ops(backend);
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

class DeviceStart : public RefusedStart {
 protected:
  void SetUp() override {
    if (why_not(Backend::kNative).empty()) GTEST_SKIP() << "this machine has a GPU";
    make_keys();
  }
  void TearDown() override { ::unsetenv("SUTURA_MODULES"); }

  static std::ptrdiff_t lines(const std::string& text) { return std::ranges::count(text, '\n'); }
  /// Server and client refuse to start with one line each, the same but for the party's name, which is taken off.
  std::string refused_everywhere(const std::string& backend) {
    std::string said;
    for (const std::string program : {"sutura-server", "sutura-client"}) {
      const bool server = program == "sutura-server";
      const std::string key = std::string("compute.") + (server ? "server" : "hospital") + ".backend=" + backend;
      const Overrides overrides = server ? server_overrides({key}) : client_overrides({key, "connection.endpoint=tcp://127.0.0.1:1"});
      std::vector<std::string> first;
      if (!server) first = {"--site", kHospitalA};
      const std::string text = refused(program, with(study, overrides, first), kDevice);
      EXPECT_EQ(lines(text), 1) << text;
      const std::string party = std::string(" (party ") + (server ? "server" : "hospital") + ")\n";
      EXPECT_THAT(text, EndsWith(party));
      const std::string line = text.substr(0, text.size() - std::min(text.size(), party.size()));
      EXPECT_TRUE(said.empty() || line == said) << line;
      said = line;
    }
    return said;
  }
};

TEST_F(DeviceStart, WithoutAGpuServerAndClientSayWhyInOneLineAndEnd) {
  EXPECT_THAT(refused_everywhere("native"), HasSubstr(why_not(Backend::kNative)));
}

TEST_F(DeviceStart, TheModuleIsOpenedBeforeTheGpuIsMissed) {
  const std::string said = refused_everywhere("cudnn");
  if (!std::filesystem::exists(kModules / "sutura_cudnn.so")) {
    EXPECT_THAT(said, AllOf(HasSubstr("cudnn backend"), HasSubstr(why_not(Backend::kCudnn))));
  } else {
    EXPECT_THAT(said, MatchesRegex(".*the cudnn backend cannot be used here: .* \\(cuDNN 9\\.[0-9]+\\.[0-9]+, cuBLAS [0-9.]+ found\\)"));
  }
}

TEST_F(DeviceStart, AModuleThatIsMissingOrNotOursIsNamed) {
  if (!std::filesystem::exists(kModules / "sutura_cudnn.so")) GTEST_SKIP() << "built without the cudnn module";
  ::setenv("SUTURA_MODULES", folder().c_str(), 1);
  EXPECT_THAT(refused_everywhere("cudnn"), AllOf(HasSubstr("the cudnn backend cannot be used here: "), HasSubstr("No such file")));
  ::setenv("SUTURA_MODULES", (std::filesystem::path(SUTURA_FOREIGN_MODULES) / "other_build").c_str(), 1);
  EXPECT_THAT(refused_everywhere("cudnn"), HasSubstr("sutura_cudnn.so is of another build than this program"));
  ::setenv("SUTURA_MODULES", (std::filesystem::path(SUTURA_FOREIGN_MODULES) / "no_module").c_str(), 1);
  EXPECT_THAT(refused_everywhere("cudnn"), HasSubstr("sutura_cudnn.so is not a module of Sutura"));
}

TEST_F(DeviceStart, AsConfiguredTheCpuTakesOverAndTheSummarySaysSo) {
  for (const std::string fallback : {"onednn", "reference"}) {
    const auto process = start("sutura", {"simulate", study.string(), "--quiet", "--output", "out/" + fallback, "training.epochs=1",
                                          "compute.server.backend=native", "compute.server.precision=tf32", "compute.server.fallback=" + fallback});
    expect_exit(*process, 0);
    EXPECT_EQ(lines(process->err()), 1) << process->err();
    EXPECT_THAT(process->err(), AllOf(HasSubstr("server: " + why_not(Backend::kNative)), HasSubstr("; " + fallback + " computes")));
    const std::string backend = summary(fallback).at("backend").get<std::string>();
    EXPECT_THAT(backend, AllOf(StartsWith(fallback), HasSubstr("f32"), HasSubstr("; " + why_not(Backend::kNative))));
  }
}

TEST_F(DeviceStart, APartyThatAsksForNoDeviceIsNotAskedAboutOne) {
  const auto process = start("sutura", {"simulate", study.string(), "--quiet", "--output", "out/cpu", "training.epochs=1",
                                        "compute.default.backend=onednn", "compute.default.fallback=reference"});
  expect_exit(*process, 0);
  EXPECT_EQ(process->err(), "");
  EXPECT_THAT(summary("cpu").at("backend").get<std::string>(), AllOf(StartsWith("onednn"), Not(HasSubstr("native"))));
}

}  // namespace
}  // namespace sutura::testing
