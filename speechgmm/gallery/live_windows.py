"""The windows of `make_timeline` for audio that comes in blocks, each as soon as its frames are known."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array, FloatArray, IntArray
from speechgmm.audio.bandwidth import real_bandwidth
from speechgmm.audio.condition import Condition
from speechgmm.audio.samples import Resampler
from speechgmm.errors import AudioError, GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.streaming.stream import FeatureStream
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.live_condition import LiveCondition
from speechgmm.gallery.recogniser import Test
from speechgmm.gallery.timeline import LEAST_SPEECH

BAND_SECONDS: Final = 10.0
"""The bandwidth is that of this much audio, the latest."""


class LiveWindow(NamedTuple):
    """One hop of the audio, and the window centred on it."""

    begin: float  # of the hop, in seconds
    end: float  # of the hop
    pieces: Test  # speech frames in the window, by the fingerprint of the front end
    bandwidth: float  # up to which frequency there is sound, in Hz
    condition: Condition | None  # of the audio so far; None before it was measured
    distance: float  # of the audio so far from anything that the models were trained on
    is_spoken: bool  # whether there is enough speech


class LiveWindows:
    """Cuts audio that comes in blocks into the hops and windows of `make_timeline`.

    Levels and means that front ends derive from a whole recording are those of the audio so far: `FeatureStream` with
    `running`.
    """

    def __init__(self, gallery: Gallery, sample_rate: int, window: float, hop: float) -> None:
        self._window, self._hop, self._rate = window, hop, sample_rate
        self._rates = _Rates(gallery, sample_rate)
        self._front_ends = {name: _FrontEnd(gallery, config) for name, config in gallery.front_ends.items()}
        self._shift = gallery.front_end.shift_seconds
        self._first_rate = gallery.front_end.sample_rate
        self._condition = LiveCondition(gallery.config.first_recogniser, self._first_rate)
        self._band = _Band(sample_rate) if len(gallery.recognisers) > 1 else None
        self._n_samples = 0
        self._n_speech = 0
        self._n_hops = 0

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return self._n_samples / self._rate

    @property
    def known_to(self) -> float:
        """Up to which time the speech of the first front end is known, in seconds."""
        return next(iter(self._front_ends.values())).known_to

    def new_speech(self) -> Float64Array:
        """Return the centres (T,) of the first front end's speech frames that came by the last call, in seconds."""
        return next(iter(self._front_ends.values())).new

    @property
    def unlike(self) -> tuple[str, ...]:
        """In what the audio so far is unlike the recordings of the models, in the order in which it was found."""
        return tuple(self._condition.unlike.values())

    def push(self, samples: Float32Array) -> Iterator[LiveWindow]:
        """Process the next samples (n,), and yield the windows that they complete."""
        self._n_samples += len(samples)
        if self._band is not None:
            self._band.push(samples)
        at_rate = self._rates.push(samples)
        for each in self._front_ends.values():
            each.push(at_rate[each.sample_rate])
        self._n_speech += len(self.new_speech())
        self._condition.push(samples, at_rate[self._first_rate], self._n_speech * self._shift)
        known_to = min(each.known_to for each in self._front_ends.values())
        while self._stop(self._n_hops) <= known_to:
            yield self._next(self._stop(self._n_hops), (self._n_hops + 1) * self._hop, self._window)

    def finish(self) -> Iterator[LiveWindow]:
        """End the audio, and yield its last windows."""
        seconds = self.seconds
        at_rate = self._rates.finish()
        for each in self._front_ends.values():
            each.finish(at_rate[each.sample_rate])
        self._n_speech += len(self.new_speech())
        self._condition.finish(at_rate[self._first_rate], self._n_speech * self._shift)
        while self._n_hops < max(1, int(np.ceil(seconds / self._hop - 1e-9))):
            stop = self._stop(self._n_hops)
            end = min((self._n_hops + 1) * self._hop, seconds)
            yield self._next(stop if stop < seconds else np.inf, end, min(self._window, seconds))

    def _stop(self, number: int) -> float:
        """Compute where the window of a hop ends, as `place_windows` does."""
        return round(number * self._hop + (self._window + self._hop) / 2, 9)

    def _next(self, stop: float, end: float, window: float) -> LiveWindow:
        """Cut the next window, which ends at `stop`, and drop the frames before the one after it."""
        begin = self._n_hops * self._hop
        start = max(round(begin - (self._window - self._hop) / 2, 9), 0.0)
        pieces = {name: each.cut(start, stop) for name, each in self._front_ends.items()}
        self._n_hops += 1
        for each in self._front_ends.values():
            each.drop(round(self._n_hops * self._hop - (self._window - self._hop) / 2, 9))
        first = next(iter(pieces.values()))
        spoken = len(first) >= LEAST_SPEECH * window / self._shift and all(map(len, pieces.values()))
        bandwidth = np.inf if self._band is None else self._band.bandwidth
        return LiveWindow(begin, end, pieces, bandwidth, self._condition.condition, self._condition.distance, spoken)


