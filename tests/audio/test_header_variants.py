"""Wrong sizes, counts and padding, in all containers that libsndfile writes: never other samples in silence."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from speechgmm import read_audio
from speechgmm.audio.reading import duration
from speechgmm.errors import AudioError, AudioWarning

RATE = 16000
N_SAMPLES = 5001
RNG = np.random.default_rng(0)
VALUES = RNG.integers(-8000, 8000, N_SAMPLES) / 2**15


class Field(NamedTuple):
    """A number in a header."""

    mark: bytes  # that stands before it
    offset: int  # from the mark's end
    width: int  # bytes
    order: str = "little"


class Container(NamedTuple):
    """A format of libsndfile, and the sizes and counts in its header."""

    name: str
    subtype: str
    fields: tuple[Field, ...]
    endian: str = "FILE"


GUID = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
CONTAINERS = {
    "wav": Container("WAV", "PCM_16", (Field(b"RIFF", 0, 4), Field(b"data", 0, 4))),
    "wav of bytes": Container("WAV", "PCM_U8", (Field(b"RIFF", 0, 4), Field(b"data", 0, 4))),
    "wav of floats": Container("WAV", "FLOAT", (Field(b"RIFF", 0, 4), Field(b"fact", 4, 4), Field(b"data", 0, 4))),
    "rifx": Container("WAV", "PCM_16", (Field(b"RIFX", 0, 4, "big"), Field(b"data", 0, 4, "big")), "BIG"),
    "wavex": Container("WAVEX", "PCM_24", (Field(b"RIFF", 0, 4), Field(b"data", 0, 4))),
    "rf64": Container("RF64", "PCM_16", (*(Field(b"ds64", k, 8) for k in (4, 12, 20)), Field(b"data", 0, 4))),
    "w64": Container("W64", "PCM_16", (Field(b"riff", 12, 8), Field(b"data" + GUID, 0, 8))),
    "aiff": Container(
        "AIFF",
        "PCM_16",
        (Field(b"FORM", 0, 4, "big"), Field(b"COMM", 6, 4, "big"), *(Field(b"SSND", k, 4, "big") for k in (0, 8))),
    ),
    "au": Container("AU", "PCM_16", (Field(b".snd", 4, 4, "big"),)),
    "au of the other order": Container("AU", "PCM_16", (Field(b"dns.", 4, 4),), "LITTLE"),
    "caf": Container("CAF", "PCM_16", (Field(b"data", 0, 8, "big"),)),
    "nist": Container("NIST", "PCM_16", ()),
    "svx": Container(
        "SVX", "PCM_16", (*(Field(mark, 0, 4, "big") for mark in (b"FORM", b"BODY")), Field(b"VHDR", 4, 4, "big"))
    ),
    "voc": Container("VOC", "PCM_16", (Field(b"\x1a\x1a\x00\x14\x01\x1f\x11\x09", 0, 3),)),
    "paf": Container("PAF", "PCM_16", ()),
    "ircam": Container("IRCAM", "PCM_16", ()),
    "pvf": Container("PVF", "PCM_16", ()),
    "avr": Container("AVR", "PCM_16", (Field(b"2BIT", 22, 4, "big"),)),
    "htk": Container("HTK", "PCM_16", (Field(b"", 0, 4, "big"),)),
    "wve": Container("WVE", "ALAW", (Field(b"ALawSoundFile**\0\x0f\x10", 0, 4, "big"),)),
    "mat4": Container("MAT4", "PCM_16", (Field(b"@\x1e\0\0\0", 4, 4),)),
    "mat5": Container("MAT5", "PCM_16", tuple(Field(b"wavedata", k, 4) for k in (-20, 4))),
    "mpc2k": Container("MPC2K", "PCM_16", (Field(b"\x01\x04", 28, 4),)),
    "flac": Container("FLAC", "PCM_16", (Field(b"fLaC", 18, 4, "big"),)),
    "mp3": Container("MP3", "MPEG_LAYER_III", (Field(b"Xing", 4, 4, "big"), Field(b"Xing", 8, 4, "big"))),
}
PADDING = 4
"""Samples that a size may be off unnoticed: containers pad the chunk of samples to up to 8 bytes."""

MP3_DELAY, MP3_PADDING = 1105, 1335
"""Samples that the encoder and decoder add before the sound, and in all; the length tag says so."""

UNSIZED = {"paf", "ircam", "pvf", "mp3"}
"""Containers that do not say how many samples they hold, so that neither a cut nor an end can be seen."""


def write(folder: Path, container: Container) -> tuple[bytes, np.ndarray]:
    """Write a whole file; return its bytes and its samples."""
    path = folder / f"whole.{container.name.lower()}"
    rate = 8000 if container.name == "WVE" else RATE
    soundfile.write(path, VALUES, rate, container.subtype, container.endian, container.name)
    return path.read_bytes(), soundfile.read(path, dtype="float32")[0]


def wrong_sizes(content: bytes, field: Field) -> Iterator[bytes]:
    """Put wrong numbers in place of one in a header."""
    at = content.index(field.mark) + len(field.mark) + field.offset
    size = int.from_bytes(content[at : at + field.width], field.order)  # type: ignore[arg-type]
    most = 256**field.width - 1
    near = (size + k for k in (-1000, -44, -8, -2, -1, 1, 2, 8, 44, 1000))
    for other in (0, 1, *near, size // 2, 2 * size, most, most - 1, most - 36, most // 2, most // 2 - 36):
        if 0 <= other <= most and other != size:
            yield content[:at] + other.to_bytes(field.width, field.order) + content[at + field.width :]  # type: ignore[arg-type]


def wrong_counts(content: bytes) -> Iterator[bytes]:
    """Put wrong numbers into the header of a NIST file."""
    for count in (0, 1, 2500, 5000, 5002, 5500, 10002, 2**31 - 1, 2**32):
        yield (
            re.sub(rb"sample_count -i \d+", b"sample_count -i %d" % count, content[:1024]).ljust(1024)[:1024]
            + content[1024:]
        )


def cut(content: bytes) -> Iterator[bytes]:
    """Leave out some of the end."""
    for n_bytes in (1, 2, 3, 44, 1000, 5000):
        yield content[:-n_bytes]


def extended(content: bytes) -> Iterator[bytes]:
    """Append padding, tags, noise and another file."""
    rng = np.random.default_rng(1)
    noise = rng.bytes(3000)
    yield from (content + more for more in (b"\0", b"\0" * 3, bytes(600), noise, noise[:1], content))
    yield content + b"TAG" + b"title".ljust(125)


def outcome(path: Path, content: bytes, expected: np.ndarray) -> str:
    """Read a file; describe what is wrong with the answer, or say what kind of right answer it is."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            samples, rate = read_audio(path, channel=0)
    except AudioError as error:
        return "refused" if str(error).startswith(f"{path}: ") else f"wrong message: {error}"
    if any(warning.category is not AudioWarning for warning in caught):
        return f"another warning: {caught[0].message}"
    seconds = duration(path)
    if seconds is None or round(seconds * rate) != len(samples):
        return f"a duration of {seconds} s, and {len(samples)} samples"
    if path.suffix == ".mp3" and len(samples) == len(expected) + MP3_PADDING:
        samples = samples[MP3_DELAY : MP3_DELAY + len(expected)]  # without its length tag, all of it is read
    n = min(len(samples), len(expected))
    if not np.allclose(samples[:n], expected[:n], rtol=0, atol=1e-6):  # libmpg123 rounds by the size of its blocks
        return f"other samples, {'with a warning' if caught else 'in silence'}"
    if caught:
        return "read with a warning"
    return (
        "read"
        if abs(len(samples) - len(expected)) <= PADDING
        else f"{len(samples)} of {len(expected)} samples in silence"
    )


