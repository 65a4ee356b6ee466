// sutura with the host SIMT executor as its device: any study runs with `compute.PARTY.backend: native` on a machine without a
// GPU, through the same kernels.
#include "tests/simt/executor.h"

int sutura_main(int argc, char** argv);  // runtime/sutura_main.cpp, its main renamed

int main(int argc, char** argv) {
  sutura::provide_device(sutura::Backend::kNative, sutura::simt::table());
  return sutura_main(argc, argv);
}
