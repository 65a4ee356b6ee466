#include <CLI/CLI.hpp>

#include "kernels/cpu/process_settings.h"
#include "runtime/tools/console.h"
#include "runtime/tools/keys_command.h"
#include "runtime/tools/plan_command.h"
#include "runtime/tools/privacy_command.h"
#include "runtime/tools/study_command.h"
#include "runtime/tools/version.h"

int main(int argc, char** argv) {
  sutura::settle_process(argv);
  using namespace sutura;
  CLI::App app{"Sutura: split learning for hospitals. Tools for studies, privacy and keys."};
  app.set_version_flag("--version", std::string(kVersionText));
  app.require_subcommand(1);
  int status = 0;

  StudyArguments study;
  CLI::App* simulate = app.add_subcommand("simulate", "run all parties of a study in this process");
  add_study_arguments(*simulate, study);
  simulate->callback([&] { status = run_program([&] { return simulate_command(study); }); });
  PlanArguments planned;
  CLI::App* plan = app.add_subcommand("plan", "print who does what, how much travels and what leaves each hospital");
  add_plan_arguments(*plan, planned);
  plan->callback([&] { status = run_program([&] { return plan_command(planned); }); });
  add_privacy_commands(app, status);
  add_keys_commands(app, status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : exit_status(Errc::kUsage);
  }
  return status;
}
