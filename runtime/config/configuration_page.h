#pragma once
#include <string>

namespace sutura {

/// docs/configuration.md, made from the same calls that read a study file.
std::string configuration_page();

}  // namespace sutura
