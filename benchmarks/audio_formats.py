"""Audio files of many kinds, whole and damaged, read by speechgmm and by the ffmpeg program as the judge.

Prints how many are read alike, are refused with a reason, or differ; none may differ without a warning.
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from speechgmm import read_audio
from speechgmm.errors import AudioError

SECONDS = 2.0
PADDING_SECONDS = 0.15
"""What codecs with loss add or drop at the ends, which programs count differently."""

ALIGNMENT_SECONDS = 0.001
"""What containers without loss may add."""

ENCODED = [  # suffix, FFmpeg's encoder, options, rates, channels
    *[("wav", codec, "", (8000, 44100), (1, 2)) for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le")],
    *[("wav", codec, "", (16000,), (1, 6)) for codec in ("pcm_s32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw")],
    *[("wav", codec, "", (16000,), (1, 2)) for codec in ("adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha", "g722")],
    ("wav", "libmp3lame", "-b:a 64k", (8000, 16000), (1,)),
    ("wav", "pcm_s16le", "-rf64 always", (16000,), (1, 2)),
    ("wav", "pcm_s16le", "-write_bext 1 -metadata description=x", (16000,), (1,)),
    *[("w64", codec, "", (8000, 48000), (1, 2)) for codec in ("pcm_s16le", "pcm_f32le")],
    *[("aiff", codec, "", (16000,), (1, 2)) for codec in ("pcm_s16be", "pcm_s24be", "pcm_f32be", "pcm_mulaw")],
    *[("au", codec, "", (8000, 16000), (1, 2)) for codec in ("pcm_s16be", "pcm_mulaw", "pcm_f32be")],
    *[("caf", codec, "", (16000,), (1, 2)) for codec in ("pcm_s16le", "pcm_f32be", "alac", "pcm_alaw")],
    ("flac", "flac", "", (8000, 44100), (1, 2)),
    ("flac", "flac", "-sample_fmt s32", (48000,), (1, 2)),
    *[("ogg", codec, "", (16000, 48000), (1, 2)) for codec in ("libvorbis", "libopus", "flac")],
    ("spx", "libspeex", "", (8000, 16000), (1,)),
    ("mp3", "libmp3lame", "-b:a 64k", (8000, 16000, 44100), (1, 2)),
    ("mp3", "libmp3lame", "-q:a 3", (16000, 44100), (1, 2)),
    ("mp3", "libmp3lame", "-q:a 3 -write_xing 0", (16000, 44100), (1, 2)),
    ("mp3", "libmp3lame", "-b:a 64k -write_xing 0 -id3v2_version 0", (16000, 44100), (1, 2)),
    ("mp2", "mp2", "", (16000, 44100), (1, 2)),
    *[("m4a", codec, "", (16000, 22050, 44100), (1, 2)) for codec in ("aac", "alac")],
    ("m4a", "aac", "-movflags +faststart", (44100,), (1, 2)),
    ("m4a", "aac", "-movflags frag_keyframe+empty_moov", (16000,), (1, 2)),
    ("mov", "pcm_s16be", "", (16000,), (1, 2)),
    ("3gp", "aac", "", (16000,), (1,)),
    ("aac", "aac", "", (16000, 44100), (1, 2)),
    *[("webm", codec, "", (16000, 48000), (1, 2)) for codec in ("libopus", "libvorbis")],
    ("webm", "libopus", "-live 1", (48000,), (1,)),
    *[("mkv", codec, "", (16000, 44100), (1, 2)) for codec in ("aac", "flac", "pcm_s16le", "libmp3lame")],
    *[("wma", codec, "", (16000, 44100), (1, 2)) for codec in ("wmav1", "wmav2")],
    ("ac3", "ac3", "", (32000, 48000), (1, 2, 6)),
    ("eac3", "eac3", "", (48000,), (2,)),
    *[(suffix, suffix if suffix == "tta" else "wavpack", "", (16000, 44100), (1, 2)) for suffix in ("tta", "wv")],
    ("avi", "libmp3lame", "", (16000,), (1, 2)),
    ("flv", "aac", "", (44100,), (1, 2)),
    ("mpg", "mp2", "", (16000, 44100), (1,)),
    ("voc", "pcm_u8", "", (16000,), (1,)),
]

WRITTEN = [  # libsndfile's format, subtypes, suffix
    ("WAVEX", ("PCM_16", "PCM_24", "FLOAT", "ULAW"), "wav"),
    ("RF64", ("PCM_16", "FLOAT"), "rf64"),
    ("W64", ("PCM_24", "DOUBLE", "ALAW"), "w64"),
    ("AIFF", ("PCM_S8", "PCM_16", "PCM_32", "DOUBLE", "ALAW", "IMA_ADPCM"), "aiff"),
    ("AU", ("PCM_S8", "PCM_24", "DOUBLE", "ALAW"), "au"),
    ("CAF", ("PCM_S8", "PCM_24", "DOUBLE", "ULAW", "ALAC_16"), "caf"),
    ("NIST", ("PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW"), "sph"),
    ("WAV", ("GSM610", "NMS_ADPCM_32", "G721_32", "MPEG_LAYER_III"), "wav"),
    ("IRCAM", ("PCM_16", "FLOAT"), "sf"),
    ("VOC", ("PCM_16", "ULAW"), "voc"),
    ("PAF", ("PCM_16", "PCM_24"), "paf"),
    ("SVX", ("PCM_16", "PCM_S8"), "svx"),
    ("PVF", ("PCM_16", "PCM_32"), "pvf"),
    ("AVR", ("PCM_16", "PCM_S8"), "avr"),
    ("HTK", ("PCM_16",), "htk"),
    ("MAT4", ("PCM_16", "DOUBLE"), "mat"),
    ("MAT5", ("PCM_16", "DOUBLE"), "mat"),
    ("MPC2K", ("PCM_16",), "snd"),
]

PIPED = [  # FFmpeg's muxer, encoder, options
    *[
        ("wav", "pcm_s16le", ""),
        ("wav", "pcm_f32le", ""),
        ("wav", "pcm_s16le", "-rf64 always"),
        ("w64", "pcm_s16le", ""),
    ],
    *[("au", "pcm_s16be", ""), ("aiff", "pcm_s16be", ""), ("flac", "flac", ""), ("ogg", "libvorbis", "")],
    *[("ogg", "libopus", ""), ("mp3", "libmp3lame", ""), ("matroska", "libopus", ""), ("webm", "libopus", "")],
    *[("asf", "wmav2", ""), ("adts", "aac", ""), ("flv", "aac", "-ar 44100"), ("avi", "pcm_s16le", "")],
    *[
        ("mp4", "aac", "-movflags frag_keyframe+empty_moov"),
        ("mpegts", "aac", ""),
        ("tta", "tta", ""),
        ("wv", "wavpack", ""),
    ],
]

DAMAGED = (
    *("wav", "rf64.wav", "w64", "aiff", "au", "caf", "sph", "flac", "ogg", "opus.ogg", "mp3", "vbr.mp3", "m4a", "webm"),
    *("mkv", "wma", "aac", "ac3", "tta", "wv", "avi", "flv"),
)
"""The files to damage: 16 kHz, mono, unless their codec has no such rate."""

RNG = np.random.default_rng(0)
NOISE = RNG.bytes(3000)


class Case(NamedTuple):
    """A file to read, and what is known about it."""

    path: Path
    group: str  # the line of the table
    original: np.ndarray | None = None  # the samples (n, channels) that were written and can be read, if that is known
    tolerance: float = 1e-4  # to which the format keeps them
    padding: float = PADDING_SECONDS


class Sound(NamedTuple):
    """What a program reads from a file."""

    samples: np.ndarray  # (n,), the mean of the channels
    rate: int


def voice(rate: int, n_channels: int) -> np.ndarray:
    """Make sound of moving pitch (n, channels) in steps of 8 bits, so that every codec without loss keeps it."""
    time = np.arange(round(SECONDS * rate))[:, None] / rate
    phase = 2 * np.pi * ((120 + 35 * np.arange(n_channels)) * time + 40 * time**2)
    tones = sum(np.sin(k * phase + k * k) / k for k in range(1, 15))
    return np.round(0.15 * (1 + np.sin(2 * np.pi * 3 * time)) * tones * 2**7) / 2**7


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run the program; return what it writes to its standard output."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def source(folder: Path, rate: int, n_channels: int) -> Path:
    """Write the sound that others encode, once."""
    path = folder / f"source-{rate}-{n_channels}.wav"
    if not path.exists():
        soundfile.write(path, voice(rate, n_channels), rate, subtype="PCM_16")
    return path


def encoded_files(folder: Path) -> Iterator[Case]:
    """Encode with FFmpeg into files."""
    for number, (suffix, codec, options, rates, channels) in enumerate(ENCODED):
        for rate in rates:
            for n_channels in channels:
                path = folder / f"{number}-{codec}-{rate}-{n_channels}.{suffix}"
                extra = ["-strict", "-2", "-ar", str(rate), *options.split()]
                try:
                    ffmpeg("-i", source(folder, rate, n_channels), "-c:a", codec, *extra, path)
                except subprocess.CalledProcessError as error:
                    print(f"not encoded: {path.name} ({error.stderr.decode().splitlines()[0]})")
                    continue
                padding = (
                    ALIGNMENT_SECONDS if codec.startswith(("pcm", "flac", "alac", "tta", "wv")) else PADDING_SECONDS
                )
                yield Case(path, f"whole, by ffmpeg: .{suffix}", padding=padding)


def written_files(folder: Path) -> Iterator[Case]:
    """Write with libsndfile."""
    for name, subtypes, suffix in WRITTEN:
        for subtype in subtypes:
            for rate, n_channels in ((8000, 1), (22050, 2)):
                path = folder / f"sndfile-{name}-{subtype}-{rate}-{n_channels}.{suffix}"
                samples = voice(rate, n_channels)
                try:
                    soundfile.write(path, samples, rate, subtype=subtype, format=name)
                except soundfile.LibsndfileError:  # mono only, or a rate that the format lacks
                    path.unlink(missing_ok=True)
                    continue
                exact = subtype.startswith(("PCM_", "FLOAT", "DOUBLE", "ALAC"))
                yield Case(path, "whole, by libsndfile", samples, 1e-4 if exact else 0.2)


def piped_files(folder: Path) -> Iterator[Case]:
    """Encode with FFmpeg into pipes, where no header can be finished."""
    for muxer, codec, options in PIPED:
        for rate, n_channels in ((16000, 1), (44100, 2)):
            path = folder / f"pipe-{muxer}-{codec}-{rate}-{n_channels}{'-o' * bool(options)}.bin"
            arguments = ["-c:a", codec, *options.split(), "-f", muxer, "pipe:1"]
            try:
                path.write_bytes(ffmpeg("-i", source(folder, rate, n_channels), *arguments))
            except subprocess.CalledProcessError:  # a container that must seek
                continue
            is_lossless = codec.startswith(("pcm", "flac", "tta", "wavpack"))
            yield Case(path, "from a pipe", voice(rate, n_channels) if is_lossless else None)


def damaged_files(folder: Path) -> Iterator[Case]:
    """Damage one file of each kind in each way that applies to it."""
    for name in DAMAGED:
        suffix = name.rpartition(".")[2]
        base, sound = folder / f"base.{name}", source(folder, 16000, 1)
        options = {"rf64.wav": "-rf64 always", "opus.ogg": "-c:a libopus", "ac3": "-ar 48000", "flv": "-ar 44100"}
        options |= {
            "vbr.mp3": "-q:a 4 -write_xing 0",
            "ogg": "-c:a libvorbis",
            "webm": "-c:a libopus",
            "mkv": "-c:a aac",
        }
        if suffix == "sph":
            soundfile.write(base, voice(16000, 1), 16000, format="NIST", subtype="PCM_16")
        else:
            ffmpeg("-i", sound, *options.get(name, "").split(), base)
        for damage, change in DAMAGES.items():
            if (content := change(base.read_bytes(), suffix)) is not None:
                path = folder / f"{name.replace('.', '-')}-{damage.replace(' ', '-')}.{suffix}"
                path.write_bytes(content)
                padding = ALIGNMENT_SECONDS if suffix in LOSSLESS else PADDING_SECONDS
                is_known = suffix in LOSSLESS and damage not in LOSING
                yield Case(path, damage, voice(16000, 1) if is_known else None, padding=padding)


Damage = Callable[[bytes, str], bytes | None]

SIZES = {  # where a header gives the size of the samples: what stands before it, its bytes and their order
    "wav": (b"data", 4, "little"),
    "w64": (b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 8, "little"),
    "aiff": (b"SSND", 4, "big"),
    "au": (b".snd", 4, "big"),
    "caf": (b"data", 8, "big"),
}


def with_size(change: Callable[[int], int]) -> Damage:
    """Return a damage that changes the size in the header."""

    def damage(content: bytes, suffix: str) -> bytes | None:
        """Change the size; None for a file without one."""
        if suffix not in SIZES:
            return None
        mark, width, order = SIZES[suffix]
        at = content.index(mark) + len(mark) + 4 * (suffix == "au")
        if content[:4] == b"RF64":  # its size is in another chunk
            at, width = content.index(b"ds64") + 16, 8
        size = int.from_bytes(content[at : at + width], order)  # type: ignore[arg-type]
        return content[:at] + (change(size) % 256**width).to_bytes(width, order) + content[at + width :]  # type: ignore[arg-type]

    return damage


def without_end_mark(content: bytes, suffix: str) -> bytes | None:
    """Clear the mark of an Ogg file's last page, and correct the page's checksum."""
    if suffix != "ogg":
        return None
    at = content.rindex(b"OggS")
    page = bytearray(content[at:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = checksum.to_bytes(4, "little")
    return content[:at] + bytes(page)


DAMAGES: dict[str, Damage] = {
    "cut to 60%": lambda content, _: content[: len(content) * 6 // 10],
    "cut by one byte": lambda content, _: content[:-1],
    "cut to 97%": lambda content, _: content[: len(content) * 97 // 100],
    "joined": lambda content, _: content + content,
    "tag after it": lambda content, _: content + b"TAG" + b"title".ljust(125),
    "zeros after it": lambda content, _: content + bytes(512),
    "noise after it": lambda content, _: content + NOISE,
    "WAV after it": lambda content, _: content + b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0" + bytes(36),
    "zeros before it": lambda content, suffix: bytes(1000) + content if suffix == "mp3" else None,
    "LIST after it": lambda content, suffix: content + b"LIST\x0a\0\0\0INFOabcdef" if suffix == "wav" else None,
    "size 0": with_size(lambda _: 0),
    "size unset": with_size(lambda _: -1),
    "size of a header too large": with_size(lambda size: size + 44),
    "size twice too large": with_size(lambda size: 2 * size),
    "size too small": with_size(lambda size: size // 2 // 4 * 4),
    "size of one byte less": with_size(lambda size: size - 1),
    "last page unmarked": without_end_mark,
}


LOSSLESS = {"wav", "w64", "aiff", "au", "caf", "sph", "flac", "tta", "wv"}
LOSING = {"cut to 60%", "cut by one byte", "cut to 97%", "joined", "size too small", "size of one byte less"}
"""Damages after which the samples that were written are not all that can be read, or not those alone."""


def judge(path: Path) -> Sound | None:
    """Read a file with the ffmpeg program; None if it cannot."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-c:a",
        "pcm_f32le",
        "-f",
        "wav",
        "-",
    ]
    try:
        output = subprocess.run(command, capture_output=True, timeout=60, check=False).stdout
        start = output.index(b"data") + 8
    except (subprocess.TimeoutExpired, ValueError):
        return None
    n_channels, rate = (int.from_bytes(output[k : k + n], "little") for k, n in ((22, 2), (24, 4)))
    n_samples = (len(output) - start) // (4 * n_channels)
    samples = np.frombuffer(output, np.float32, n_samples * n_channels, start)
    return Sound(samples.reshape(-1, n_channels).mean(axis=1), rate) if n_samples else None


