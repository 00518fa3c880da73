"""Front ends that compute the same numbers as other programs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from speechgmm.features.spectral.config import HIGHEST_RATE

Values = dict[str, JsonValue]

FULL_SCALE = 32768.0
"""Value of a 16-bit sample at full scale, where a program uses such samples as they are."""

STATIC: Values = {"deltas": {"order": 0}, "vad": {"method": "none"}, "normalisation": {"mean": 0.0}}
"""The programs' commands compute static features of all frames."""


@dataclass(frozen=True)
class Preset:
    """The front end of a program."""

    program: str  # its name and version, and the command or function
    sample_rate: int  # its default, Hz
    values: Callable[[int], Values]  # from a sample rate to the values of `FeatureConfig`


def preset_values(name: str, sample_rate: int | None = None) -> Values:
    """Return the values of `FeatureConfig` for one of `PRESETS`, as in a recipe.

    `sample_rate` is in Hz; the program's own default if None. Raises ValueError for an unknown preset or invalid rate.
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    rate = preset.sample_rate if sample_rate is None else sample_rate
    if type(rate) is not int or not 0 < rate <= HIGHEST_RATE:
        raise ValueError(f"sample_rate {rate!r}: expected a whole number of Hz from 1 to {HIGHEST_RATE:,}")
    return STATIC | {"sample_rate": rate} | preset.values(rate)


def _kaldi(sample_rate: int) -> Values:
    """Return the defaults of compute-mfcc-feats, without dither."""
    return {
        "sample_scale": FULL_SCALE,
        "snip_edges": True,
        "n_filters": 23,
        "high_frequency": sample_rate / 2,
        "log_floor": 2.0**-23,
        "n_cepstra": 13,
        "energy": "raw",
    }


def _htk(sample_rate: int) -> Values:
    """Return the configuration of the HTK book's tutorial (section 3.1.5): MFCC_0, c0 last."""
    return {
        "sample_scale": FULL_SCALE,
        "snip_edges": True,
        "remove_dc": False,
        "window": "hamming",
        "spectrum": "magnitude",
        "n_filters": 26,
        "low_frequency": 0.0,
        "high_frequency": sample_rate / 2,
        "log_floor": 1.0,
        "n_cepstra": 13,
        "dct_norm": "htk",
        "energy_last": True,
    }


def _librosa(sample_rate: int) -> Values:
    """Return the defaults of librosa.feature.mfcc, whose lengths are in samples, whatever the rate."""
    return {
        "frame_length": 2048 / sample_rate,
        "frame_shift": 512 / sample_rate,
        "padding": "centre",
        "remove_dc": False,
        "preemphasis": 0.0,
        "window": "hann",
        "periodic_window": True,
        "filter_scale": "slaney",
        "filter_shape": "hertz",
        "filter_norm": "area",
        "n_filters": 128,
        "low_frequency": 0.0,
        "high_frequency": sample_rate / 2,
        "log": "decibel",
        "top_db": 80.0,
        "n_cepstra": 20,
        "lifter": 0.0,
    }


def _psf(sample_rate: int) -> Values:
    """Return the defaults of python_speech_features.mfcc, which rounds lengths to whole samples, for 16-bit audio."""
    return {
        "sample_scale": FULL_SCALE,
        "frame_length": math.floor(0.025 * sample_rate + 0.5) / sample_rate,
        "frame_shift": math.floor(0.010 * sample_rate + 0.5) / sample_rate,
        "padding": "end",
        "remove_dc": False,
        "preemphasis_over": "signal",
        "window": "rectangular",
        "n_fft": 512,
        "spectrum": "periodogram",
        "filter_shape": "bins",
        "n_filters": 26,
        "low_frequency": 0.0,
        "high_frequency": sample_rate / 2,
        "log_floor": 2.0**-52,
        "n_cepstra": 13,
        "energy": "spectrum",
    }


PRESETS = {
    "kaldi": Preset("Kaldi 5.5, compute-mfcc-feats --dither=0", 16000, _kaldi),
    "htk": Preset("HTK 3.4.1, HCopy with the HTK book's MFCC_0", 16000, _htk),
    "librosa": Preset("librosa 0.11, librosa.feature.mfcc", 22050, _librosa),
    "psf": Preset("python_speech_features 0.6, mfcc of 16-bit samples", 16000, _psf),
}
"""The presets by name, with the program and version whose numbers they compute."""
