#!/usr/bin/python3
"""Compares the shipped WDBC table, value by value, with what scikit-learn's own loader returns."""
import csv
import sys

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
print("569 rows equal")
