"""Enrolment: what the recordings of one speaker show of the speaker, apart from their sessions."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from speechgmm.arrays import Float64Array
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.session.factors import PosteriorPrecisions
from speechgmm.subspace.session.model import JointFactorModel, WhitenedModel
from speechgmm.subspace.statistics import Statistics, as_source, blocks_of

SETTLED = 1e-13
"""Sweeps end when what they leave unexplained is below this share of what there was."""

MOST_SWEEPS = 500


@dataclass(frozen=True, eq=False)
class Latents:
    """The factors of one speaker with H recordings."""

    speaker: Float64Array  # y (Rv,)
    session: Float64Array  # x (H, Ru), of each recording
    residual: Float64Array  # z (C, D)
    shift: Float64Array  # V y + d z (C, D), in the units of the features


@one_thread()
def speaker_shift(model: JointFactorModel, statistics: Statistics) -> Float64Array:
    """Enrol a speaker: return how the speaker shifts the means of the background model.

    Parameters
    ----------
    model : JointFactorModel, C components over D features
        The trained model.
    statistics : sequence of H SufficientStats, StackedStats or StatsStore
        Statistics of each of the speaker's recordings under the background model. Together, and not their sum: each
        recording is a session.

    Returns
    -------
    np.ndarray, shape (C, D), float64, in the units of the features
        ``V y + d z``, from the mean of the joint posterior of y, z and the sessions' x_h. 0 if the recordings have no
        frames.

    Raises
    ------
    ModelError
        If there are no recordings, or shapes differ.

    Notes
    -----
    Sweeps over y, x_h and z, each given the others, lead to the joint posterior's mean, but the more frames there are,
    the less a sweep moves. Here they are combined by conjugate gradients, which need a small part of them.

    References
    ----------
    Vogt and Sridharan (2008), Computer Speech and Language 22, 17-38.
    Kenny (2005), Joint factor analysis of speaker and session variability, CRIM-06/08-13.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, JointFactorModel, accumulate, speaker_shift
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> session = np.ones((2, 1, 1))  # a session shifts both means alike
    >>> model = JointFactorModel(ubm.means, ubm.variances, session, np.zeros((2, 1, 0)), np.full((2, 1), 0.5))
    >>> monday, tuesday = np.array([[-1.5], [3.5], [4.5]]), np.array([[-2.0], [3.5], [3.0]])
    >>> speaker_shift(model, [accumulate(ubm, monday), accumulate(ubm, tuesday)]).round(2)
    array([[0.23],
           [0.04]])
    """
    return latent_factors(model, statistics).shift


def latent_factors(model: JointFactorModel, statistics: Statistics, n_sweeps: int | None = None) -> Latents:
    """Return the factors of one speaker's recordings: their posterior means, or their values after some sweeps."""
    system = _read(model, statistics)
    sessions, speaker = np.zeros_like(system.projected), np.zeros(model.speaker_rank)
    shift = np.zeros_like(model.means)
    if n_sweeps is None:
        speaker, sessions = system.settle()
        shift = system.residual_shift(speaker, sessions)
    for _ in range(n_sweeps or 0):
        speaker = system.speaker_given(sessions, shift)
        sessions = system.sessions_given(system.shift_of(speaker) + shift)
        shift = system.residual_shift(speaker, sessions)
    whitened = model.whitened
    standard = np.divide(shift, whitened.residual, out=np.zeros_like(shift), where=whitened.residual != 0)
    return Latents(speaker, sessions, standard, whitened.deviations * (system.shift_of(speaker) + shift))


