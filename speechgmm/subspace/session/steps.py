"""E steps of session variability and joint factor analysis: sums over blocks of speakers, computed by workers."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from speechgmm.arrays import CopiedOnArrival, Float64Array
from speechgmm.subspace.session.factors import Factors, PosteriorPrecisions
from speechgmm.subspace.session.model import WhitenedModel
from speechgmm.subspace.session.speakers import SpeakerBlock


@dataclass(frozen=True, eq=False)
class FactorSums(CopiedOnArrival):
    """What the update of loadings, or of the residual, needs; sums of parts add up to those of the whole."""

    occupancy: Float64Array  # (C,), frames
    second: Float64Array  # sum of N E[x x'], packed (C, P); of the residual, N E[z^2], (C, D)
    product: Float64Array  # sum of f E[x]', (C, D, R); of the residual, f E[z], (C, D)
    gain: float  # nats: what these factors add to the log-likelihood

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.occupancy + other.occupancy,
            self.second + other.second,
            self.product + other.product,
            self.gain + other.gain,
        )


@dataclass(frozen=True, eq=False)
class _Recordings:
    """Statistics of n recordings of S speakers about the background model's means, in its standard deviations.

    What a speaker shifts or a session explains is summed by speaker and component before loadings multiply it: only
    two products and no other array are as large as the statistics.
    """

    zeroth: Float64Array  # (n, C)
    centred: Float64Array  # (n, C, D)
    counts: tuple[int, ...]  # recordings of each speaker, one speaker after the other

    @property
    def rows(self) -> list[slice]:
        """The recordings of each speaker."""
        ends = np.cumsum(self.counts).tolist()
        return [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]

    def by_speaker(self, values: Float64Array) -> Float64Array:
        """Add the rows of each speaker's recordings, shape (S, ...)."""
        return np.stack([values[rows].sum(axis=0) for rows in self.rows])

    def weighted(self, values: Float64Array) -> Float64Array:
        """Return the sums of N_h x_h' over each speaker's recordings, shape (C, S, R), for values x (n, R)."""
        return np.stack([self.zeroth[rows].T @ values[rows] for rows in self.rows], axis=1)

    def about(self, shifts: Float64Array, factors: Factors, projected: Float64Array) -> Float64Array:
        """Return what statistics about shifted means (S, C, D) project on factors, from those about the model's."""
        projected = projected.copy()
        on_components = shifts.transpose(1, 0, 2) @ factors.loadings
        for number, rows in enumerate(self.rows):
            projected[rows] -= self.zeroth[rows] @ on_components[:, number]
        return projected

    def product(self, values: Float64Array, shifts: Float64Array | None = None) -> Float64Array:
        """Sum the products of first-order statistics, about shifted means, and values (n, R), shape (C, D, R)."""
        n_rows, n_components, n_features = self.centred.shape
        product = self.centred.reshape(n_rows, n_components * n_features).T @ values
        product = product.reshape(n_components, n_features, values.shape[1])
        return product if shifts is None else product - shifts.transpose(1, 2, 0) @ self.weighted(values)

    def together(self) -> "_Recordings":
        """Return the statistics of each speaker's recordings together, as those of one recording."""
        return _Recordings(self.by_speaker(self.zeroth), self.by_speaker(self.centred), (1,) * len(self.counts))


def isv_sums(model: WhitenedModel, block: SpeakerBlock) -> FactorSums:
    """Do the E step of ISV for U: sessions as if there were no speaker, speakers given them, sums with both.

    One sweep, not the joint posterior (Vogt and Sridharan 2008). The gain is that of x integrated and z at its mode.
    """
    recordings = _read(model, block)
    speakers = recordings.together()
    precisions = model.session.precisions(recordings.zeroth)
    projected = model.session.project(recordings.centred)
    values = precisions.means(projected)
    unexplained = speakers.centred - _explained(model.session, recordings.weighted(values))
    shifts = model.residual_shift(speakers.zeroth, unexplained)
    projected = recordings.about(shifts, model.session, projected)
    gain = _evidence(precisions, projected, precisions.means(projected)) + _shift_gain(model, speakers, shifts)
    return _loading_sums(recordings, precisions, values, gain, shifts)


