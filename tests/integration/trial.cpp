#include "tests/integration/trial.h"

#include <algorithm>

#include <stdlib.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace sutura::testing {

namespace fs = std::filesystem;

namespace {

fs::path fresh_folder() {
  std::string name = (fs::temp_directory_path() / "sutura_trial_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  return name;
}

}  // namespace

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

fs::path shipped(const std::string& name) { return fs::path(SUTURA_SOURCE_DIR) / "configs" / name; }
fs::path shipped_records() { return fs::path(SUTURA_SOURCE_DIR) / "data" / "wdbc.csv"; }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at == std::string::npos) return text;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from << " is there twice";
  return text.replace(at, from.size(), to);
}

void expect_exit(Process& process, int status) {
  const auto ended = process.wait();
  EXPECT_TRUE(ended.has_value()) << process.name() << " is still running";
  if (ended) {
    EXPECT_EQ(*ended, status) << process.name() << "\n" << process.out() << process.err();
  }
}

Trial::Trial() : study(shipped("wdbc_vanilla.yaml")), folder_(fresh_folder()) {
  // Public data, and most tests are not about what a hospital lets leave; those that are give --egress.
  ::setenv("SUTURA_EGRESS", shipped("egress/research_clear.yaml").c_str(), 1);
}

Trial::~Trial() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::unique_ptr<Process> Trial::start(const std::string& program, const std::vector<std::string>& arguments) const {
  std::vector<std::string> command{std::string(SUTURA_BIN_DIR) + "/" + program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return std::make_unique<Process>(command, folder_);
}

void Trial::make_keys(const std::vector<std::string>& clients) {
  const auto own = start("sutura", {"keys", "generate", "server", "--folder", "keys"});
  expect_exit(*own, 0);
  std::vector<std::string> arguments{"keys", "generate"};
  arguments.insert(arguments.end(), clients.begin(), clients.end());
  arguments.insert(arguments.end(), {"--folder", "keys", "--authorise", "keys/authorised"});
  expect_exit(*start("sutura", arguments), 0);
}

Overrides Trial::server_overrides(const Overrides& own) const {
  Overrides all = shared;
  all.insert(all.end(), {"connection.endpoint=tcp://127.0.0.1:*", "connection.secret_key=" + key("server.secret").string(),
                         "connection.server_public_key=" + key("server.public").string(),
                         "connection.authorised=" + key("authorised").string()});
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

Overrides Trial::client_overrides(const Overrides& own) const {
  Overrides all = shared;
  all.insert(all.end(), {"connection.endpoint=" + endpoint_, "connection.secret_key=" + key("{site}.secret").string(),
                         "connection.server_public_key=" + key("server.public").string(),
                         "connection.peers=" + key("authorised").string()});
  // A client that says nothing else begins unspent.
  const auto names_ledger = [](const std::string& text) { return text.starts_with("connection.ledger="); };
  if (std::ranges::none_of(own, names_ledger) && std::ranges::none_of(shared, names_ledger))
    all.push_back("connection.ledger=" + (folder() / ("fresh_" + std::to_string(++fresh_ledgers_) + "_{site}.ledger")).string());
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

std::unique_ptr<Process> Trial::start_server(const Overrides& own) {
  std::vector<std::string> arguments{study.string(), "--output", "out"};
  for (const std::string& o : server_overrides(own)) arguments.push_back(o);
  auto server = start("sutura-server", arguments);
  EXPECT_TRUE(server->says("; a random key was tried")) << server->err();
  const std::string line = server->after("listening on ");
  endpoint_ = line.substr(0, line.find(';'));
  return server;
}

std::unique_ptr<Process> Trial::start_client(const std::string& site, const Overrides& own, const fs::path& egress) const {
  std::vector<std::string> arguments{study.string(), "--site", site, "--output", "out"};
  if (!egress.empty()) arguments.insert(arguments.end(), {"--egress", egress.string()});
  for (const std::string& o : client_overrides(own)) arguments.push_back(o);
  return start("sutura-client", arguments);
}

nlohmann::json Trial::summary(const std::string& party) const {
  const auto j = nlohmann::json::parse(content_of(output(party) / "summary.json"), nullptr, false);
  EXPECT_TRUE(j.is_object()) << party << " wrote no summary";
  return j.is_object() ? j : nlohmann::json::object();
}

std::vector<nlohmann::json> Trial::metrics(const std::string& party) const {
  std::vector<nlohmann::json> lines;
  std::istringstream in(content_of(output(party) / "metrics.jsonl"));
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line, nullptr, false));
  return lines;
}

std::vector<std::string> Trial::dropped() const {
  return summary("server").value("dropped", std::vector<std::string>{"the summary says nothing about lost clients"});
}

std::map<std::string, std::string> Trial::files() const {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    const std::string name = fs::relative(entry.path(), folder_).string();
    if (name.starts_with("keys")) continue;
    all[name] = entry.is_regular_file() ? content_of(entry.path()) : std::string();
  }
  return all;
}

fs::path Trial::write_study(const std::string& name, std::string_view text) const {
  const fs::path path = write("configs/" + name, text);
  fs::copy(shipped("topologies"), folder_ / "configs" / "topologies",
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  return path;
}

fs::path Trial::write(const std::string& name, std::string_view content) const {
  const fs::path path = folder_ / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace sutura::testing
