#include "core/error.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace sutura {
namespace {

std::vector<Errc> all_codes() {
  std::vector<Errc> codes;
  for (int i = 0; i <= static_cast<int>(Errc::kProtocol); ++i) codes.push_back(static_cast<Errc>(i));
  return codes;
}

/// Words of docs/operations.md that stand only in the row of this code. No default: the compiler misses a new code.
std::string words_for(Errc code) {
  switch (code) {
    case Errc::kInternal:
    case Errc::kShapeMismatch:
    case Errc::kInvalidArgument: return "a bug in Sutura";
    case Errc::kUsage: return "command line";
    case Errc::kConfig: return "study file";
    case Errc::kAuthentication: return "authentication";
    case Errc::kNetwork: return "network";
    case Errc::kPlanMismatch: return "plans or versions differ";
    case Errc::kProtocol: return "protocol";
    case Errc::kData: return "data file";
    case Errc::kCheckpoint: return "no usable checkpoint";
    case Errc::kPrivacyBudget: return "privacy budget";
    case Errc::kDetector: return "detector";
    case Errc::kResources: return "memory, disk";
    case Errc::kDevice: return "device";
    case Errc::kInterrupted: return "interrupted by a signal";
  }
  return "?";
}

/// Status and meaning, from the table below "## Exit statuses".
std::map<int, std::string> documented_statuses() {
  std::ifstream file(SUTURA_SOURCE_DIR "/docs/operations.md");
  EXPECT_TRUE(file.good());
  std::map<int, std::string> rows;
  const std::regex row(R"(\| (\d+) \| ([^|]*) \|[^|]*\|)");
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) inside = line == "## Exit statuses";
    std::smatch match;
    if (!inside || !std::regex_match(line, match, row)) continue;
    EXPECT_TRUE(rows.emplace(std::stoi(match[1]), match[2]).second) << "twice: " << line;
  }
  return rows;
}

TEST(Error, ExitStatusesAreThoseOfTheOperationsPage) {
  const auto documented = documented_statuses();
  ASSERT_GE(documented.size(), 13u) << "the table was not found";
  std::set<int> used = {0, 130};  // done; the shell's number for a second SIGINT
  for (const Errc code : all_codes()) {
    std::set<int> found;
    for (const auto& [status, meaning] : documented)
      if (meaning.find(words_for(code)) != std::string::npos) found.insert(status);
    EXPECT_EQ(found, std::set<int>{exit_status(code)}) << name(code);
    used.insert(exit_status(code));
  }
  for (const auto& [status, meaning] : documented) EXPECT_TRUE(used.contains(status)) << status << " " << meaning;
}

TEST(Error, EveryCodeHasANameOfItsOwnAndIsAFailure) {
  std::set<std::string_view> names;
  for (const Errc code : all_codes()) {
    EXPECT_TRUE(names.insert(name(code)).second) << name(code);
    EXPECT_FALSE(name(code).empty());
    EXPECT_GT(exit_status(code), 0);
    EXPECT_LT(exit_status(code), 126) << "the shell's own statuses begin there";
  }
}

TEST(Error, KeepsCodeMessageAndPlace) {
  const Error e(Errc::kData, "row 7 is short");
  const std::string line = std::to_string(__LINE__ - 1);
  EXPECT_EQ(e.code(), Errc::kData);
  EXPECT_STREQ(e.what(), "row 7 is short");
  EXPECT_EQ(e.where(), std::string(__FILE__) + ":" + line);
}

TEST(Error, ContextIsAddedOnTheWayUp) {
  try {
    try {
      throw Error(Errc::kShapeMismatch, "[2, 3] is not [3, 2]").in("conv1");
    } catch (Error& e) {
      e.in("front of berlin").in("step 4");
      throw;
    }
  } catch (const std::exception& e) {
    EXPECT_STREQ(e.what(), "[2, 3] is not [3, 2] (conv1) (front of berlin) (step 4)");
    const auto* error = dynamic_cast<const Error*>(&e);
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(error->code(), Errc::kShapeMismatch) << "context never changes the code";
  }
}

TEST(Error, RequireThrowsOnlyIfNotMet) {
  EXPECT_NO_THROW(require(true, Errc::kConfig, "x"));
  try {
    require(false, Errc::kConfig, std::string("too many epochs"));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kConfig);
    EXPECT_STREQ(e.what(), "too many epochs");
    EXPECT_NE(e.where().find("error_test.cpp:"), std::string::npos) << "the caller's place, not require's: " << e.where();
  }
}

}  // namespace
}  // namespace sutura
