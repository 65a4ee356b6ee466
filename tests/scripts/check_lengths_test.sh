#!/usr/bin/env bash
# scripts/check_lengths passes 500 lines, refuses 501, and refuses to judge a folder without sources.
set -euo pipefail
source_dir=${1:?usage: check_lengths_test.sh SOURCE_DIR}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if "$source_dir/scripts/check_lengths" --root "$folder" 2>/dev/null; then
  echo "an empty folder passed"
  exit 1
fi
mkdir -p "$folder/core" "$folder/build"
seq 500 | sed 's#^#// #' >"$folder/core/a.h"
seq 900 | sed 's#^#// #' >"$folder/build/ignored.h"
"$source_dir/scripts/check_lengths" --root "$folder"
echo "// one more" >>"$folder/core/a.h"
if "$source_dir/scripts/check_lengths" --root "$folder" 2>"$folder/message"; then
  echo "501 lines passed"
  exit 1
fi
grep -q 'core/a.h: 501 lines' "$folder/message"
sed -i '$d' "$folder/core/a.h"

# Kernels have a limit of their own.
mkdir -p "$folder/kernels/cuda" "$folder/kernels/ops/relu"
for kernel in kernels/cuda/tile.h kernels/ops/relu/relu_native.cu; do
  seq 400 | sed 's#^#// #' >"$folder/$kernel"
  "$source_dir/scripts/check_lengths" --root "$folder"
  echo "// one more" >>"$folder/$kernel"
  if "$source_dir/scripts/check_lengths" --root "$folder" 2>"$folder/message"; then
    echo "a kernel of 401 lines passed"
    exit 1
  fi
  grep -q "$kernel: 401 lines" "$folder/message"
  rm "$folder/$kernel"
done
