"""Speech activity: which frames hold speech, by their energy."""

import math
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float32Array, Float64Array
from speechgmm.configuration import Configuration

DECIBELS_PER_NEPER_OF_POWER = 10 / np.log(10)

KALDI_LOG_SCALE = 2 * math.log(32768)
"""Difference between Kaldi's log energies and ours, nats: its samples have full scale at 32768, ours at 1."""

EM_ITERATIONS = 20
"""A fixed number: a test of convergence could stop elsewhere after a change in rounding."""

VAD_VARIANCE_FLOOR = 1 / DECIBELS_PER_NEPER_OF_POWER**2
"""Least variance of a component: that of 1 dB, in nats squared."""

FRAME_ROUNDING = 1e-6
"""Frames by which a quotient of seconds may miss the whole number that is meant."""


class VadConfig(Configuration):
    """Which frames are kept as speech. A key has an effect only under the methods that it names.

    Parameters
    ----------
    method : "percentile", "energy", "gaussians" or "none"
        `percentile`: frames whose energy is above a level derived from the utterance's own distribution;
        `energy`: Kaldi's rule, a level derived from the mean log energy, and a vote of the neighbours;
        `gaussians`: frames that belong to the louder part of a Gaussian mixture trained on the log energy;
        `none`: all frames.
    range_db : float > 0, dB; for `percentile`
        Frames more than this below the loud ones (95th percentile) are not speech.
    margin_db : float >= 0, dB; for `percentile` and `gaussians`
        Nor are frames less than this above the quiet ones: the 5th percentile, or the mean of the quietest Gaussian.
    threshold : float, nats in Kaldi's units; for `energy`
        Constant part of the level. The units are those of Kaldi's ``--vad-energy-threshold``, whose samples have
        their full scale at 32768, so that 5.5, as in recipes for SRE, is written 5.5; this package's log energies
        are raised by 2 ln 32768 = 20.79 for the comparison.
    mean_scale : float >= 0; for `energy`
        The level is `threshold` plus this times the utterance's mean log energy, also in Kaldi's units.
    context : int >= 0, frames; for `energy`
        Frames on either side that have a vote.
    proportion : float, above 0 to below 1; for `energy`
        Least share of the voting frames above the level, for the frame in their middle to be speech.
    n_gaussians : 2 or 3; for `gaussians`
        Components of the mixture. All but the quietest are speech: with 3, soft and loud speech.
    close_gaps : float >= 0, seconds; for all
        Stretches without speech between speech that are shorter than this become speech; 0 fills none.
    min_speech : float >= 0, seconds; for all
        After that, stretches of speech shorter than this are dropped, even if none remains; 0 drops none.

    Notes
    -----
    Where samples are all 0, the front end's ``log_floor`` is the energy. Its default is above Kaldi's floor, so with
    digital silence the mean, and with it the level of `energy`, is a little above Kaldi's; a ``log_floor`` of
    1.11e-16 is Kaldi's.
    """

    method: Literal["percentile", "energy", "gaussians", "none"] = "percentile"
    range_db: float = Field(40.0, gt=0)
    margin_db: float = Field(3.0, ge=0)
    threshold: float = 5.0
    mean_scale: float = Field(0.5, ge=0)
    context: int = Field(0, ge=0)
    proportion: float = Field(0.6, gt=0, lt=1)
    n_gaussians: Literal[2, 3] = 3
    close_gaps: float = Field(0.0, ge=0)
    min_speech: float = Field(0.0, ge=0)


def speech_frames(log_energy: Float32Array, config: VadConfig, *, frame_shift: float = 0.010) -> BoolArray:
    """Mark the frames (T,) that hold speech, by their finite log energy (T,) in nats of power, full scale at 1.

    `frame_shift`, in seconds, is for `close_gaps` and `min_speech`; ValueError if it is not above 0. Energy that never
    changes has no speech by `percentile` and `gaussians`.

    `energy` follows Kaldi 5.5, ``compute-vad`` (ivector/voice-activity-detection.cc). `gaussians` resembles LIA_RAL's
    ``EnergyDetector``, which trains such a mixture on each utterance's energy and derives the level from its loudest
    component; here the level lies between the quietest and the others.
    """
    check_shift(frame_shift)
    if len(log_energy) == 0:
        return np.ones(0, np.bool_)
    match config.method:
        case "energy":
            speech = _above_scaled_mean(log_energy.astype(np.float64) + KALDI_LOG_SCALE, config)
        case "gaussians":
            speech = _in_louder_gaussians(log_energy, config)
        case "percentile":
            speech = _above_percentiles(log_energy, config)
        case "none":
            speech = np.ones(len(log_energy), np.bool_)
    if config.close_gaps:
        speech = _without_short_runs(speech, False, config.close_gaps / frame_shift)
    if config.min_speech:
        speech = _without_short_runs(speech, True, config.min_speech / frame_shift)
    return speech