def speaker_sums(model: WhitenedModel, block: SpeakerBlock) -> FactorSums:
    """Do the E step of JFA for V, from the statistics of each speaker together."""
    speakers = _read(model, block).together()
    precisions = model.speaker.precisions(speakers.zeroth)
    projected = model.speaker.project(speakers.centred)
    values = precisions.means(projected)
    return _loading_sums(speakers, precisions, values, _evidence(precisions, projected, values))


def session_sums(model: WhitenedModel, block: SpeakerBlock) -> FactorSums:
    """Do the E step of JFA for U, given the factors of the speakers."""
    recordings = _read(model, block)
    shifts = _speaker_shifts(model, recordings.together())
    precisions = model.session.precisions(recordings.zeroth)
    projected = recordings.about(shifts, model.session, model.session.project(recordings.centred))
    values = precisions.means(projected)
    return _loading_sums(recordings, precisions, values, _evidence(precisions, projected, values), shifts)


def residual_sums(model: WhitenedModel, block: SpeakerBlock) -> FactorSums:
    """Do the E step of JFA for d, given the factors of speakers and sessions."""
    recordings = _read(model, block)
    speakers = recordings.together()
    shifts = _speaker_shifts(model, speakers)
    projected = recordings.about(shifts, model.session, model.session.project(recordings.centred))
    values = model.session.precisions(recordings.zeroth).means(projected)
    zeroth = speakers.zeroth[:, :, None]
    unexplained = speakers.centred - zeroth * shifts - _explained(model.session, recordings.weighted(values))
    precisions = 1 + zeroth * model.residual**2
    means = model.residual * unexplained / precisions
    gain = 0.5 * float((model.residual * unexplained * means - np.log(precisions)).sum())
    second = (zeroth * (1 / precisions + means**2)).sum(axis=0)
    return FactorSums(speakers.zeroth.sum(axis=0), second, (unexplained * means).sum(axis=0), gain)


def _read(model: WhitenedModel, block: SpeakerBlock) -> _Recordings:
    """Read and centre the statistics of a block."""
    stats = block.recordings.load()
    return _Recordings(stats.zeroth, model.centred(stats), block.counts)


def _explained(factors: Factors, weighted: Float64Array) -> Float64Array:
    """Return what factors explain of each speaker's statistics, the sum of N_h U x_h, shape (S, C, D)."""
    return (weighted @ factors.loadings.transpose(0, 2, 1)).transpose(1, 0, 2)


def _speaker_shifts(model: WhitenedModel, speakers: _Recordings) -> Float64Array:
    """Return V y of each speaker, from all recordings together, shape (S, C, D)."""
    precisions = model.speaker.precisions(speakers.zeroth)
    return model.speaker.shifts(precisions.means(model.speaker.project(speakers.centred)))


def _loading_sums(
    recordings: _Recordings,
    precisions: PosteriorPrecisions,
    values: Float64Array,
    gain: float,
    shifts: Float64Array | None = None,
) -> FactorSums:
    """Sum what the update of loadings needs: over recordings, about the shifts of their speakers."""
    zeroth = recordings.zeroth
    second = zeroth.T @ precisions.moments(values)
    return FactorSums(zeroth.sum(axis=0), second, recordings.product(values, shifts), gain)


def _evidence(precisions: PosteriorPrecisions, projected: Float64Array, means: Float64Array) -> float:
    """Return how much the log-likelihood gains by integrating the factors out, in nats."""
    return 0.5 * (float((projected * means).sum()) - precisions.log_determinant)


def _shift_gain(model: WhitenedModel, speakers: _Recordings, shifts: Float64Array) -> float:
    """Return how much d z adds to the log-likelihood, with the prior of z, in nats."""
    standard = np.divide(shifts, model.residual, out=np.zeros_like(shifts), where=model.residual != 0)
    quadratic = speakers.zeroth[:, :, None] * shifts**2 + standard**2
    return float((shifts * speakers.centred - 0.5 * quadratic).sum())
