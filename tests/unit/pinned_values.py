#!/usr/bin/python3
"""Expected values of tests/unit, computed without Sutura: Philox4x32-10 written from the paper (numpy's Philox is 64-bit
and no oracle here), hashlib's BLAKE2b and zlib's CRC-32. Standard library only.

usage: pinned_values.py [--check FILE]     prints the table, or compares it with FILE (status 1 if they differ)
"""
import hashlib
import struct
import sys
import zlib

WORD = 0xFFFFFFFF


def philox4x32(counter, key):
    """Salmon et al. 2011, section 3.3: ten rounds of two 32 x 32 -> 64 products; the key is bumped between rounds."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for r in range(10):
        if r > 0:
            k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
        high0, low0 = divmod(0xD2511F53 * x0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 1 << 32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
    return [x0, x1, x2, x3]


# counter, key, result: tests/kat_vectors of the Random123 distribution, lines "philox4x32 10".
RANDOM123 = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([WORD] * 4, [WORD] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


class Stream:
    """Key = seed, low word first; counter words 2 and 3 = first eight bytes of BLAKE2b-256(stream || index as 8 bytes),
    words 0 and 1 count blocks."""

    def __init__(self, seed, stream, index=0):
        digest = hashlib.blake2b(stream.encode() + struct.pack("<Q", index), digest_size=32).digest()
        self.key = [seed & WORD, seed >> 32]
        self.name = list(struct.unpack("<II", digest[:8]))
        self.block = 0
        self.words = []

    def u32(self):
        if not self.words:
            self.words = philox4x32([self.block & WORD, self.block >> 32] + self.name, self.key)
            self.block += 1
        return self.words.pop(0)

    def u64(self):
        low = self.u32()
        return low | self.u32() << 32

    def below(self, n):
        """Draws again from the first incomplete run of n outcomes on."""
        while True:
            v = self.u64()
            if v < (1 << 64) // n * n:
                return v % n


def permutation(n, stream):
    p = list(range(n))
    for i in range(n - 1, 0, -1):
        j = stream.below(i + 1)
        p[i], p[j] = p[j], p[i]
    return p


def pattern(size):
    return bytes((i * 37 + 11) & 255 for i in range(size))


def hexes(values, digits):
    return ", ".join(f"0x{v:0{digits}x}u" for v in values)


def table():
    for counter, key, result in RANDOM123:
        assert philox4x32(counter, key) == result
    yield "// Made by pinned_values.py; the test unit_pinned_values compares."
    yield "inline constexpr StreamWords kStreamWords[] = {"
    for seed, stream, index in [(0, "", 0), (1, "shuffle", 0), (1, "shuffle", 1), (1 << 32, "shuffle", 0),
                                (0x0123456789ABCDEF, "init:conv1.weight", (1 << 64) - 1)]:
        s = Stream(seed, stream, index)
        words = [s.u32() for _ in range(9)]
        yield f'    {{{seed:#x}u, "{stream}", {index:#x}u, {{{hexes(words, 8)}}}}},'
    yield "};"
    s = Stream(7, "u64")
    yield f"inline constexpr std::uint64_t kWords64[] = {{{hexes([s.u64() for _ in range(3)], 16)}}};"
    yield "inline constexpr Draws kDraws[] = {"
    for n in (1, 2, 6, 1000, (1 << 63) + 1, (1 << 64) - 1):
        s = Stream(7, "below")
        yield f"    {{{n:#x}u, {{{', '.join(hex(s.below(n)) + 'u' for _ in range(6))}}}}},"
    yield "};"
    order = ', '.join(map(str, permutation(20, Stream(42, 'epoch:berlin', 3))))
    yield f"inline constexpr std::int64_t kPermutation[] = {{{order}}};"
    yield "inline constexpr Hash kHashes[] = {"
    for size in (0, 1, 8, 64, 127, 128, 129, 256, 1000):
        for key in (0, 1, 32, 64):
            if key and size not in (0, 128, 1000):
                continue
            digest = hashlib.blake2b(pattern(size), key=pattern(key), digest_size=32).hexdigest()
            yield f'    {{{size}, {key}, "{digest}"}},'
    yield "};"
    sums = [zlib.crc32(pattern(size)) for size in range(33)]
    yield "inline constexpr std::uint32_t kCrcs[] = {"
    for i in range(0, len(sums), 8):
        yield f"    {hexes(sums[i:i + 8], 8)},"
    yield "};"


text = "\n".join(table()) + "\n"
if len(sys.argv) == 3 and sys.argv[1] == "--check":
    with open(sys.argv[2], encoding="ascii") as file:
        if file.read() != text:
            sys.exit(f"{sys.argv[2]} is not what this program computes")
elif len(sys.argv) == 1:
    sys.stdout.write(text)
else:
    sys.exit(__doc__)
