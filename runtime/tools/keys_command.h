#pragma once

namespace CLI {
class App;
}

namespace sutura {

/// `sutura keys generate|show|check`: CURVE key pairs and the server's list of authorised sites.
void add_keys_commands(CLI::App& app, int& status);

}  // namespace sutura
