#include <CLI/CLI.hpp>

#include "kernels/cpu/process_settings.h"
#include "runtime/tools/console.h"
#include "runtime/tools/study_command.h"
#include "runtime/tools/version.h"

int main(int argc, char** argv) {
  sutura::settle_process(argv);
  using namespace sutura;
  CLI::App app{"sutura-client: runs one hospital's part of a study; records stay here, connections only go out."};
  app.set_version_flag("--version", std::string(kVersionText));
  StudyArguments arguments;
  std::string site;
  add_study_arguments(app, arguments);
  app.add_option("--site", site, "name of this site (or party) in the study")->required();
  app.add_option("--egress", arguments.egress, "allow-list of this site: what may leave it (default: $SUTURA_EGRESS, /etc/sutura/egress.yaml)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : exit_status(Errc::kUsage);
  }
  return run_program([&] { return client_command(arguments, site); });
}
