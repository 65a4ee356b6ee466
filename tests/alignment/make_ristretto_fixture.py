#!/usr/bin/env python3
"""Writes ristretto_vectors.inc: ristretto255 from the formulas of RFC 9496 in integers, without any library of the group.

usage: make_ristretto_fixture.py [--check] (compare with the file instead of writing it)
"""
import hashlib
import pathlib
import sys

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
BASE_Y = 4 * pow(5, P - 2, P) % P


def negative(x):
    return x % P & 1


def absolute(x):
    x %= P
    return P - x if negative(x) else x


def sqrt_ratio(u, v):
    """(True, sqrt(u/v)) or (False, sqrt(i*u/v)), the non-negative root (RFC 9496, 4.2)."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    u %= P
    correct, flipped, flipped_i = check == u, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, absolute(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
SQRT_AD_MINUS_ONE = absolute(sqrt_ratio(-D - 1, 1)[1])
# The RFC fixes the odd root here.
if SQRT_AD_MINUS_ONE != 25063068953384623474111414158702152701244531502492656460079210482610430750235:
    SQRT_AD_MINUS_ONE = P - SQRT_AD_MINUS_ONE


def decode(data):
    """Extended coordinates, or the reason of a refusal (4.3.1)."""
    s = int.from_bytes(data, "little")
    if s >= P:
        return "not canonical"
    if negative(s):
        return "negative"
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, invsqrt = sqrt_ratio(1, v * u2 * u2)
    den_x = invsqrt * u2 % P
    den_y = invsqrt * den_x * v % P
    x, y = absolute(2 * s * den_x), u1 * den_y % P
    t = x * y % P
    if not square or negative(t) or y == 0:
        return "no element"
    return x, y, 1, t


def encode(point):
    """Canonical bytes (4.3.2)."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = sqrt_ratio(1, u1 * u2 * u2)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    if negative(t0 * z_inv):
        x, y, den = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den = x0, y0, den2
    if negative(x * z_inv):
        y = -y % P
    return absolute(den * (z0 - y)).to_bytes(32, "little")


def add(a, b):
    """Twisted Edwards addition, a = -1, complete formulas (Hisil et al. 2008)."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    p, q = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    r, s = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(k, point):
    result = (0, 1, 1, 0)
    while k:
        if k & 1:
            result = add(result, point)
        point, k = add(point, point), k >> 1
    return result


def map_to_element(half):
    """The one-way map of 32 bytes (4.3.4)."""
    t = int.from_bytes(half, "little") & (2**255 - 1)
    r = SQRT_M1 * t * t % P
    u = (r + 1) * (1 - D * D) % P
    v = (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio(u, v)
    s_other = -absolute(s * t) % P
    s, c = (s, -1) if square else (s_other, r)
    n = (c * (r - 1) * pow(D - 1, 2, P) - v) % P
    w0, w1, w2, w3 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P, (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def from_hash(digest):
    return add(map_to_element(digest[:32]), map_to_element(digest[32:]))


def hash_to_group(identifier):
    text = b"sutura alignment v1" + len(identifier).to_bytes(8, "little") + identifier
    return from_hash(hashlib.sha512(text).digest())


def self_check():
    """Values that RFC 9496 prints: appendix A.1 (generator, its double) and the first of A.3."""
    base_x = absolute(sqrt_ratio(BASE_Y * BASE_Y - 1, D * BASE_Y * BASE_Y + 1)[1])
    base = (base_x, BASE_Y, 1, base_x * BASE_Y % P)
    assert encode(base).hex() == "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"
    assert encode(add(base, base)).hex() == "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919"
    assert encode(times(ORDER, base)) == bytes(32)
    digest = hashlib.sha512(b"Ristretto is traditionally a short shot of espresso coffee").digest()
    assert encode(from_hash(digest)).hex() == "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"


def lines():
    yield "// Made by make_ristretto_fixture.py. V(identifier, hash to the group, scalar, product), R(encoding, why refused)."
    for i, identifier in enumerate(["a", "patient-000001", "patient-000002", "0", "x" * 300, "Grüße, Zürich", " a", "A"]):
        scalar = int.from_bytes(hashlib.sha512(f"scalar {i}".encode()).digest(), "little") % ORDER
        point = hash_to_group(identifier.encode())
        assert encode(decode(encode(point))) == encode(point)
        text = "".join(chr(b) if 32 <= b < 127 else f"\\{b:03o}" for b in identifier.encode())
        yield (f'V("{text}", "{encode(point).hex()}",\n  "{scalar.to_bytes(32, "little").hex()}", '
               f'"{encode(times(scalar, point)).hex()}")')
    wanted = {"not canonical": 4, "negative": 4, "no element": 8}
    candidates = [b"\x00" + b"\xff" * 31, b"\xff" * 31 + b"\x7f", P.to_bytes(32, "little"), (P + 2).to_bytes(32, "little")]
    candidates += [hashlib.sha256(f"encoding {i}".encode()).digest()[:31] + b"\x3f" for i in range(200)]
    for data in candidates:
        reason = decode(data)
        if isinstance(reason, str) and wanted[reason] > 0:
            wanted[reason] -= 1
            yield f'R("{data.hex()}", "{reason}")'
    assert not any(wanted.values()), wanted


def main():
    self_check()
    path = pathlib.Path(__file__).with_name("ristretto_vectors.inc")
    text = "\n".join(lines()) + "\n"
    if "--check" in sys.argv[1:]:
        if path.read_text(encoding="utf-8") != text:
            sys.exit("make_ristretto_fixture: the committed vectors differ")
        print("make_ristretto_fixture: the committed vectors are those of the formulas")
    else:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
