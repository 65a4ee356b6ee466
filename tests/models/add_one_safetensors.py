#!/usr/bin/python3
"""Reads a safetensors file with struct, json and numpy alone, adds 1 to every value, writes another. Usage: IN OUT"""
import json
import struct
import sys

import numpy as np

with open(sys.argv[1], "rb") as f:
    content = f.read()
(length,) = struct.unpack("<Q", content[:8])
header = json.loads(content[8 : 8 + length])
values = content[8 + length :]
new_header, parts, offset = {"__metadata__": {"written_by": "numpy"}}, [], 0
for name, entry in reversed(list(header.items())):
    begin, end = entry["data_offsets"]
    assert entry["dtype"] == "F32"
    t = np.frombuffer(values[begin:end], "<f4").reshape(entry["shape"]) + np.float32(1)
    new_header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
    parts.append(t.tobytes())
    offset += t.nbytes
text = json.dumps(new_header).encode()
with open(sys.argv[2], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
