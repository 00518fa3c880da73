"""A report on recordings before they are used: length, speech, condition, and what is odd about each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio.clipping import FlatTops
from speechgmm.audio.condition import Condition, ConditionMeter
from speechgmm.audio.reading import audio_blocks, audio_warnings, channel_count
from speechgmm.audio.samples import resample_blocks, silence_error
from speechgmm.audio.seen import SeenConditions, distance, unlike
from speechgmm.errors import AudioError

NARROW_SHARE: Final = 0.9
MUCH_CLIPPED: Final = 0.001
LITTLE_SNR: Final = 16.0
SLOW_DECAY: Final = 0.22
MANY_HOLES: Final = 0.006
FAINT_LEVEL: Final = -45.0
LITTLE_SPEECH: Final = 2.0
"""Limits of what needs a remark; clean speech of so762 and LibriSpeech is within them."""


@dataclass(frozen=True)
class RecordingReport:
    """What was found in a recording."""

    path: str
    sample_rate: int  # of the file, in Hz
    n_channels: int  # their mean is measured
    seconds: float
    speech_seconds: float
    condition: Condition  # at the rate of the file, or of what was seen
    remarks: tuple[str, ...]  # what makes it less useful, whatever it is compared with
    unlike: tuple[str, ...] = ()  # in what it is far from what models have seen
    distance: float | None = None  # from what they have seen, as `distance` returns it; None if nothing was given


@dataclass(frozen=True)
class UnreadableRecording:
    """A recording that cannot be used, and the reason."""

    path: str
    reason: str


def report(
    paths: Iterable[str | Path], seen: SeenConditions | None = None
) -> Iterator[RecordingReport | UnreadableRecording]:
    """Measure recordings of any rate, length and number of channels, one after the other in little memory.

    With what models have `seen`, each is measured at their sample rate and compared with it.
    """
    for path in paths:
        try:
            yield _measure(str(path), seen)
        except AudioError as error:
            yield UnreadableRecording(str(path), str(error).removeprefix(f"{path}: "))


class _Original:
    """The samples of a file, counted as they go by."""

    def __init__(self) -> None:
        self.tops = FlatTops()
        self.n_samples = 0
        self.low, self.high = np.inf, -np.inf

    def count(self, blocks: Iterable[Float32Array]) -> Iterator[Float32Array]:
        """Pass the blocks on."""
        for block in blocks:
            self.tops.push(block)
            self.n_samples += len(block)
            self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
            yield block


def _measure(path: str, seen: SeenConditions | None) -> RecordingReport:
    """Measure a recording."""
    n_channels, original = channel_count(path), _Original()
    blocks, rate = audio_blocks(path, channel=None if n_channels == 1 else "mean")
    blocks, used_rate = original.count(blocks), seen.sample_rate if seen else rate
    meter = ConditionMeter(used_rate)
    for block in blocks if used_rate == rate else resample_blocks(blocks, rate, used_rate):
        meter.push(block)
    if original.low == original.high:
        raise silence_error(original.n_samples, original.low)
    condition = meter.finish(clipped=original.tops.share())
    seconds = original.n_samples / rate
    speech = seconds * meter.speech_share()
    return RecordingReport(
        path,
        rate,
        n_channels,
        seconds,
        speech,
        condition,
        (*audio_warnings(path), *_remarks(condition, speech, min(rate, used_rate))),
        unlike(condition, seen) if seen else (),
        distance(condition, seen) if seen else None,
    )


def _remarks(condition: Condition, speech_seconds: float, sample_rate: int) -> tuple[str, ...]:
    """List what makes a recording less useful."""
    decay, holes, clipped = condition.decay or 0.0, condition.holes or 0.0, condition.clipped or 0.0
    found = {
        f"little speech: {speech_seconds:.1f} s": speech_seconds < LITTLE_SPEECH,
        f"narrow band: ends at {condition.high:,.0f} Hz": condition.high < NARROW_SHARE * sample_rate / 2,
        f"faint: {condition.level:.0f} dB": condition.level < FAINT_LEVEL,
        f"noisy: SNR {condition.snr:.0f} dB": condition.snr < LITTLE_SNR,
        f"clipped: {clipped:.1%}": clipped > MUCH_CLIPPED,
        f"reverberant: fades in {decay:.2f} s": decay > SLOW_DECAY,
        f"lossy codec: {holes:.1%} silent bands": holes > MANY_HOLES,
    }
    return tuple(remark for remark, is_so in found.items() if is_so)
