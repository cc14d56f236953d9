"""What is wrong with input in the field: values, texts and bytes that a fuzzer seldom finds by itself.

`Raw` is JSON that no JSON writer would write: a number too large, a key twice, a depth that ends a parser's stack.
"""

import gzip
import math
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that stand in a JSON document as they are."""

    text: bytes


def deep(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> Raw:
    """A value within so many others."""
    return Raw(opening * depth + b"1" + closing * depth)


NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 0.5, -0.0, 255, 0x110000),
    *(2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30),
    *(1e308, -1e308, 5e-324, 1e16, math.nan, math.inf, -math.inf),
    *(Raw(b"1e999"), Raw(b"-1e999"), Raw(b"9" * 400), Raw(b"9" * 5000), Raw(b"0" * 3 + b"1"), Raw(b"1.")),
)
TIMES: tuple[Any, ...] = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999-23:59", "1969-12-31T23:59:59Z"),
    *("2026-02-30T00:00:00Z", "2026-01-31T12:00:00", "2026-01-31", "2026-01-31T25:00:00Z", "+292277026596-12-04", ""),
    *(-1, -62_135_596_800_001, 253_402_300_800_000, 2**62, -(2**62), 10**18, 1e300),
)
TEXTS: tuple[Any, ...] = (
    *("", " ", "\0", "\n", "\r\n", "\x1b[31m", "\u202e", "\ufeff", "\u2028", "é", "🦜", "a\u0301"),
    *("\ud800", "a\udfff", "\udc80b"),  # lone surrogates
    *("x" * 257, "x" * 5_000, "x" * 70_000, "🦜" * 300, "%s%n{0}", "../../etc/passwd", "a" * 40 + "!"),
    *(
        "[" * 3000,
        '[{"a":' + "[" * 3000,
        '{"a":' * 3000,
        '{"a":',
        "[1,",
        '{"a":1}',
        "[]",
        "null",
        "NaN",
        "true",
        "-1",
        "1e999",
    ),
    *("data:image/png;base64,%%%", "data:image/png;base64,AAAA", "user", "assistant", "tool", "system"),
)
WHOLES: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [{}], {"": {}}, [None], [None] * 300),
    *([-1, 0x110000, 2**31], [2**63], list(range(500)), [math.nan, math.inf], [0.5] * 3, [1, "1", None]),
    *(deep(8), deep(200), deep(300), deep(1100), deep(20_000), deep(300, b'{"a":', b"}"), deep(2000, b'{"a":', b"}")),
    *(Raw(b'{"a":1,"a":2}'), Raw(b'{"type":"text","type":"x"}'), Raw(b"{,}"), Raw(b"'x'"), Raw(b"undefined")),
    *(Raw(b'"\xff\xfe"'), Raw(b'"\xed\xa0\x80"'), Raw(b'"\xc0\x80"'), Raw(b'"\\ud800"'), Raw(b'"\\u12"')),
)
OBJECTS = ("@object", "@odd", "@set", "@bytes", "@itself", "@nan", "@surrogate", "@huge")  # see targets/recorder.py
ODD: tuple[Any, ...] = (*NUMBERS, *TIMES, *TEXTS, *WHOLES, *OBJECTS)

BYTES = (
    *(b"", b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\n"),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"null", b"NaN", b"-", b"e", b"\x1f\x8b", b"(\xb5/\xfd"),
)
BOMB = gzip.compress(bytes(8 * 1024 * 1024), 9)  # 8 KB that unpack to a thousand times as much
NESTED_BOMB = gzip.compress(BOMB, 9)


def odd_bytes(data: bytes, rng: Random) -> bytes:
    """Some bytes, damaged in one way."""
    place, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    match rng.randrange(7):
        case 0:
            return data[:place]  # cut off
        case 1:
            return data[:place] + data[end:]
        case 2:
            return data[:end] + data[place:end] + data[end:]
        case 3:
            return data[:place] + rng.choice(BYTES) + data[place:]
        case 4:
            return data[:place] + rng.choice(BYTES) + data[end:]
        case 5 if data:
            at = min(place, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case _:
            return data[:place] + rng.randbytes(rng.randint(1, 8)) + data[place:]
