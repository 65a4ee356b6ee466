#include "tests/integration/departures/departures.h"

#include <csignal>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace sutura::testing {

namespace fs = std::filesystem;

void Departures::choose(const std::string& name, int epochs) {
  study = shipped(name + ".yaml");
  shared = {"training.epochs=" + std::to_string(epochs), "training.evaluate_every=0", "privacy.mechanism=none", "privacy.because=test"};
}

void Departures::start_server_of(const Overrides& own) { crew_["server"] = start_server(own); }

void Departures::start_site(const std::string& name, const Overrides& own) { crew_[name] = start_client(name, own); }

void Departures::start_all(const std::vector<std::string>& names, const Overrides& own_of_server) {
  make_keys(names);
  start_server_of(own_of_server);
  for (const std::string& n : names) start_site(n);
}

void Departures::kill(const std::string& name) {
  process(name).send_signal(SIGKILL);
  expect_exit(process(name), 128 + SIGKILL);
}

void Departures::kill_in_the_middle(const std::string& name) {
  ASSERT_TRUE(process("server").says("epoch 1/")) << process("server").err() << process(name).err();
  kill(name);
}

void Departures::expect_exits(const std::vector<std::string>& names, int status) {
  for (const std::string& n : names) expect_exit(process(n), status);
}

std::vector<nlohmann::json> Departures::decisions(const fs::path& run) const {
  std::vector<nlohmann::json> lines;
  std::istringstream in(content_of(folder() / run / "server" / "decisions.jsonl"));
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::vector<nlohmann::json> Departures::decisions_of(const std::string& event, const std::string& who) const {
  std::vector<nlohmann::json> found;
  for (auto& d : decisions())
    if (d.at("event") == event && d.at("who") == who) found.push_back(std::move(d));
  return found;
}

fs::path Departures::write_decisions(const std::string& name, const std::vector<nlohmann::json>& lines) const {
  std::string text;
  for (const auto& l : lines) text += l.dump() + "\n";
  return write(name, text);
}

fs::path Departures::replay(const fs::path& decisions, const std::string& output, const Overrides& more, int status) {
  std::vector<std::string> command{"simulate", study.string(), "--replay", decisions.string(), "--output", output};
  for (const std::string& o : server_overrides(more)) command.push_back(o);
  const auto p = start("sutura", command);
  expect_exit(*p, status);
  return folder() / output;
}

std::vector<std::string> Departures::different_files(const fs::path& a, const fs::path& b, const std::vector<std::string>& names) const {
  std::set<std::string> files;
  for (const fs::path& run : {a, b})
    for (const std::string& n : names)
      for (const char* kind : {"weights", "optimizer"})
        for (const auto& entry : fs::directory_iterator(run / n / kind)) files.insert(fs::relative(entry.path(), run).string());
  EXPECT_FALSE(files.empty()) << "nobody wrote weights";
  std::vector<std::string> different;
  for (const std::string& f : files)
    if (!fs::exists(a / f) || !fs::exists(b / f) || content_of(a / f) != content_of(b / f)) different.push_back(f);
  return different;
}

}  // namespace sutura::testing
