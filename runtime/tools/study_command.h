#pragma once
#include <string>
#include <vector>

#include "core/shape.h"
#include "runtime/config/load_study.h"

namespace CLI {
class App;
}

namespace sutura {

/// What every program that runs a study takes on its command line.
struct StudyArguments {
  std::string config;
  std::vector<std::string> overrides;  ///< key=value
  bool json = false;
  bool check = false;
  bool print_config = false;
  bool quiet = false;
  std::string output;                  ///< folder of the run; empty: the study's own
};

/// Declares CONFIG, key=value..., --json, --check, --print-config, --quiet, --output.
void add_study_arguments(CLI::App& app, StudyArguments& arguments);

/// --check and --print-config end here: true if one of them was asked for.
bool inspected(const StudyArguments& arguments, const LoadedStudy& loaded);

/// Shapes of a record from the study alone; one that does not say them is a finding like any other. Errors: kConfig.
std::vector<Shape> stated_rows(const LoadedStudy& loaded);

/// The three programs' bodies: exit status. Errors are thrown.
int simulate_command(const StudyArguments& arguments);
int server_command(const StudyArguments& arguments);
int client_command(const StudyArguments& arguments, const std::string& site);

}  // namespace sutura