@dataclass(frozen=True, eq=False)
class _System:
    """The normal equations of the factors of one speaker with H recordings, in standard deviations."""

    model: WhitenedModel
    zeroth: Float64Array  # (H, C)
    total: Float64Array  # (C, 1): their sum
    centred: Float64Array  # (C, D): first-order statistics of all recordings
    projected: Float64Array  # (H, Ru): those of each recording, on the session factors
    sessions: PosteriorPrecisions  # of x_h given y and z
    speakers: PosteriorPrecisions  # of y given x and z, one row

    def shift_of(self, speaker: Float64Array) -> Float64Array:
        """Return V y, (C, D)."""
        shift: Float64Array = self.model.speaker.shifts(speaker[None])[0]
        return shift

    def session_shifts(self, sessions: Float64Array) -> Float64Array:
        """Return the sum of N_h U x_h over the recordings, (C, D)."""
        loadings = self.model.session.loadings
        summed: Float64Array = (loadings @ (self.zeroth.T @ sessions)[:, :, None])[:, :, 0]
        return summed

    def speaker_given(self, sessions: Float64Array, shift: Float64Array) -> Float64Array:
        """Return the mean of y given the sessions and d z."""
        rest = self.centred - self.total * shift - self.session_shifts(sessions)
        mean: Float64Array = self.speakers.means(self.model.speaker.project(rest[None]))[0]
        return mean

    def sessions_given(self, shift: Float64Array) -> Float64Array:
        """Return the means of x_h given V y + d z."""
        return self.sessions.means(self.projected - self._on_sessions(shift))

    def residual_shift(self, speaker: Float64Array, sessions: Float64Array) -> Float64Array:
        """Return d E[z] given y and the sessions, (C, D)."""
        rest = self.centred - self.total * self.shift_of(speaker) - self.session_shifts(sessions)
        return self._residual_part(rest)

    def settle(self) -> tuple[Float64Array, Float64Array]:
        """Return the means y and x_h of the joint posterior.

        z is integrated out, and the unknowns are coloured by the posteriors of y and of each x_h given the rest.
        """
        part = self._residual_part(self.centred)
        target = self._join(
            self.model.speaker.project((self.centred - self.total * part)[None]),
            self.projected - self._on_sessions(part),
        )
        if not target.any():
            return self._split(target)
        operator = LinearOperator((target.size, target.size), matvec=self._apply, dtype=np.float64)
        solved, _ = cg(operator, target, rtol=SETTLED, atol=0.0, maxiter=MOST_SWEEPS)
        return self._split(solved)

    def _apply(self, unknown: Float64Array) -> Float64Array:
        """Multiply whitened unknowns by their precision: the unit matrix, and what couples y and the x_h."""
        speaker, sessions = self._split(unknown.ravel())
        by_speaker, by_sessions = self.shift_of(speaker), self.session_shifts(sessions)
        part = self._residual_part(self.total * by_speaker + by_sessions)
        coupled = self._join(
            self.model.speaker.project((by_sessions - self.total * part)[None]), self._on_sessions(by_speaker - part)
        )
        return unknown.ravel() + coupled

    def _residual_part(self, unexplained: Float64Array) -> Float64Array:
        """Return d E[z] from what nothing else explains, (C, D)."""
        shift: Float64Array = self.model.residual_shift(self.total[None, :, 0], unexplained[None])[0]
        return shift

    def _on_sessions(self, shift: Float64Array) -> Float64Array:
        """Project N_h times a shift of the means (C, D) on the session factors of each recording, (H, Ru)."""
        by_component: Float64Array = (shift[:, None, :] @ self.model.session.loadings)[:, 0, :]
        return self.zeroth @ by_component

    def _join(self, speaker: Float64Array, sessions: Float64Array) -> Float64Array:
        """Whiten right sides of y (1, Rv) and of the x_h (H, Ru), and put them into one vector."""
        return np.concatenate([self.speakers.whiten(speaker).ravel(), self.sessions.whiten(sessions).ravel()])

    def _split(self, unknown: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return y and the x_h of a vector of whitened unknowns."""
        rank = self.model.speaker.rank
        sessions = unknown[rank:].reshape(self.projected.shape)
        return self.speakers.colour(unknown[None, :rank])[0], self.sessions.colour(sessions)


def _read(model: JointFactorModel, statistics: Statistics) -> _System:
    """Read one speaker's statistics, block by block, and keep what the equations need."""
    whitened = model.whitened
    zeroth, projected = [], []
    centred = np.zeros_like(model.means)
    for block in blocks_of(as_source(statistics, model.means.shape)):
        stats = block.load()
        part = whitened.centred(stats)
        zeroth.append(stats.zeroth)
        projected.append(whitened.session.project(part))
        centred += part.sum(axis=0)
    occupancies = np.concatenate(zeroth)
    total = occupancies.sum(axis=0)
    return _System(
        whitened,
        occupancies,
        total[:, None],
        centred,
        np.concatenate(projected),
        whitened.session.precisions(occupancies),
        whitened.speaker.precisions(total[None]),
    )