RIGHT = {"refused", "read with a warning", "read"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_wrong_size_in_a_header_gives_wrong_samples_in_silence(tmp_path, name):
    container = CONTAINERS[name]
    content, expected = write(tmp_path, container)
    path = tmp_path / f"a.{container.name.lower()}"
    assert outcome(path, content, expected) == "read"
    variants = [(field, variant) for field in container.fields for variant in wrong_sizes(content, field)]
    if name == "nist":
        variants += [("sample_count", variant) for variant in wrong_counts(content)]
    outcomes = [(field, k, outcome(path, variant, expected)) for k, (field, variant) in enumerate(variants)]
    assert [each for each in outcomes if each[-1] not in RIGHT] == []


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in UNSIZED])
def test_no_file_that_was_cut_is_read_in_silence(tmp_path, name):
    container = CONTAINERS[name]
    content, expected = write(tmp_path, container)
    path = tmp_path / f"a.{container.name.lower()}"
    outcomes = [(k, outcome(path, variant, expected)) for k, variant in enumerate(cut(content))]
    assert [each for each in outcomes if each[-1] not in RIGHT] == []


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in UNSIZED or name == "mp3"])
def test_what_follows_the_samples_is_no_sound_or_is_reported(tmp_path, name):
    container = CONTAINERS[name]
    content, expected = write(tmp_path, container)
    path = tmp_path / f"a.{container.name.lower()}"
    outcomes = [(k, outcome(path, variant, expected)) for k, variant in enumerate(extended(content))]
    assert [each for each in outcomes if each[-1] not in RIGHT] == []