class _Rates:
    """The audio at the sample rates of the front ends, converted once for each rate."""

    def __init__(self, gallery: Gallery, sample_rate: int) -> None:
        rates = list(dict.fromkeys(config.sample_rate for config in gallery.front_ends.values()))
        other = next((rate for rate in rates if rate != sample_rate), None)
        if other is not None and not gallery.config.resample:
            raise AudioError(
                f"sample rate {sample_rate} Hz; this gallery takes {other} Hz, and its gallery.json says "
                '"resample": false'
            )
        self._resamplers = {rate: None if rate == sample_rate else Resampler(sample_rate, rate) for rate in rates}

    def push(self, samples: Float32Array) -> dict[int, Float32Array]:
        """Convert the next samples (n,), as far as they determine those at each rate."""
        return {rate: samples if each is None else each.push(samples) for rate, each in self._resamplers.items()}

    def finish(self) -> dict[int, Float32Array]:
        """Return the last samples at each rate, those that waited for the end of the audio."""
        nothing = np.empty(0, np.float32)
        return {
            rate: nothing if each is None else each.push(nothing, final=True) for rate, each in self._resamplers.items()
        }


class _FrontEnd:
    """The speech frames of one front end, as far back as the next window needs them."""

    def __init__(self, gallery: Gallery, config: FeatureConfig) -> None:
        self._config = config
        self.sample_rate = config.sample_rate
        try:
            self._stream = FeatureStream(config, running=True)
        except ValueError as error:
            raise GalleryError(f"{gallery.folder}: no live answers with this gallery's features: {error}") from error
        self._frames: Float32Array = np.empty((0, config.n_features), np.float32)
        self._centres: Float64Array = np.empty(0)
        self.new = self._centres

    @property
    def known_to(self) -> float:
        """The centre of the first frame that is not known, in seconds."""
        return float(self._centres_of(np.array(self._stream.n_determined)))

    def push(self, samples: Float32Array) -> None:
        """Process the next samples (n,) at the front end's rate."""
        self._add(self._stream.push(samples))

    def finish(self, samples: Float32Array) -> None:
        """Process the last samples (n,); audio without speech has no more frames."""
        self.push(samples)
        added = self.new
        try:
            self._add(self._stream.finish())
        except AudioError:  # nothing but silence, or no speech
            self.new = self.new[:0]
        self.new = np.concatenate((added, self.new))

    def cut(self, start: float, stop: float) -> FloatArray:
        """Return the frames (T, D) whose centres lie between two times, in seconds."""
        first, last = np.searchsorted(self._centres, (start, stop)).tolist()
        return self._frames[first:last]

    def drop(self, start: float) -> None:
        """Forget the frames whose centres lie before a time, in seconds."""
        first = int(np.searchsorted(self._centres, start))
        self._frames, self._centres = self._frames[first:], self._centres[first:]

    def _add(self, frames: Float32Array) -> None:
        """Keep frames that the stream has just returned."""
        self.new = self._centres_of(self._stream.numbers)
        if len(frames):
            self._frames = np.concatenate((self._frames, frames))
            self._centres = np.concatenate((self._centres, self.new))

    def _centres_of(self, numbers: IntArray) -> Float64Array:
        """Return the centres of frames by their numbers, in seconds."""
        return self._config.first_centre_seconds + self._config.shift_seconds * numbers.astype(np.float64)


class _Band:
    """The bandwidth of the latest audio, measured now and then."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._length = round(BAND_SECONDS * sample_rate)
        self._latest: Float32Array = np.empty(0, np.float32)
        self._n_new = 0
        self.bandwidth = sample_rate / 2

    def push(self, samples: Float32Array) -> None:
        """Add samples (n,), and measure when a tenth of the audio is new."""
        self._latest = np.concatenate((self._latest, samples))[-self._length :]
        self._n_new += len(samples)
        if 10 * self._n_new >= self._length:
            self.bandwidth, self._n_new = real_bandwidth(self._latest, self._rate), 0
