"""Speech activity: which frames hold speech, by their energy or by labels from outside."""

import math
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float32Array, Float64Array
from speechgmm.configuration import Configuration

DECIBELS_PER_NEPER_OF_POWER = 10 / np.log(10)

KALDI_LOG_SCALE = 2 * math.log(32768)
"""What Kaldi's log energies are above ours, nats: its samples have their full scale at 32768, ours at 1."""

EM_ITERATIONS = 20
"""Always this many: a test of convergence could end otherwise after a change of rounding."""

VAD_VARIANCE_FLOOR = 1 / DECIBELS_PER_NEPER_OF_POWER**2
"""Least variance of a component: that of 1 dB, in nats squared."""

ROUNDING = 1e-6
"""Frames by which a quotient of seconds may miss the whole number that it stands for."""


class VadConfig(Configuration):
    """Which frames are kept. A key does nothing under a method that it is not said to belong to.

    Parameters
    ----------
    method : "percentile", "energy", "gaussians" or "none"
        `percentile`: frames whose energy is above a level taken from the utterance's own distribution;
        `energy`: Kaldi's rule, a level taken from the mean of the log energy, and a vote of the neighbours;
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
        After that, stretches of speech shorter than this are dropped, were it the whole utterance; 0 drops none.

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
    """Mark the frames that hold speech.

    Parameters
    ----------
    log_energy : np.ndarray, shape (T,), nats of power
        Log energy of each frame; finite, of samples with full scale at 1.
    config : VadConfig
        The rule.
    frame_shift : float > 0, seconds
        From one frame to the next; for `close_gaps` and `min_speech`.

    Returns
    -------
    np.ndarray, shape (T,), bool
        True where there is speech. Energy that never changes has none by `percentile` and `gaussians`.

    Raises
    ------
    ValueError
        If `frame_shift` is not above 0.

    References
    ----------
    `energy`: Kaldi 5.5, ``compute-vad`` (ivector/voice-activity-detection.cc).
    `gaussians`: in the manner of LIA_RAL's ``EnergyDetector``, which trains such a mixture on each utterance's energy
    and takes the level from its loudest component; here it lies between the quietest and the others.
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
    """Compare with levels below the loud and above the quiet frames."""
    decibels = log_energy * DECIBELS_PER_NEPER_OF_POWER
    quiet, loud = np.percentile(decibels, [5, 95])
    threshold = max(loud - config.range_db, quiet + config.margin_db)
    speech: BoolArray = decibels > threshold
    return speech


def _above_scaled_mean(log_energy: Float64Array, config: VadConfig) -> BoolArray:
    """Compare with a level that follows the mean, and let neighbours vote; energies in Kaldi's units."""
    level = config.threshold + config.mean_scale * log_energy.mean()
    n_frames = len(log_energy)
    above = np.concatenate([[0], np.cumsum(log_energy > level)])
    context = min(config.context, n_frames)
    first = np.maximum(np.arange(n_frames) - context, 0)
    last = np.minimum(np.arange(n_frames) + context + 1, n_frames)
    # Kaldi multiplies in single precision, which decides where the share is met exactly.
    needed = (last - first).astype(np.float32) * np.float32(config.proportion)
    speech: BoolArray = above[last] - above[first] >= needed
    return speech


def _in_louder_gaussians(log_energy: Float32Array, config: VadConfig) -> BoolArray:
    """Find the least energy that more likely belongs to a louder component than to the quietest one."""
    energy = log_energy.astype(np.float64)
    energy -= energy.min()  # so that the level of the recording has no influence, not even through rounding
    weights, means, variances = _energy_mixture(energy, config.n_gaussians)
    quietest = int(means.argmin())
    louder = 1 - _posteriors(energy, weights, means, variances)[:, quietest]
    # A wide component has both tails: only upwards from the quietest mean does more energy mean more speech, and
    # what is louder than the least speech is speech, whichever tail it lies in.
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
        means = np.where(zeroth > ROUNDING, np.einsum("tc,t->c", posteriors, energy) / zeroth, means)
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
    """Turn over the runs of `value` shorter than `n_frames`; of non-speech only those between speech."""
    ends = np.concatenate([[0], np.flatnonzero(np.diff(speech)) + 1, [len(speech)]])
    kept = speech.copy()
    for start, stop in pairwise(ends):
        inner = start > 0 and stop < len(speech)
        if speech[start] == value and stop - start < n_frames - ROUNDING and (value or inner):
            kept[start:stop] = not value
    return kept


def check_shift(frame_shift: float) -> None:
    """Refuse a shift that counts no frames.

    Parameters
    ----------
    frame_shift : float, seconds
        From one frame to the next.

    Raises
    ------
    ValueError
        If it is not a positive, finite number.
    """
    if not 0 < frame_shift < math.inf:
        raise ValueError(f"frame_shift {frame_shift}: expected seconds above 0")
