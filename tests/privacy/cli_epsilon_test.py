#!/usr/bin/python3
"""`sutura privacy epsilon` against groups A and A2 of the reference figures, to 1e-10. Arguments: the program, the CSV."""
import csv
import json
import subprocess
import sys

program, table = sys.argv[1:]
worst, rows = 0.0, 0
with open(table, encoding="utf-8", newline="") as text:
    for row in csv.DictReader(text):
        if row["group"] not in ("A", "A2") or row["quantity"] != "epsilon":
            continue
        out = subprocess.run(
            [program, "privacy", "epsilon", "--noise-multiplier", row["sigma_over_sensitivity"], "--releases", row["steps"],
             "--delta", row["delta"], "--json"], check=True, capture_output=True, text=True).stdout
        worst = max(worst, abs(json.loads(out)["epsilon"] - float(row["value"])))
        rows += 1
print(f"{rows} rows, worst error {worst:.3g}")
sys.exit(0 if rows >= 40 and worst <= 1e-10 else 1)
