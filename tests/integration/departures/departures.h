#pragma once
#include "tests/integration/trial.h"

/// Runs of three hospitals from which one departs: killed without a word, so that only silence or its return tells.
namespace sutura::testing {

inline constexpr char kHospitalC[] = "hospital_c";

class Departures : public Trial {
 protected:
  using Crew = std::map<std::string, std::unique_ptr<Process>>;

  /// A shipped study of three hospitals that train for `epochs`, without noise or evaluation until the end.
  void choose(const std::string& name, int epochs);
  /// The server; returns when it listens.
  void start_server_of(const Overrides& own = {});
  void start_site(const std::string& name, const Overrides& own = {});
  void start_all(const std::vector<std::string>& names, const Overrides& own_of_server = {});
  /// Waits until the server has reported its first epoch, then kills the process.
  void kill_in_the_middle(const std::string& name);
  /// SIGKILL, and the end of the process.
  void kill(const std::string& name);
  Process& process(const std::string& name) { return *crew_.at(name); }
  void expect_exits(const std::vector<std::string>& names, int status);

  /// Lines of a server's decisions.jsonl.
  std::vector<nlohmann::json> decisions(const std::filesystem::path& run = "out") const;
  std::filesystem::path decisions_file() const { return output("server") / "decisions.jsonl"; }
  /// A decisions file with these lines.
  std::filesystem::path write_decisions(const std::string& name, const std::vector<nlohmann::json>& lines) const;
  std::vector<nlohmann::json> decisions_of(const std::string& event, const std::string& who) const;

  /// `sutura simulate STUDY --replay FILE` into a folder of its own, which must end with this exit status.
  std::filesystem::path replay(const std::filesystem::path& decisions, const std::string& output, const Overrides& more = {}, int status = 0);
  /// Names of weight and optimizer files of these processes that differ between two runs, or that only one has.
  std::vector<std::string> different_files(const std::filesystem::path& a, const std::filesystem::path& b,
                                           const std::vector<std::string>& names) const;

 private:
  Crew crew_;
};

}  // namespace sutura::testing
