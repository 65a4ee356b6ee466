#!/usr/bin/python3
"""Recomputes all thresholds of the committed noise table with integer arithmetic and compares them bit for bit.

The generator evaluates erfc of mpmath; this sums the power series of erf in 640-bit fixed point,
erf(x) = 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!, so a mistake in one is not repeated in the other.
"""
import hashlib
import pathlib
import re
import struct
import sys

try:
    import mpmath
except ImportError:
    print("python3-mpmath is not installed")
    sys.exit(77)

BITS = 640
COUNT = 3356
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def thresholds():
    mpmath.mp.prec = BITS + 64
    one = 1 << BITS
    table = []
    for k in range(COUNT):
        x_squared = mpmath.mpf((2 * k + 1) ** 2) / (4 * 2 * 256 * 256)  # exact in binary
        y = int(x_squared * one)
        term, total, n = one, one, 0
        while term:
            n += 1
            term = (term * 2 * y >> BITS) // (2 * n + 1)
            total += term
        front = 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x_squared) * mpmath.sqrt(x_squared)
        table.append(int(mpmath.nint(front * mpmath.mpf(total) / one * mpmath.mpf(2) ** 127)))
    return table


def main():
    text = (ROOT / "kernels/ops/release_rows/rounded_gaussian_table.inc").read_text()
    pairs = re.findall(r"\{0x([0-9a-f]{16})u, 0x([0-9a-f]{16})u\}", text)
    committed = [int(high + low, 16) for high, low in pairs]
    assert len(committed) == COUNT, len(committed)
    wrong = [k for k, (a, b) in enumerate(zip(committed, thresholds())) if a != b]
    assert not wrong, "thresholds that differ: %s" % wrong[:10]
    packed = b"".join(struct.pack("<QQ", t >> 64, t & ((1 << 64) - 1)) for t in committed)
    assert hashlib.blake2b(packed, digest_size=32).hexdigest() in text, "the digest line does not fit the table"
    # Negative control: one bit in the last place of one threshold must be found.
    committed[1234] ^= 1
    assert [k for k, (a, b) in enumerate(zip(committed, thresholds())) if a != b] == [1234]
    print("%d thresholds agree to the last of 127 bits" % COUNT)


if __name__ == "__main__":
    main()
