#!/usr/bin/env bash
# scripts/bench wan on a small batch and a quick line: every arm runs through the proxy and is compared. What it measures on a
# machine that does something else at the same time is not judged here.
set -euo pipefail
source_dir=${1:?usage: wan_test.sh SOURCE_DIR BIN_DIR}
bin_dir=${2:?usage: wan_test.sh SOURCE_DIR BIN_DIR}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

status=0
"$source_dir/scripts/bench" wan --programs "$bin_dir" --rounds 1 --epochs 2 --steps 2 --batch 8 --rtt-ms 10 --mbit 1000 \
  --json "$folder/wan.json" >"$folder/out" 2>"$folder/err" || status=$?
[[ $status -le 1 && -s $folder/wan.json ]] || { echo "exit status $status"; cat "$folder/out" "$folder/err"; exit 1; }

python3 - "$folder/wan.json" <<'TEXT'
import json
import sys

result = json.load(open(sys.argv[1], encoding="utf-8"))
assert set(result["rounds"]) == {"one", "four", "window", "two", "two_four"}, set(result["rounds"])
one, four, window = (result["rounds"][arm][0] for arm in ("one", "four", "window"))
for arm in (one, four):
    assert arm["bytes_up"] >= 8 * 9408, "activations and labels of 8 records"
    assert abs(arm["bytes_up"] - four["bytes_up"]) < 0.1 * arm["bytes_up"], "the same records, whatever the micro-batches"
assert window["bytes_up"] < 0.5 * one["bytes_up"], "a quarter of the batch"
for rounds in result["rounds"].values():
    # No step is shorter than a round trip, whatever the machine does.
    assert 0.0 < rounds[0]["server_idle"] < 1.0 and 0.0 < rounds[0]["client_idle"] < 1.0
assert one["samples_per_second"] <= 8 / 0.010 and four["samples_per_second"] <= 8 / 0.010, "faster than the line"
assert window["samples_per_second"] <= 2 / 0.010, "faster than the line"
bound = result["compared"][0]["bound"]
assert 1.0 <= bound <= 4.0, bound
TEXT
