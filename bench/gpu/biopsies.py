"""data/wdbc.csv as pictures of 3 x 10 points, for studies whose front has convolutions. Needs nothing but Python."""
import csv
import struct
import zipfile


def npy(shape, values):
    """A NumPy file of bytes (format 1.0)."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode("ascii") + bytes(values)


def write(table, path):
    """Each column on a scale of 0 to 255; label 1 is malignant."""
    with open(table, encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    columns = [name for name in rows[0] if name != "diagnosis"]
    scaled = []
    for name in columns:
        column = [float(r[name]) for r in rows]
        low, high = min(column), max(column)
        scaled.append([round(255 * (v - low) / (high - low)) for v in column])
    pictures = [column[i] for i in range(len(rows)) for column in scaled]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pictures.npy", npy((len(rows), 3, 10), pictures))
        archive.writestr("labels.npy", npy((len(rows),), [r["diagnosis"] == "M" for r in rows]))
