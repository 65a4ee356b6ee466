#!/usr/bin/python3
"""Features of pictures before centring, by scipy: the oracle of the band_energies layer. Usage: IN GRID COSINES OUT"""
import json
import struct
import sys

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter


def features(picture, grid, cosines):
    h, w = picture.shape
    x = (picture - picture.mean()) / picture.std()
    band = np.abs(gaussian_filter(x, 1.0, mode="reflect") - gaussian_filter(x, 2.0, mode="reflect"))
    out = [
        np.log(max(band[r * h // grid : (r + 1) * h // grid, c * w // grid : (c + 1) * w // grid].mean(), 1e-3))
        for r in range(grid)
        for c in range(grid)
    ]
    spectrum = dctn(x, norm="ortho")
    order = sorted(((u, v) for u in range(h) for v in range(w)), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))
    return out + [spectrum[u, v] for u, v in order[1 : 1 + cosines]]


with open(sys.argv[1], "rb") as f:
    content = f.read()
(length,) = struct.unpack("<Q", content[:8])
shape = json.loads(content[8 : 8 + length])["x"]["shape"]
pictures = np.frombuffer(content[8 + length :], "<f4").reshape(shape)[..., 0].astype(float)
result = np.array([features(p, int(sys.argv[2]), int(sys.argv[3])) for p in pictures], "<f4")
text = json.dumps({"y": {"dtype": "F32", "shape": list(result.shape), "data_offsets": [0, result.nbytes]}}).encode()
with open(sys.argv[4], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + result.tobytes())
