#!/usr/bin/env bash
# scripts/demo with the programs of this build: it runs both studies and shows what it must; when a process fails it fails too,
# at once, and leaves nobody behind.
set -euo pipefail
source_dir=${1:?usage: demo_test.sh SOURCE_DIR BIN_DIR}
bin_dir=${2:?usage: demo_test.sh SOURCE_DIR BIN_DIR}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# A checkout whose build/release/bin is the folder under test.
tree=$folder/tree
mkdir -p "$tree/build/release/bin"
cp -r "$source_dir/scripts" "$tree/scripts"
ln -s "$source_dir/configs" "$source_dir/data" "$tree/"
for program in sutura sutura-server sutura-client; do ln -s "$bin_dir/$program" "$tree/build/release/bin/$program"; done

must_show() {
  local count
  count=$(grep -cE "$2" "$folder/out" || true)
  [[ $count -ge $1 ]] || { echo "expected at least $1 lines like '$2', found $count"; cat "$folder/out"; exit 1; }
}

"$tree/scripts/demo" --no-build --folder "$folder/run" >"$folder/out" 2>&1 </dev/null || { cat "$folder/out"; exit 1; }
must_show 3 'wdbc_vanilla, (server|hospital_a|hospital_b) '
must_show 3 'wdbc_release_once, (server|hospital_a|hospital_b) '
must_show 5 'test AUC +0\.[0-9]+|test AUC +1\.0'
must_show 1 'lets leave what .*/research_clear.yaml lists'
must_show 1 'lets leave what .*/guarded_rows_public_labels.yaml lists'
must_show 6 '^what leaves'
must_show 6 'bytes per sample +[0-9]'
must_show 3 'rows: norm .*sigma_int 256'
must_show 3 'No training guarantee'
must_show 3 'release-once.*-DP of the record'
must_show 2 'no-data rule +0\.'
must_show 2 'permuted labels +0\.'
must_show 1 'both studies ran'

# A client that fails: the demo ends with an error long before the server's own deadline.
rm "$tree/build/release/bin/sutura-client"
printf '#!/bin/sh\necho planted failure >&2\nexit 5\n' >"$tree/build/release/bin/sutura-client"
chmod +x "$tree/build/release/bin/sutura-client"
if timeout 60 "$tree/scripts/demo" --no-build --folder "$folder/broken" >"$folder/out" 2>&1 </dev/null; then
  echo "the demo passed although its clients failed"
  exit 1
fi
must_show 1 'ended with exit status 5'
must_show 1 'planted failure'
for process in /proc/[0-9]*; do
  if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -qF "sutura-server $tree/"; then
    echo "the failed demo left its server running"
    exit 1
  fi
done

# No programs at all.
rm "$tree/build/release/bin/sutura-server"
if "$tree/scripts/demo" --no-build --folder "$folder/none" >"$folder/out" 2>&1 </dev/null; then
  echo "the demo passed without programs"
  exit 1
fi
must_show 1 'run scripts/build'
