#!/usr/bin/python3
"""Compares the shipped WDBC table, value by value, with what scikit-learn's own loader returns, and all shipped tables
with what scripts/make_wdbc writes."""
import csv
import pathlib
import subprocess
import sys
import tempfile

try:
    from sklearn.datasets import load_breast_cancer
except ImportError:
    print("scikit-learn is not installed: skipped")
    sys.exit(77)

expected = load_breast_cancer()
with open(sys.argv[1], newline="") as file:
    header, *rows = list(csv.reader(file))

# scikit-learn says "mean concave points" and "radius error"; the file writes the same words with underscores.
names = ["diagnosis"] + [str(name).replace(" ", "_") for name in expected.feature_names]
assert header == names, header
assert len(rows) == len(expected.data) == 569, len(rows)
for i, row in enumerate(rows):
    assert {"M": "malignant", "B": "benign"}[row[0]] == expected.target_names[expected.target[i]], f"label of row {i}"
    assert [float(x) for x in row[1:]] == list(expected.data[i]), f"values of row {i}"

shipped = pathlib.Path(sys.argv[1]).parent
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, shipped.parent / "scripts" / "make_wdbc", "--folder", folder], check=True)
    written = sorted(pathlib.Path(folder).iterdir())
    assert [p.name for p in written] == ["wdbc.csv", "wdbc_clinic.csv", "wdbc_laboratory.csv"], written
    for path in written:
        assert path.read_bytes() == (shipped / path.name).read_bytes(), path.name
print("569 rows equal, three tables as scripts/make_wdbc writes them")
