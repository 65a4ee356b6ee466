#include <CLI/CLI.hpp>

#include "kernels/cpu/process_settings.h"
#include "runtime/tools/console.h"
#include "runtime/tools/study_command.h"
#include "runtime/tools/version.h"

int main(int argc, char** argv) {
  sutura::settle_process(argv);
  using namespace sutura;
  CLI::App app{"sutura-server: runs the server's part of a study; clients dial in, over CURVE only."};
  app.set_version_flag("--version", std::string(kVersionText));
  StudyArguments arguments;
  add_study_arguments(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : exit_status(Errc::kUsage);
  }
  return run_program([&] { return server_command(arguments); });
}