def alike(ours: Sound, other: Sound, padding: float, tolerance: float = 0.01) -> bool:
    """Compare two sounds but for the padding in seconds: the halves apart, as it also stands where files are joined."""
    n_padding = round(padding * ours.rate)
    n, m = len(ours.samples), len(other.samples)
    if ours.rate != other.rate or abs(n - m) > n_padding or min(n, m) < 6 * n_padding:
        return False
    halves = (ours.samples[: n // 2], other.samples[: m // 2]), (ours.samples[n // 2 :], other.samples[m // 2 :])
    return all(difference(a, b, n_padding) <= tolerance for a, b in halves)


def difference(a: np.ndarray, b: np.ndarray, n_padding: int) -> float:
    """Return the level of the difference of two sounds at the lag where it is least, relative to their own."""
    size = 2 * max(len(a), len(b))
    products = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    lags = np.arange(-n_padding, n_padding + 1)
    lag = int(lags[np.argmax(products[lags])])
    a, b = a[max(0, lag) :], b[max(0, -lag) :]
    n = min(len(a), len(b))
    inner = slice(n_padding, n - n_padding)  # where decoders start and end differently
    level = float(np.sqrt(np.mean(b[inner] ** 2)))
    return float(np.sqrt(np.mean((a[inner] - b[inner]) ** 2))) / max(level, 1e-6)


def verdict(case: Case) -> tuple[str, str]:
    """Read a file with speechgmm and with the judge: the column of the table, and details."""
    other = judge(case.path)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ours = Sound(*read_audio(case.path, channel="mean"))
    except AudioError as error:
        return "refused" if other else "both refuse", str(error).partition(f"{case.path.name}: ")[2]
    warned = "; ".join(str(warning.message).partition(": ")[2] for warning in caught)
    detail = f"{len(ours.samples)} samples at {ours.rate} Hz; "
    if other is not None:
        detail += f"the judge: {len(other.samples)} at {other.rate} Hz; "
        if other.rate == 48000 != ours.rate:  # Opus, whose rate before encoding libsndfile gives
            other = Sound(soxr.resample(other.samples, other.rate, ours.rate), ours.rate)
        if alike(ours, other, case.padding):
            return "alike", detail + warned
    if case.original is not None:
        original = Sound(case.original.mean(axis=1), ours.rate)
        if alike(ours, original, case.padding, case.tolerance):
            return "as written; not the judge", detail + warned
        detail += f"written: {len(original.samples)}; "
    if other is None and case.original is None:
        return "judge cannot read", detail + warned
    return "differ, with a warning" if warned else "DIFFER IN SILENCE", detail + warned


COLUMNS = (
    *("alike", "as written; not the judge", "refused", "both refuse", "judge cannot read", "differ, with a warning"),
    "DIFFER IN SILENCE",
)


def main() -> int:
    """Print the table, what was refused and what differs; return 1 if something differs in silence."""
    if not shutil.which("ffmpeg"):
        print("ffmpeg is not on the PATH; it is the judge")
        return 1
    makers = (encoded_files, written_files, piped_files, damaged_files)
    counts: Counter[tuple[str, str]] = Counter()
    details: dict[str, list[str]] = {column: [] for column in COLUMNS}
    with tempfile.TemporaryDirectory() as folder:
        for make in makers:
            for case in make(Path(folder)):
                column, detail = verdict(case)
                counts[case.group, column] += 1
                details[column].append(f"  {case.path.name}: {detail}")
    print(f"{'':28}" + "".join(f"{column:>27}" for column in COLUMNS))
    for group in dict.fromkeys(group for group, _ in counts):
        print(f"{group:28}" + "".join(f"{counts[group, column] or '':>27}" for column in COLUMNS))
    print(f"{f'all {counts.total()}':28}" + "".join(f"{len(details[column]):27}" for column in COLUMNS))
    for column in COLUMNS[1:]:
        print(f"\n{column}:", *details[column] or ["  none"], sep="\n")
    return int(bool(details["DIFFER IN SILENCE"]))


if __name__ == "__main__":
    sys.exit(main())
