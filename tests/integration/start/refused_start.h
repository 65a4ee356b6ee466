#pragma once
#include "tests/integration/trial.h"

namespace sutura::testing {

/// Programs that must not start: whatever they say, nothing is written.
class RefusedStart : public Trial {
 protected:
  /// Runs a program to its end and checks status, text on stderr and that the folder is as it was.
  std::string refused(const std::string& program, const std::vector<std::string>& arguments, int status) const {
    const auto before = files();
    const auto process = start(program, arguments);
    expect_exit(*process, status);
    EXPECT_EQ(process->out(), "") << "a refusal belongs on stderr";
    EXPECT_EQ(files(), before) << program << " wrote something";
    return process->err();
  }
  /// The arguments of a program that runs the study at `path`.
  std::vector<std::string> with(const std::filesystem::path& path, const Overrides& overrides,
                                std::vector<std::string> more = {}) const {
    more.insert(more.end(), {path.string(), "--output", "out"});
    more.insert(more.end(), overrides.begin(), overrides.end());
    return more;
  }
};

}  // namespace sutura::testing
