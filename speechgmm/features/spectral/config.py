"""The configuration of the static features, and what follows from it alone: sizes, counts, filters."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import Float64Array
from speechgmm.configuration import Configuration
from speechgmm.features.spectral import filters

SAMPLE_ROUNDING = 1e-6
"""Samples by which a product of seconds and rate may fall short of the whole number that is meant."""

BLOCK_FRAMES = 128
BLOCK_SAMPLES = 2**20
"""Most frames in a block, and most samples of its transforms where frames are very long."""

HIGHEST_RATE = 1_000_000
"""Hz."""

MAX_EMPTY_NAMED = 5
"""Filters without a bin that warnings describe one by one."""

MAX_FILTER_WEIGHTS = 2**24
"""Most weights of a filter bank."""


class CepstraConfig(Configuration):
    """The static features: framing, spectrum, filters and cepstra.

    Parameters
    ----------
    sample_rate : int, 1 to 1,000,000, Hz
        Rate of the samples.
    sample_scale : float, 1e-6 to 1e6
        Factor by which samples with full scale at 1 are multiplied; 32768 where a program uses 16-bit integers as
        they are. It moves c0 and energies by a constant, and the floors relative to them.
    frame_length, frame_shift : float, above 0 to 60, seconds
        Length of a frame, and from the start of one to the start of the next; both in whole samples, rounded down.
    snip_edges : bool
        Whether only frames that lie wholly inside the audio are used.
    padding : "mirror", "centre" or "end"
        What frames contain beyond the audio if `snip_edges` is false. `mirror` (Kaldi): the mirror image of the
        audio; the middle of frame t is that of its shift. `centre` (librosa): zeros; the middle of frame t is the
        sample at t shifts. `end` (python_speech_features): zeros after the end alone; the first frame starts with the
        audio.
    remove_dc : bool
        Whether each frame's mean is subtracted first.
    dither : float >= 0
        Standard deviation of Gaussian noise added to the samples (full scale is 1), the same for every utterance; 0
        adds none.
    preemphasis : float, 0 to below 1
        Coefficient a of x[n] - a x[n-1].
    preemphasis_over : "frame" or "signal"
        Whether the sample before a frame's first is assumed equal to the first ("frame"), or is the one that precedes
        it in the audio ("signal"; 0 before the audio).
    window : "povey", "hamming", "hann", "blackman" or "rectangular"
        Shape of the window.
    periodic_window : bool
        Whether the window's period is the frame length, or one sample less: a symmetric window.
    n_fft : int, samples, optional
        Length of the transform, at least the frame's, at most 2^20; the next power of two by default.
    spectrum : "power", "magnitude" or "periodogram"
        What the filters sum; the periodogram is the power divided by `n_fft`.
    filter_scale : "mel", "slaney" or "linear"
        Axis on which filters are evenly spaced. The default is `linear` where `kind` is lfcc, else `mel`.
    filter_shape : "scale", "hertz" or "bins"
        On which axis the sides of the triangles are straight: `filter_scale` (HTK, Kaldi), hertz (librosa), or whole
        bins of the spectrum, to which the corners are moved down (python_speech_features).
    filter_norm : "peak" or "area"
        Whether each filter has height 1, or area 1 over hertz.
    n_filters : int >= 1
        Number of triangular filters.
    low_frequency : float >= 0, Hz
        Lower edge of the first filter.
    high_frequency : float, Hz, optional
        Upper edge of the last filter; 95 % of half the sample rate by default.
    log : "natural", "decibel" or "none"
        Logarithm of filters, spectrum and energy: natural, 10 times the decimal one, or none (for `logmel` and
        `spectrogram`; an energy is a natural logarithm then).
    log_floor : float, 1e-37 to 1e37
        Smaller values are raised to this before the logarithm.
    top_db : float > 0, dB, optional
        With ``log: decibel``, filter values further than this below the greatest of the utterance are raised to that
        level. It depends on the whole utterance. No limit by default.
    kind : "mfcc", "lfcc", "logmel" or "spectrogram"
        Cepstra on the mel or the linear scale, log filter-bank values, or the log spectrum.
    n_cepstra : int >= 1
        Cepstral coefficients, counted with c0 or the energy.
    dct_norm : "orthonormal" or "htk"
        Scale of c0: that of an orthonormal transform, or greater by the square root of 2, as HTK's.
    lifter : float >= 0
        Cepstral lifter; 0 for none.
    energy : "c0", "raw", "windowed", "spectrum" or "none"
        The first coefficient: c0; in its place the log energy of the frame without its mean ("raw"), after pre-emphasis
        and window ("windowed"), or summed over the bins of the spectrum ("spectrum"); or none of these, so that c1 is
        the first. A log energy replaces the first bin of a spectrogram, and precedes the filters of `logmel`; c0 and
        none have no effect there.
    energy_floor : float >= 0
        Least energy; with 0, `log_floor` applies.
    energy_last : bool
        Whether c0 or the energy comes last, as in HTK's files.
    """

    sample_rate: int = Field(16000, gt=0, le=HIGHEST_RATE)
    sample_scale: float = Field(1.0, ge=1e-6, le=1e6)
    frame_length: float = Field(0.025, gt=0, le=60)
    frame_shift: float = Field(0.010, gt=0, le=60)
    snip_edges: bool = False
    padding: Literal["mirror", "centre", "end"] = "mirror"
    remove_dc: bool = True
    dither: float = Field(0.0, ge=0, le=1e6)
    preemphasis: float = Field(0.97, ge=0, lt=1)
    preemphasis_over: Literal["frame", "signal"] = "frame"
    window: filters.WindowName = "povey"
    periodic_window: bool = False
    n_fft: int | None = Field(None, le=2**20)
    spectrum: Literal["power", "magnitude", "periodogram"] = "power"
    filter_scale: filters.Scale = "mel"
    filter_shape: filters.Shape = "scale"
    filter_norm: Literal["peak", "area"] = "peak"
    n_filters: int = Field(30, ge=1)
    low_frequency: float = Field(20.0, ge=0)
    high_frequency: float | None = None
    log: Literal["natural", "decibel", "none"] = "natural"
    log_floor: float = Field(1e-10, ge=1e-37, le=1e37)
    top_db: float | None = Field(None, gt=0)
    kind: Literal["mfcc", "lfcc", "logmel", "spectrogram"] = "mfcc"
    n_cepstra: int = Field(24, ge=1)
    dct_norm: Literal["orthonormal", "htk"] = "orthonormal"
    lifter: float = Field(22.0, ge=0, le=1e6)
    energy: Literal["c0", "raw", "windowed", "spectrum", "none"] = "c0"
    energy_floor: float = Field(0.0, ge=0, le=1e37)
    energy_last: bool = False

    @model_validator(mode="before")
    @classmethod
    def _scale_of_kind(cls, data: Any) -> Any:
        """Let the kind choose the filter scale where none is set."""
        if isinstance(data, Mapping) and data.get("kind") == "lfcc" and "filter_scale" not in data:
            return {**data, "filter_scale": "linear"}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse frames, transforms and filters that are impossible."""
        if self.shift_samples < 1 or self.frame_samples < 2:
            raise ValueError(
                f"frames of {self.frame_samples} samples every {self.shift_samples}: "
                f"frame_length and frame_shift are in seconds, and too short for {self.sample_rate} Hz"
            )
        if self.fft_size < self.frame_samples:
            raise ValueError(
                f"n_fft {self.n_fft} is shorter than the frame of {self.frame_samples} samples "
                f"({self.frame_length} s at {self.sample_rate} Hz)"
            )
        if self.fft_size > 2**20:
            raise ValueError(f"frame_length {self.frame_length}: a transform of {self.fft_size} samples; at most 2^20")
        if not self.low_frequency + 1 <= self.top_frequency <= self.sample_rate / 2:
            raise ValueError(
                f"filters from {self.low_frequency:g} to {self.top_frequency:g} Hz; expected low_frequency, at least "
                f"1 Hz more, and high_frequency <= {self.sample_rate / 2:g} Hz, half of the sample rate"
            )
        if self.n_filters * (self.fft_size // 2 + 1) > MAX_FILTER_WEIGHTS:
            raise ValueError(f"n_filters {self.n_filters} over a transform of {self.fft_size} samples: too many")
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        """Refuse more cepstra than the filters allow, and keys that contradict each other."""
        if (self.kind == "lfcc") != (self.filter_scale == "linear") and self.is_cepstral:
            raise ValueError(
                f"kind {self.kind} with filter_scale {self.filter_scale}: lfcc needs linear, mfcc mel or slaney"
            )
        if self.is_cepstral and self.n_cepstra + (self.energy == "none") > self.n_filters:
            raise ValueError(f"n_cepstra {self.n_cepstra} from n_filters {self.n_filters}: too few filters")
        if self.is_cepstral and self.log == "none":
            raise ValueError(f"log none: kind {self.kind} needs a logarithm")
        if self.top_db is not None and self.log != "decibel":
            raise ValueError(f"top_db {self.top_db} is for log decibel, and log is {self.log}")
        if self.snip_edges and self.padding != "mirror":
            raise ValueError(f"padding {self.padding} has no effect where snip_edges is true: set it to false")
        has_energy = self.replaces_first if self.kind == "logmel" else self.is_cepstral and self.energy != "none"
        if self.energy_last and not has_energy:
            raise ValueError(f"energy_last: kind {self.kind} with energy {self.energy} has no energy or c0 to put last")
        return self

    @property
    def is_cepstral(self) -> bool:
        """Whether the features are cepstra."""
        return self.kind in ("mfcc", "lfcc")

    @property
    def replaces_first(self) -> bool:
        """Whether a log energy is among the features."""
        return self.energy in ("raw", "windowed", "spectrum")

    @property
    def emphasises_signal(self) -> bool:
        """Whether pre-emphasis precedes the division of the audio into frames."""
        return self.preemphasis_over == "signal" and self.preemphasis > 0

    @property
    def frame_samples(self) -> int:
        """Samples in a frame, rounded down as in Kaldi."""
        return int(self.frame_length * self.sample_rate + SAMPLE_ROUNDING)

    @property
    def shift_samples(self) -> int:
        """Samples from one frame to the next, rounded down as in Kaldi."""
        return int(self.frame_shift * self.sample_rate + SAMPLE_ROUNDING)

    @property
    def shift_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.shift_samples / self.sample_rate

    @property
    def first_centre_seconds(self) -> float:
        """Position of the middle of the first frame in the audio, in seconds, to within a sample."""
        return (self.first_sample + self.frame_samples / 2) / self.sample_rate

    @property
    def first_sample(self) -> int:
        """Position in the audio of the first sample of the first frame: 0, or negative."""
        if self.snip_edges or self.padding == "end":
            return 0
        if self.padding == "centre":
            return (self.fft_size - self.frame_samples) // 2 - self.fft_size // 2
        return self.shift_samples // 2 - self.frame_samples // 2

    @property
    def fft_size(self) -> int:
        """Length of the Fourier transform."""
        return 1 << (self.frame_samples - 1).bit_length() if self.n_fft is None else self.n_fft

    @property
    def top_frequency(self) -> float:
        """Upper edge of the last filter in Hz."""
        return 0.475 * self.sample_rate if self.high_frequency is None else self.high_frequency

    @property
    def max_amplitude(self) -> float:
        """Greatest sample whose filters cannot overflow single precision: by Parseval, with pre-emphasis."""
        height = 1.0 if self.kind == "spectrogram" else max(1.0, float(filter_bank(self).max()))
        return float(np.sqrt(1e37 / (self.fft_size * self.frame_samples * height))) / self.sample_scale

    @property
    def n_static(self) -> int:
        """Features of a frame before deltas."""
        match self.kind:
            case "spectrogram":
                return self.fft_size // 2 + 1
            case "logmel":
                return self.n_filters + self.replaces_first
            case _:
                return self.n_cepstra


def frame_count(n_samples: int, config: CepstraConfig) -> int:
    """Count the frames of a waveform of `n_samples`.

    With `snip_edges`, the frames that lie wholly inside. Otherwise by `padding`: "mirror" has one for each whole or
    nearly whole shift, and none if the waveform is shorter than a frame; "centre" has one for each begun shift, and
    one for the end of the waveform if that is the end of a shift; "end" has as many as are needed to hold every
    sample.
    """
    length, shift = config.frame_samples, config.shift_samples
    if n_samples == 0 or (n_samples < length and config.padding == "mirror"):
        return 0
    if config.snip_edges:
        return 1 + (n_samples - length) // shift
    match config.padding:
        case "mirror":
            return (n_samples + shift // 2) // shift
        case "centre":
            return 1 + (n_samples - config.fft_size % 2) // shift
        case "end":
            return 1 + -(-max(n_samples - length, 0) // shift)


def block_frames(config: CepstraConfig) -> int:
    """Return the number of frames to compute at a time: `BLOCK_FRAMES`, or fewer where frames are very long."""
    return max(1, min(BLOCK_FRAMES, BLOCK_SAMPLES // config.fft_size))


def filter_bank(config: CepstraConfig) -> Float64Array:
    """Compute the weights of a configuration's filters, (bins, filters), at least 0 and read-only."""
    return filters.filter_bank(
        config.filter_scale,
        config.n_filters,
        config.low_frequency,
        config.top_frequency,
        shape=config.filter_shape,
        area=config.filter_norm == "area",
        n_fft=config.fft_size,
        sample_rate=config.sample_rate,
    )


def empty_filters(config: CepstraConfig) -> tuple[str, ...]:
    """Describe, in one sentence each, the filters between two bins of the spectrum, whose output is constant.

    Beyond five, one sentence counts the others. A plain spectrogram has none.
    """
    if config.kind == "spectrogram":
        return ()
    centres = filters.filter_edges(config.filter_scale, config.n_filters, config.low_frequency, config.top_frequency)[
        1:-1
    ]
    empty = np.flatnonzero(~filter_bank(config).any(axis=0))
    sentences = [
        f"filter {number + 1} of {config.n_filters}, around {centres[number]:.0f} Hz, has no bin of a transform of "
        f"{config.fft_size} points: its output is constant; use fewer filters or a larger n_fft"
        for number in empty[:MAX_EMPTY_NAMED]
    ]
    if len(empty) > MAX_EMPTY_NAMED:
        sentences.append(f"{len(empty) - MAX_EMPTY_NAMED} more filters have no bin")
    return tuple(sentences)
