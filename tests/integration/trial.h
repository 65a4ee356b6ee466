#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace sutura::testing {

using Overrides = std::vector<std::string>;

inline constexpr char kHospitalA[] = "hospital_a";
inline constexpr char kHospitalB[] = "hospital_b";

/// A study with real programs on this machine: keys made by `sutura keys generate`, a server on a port of its own choice and
/// clients that dial it, all in a folder that goes away with the test. Programs run in that folder and write below out/.
class Trial : public ::testing::Test {
 protected:
  Trial();
  ~Trial() override;

  /// The study file and the overrides that all parties share; two epochs of wdbc_vanilla unless a test says otherwise.
  std::filesystem::path study;
  Overrides shared{"training.epochs=2"};

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path key(const std::string& name) const { return folder_ / "keys" / name; }
  std::filesystem::path output(const std::string& party) const { return folder_ / "out" / party; }

  /// `sutura keys generate` for the server and these clients, who are authorised and know each other's public keys.
  void make_keys(const std::vector<std::string>& clients = {kHospitalA, kHospitalB});
  /// A program of the build with these arguments.
  std::unique_ptr<Process> start(const std::string& program, const std::vector<std::string>& arguments) const;
  /// The server; returns when it listens. Clients started later dial it. `own` overrides are its alone.
  std::unique_ptr<Process> start_server(const Overrides& own = {});
  /// `egress`: the site's allow-list; empty: the one that lets everything leave.
  std::unique_ptr<Process> start_client(const std::string& site, const Overrides& own = {},
                                        const std::filesystem::path& egress = {}) const;
  /// Where the server listens.
  const std::string& endpoint() const { return endpoint_; }

  /// Overrides as a client or a server gets them.
  Overrides server_overrides(const Overrides& own) const;
  Overrides client_overrides(const Overrides& own) const;

  nlohmann::json summary(const std::string& party) const;
  std::vector<nlohmann::json> metrics(const std::string& party) const;
  /// What the server says about clients that it lost.
  std::vector<std::string> dropped() const;
  /// Relative path -> content of every file below the folder, keys left out.
  std::map<std::string, std::string> files() const;
  /// Writes a study file to configs/, beside a copy of the shipped topologies.
  std::filesystem::path write_study(const std::string& name, std::string_view text) const;
  /// Writes a file below the folder and returns its path.
  std::filesystem::path write(const std::string& name, std::string_view content) const;

 private:
  std::filesystem::path folder_;
  std::string endpoint_;
  mutable int fresh_ledgers_ = 0;
};

/// Content of a file, whole.
std::string content_of(const std::filesystem::path& path);
/// The shipped study of this name.
std::filesystem::path shipped(const std::string& name);
/// The shipped table of records.
std::filesystem::path shipped_records();
/// `text` with the one occurrence of `from` replaced.
std::string replaced(std::string text, std::string_view from, std::string_view to);

/// The program ends with this status; its output is part of a failure's message.
void expect_exit(Process& process, int status);

}  // namespace sutura::testing
