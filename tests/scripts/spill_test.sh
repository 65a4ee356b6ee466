#!/usr/bin/env bash
# The flags that kernels are compiled with refuse a kernel that spills registers, on every architecture of the build, and
# accept the same kernel without the register limit. The compiler and its flags come from the build itself.
set -euo pipefail
build=${1:?usage: spill_test.sh BUILD_DIR}
command -v python3 >/dev/null || exit 77
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The command line of a kernel file in this build, without its source, output and dependency files; nothing: no CUDA here.
python3 - "$build/compile_commands.json" >"$folder/command" <<'PY'
import json, shlex, sys
for entry in json.load(open(sys.argv[1])):
    if entry["file"].endswith(".cu") and "sutura_native.dir" in entry["command"]:
        words = shlex.split(entry["command"])
        if "ccache" in words[0]:
            words = words[1:]
        skip = {"-o": 2, "-MF": 2, "-MT": 2, "-MD": 1, "-c": 2, "-x": 2}
        kept, i = [], 0
        while i < len(words):
            if words[i] in skip:
                i += skip[words[i]]
            else:
                kept.append(words[i])
                i += 1
        print("\n".join(kept))
        break
PY
[[ -s $folder/command ]] || { echo "this build has no CUDA"; exit 77; }
mapfile -t compile <"$folder/command"
grep -q -- '-warn-spills' "$folder/command" || { echo "kernels are compiled without -warn-spills"; exit 1; }

# 64 values that live through a loop: with 255 registers a thread they fit, with 32 they cannot.
cat >"$folder/kernel.cu" <<'CU'
#if defined(PLANTED)
#define LIMIT __launch_bounds__(1024, 2)
#else
#define LIMIT
#endif
__global__ void LIMIT kernel(const float* x, float* y, int n) {
  float v[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) v[i] = x[threadIdx.x * 64 + i];
  for (int k = 0; k < n; ++k) {
#pragma unroll
    for (int i = 0; i < 64; ++i) v[i] = v[i] * v[(i + 7) % 64] + x[k];
  }
#pragma unroll
  for (int i = 0; i < 64; ++i) y[threadIdx.x * 64 + i] = v[i];
}
CU
"${compile[@]}" -c "$folder/kernel.cu" -o "$folder/kernel.o"
if "${compile[@]}" -DPLANTED -c "$folder/kernel.cu" -o "$folder/spilled.o" >"$folder/said" 2>&1; then
  echo "a kernel that spills was accepted"
  exit 1
fi
grep -qi 'spill' "$folder/said" || { cat "$folder/said"; echo "refused, but not for its spills"; exit 1; }
