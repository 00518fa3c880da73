"""Bytes that nearly are a file: a valid one with a few faults, and lengths and checksums that hide them."""

import json
from collections.abc import Sequence

import numpy as np

TEXTS = (
    *("\0", "\r", "\n", "\r\n", " ", "\t", "\ufeff", "\u2028", "\u0085", "\x1c", "\U0001f600", "e\u0301", '"', "'"),
    *("-1", "nan", "inf", "-inf", "1e999", "1_0", "\u0663", "9" * 25, "9" * 5000, "0x" + "f" * 5000, "0.1e-400"),
    *(".", "..", "/", "../../x", "~", "|", "\\", "%s", "{}", "[", "]", "," * 50, "[" * 2000, "{" * 2000),
)
NO_TEXTS = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\ud800")
WORDS = (*(text.encode() for text in TEXTS), *NO_TEXTS)
"""What is put into files: odd characters, numbers and paths, and what is no UTF-8."""


def mutate(data: bytes, rng: np.random.Generator, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Make a fault, or a few."""
    for _ in range(rng.geometric(0.6)):
        match rng.integers(8):
            case 0:
                data = _one_bit(data, rng)
            case 1 | 2:
                data = _extreme_number(data, rng)
            case 3:
                data = data[: rng.integers(len(data) + 1)]
            case 4:
                data = _spliced(data, seeds[rng.integers(len(seeds))], rng)
            case 5:
                data = _pieces(data, rng)
            case 6:
                data = _lines(data, rng)
            case 7:
                data = _word(data, (*WORDS, *words, *words), rng)
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Draw a place, half of the time near the beginning, where headers are."""
    return int(rng.integers(min(len(data), 128) + 1 if rng.integers(2) else len(data) + 1))


def _one_bit(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip a bit."""
    at = _place(data, rng)
    return data[:at] + bytes(byte ^ 1 << int(rng.integers(8)) for byte in data[at : at + 1]) + data[at + 1 :]


def _extreme_number(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite bytes by a number at an end of what they can hold, or by any."""
    width, at = int(rng.choice([1, 2, 4, 8])), _place(data, rng)
    half = 1 << (8 * width - 1)
    number = (0, 1, half - 1, half, 2 * half - 1, int(rng.integers(half, dtype=np.uint64)))[rng.integers(6)]
    return data[:at] + number.to_bytes(width, "big" if rng.integers(2) else "little") + data[at + width :]


def _spliced(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Go on as another file does."""
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _pieces(data: bytes, rng: np.random.Generator) -> bytes:
    """Repeat a piece, or leave it out."""
    start = _place(data, rng)
    stop = start + int(rng.choice([1, 2, 4, 8, 16, 100]))
    return data[:stop] + data[start:] if rng.integers(2) else data[:start] + data[stop:]


def _lines(data: bytes, rng: np.random.Generator) -> bytes:
    """Repeat a line at another place, or leave it out."""
    lines = data.splitlines(keepends=True) or [b""]
    line = lines.pop(rng.integers(len(lines)))
    for _ in range(rng.integers(3)):
        lines.insert(int(rng.integers(len(lines) + 1)), line)
    return b"".join(lines)


def _word(data: bytes, words: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Put a word in, or in the place of one that is there."""
    word, at = words[rng.integers(len(words))], _place(data, rng)
    stop = at
    if rng.integers(2):
        while at and data[at - 1 : at].isalnum():
            at -= 1
        while data[stop : stop + 1].isalnum():
            stop += 1
    return data[:at] + word + data[stop:]


# JSON

ODD_VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "a", "F32", "BF16", "F8_E4M3", "I64", "C64", "\ud800", "\0", "x" * 300),
    *([], [[]], {}, {"": 0}, [0, 48], [2, 2]),
)


def odd_json(text: str, rng: np.random.Generator) -> str:
    """Change JSON text at one place, or that within it; text that is none stays as it is."""
    try:
        return json.dumps(_odd_value(json.loads(text), rng))
    except (ValueError, RecursionError):
        return text


def _odd_value(value: object, rng: np.random.Generator) -> object:
    """Change a value at one place, at any depth."""
    if isinstance(value, str) and value.startswith("{"):
        return odd_json(value, rng)
    if not isinstance(value, dict | list) or not value or not rng.integers(8):
        return ODD_VALUES[rng.integers(len(ODD_VALUES))]
    changed = value.copy()
    key = list(value)[rng.integers(len(value))] if isinstance(value, dict) else rng.integers(len(value))
    if rng.integers(8):
        changed[key] = _odd_value(value[key], rng)
    elif isinstance(changed, dict):
        changed[f"{key}x"] = changed.pop(key)
    else:
        changed.insert(key, value[-1])
    return changed


def odd_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Change what the header of a safetensors file says."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = odd_json(data[8:end].decode("utf-8", "replace"), rng).encode("utf-8", "surrogatepass")
    return len(header).to_bytes(8, "little") + header + data[end:]


def odd_texts(between: bytes, data: bytes, rng: np.random.Generator) -> bytes:
    """Change one of several JSON texts."""
    texts = data.split(between)
    number = rng.integers(len(texts))
    texts[number] = odd_json(texts[number].decode("utf-8", "replace"), rng).encode("utf-8", "surrogatepass")
    return between.join(texts)


# What makes a reader go on, past lengths and checksums, to what was changed.


def with_ogg_checksums(data: bytes, serial: int | None = None) -> bytes:
    """Set the checksum of every OGG page (RFC 3533, section 6), and perhaps the number of its stream."""
    pages = data.split(b"OggS")
    for number, page in enumerate(pages[1:], 1):
        if len(page) >= 22:
            of_stream = page[10:14] if serial is None else serial.to_bytes(4, "little")
            page = page[:10] + of_stream + page[14:18] + bytes(4) + page[22:]
            pages[number] = page[:18] + _ogg_crc(b"OggS" + page).to_bytes(4, "little") + page[22:]
    return b"OggS".join(pages)


def _ogg_crc(page: bytes) -> int:
    """Give OGG's checksum: zlib's polynomial, but most significant bit first, and no inversions."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ OGG_TABLE[crc >> 24 ^ byte]
    return crc


def _ogg_table() -> list[int]:
    """Divide every byte by the polynomial."""
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
        table.append(crc)
    return table


OGG_TABLE = _ogg_table()


def with_header_length(data: bytes) -> bytes:
    """Make a safetensors file say how long its header is, the spaces after it included."""
    text = data[8:].decode("latin-1")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return data
    while text[end : end + 1] == " ":
        end += 1
    return end.to_bytes(8, "little") + data[8:]
