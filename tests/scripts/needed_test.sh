#!/usr/bin/env bash
# Programs start where no NVIDIA file exists: none is among the libraries they load, directly or through another. The cudnn
# module, where it was built, is the only one that needs them: it proves that the search would find them.
set -euo pipefail
build=${1:?usage: needed_test.sh BUILD_DIR}
nvidia='lib(cuda|cudart|cudnn|cublas|cublasLt|nvrtc|nvidia|nvJitLink)[-._a-zA-Z0-9]*\.so'

needed() {
  readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
  ldd "$1"
}
for program in sutura sutura-server sutura-client; do
  if found=$(needed "$build/bin/$program" | grep -E "$nvidia"); then
    echo "$program needs: $found"
    exit 1
  fi
done
if [[ -e $build/lib/sutura_cudnn.so ]]; then
  needed "$build/lib/sutura_cudnn.so" | grep -E "$nvidia" >/dev/null || { echo "the module needs no cuDNN"; exit 1; }
fi
