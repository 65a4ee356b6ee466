#include "runtime/tools/keys_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "runtime/tools/console.h"
#include "transport/security.h"

namespace sutura {
namespace {

struct KeysArguments {
  std::filesystem::path folder = "keys";
  std::vector<std::string> names;
  std::filesystem::path authorise;
  std::filesystem::path path;
  bool json = false;
};

int generate(const KeysArguments& a) {
  nlohmann::json made = nlohmann::json::array();
  std::string lines;
  if (!a.authorise.empty() && std::filesystem::exists(a.authorise)) lines = read_text_file(a.authorise);
  std::error_code failed;
  if (std::filesystem::create_directories(a.folder, failed)) std::filesystem::permissions(a.folder, std::filesystem::perms::owner_all);
  require(!failed, Errc::kResources, a.folder.string() + ": cannot create: " + failed.message());
  for (const std::string& name : a.names) {
    const std::string key = generate_keys(a.folder, name);
    made.push_back({{"name", name}, {"fingerprint", fingerprint(key)}, {"public", (a.folder / (name + ".public")).string()},
                    {"secret", (a.folder / (name + ".secret")).string()}});
    lines += name + " " + key + "\n";
    if (!a.json) std::cout << name << "  fingerprint " << fingerprint(key) << "  " << (a.folder / (name + ".public")).string() << "\n";
  }
  if (!a.authorise.empty()) {
    write_file_durably(a.authorise, as_bytes(lines));
    load_authorised(a.authorise);
    if (!a.json) std::cout << "authorised in " << a.authorise.string() << "\n";
  }
  if (a.json) print_json(nlohmann::json{{"keys", made}}.dump());
  return 0;
}

int show(const KeysArguments& a) {
  const std::string key = load_public(a.path);
  if (a.json)
    print_json(nlohmann::json{{"public", key}, {"fingerprint", fingerprint(key)}}.dump());
  else
    std::cout << key << "\nfingerprint " << fingerprint(key) << "\n";
  return 0;
}

/// Loads every key file of a folder as the programs would, and compares each secret with its public half.
int check(const KeysArguments& a) {
  nlohmann::json found = nlohmann::json::array();
  for (const auto& entry : std::filesystem::directory_iterator(a.path)) {
    if (entry.path().extension() != ".secret") continue;
    const std::string key = public_of(load_secret(entry.path()));
    auto other = entry.path();
    other.replace_extension(".public");
    require(!std::filesystem::exists(other) || load_public(other) == key, Errc::kAuthentication,
            other.string() + ": does not belong to " + entry.path().string());
    found.push_back({{"secret", entry.path().string()}, {"fingerprint", fingerprint(key)}});
  }
  const auto list = a.path / "authorised";
  if (std::filesystem::exists(list)) load_authorised(list);
  require(!found.empty(), Errc::kAuthentication, a.path.string() + ": no key files (*.secret) here");
  if (a.json)
    print_json(nlohmann::json{{"ok", true}, {"keys", found}}.dump());
  else
    std::cout << found.size() << " key pair(s) in " << a.path.string() << " are well formed, private and matching\n";
  return 0;
}

}  // namespace

void add_keys_commands(CLI::App& app, int& status) {
  auto a = std::make_shared<KeysArguments>();  // shared: the three callbacks below outlive this function together
  CLI::App* keys = app.add_subcommand("keys", "CURVE key pairs and the server's list of authorised sites");
  keys->require_subcommand(1);
  CLI::App* g = keys->add_subcommand("generate", "make key pairs; a key is never overwritten");
  g->add_option("NAME", a->names, "sites or 'server'")->required();
  g->add_option("--folder", a->folder, "where the files go")->capture_default_str();
  g->add_option("--authorise", a->authorise, "append the names and public keys to this list");
  CLI::App* s = keys->add_subcommand("show", "print a public key and the fingerprint to compare by telephone");
  s->add_option("FILE", a->path, "a .public file")->required();
  CLI::App* c = keys->add_subcommand("check", "check all key files of a folder");
  c->add_option("FOLDER", a->path, "folder with .secret and .public files, and perhaps 'authorised'")->required()->check(CLI::ExistingDirectory);
  for (CLI::App* sub : {g, s, c}) sub->add_flag("--json", a->json, "print one JSON object");
  g->callback([a, &status] { status = run_program([&] { return generate(*a); }); });
  s->callback([a, &status] { status = run_program([&] { return show(*a); }); });
  c->callback([a, &status] { status = run_program([&] { return check(*a); }); });
}

}  // namespace sutura
