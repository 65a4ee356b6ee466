#!/usr/bin/python3
"""Test images and labels of PneumoniaMNIST as safetensors: `images` [N, 28, 28, 1] in 0..1, `labels` [N]. Usage: NPZ OUT"""
import json
import struct
import sys

import numpy as np

data = np.load(sys.argv[1])
tensors = {
    "images": (data["test_images"][..., None] / 255).astype("<f4"),
    "labels": data["test_labels"].ravel().astype("<f4"),
}
header, offset = {}, 0
for name, t in tensors.items():
    header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
    offset += t.nbytes
text = json.dumps(header).encode()
with open(sys.argv[2], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))
