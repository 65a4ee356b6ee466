#!/usr/bin/env bash
# On a machine without a CUDA toolkit, SUTURA_CUDA=ON stops with one sentence and AUTO configures the CPU part.
set -euo pipefail
source_dir=${1:?usage: no_toolkit_test.sh SOURCE_DIR}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(no_toolkit LANGUAGES NONE)
list(APPEND CMAKE_MODULE_PATH $source_dir/scripts/cmake)
include(Cuda)
CMAKE
# No compiler is found: neither by name nor in the usual place, which find_program is told to leave out.
configure() {
  env -u CUDACXX -u CUDA_HOME PATH=/nowhere "$(command -v cmake)" -S "$folder" -B "$folder/$1" -G "Unix Makefiles" \
    -DCMAKE_MAKE_PROGRAM=/bin/true -DSUTURA_NVCC=SUTURA_NVCC-NOTFOUND -DCMAKE_FIND_ROOT_PATH=/nowhere \
    -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=ONLY -DSUTURA_CUDA="$1" 2>&1
}
if said=$(configure ON); then
  echo "ON was accepted without a toolkit"
  exit 1
fi
grep -q 'SUTURA_CUDA=ON, but no CUDA compiler was found' <<<"$said" || { echo "$said"; exit 1; }
said=$(configure AUTO) || { echo "$said"; exit 1; }
grep -q 'CUDA toolkit: OFF, cuDNN: OFF' <<<"$said" || { echo "$said"; exit 1; }
