#!/usr/bin/python3
"""Writes records.npz: forty small records of two classes, uncompressed, the same bytes at every run."""
import io
import pathlib
import zipfile

import numpy as np

rng = np.random.default_rng(7)
labels = (np.arange(40) % 2).astype(np.uint8)
features = (rng.standard_normal((40, 6)) + labels[:, None]).astype(np.float32)
target = pathlib.Path(__file__).with_name("records.npz")
with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
    for name, values in {"features": features, "labels": labels}.items():
        content = io.BytesIO()
        np.save(content, values)
        archive.writestr(zipfile.ZipInfo(name + ".npy", (2020, 1, 1, 0, 0, 0)), content.getvalue())