def _above_percentiles(log_energy: Float32Array, config: VadConfig) -> BoolArray:
    """Compare energies with levels below the loud and above the quiet frames."""
    decibels = log_energy * DECIBELS_PER_NEPER_OF_POWER
    quiet, loud = np.percentile(decibels, [5, 95])
    threshold = max(loud - config.range_db, quiet + config.margin_db)
    speech: BoolArray = decibels > threshold
    return speech


def _above_scaled_mean(log_energy: Float64Array, config: VadConfig) -> BoolArray:
    """Compare energies, in Kaldi's units, with a level that follows their mean, and let neighbours vote."""
    level = config.threshold + config.mean_scale * log_energy.mean()
    n_frames = len(log_energy)
    n_above = np.concatenate([[0], np.cumsum(log_energy > level)])
    context = min(config.context, n_frames)
    first = np.maximum(np.arange(n_frames) - context, 0)
    last = np.minimum(np.arange(n_frames) + context + 1, n_frames)
    # Kaldi multiplies in single precision, which decides where the share is met exactly.
    needed = (last - first).astype(np.float32) * np.float32(config.proportion)
    speech: BoolArray = n_above[last] - n_above[first] >= needed
    return speech


def _in_louder_gaussians(log_energy: Float32Array, config: VadConfig) -> BoolArray:
    """Mark the frames at least as loud as the softest one that more likely belongs to a louder component."""
    energy = log_energy.astype(np.float64)
    energy -= energy.min()  # the level of the recording then has no influence, not even through rounding
    weights, means, variances = _energy_mixture(energy, config.n_gaussians)
    quietest = int(means.argmin())
    louder = 1 - _posteriors(energy, weights, means, variances)[:, quietest]
    # A wide component has two tails: more energy means more speech only above the quietest mean, and every frame
    # louder than the quietest speech is speech, whichever tail it lies in.
    candidates = energy[(louder > 0.5) & (energy > means[quietest] + config.margin_db / DECIBELS_PER_NEPER_OF_POWER)]
    least: float = candidates.min(initial=np.inf)
    speech: BoolArray = energy >= least
    return speech


def _energy_mixture(energy: Float64Array, n_gaussians: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Train weights, means and variances, (C,) each, by EM from evenly spaced percentiles."""
    weights = np.full(n_gaussians, 1 / n_gaussians)
    means = np.percentile(energy, np.linspace(10, 90, n_gaussians))
    variances = np.full(n_gaussians, max(energy.var() / n_gaussians**2, VAD_VARIANCE_FLOOR))
    for _ in range(EM_ITERATIONS):
        posteriors = _posteriors(energy, weights, means, variances)
        zeroth = np.maximum(posteriors.sum(axis=0), np.finfo(np.float64).eps)  # a component may lose all frames
        means = np.where(zeroth > FRAME_ROUNDING, np.einsum("tc,t->c", posteriors, energy) / zeroth, means)
        spread = np.einsum("tc,tc->c", posteriors, (energy[:, None] - means) ** 2) / zeroth
        weights, variances = zeroth / zeroth.sum(), np.maximum(spread, VAD_VARIANCE_FLOOR)
    return weights, means, variances


def _posteriors(
    energy: Float64Array, weights: Float64Array, means: Float64Array, variances: Float64Array
) -> Float64Array:
    """Compute the posterior of each component for each frame, (T, C)."""
    log_joint = np.log(weights) - 0.5 * (np.log(variances) + (energy[:, None] - means) ** 2 / variances)
    joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    posteriors: Float64Array = joint / joint.sum(axis=1, keepdims=True)
    return posteriors


def _without_short_runs(speech: BoolArray, value: bool, n_frames: float) -> BoolArray:
    """Invert the runs of `value` shorter than `n_frames`; of non-speech only those between speech."""
    ends = np.concatenate([[0], np.flatnonzero(np.diff(speech)) + 1, [len(speech)]])
    result = speech.copy()
    for start, stop in pairwise(ends):
        inner = start > 0 and stop < len(speech)
        if speech[start] == value and stop - start < n_frames - FRAME_ROUNDING and (value or inner):
            result[start:stop] = not value
    return result


def check_shift(frame_shift: float) -> None:
    """Refuse a frame shift in seconds that is not a positive, finite number."""
    if not 0 < frame_shift < math.inf:
        raise ValueError(f"frame_shift {frame_shift}: expected seconds above 0")
