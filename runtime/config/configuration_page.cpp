#include "runtime/config/configuration_page.h"

#include "runtime/config/sections.h"

namespace sutura {
namespace {

constexpr const char* kIntroduction = R"(# Study files

This page is generated (`sutura-config-page > docs/configuration.md`) from the code that reads study files; a test keeps
it up to date.

A study is one YAML file. The reader is strict: unknown and duplicate keys are errors, so are anchors, aliases and tags;
integers are decimal (`010` is refused), booleans are `true` and `false` only, NaN and infinity are refused. A file has
at most 1 MiB, 10,000 values, 32 levels. All errors are reported at once, each with its line, a caret and a hint, and the
program ends with exit code 3.

- `include: [topologies/NAME.yaml]` at the top of a file reads other files first, relative to this one, at most 8 deep.
  Maps are merged key by key, lists and values are replaced; later includes win over earlier ones, the file itself wins
  over its includes.
- `key.sub=value` on the command line wins over all files. The value is YAML: `training.epochs=3`,
  `data.sites=[north, south]`, `topology.routes[1].activation.guard=none`. A map or list replaces the old one whole.
  Keys that are not plain words stand in quotes: `data.table.categories."blood type"=[A, B]`.
- Paths are relative to the file that names them (on the command line: to the working directory). `${NAME}` in a path is
  taken from the environment; a variable that is not set is an error.
- *Shared* keys are part of the plan: all parties must have the same values, and a run ends before any data is read where
  they differ. *Local* keys belong to this machine.
- `--print-config` prints every key with its value and where it came from.
)";

constexpr const char* kPolicyIntroduction = R"(
## site_policy

A site policy is a file of the hospital's own (`configs/egress/*.yaml` are examples), read by its client beside the study and
by nobody else. It says what may leave the hospital: nothing else may, whatever a study asks for. A study whose plan sends
more is refused before any data is read, with the edge, what it carries and the line of the policy (exit code 3).

- `guard` and `protection` name the weakest that is accepted: `guard: none` accepts guarded rows too.
- Limits bind every study that releases guarded rows from here. `allowed_cuts` binds every activation that leaves and every
  gradient that is sent back.
)";

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string top(const std::string& path) { return path.substr(0, path.find('.')); }

}  // namespace

std::string configuration_page() {
  const YamlNode nothing;
  Diagnostics unused;
  Reader reader(ReadMode::kDescribe, nothing, unused);
  StudyConfig study;
  read_study(reader.root(), study);

  std::string page = kIntroduction;
  const auto table = [&page] { page += "\n| key | value | default | scope | meaning |\n|---|---|---|---|---|\n"; };
  const auto row = [&page](const KeyDescription& key) {
    const std::string otherwise = key.otherwise.empty()         ? "-"
                                  : key.otherwise == "required" ? "**required**"
                                                                : cell(key.otherwise);
    page += "| `" + key.path + "` | " + cell(key.type) + " | " + otherwise + " | " +
            (key.scope == Scope::kShared ? "shared" : "local") + " | " + cell(key.doc) + " |\n";
  };
  page += "\n## Top level\n";
  table();
  for (const KeyDescription& key : reader.described())
    if (key.path.find('.') == std::string::npos) row(key);
  std::string open;
  for (const KeyDescription& key : reader.described()) {
    if (key.path.find('.') == std::string::npos) continue;
    if (top(key.path) != open) {
      open = top(key.path);
      page += "\n## " + open + "\n";
      table();
    }
    row(key);
  }

  Reader policy_reader(ReadMode::kDescribe, nothing, unused);
  SitePolicy policy;
  read_site_policy(policy_reader.root(), policy);
  page += kPolicyIntroduction;
  table();
  for (const KeyDescription& key : policy_reader.described())
    if (key.path != "site_policy") row(key);
  return page;
}

}  // namespace sutura
