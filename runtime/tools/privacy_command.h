#pragma once

namespace CLI {
class App;
}

namespace sutura {

/// `sutura privacy epsilon|calibrate|audit`.
void add_privacy_commands(CLI::App& app, int& status);

}  // namespace sutura
