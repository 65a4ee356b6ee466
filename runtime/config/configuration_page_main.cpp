// sutura-config-page: prints docs/configuration.md.
#include <iostream>

#include "runtime/config/configuration_page.h"

int main() {
  std::cout << sutura::configuration_page();
  return std::cout.good() ? 0 : 1;
}
