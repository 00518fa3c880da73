"""Writers of files that few programs still write, or that PyAV writes: odd and joined containers of sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

FORMATS = {"flac": "s16", "tta": "s16", "wavpack": "s16p", "alac": "s16p"}
"""FFmpeg's names of 16-bit samples, for encoders that take others too."""


class _Bits:
    """Bits that are written one after the other, the most significant first."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def rice(self, value: int, n_low: int) -> None:
        """Write a number >= 0: its upper part as zeros and a one, and its `n_low` lower bits."""
        low = value & ((1 << n_low) - 1)
        self.text.append("0" * (value >> n_low) + "1" + (format(low, f"0{n_low}b") if n_low else ""))

    def long(self, value: int) -> None:
        """Write a number with the number of its bits before it."""
        self.rice(value.bit_length(), 2)
        self.rice(value, value.bit_length())

    def signed(self, value: int, n_low: int) -> None:
        """Write a number of either sign."""
        self.rice(~value << 1 | 1 if value < 0 else value << 1, n_low + 1)

    def to_bytes(self) -> bytes:
        """Fill the last 32 bits with zeros."""
        text = "".join(self.text)
        text += "0" * (-len(text) % 32)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def shorten(samples: Samples, *, big_endian: bool, header: bytes = b"") -> bytes:
    """Compress samples (n, channels) as the program shorten does, version 2: differences, Rice-coded in blocks.

    The header of the file that is compressed, of WAV or AIFF, is copied as it is; a NIST file has its own before all.
    T. Robinson, SHORTEN: Simple lossless and near-lossless waveform compression, Cambridge University, 1994.
    """
    block, n_channels = 256, samples.shape[1]
    bits = _Bits()
    for value in (3 if big_endian else 5, n_channels, block, 0, 0, 0):  # type, channels, block, LPC, means, skip
        bits.long(value)
    if header:
        bits.rice(9, 2)
        bits.rice(len(header), 5)
        for byte in header:
            bits.rice(byte, 8)
    last = [0] * n_channels
    for start in range(0, len(samples), block):
        piece = samples[start : start + block].astype(int)
        if len(piece) < block:
            bits.rice(5, 2)  # a block of another size
            bits.long(len(piece))
        for channel, values in enumerate(piece.T.tolist()):
            bits.rice(1, 2)  # first differences
            n_low = 8
            bits.rice(n_low - 1, 3)
            for value in values:
                bits.signed(value - last[channel], n_low - 1)
                last[channel] = value
    bits.rice(4, 2)  # the end
    return b"ajkg\x02" + bits.to_bytes()


def nist_header(n_samples: int, n_channels: int, rate: int, coding: str, byte_format: str = "10") -> bytes:
    """Write the header of a NIST SPHERE file of 16-bit samples."""
    fields = (
        f"channel_count -i {n_channels}",
        f"sample_rate -i {rate}",
        f"sample_count -i {n_samples}",
        "sample_n_bytes -i 2",
        f"sample_byte_format -s2 {byte_format}",
        "sample_sig_bits -i 16",
        f"sample_coding -s{len(coding)} {coding}",
        "end_head",
    )
    return ("NIST_1A\n   1024\n" + "\n".join(fields) + "\n").encode().ljust(1024)


def encode(path: Path, samples: npt.NDArray[np.float32], rate: int, codec: str, *, n_streams: int = 1) -> Path:
    """Encode samples (n, channels) with FFmpeg, in the container that the suffix names."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    with av.open(str(path), "w") as container:
        streams = [
            container.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
            for _ in range(n_streams)
        ]
        for stream in streams:
            if codec in FORMATS:
                stream.format = FORMATS[codec]
            stream.bit_rate = 12200 if "amr" in codec else 96000
            frame.pts = 0  # what is before it is the encoder's delay
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    return path


def encode_video(path: Path, samples: npt.NDArray[np.float32] | None, rate: int) -> Path:
    """Encode a second of black pictures, and samples (n, 1) beside them if there are some."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = None if samples is None else container.add_stream("aac", rate=rate, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for _ in range(25):
            picture.pts = None
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None and samples is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="flt", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def amr_wideband(n_frames: int, rng: np.random.Generator) -> bytes:
    """Write frames of AMR-WB at 23.85 kbit/s (RFC 4867, section 5) with bits by chance."""
    return b"#!AMR-WB\n" + b"".join(b"\x44" + rng.bytes(60) for _ in range(n_frames))
