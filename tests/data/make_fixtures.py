#!/usr/bin/python3
"""Writes tests/data/fixtures: arrays as NumPy writes them, and metrics as scikit-learn and a plain DeLong compute them.

Needs python3-numpy and python3-sklearn. The files are committed; run this again only to add cases.
"""
import io
import json
import pathlib
import zipfile

import numpy as np
from sklearn import metrics

HERE = pathlib.Path(__file__).resolve().parent / "fixtures"


def write_npz(path, arrays, packing):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=True)
            archive.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), content.getvalue(), packing)


def arrays():
    column = lambda values, dtype: np.array(values, dtype=dtype).reshape(3, 1)
    every_type = {
        "b1": column([False, True, True], "?"), "i1": column([-128, 0, 127], "i1"), "i2": column([-300, 0, 300], "<i2"),
        "i4": column([-70000, 0, 70000], "<i4"), "i8": column([-70000, 0, 5], "<i8"), "u1": column([0, 128, 255], "u1"),
        "u2": column([0, 300, 65535], "<u2"), "u4": column([0, 1, 4294967040], "<u4"),
        "f4": column([-1.5, 0, 2.25], "<f4"), "f8": column([-1.5, 0, 0.1], "<f8"),
    }
    write_npz(HERE / "deflated.npz", every_type, zipfile.ZIP_DEFLATED)
    write_npz(HERE / "stored.npz", every_type, zipfile.ZIP_STORED)
    write_npz(HERE / "object.npz", {"names": np.array(["a", 1, None], dtype=object)}, zipfile.ZIP_DEFLATED)
    (HERE / "folder").mkdir(exist_ok=True)
    for version in (2, 3):
        with open(HERE / "folder" / f"version{version}.npy", "wb") as file:
            np.lib.format.write_array(file, np.arange(1, 5, dtype="<f4").reshape(2, 2), version=(version, 0))


def delong(scores, labels):
    """Area and standard error from the definition: all pairs, no ranks."""
    x, y = scores[labels == 1], scores[labels == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    by_positive, by_negative = psi.mean(axis=1), psi.mean(axis=0)
    variance = by_positive.var(ddof=1) / len(x) + by_negative.var(ddof=1) / len(y)
    return psi.mean(), np.sqrt(variance)


def binary_case(name, scores, labels):
    scores = np.asarray(scores, dtype=np.float32).astype(np.float64)  # what the C++ side sees
    labels = np.asarray(labels)
    area, error = delong(scores, labels)
    assert abs(area - metrics.roc_auc_score(labels, scores)) < 1e-12
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return {
        "name": name, "scores": scores.tolist(), "labels": labels.tolist(),
        "auc": metrics.roc_auc_score(labels, scores), "standard_error": error,
        "low": max(0.0, area - 1.959963984540054 * error), "high": min(1.0, area + 1.959963984540054 * error),
        "accuracy": metrics.accuracy_score(labels, scores >= 0.5),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, scores >= 0.5),
        "best_balanced_accuracy": ((tpr + 1 - fpr) / 2).max(),
        "sensitivity_at_90": tpr[1 - fpr >= 0.9 - 1e-9].max(),
        "log_loss": metrics.log_loss(labels, np.stack([1 - scores, scores], axis=1), eps=1e-15, labels=[0, 1]),
    }


def classes_case(name, probabilities, labels):
    p = np.asarray(probabilities, dtype=np.float32).astype(np.float64)
    n, classes = p.shape
    one_hot = np.eye(classes)[labels]
    has_all = len(set(labels)) == classes  # else there is no one-versus-rest area for some class
    return {
        "name": name, "classes": classes, "probabilities": p.ravel().tolist(), "labels": np.asarray(labels).tolist(),
        "macro_auc": metrics.roc_auc_score(one_hot, p, average="macro") if has_all else None,
        "accuracy": metrics.accuracy_score(labels, p.argmax(axis=1)),
        # By default scikit-learn averages over the classes that occur among labels or predictions.
        "macro_f1": metrics.f1_score(labels, p.argmax(axis=1), average="macro", zero_division=0),
        "log_loss": float(-np.log(np.clip(p[np.arange(n), labels], 1e-15, 1 - 1e-15)).mean()),
    }


def main():
    HERE.mkdir(exist_ok=True)
    arrays()
    random = np.random.default_rng(20240607)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    labels = (random.random(200) < 0.35).astype(int)
    smooth = sigmoid(random.normal(size=200) + 1.2 * labels - 0.6)
    few = (random.random(40) < 0.5).astype(int)
    softmax = lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    five = random.integers(0, 5, size=120)
    three = np.array([0, 1, 2] * 10)
    other = np.random.default_rng(7)
    regression = random.normal(size=30).astype(np.float32), random.normal(size=30).astype(np.float32)
    cases = {
        "binary": [
            binary_case("smooth", smooth, labels),
            binary_case("heavy ties", np.round(smooth * 5) / 5, labels),
            binary_case("all tied", np.full(40, 0.25), few),
            binary_case("perfect", np.where(few == 1, 0.9, 0.1), few),
            binary_case("worst", np.where(few == 1, 0.0, 1.0), few),
            binary_case("two of each", [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]),
            binary_case("ten negatives", list(np.linspace(0.05, 0.5, 10)) + [0.48, 0.9, 0.3], [0] * 10 + [1] * 3),
        ],
        "classes": [
            classes_case("five", softmax(random.normal(size=(120, 5)) + 1.5 * np.eye(5)[five]), five),
            classes_case("three, one never predicted",
                         softmax(random.normal(size=(30, 3)) + np.array([0.0, 1.0, -9.0])), three),
            classes_case("five, one neither seen nor predicted, one only predicted, one only seen",
                         softmax(other.normal(size=(40, 5)) + np.array([1.0, -9.0, -9.0, 1.0, 1.0])),
                         np.array([0, 0, 2, 4] * 10)),
        ],
        "regression": {"predictions": regression[0].tolist(), "targets": regression[1].tolist(),
                       "mean_squared_error": metrics.mean_squared_error(regression[1].astype(np.float64),
                                                                        regression[0].astype(np.float64))},
    }
    (HERE / "metrics.json").write_text(json.dumps(cases, indent=0) + "\n")


if __name__ == "__main__":
    main()
