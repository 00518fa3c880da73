"""Training of session variability (ISV) and joint factor analysis (JFA) by EM, from statistics of recordings."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.parallel.engine import SumOver
from speechgmm.parallel.engine import sum_over as serial_sum_over
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.session.checkpoint import SessionState, load_state, save_state, training_id
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.factors import solve_loadings
from speechgmm.subspace.session.history import FactorName, SessionIteration
from speechgmm.subspace.session.model import JointFactorModel, WhitenedModel
from speechgmm.subspace.session.speakers import SpeakerBlock, check_speakers, speaker_blocks
from speechgmm.subspace.session.steps import FactorSums, isv_sums, residual_sums, session_sums, speaker_sums
from speechgmm.subspace.statistics import Statistics, as_source

START_SCALE = 0.1
"""Scale of random first loadings, in standard deviations of the background model."""

LEAST_OCCUPANCY = 1.0
"""Frames of all recordings together below which a component keeps its loadings: it has nothing to estimate from."""

Steps = Mapping[FactorName, Callable[[WhitenedModel, SpeakerBlock], FactorSums]]

ISV_STEPS: Steps = {"session": isv_sums}
JFA_STEPS: Steps = {"speaker": speaker_sums, "session": session_sums, "residual": residual_sums}
"""The factors that are trained, one after the other, and the E step of each."""


@dataclass(frozen=True, eq=False)
class SessionTraining:
    """A trained model of speakers and sessions, and the history of its training."""

    model: JointFactorModel
    history: tuple[SessionIteration, ...]
    warnings: tuple[str, ...]  # what makes the training recordings poor, one sentence each


def train_isv(
    ubm: DiagonalGMM,
    statistics: Statistics,
    speakers: Sequence[str],
    config: ISVConfig,
    *,
    rng: np.random.Generator | None = None,
    start: JointFactorModel | None = None,
    checkpoint: str | Path | None = None,
    sum_over: SumOver = serial_sum_over,
    on_iteration: Callable[[SessionIteration], None] | None = None,
) -> SessionTraining:
    """Train inter-session variability: the directions in which the means change between recordings of one speaker.

    The means of a speaker's recording h are ``m + U x_h + d z``. U is trained; d is ``sqrt(variance / r)``, with which
    d z alone is MAP adaptation of means with the relevance factor r.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model: m and the variances.
    statistics : sequence of U SufficientStats, StackedStats or StatsStore
        Statistics of each recording under `ubm`.
    speakers : sequence of U str
        The speaker of each recording. Several speakers need two recordings or more.
    config : ISVConfig
        Number of session factors, relevance factor, and number of iterations.
    rng : np.random.Generator, optional
        Source of the random first U; seeded with 0 when not given.
    start : JointFactorModel, optional
        The first model, with its d, instead of a random one.
    checkpoint : str or Path, optional
        A file that keeps the state after each iteration. If it exists, the training resumes from it, with the same
        bits as one that was never stopped.
    sum_over : callable
        Function that adds values over blocks of speakers: `speechgmm.parallel.engine.sum_over` with an engine bound
        runs on its workers, with the same bits.
    on_iteration : callable, optional
        Function that is called with each iteration as it ends.

    Returns
    -------
    SessionTraining
        The model (Rv is 0), the history, and warnings. A gain in the history is what the model that the iteration
        started from adds to the log-likelihood, in nats a frame. An iteration is one sweep over sessions and speakers,
        not EM with their joint posterior: the gain may fall a little near the end.

    Raises
    ------
    ModelError
        If shapes or numbers disagree, no speaker has two recordings or more, there are fewer than two speakers, or the
        rank is more than C D; as CheckpointError if the checkpoint is damaged or of another training.

    References
    ----------
    Vogt and Sridharan (2008), Computer Speech and Language 22, 17-38.
    McCool, Wallace, McLaren, El Shafey, Marcel (2013), IET Biometrics 2, 117-129, eqs. 29-31.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, ISVConfig, accumulate, train_isv
    >>> rng = np.random.default_rng(0)
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> speakers = [name for name in "abcdefgh" for _ in range(4)]
    >>> recordings = [rng.choice([-3, 3], (200, 1)) + rng.normal(0, 1, (200, 1)) + rng.normal() for _ in speakers]
    >>> statistics = [accumulate(ubm, frames) for frames in recordings]
    >>> result = train_isv(ubm, statistics, speakers, ISVConfig(method="isv", rank=1, n_iterations=5))
    >>> result.model.session.shape, result.warnings
    ((2, 1, 1), ())
    """
    training = _Training(ubm, config, ISV_STEPS, sum_over, on_iteration)
    return training.run(statistics, speakers, rng, start, checkpoint)


def train_jfa(
    ubm: DiagonalGMM,
    statistics: Statistics,
    speakers: Sequence[str],
    config: JFAConfig,
    *,
    rng: np.random.Generator | None = None,
    start: JointFactorModel | None = None,
    checkpoint: str | Path | None = None,
    sum_over: SumOver = serial_sum_over,
    on_iteration: Callable[[SessionIteration], None] | None = None,
) -> SessionTraining:
    """Train joint factor analysis: V for speakers, then U for sessions, then d for what is left of the speakers.

    The means of a speaker's recording h are ``m + V y + U x_h + d z``. V is trained as if there were no sessions and no
    residual, U given V y, and d given V y and U x.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model: m and the variances.
    statistics : sequence of U SufficientStats, StackedStats or StatsStore
        Statistics of each recording under `ubm`.
    speakers : sequence of U str
        The speaker of each recording. Several speakers need two recordings or more.
    config : JFAConfig
        Numbers of factors, relevance factor of the first d, and number of iterations for each of V, U and d.
    rng : np.random.Generator, optional
        Source of the random first V and U; seeded with 0 when not given.
    start : JointFactorModel, optional
        The first model, with its d, instead of a random one.
    checkpoint, sum_over, on_iteration
        As for `train_isv`.

    Returns
    -------
    SessionTraining
        The model, the history, and warnings. A gain in the history is what the factors trained add to the
        log-likelihood given those before them, in nats a frame, under the model that the iteration started from; it
        never falls while V, U or d is trained.

    Raises
    ------
    ModelError
        As for `train_isv`.

    References
    ----------
    Kenny (2005), Joint factor analysis of speaker and session variability, CRIM-06/08-13.
    Vogt and Sridharan (2008), Computer Speech and Language 22, 17-38, for one matrix after the other.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, JFAConfig, accumulate, train_jfa
    >>> rng = np.random.default_rng(0)
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> speakers = [name for name in "abcdefgh" for _ in range(4)]
    >>> recordings = [rng.choice([-3, 3], (200, 1)) + rng.normal(0, 1, (200, 1)) + rng.normal() for _ in speakers]
    >>> statistics = [accumulate(ubm, frames) for frames in recordings]
    >>> config = JFAConfig(method="jfa", speaker_rank=1, rank=1, n_iterations=3)
    >>> result = train_jfa(ubm, statistics, speakers, config)
    >>> [iteration.factors for iteration in result.history[::3]]
    ['speaker', 'session', 'residual']
    """
    training = _Training(ubm, config, JFA_STEPS, sum_over, on_iteration)
    return training.run(statistics, speakers, rng, start, checkpoint)


@dataclass(frozen=True, eq=False)
class _Training:
    """A training: its background model, its configuration, its E steps, and where sums are computed."""

    ubm: DiagonalGMM
    config: ISVConfig | JFAConfig
    steps: Steps
    sum_over: SumOver
    on_iteration: Callable[[SessionIteration], None] | None

    def run(
        self,
        statistics: Statistics,
        speakers: Sequence[str],
        rng: np.random.Generator | None,
        start: JointFactorModel | None,
        checkpoint: str | Path | None,
    ) -> SessionTraining:
        """Train from the first model, or from the checkpoint, to the last iteration."""
        expected = ISVConfig if self.steps is ISV_STEPS else JFAConfig
        if not isinstance(self.config, expected):
            raise ModelError(f"a configuration of type {type(self.config).__name__}; expected {expected.__name__}")
        source = as_source(statistics, self.ubm.means.shape)
        warnings = check_speakers(source, speakers, self.config)
        first = self._first_model(rng or np.random.default_rng(0), start)
        file = None if checkpoint is None else Path(checkpoint)
        training = "" if file is None else training_id(source, speakers, self.config, first)
        state = (file and load_state(file, training)) or SessionState(first, ())
        blocks = speaker_blocks(source, speakers)
        n_frames = int(source.n_frames.sum())
        for name in self._plan()[len(state.history) :]:
            state = self._iterate(state, name, blocks, n_frames)
            if file:
                save_state(file, state, training)
            if self.on_iteration:
                self.on_iteration(state.history[-1])
        return SessionTraining(state.model, state.history, (*warnings, *self._starving(state)))

    def _first_model(self, rng: np.random.Generator, start: JointFactorModel | None) -> JointFactorModel:
        """Draw the first loadings, or check those given."""
        speaker_rank = self.config.speaker_rank if isinstance(self.config, JFAConfig) else 0
        if start is None:
            scales = START_SCALE * np.sqrt(self.ubm.variances)[:, :, None]
            session, speaker = (
                rng.standard_normal((*self.ubm.means.shape, rank)) * scales for rank in (self.config.rank, speaker_rank)
            )
            residual = np.sqrt(self.ubm.variances / self.config.relevance_factor)
            return JointFactorModel(self.ubm.means, self.ubm.variances, session, speaker, residual)
        if (start.session_rank, start.speaker_rank) != (self.config.rank, speaker_rank):
            raise ModelError(
                f"a first model of {start.session_rank} session and {start.speaker_rank} speaker factors; "
                f"expected {self.config.rank} and {speaker_rank}"
            )
        for name in ("means", "variances"):
            if not np.array_equal(getattr(start, name), getattr(self.ubm, name)):
                raise ModelError(f"a first model with {name} of its own; expected those of the background model")
        return start

    def _plan(self) -> list[FactorName]:
        """Return which factors each iteration trains."""
        return [name for name in self.steps for _ in range(self.config.n_iterations)]

    def _iterate(
        self, state: SessionState, name: FactorName, blocks: Sequence[SpeakerBlock], n_frames: int
    ) -> SessionState:
        """Do one iteration of EM for some factors and record it."""
        started = time.perf_counter()
        with one_thread():
            sums = self.sum_over(partial(self.steps[name], state.model.whitened), blocks)
            model = _updated(state.model, name, sums)
        iteration = SessionIteration(
            factors=name,
            number=1 + sum(before.factors == name for before in state.history),
            gain=sums.gain / n_frames,
            n_starving=int((sums.occupancy < LEAST_OCCUPANCY).sum()),
            seconds=time.perf_counter() - started,
        )
        return SessionState(model, (*state.history, iteration))

    def _starving(self, state: SessionState) -> tuple[str, ...]:
        """Warn of components that keep their first loadings."""
        n_starving = state.history[-1].n_starving
        if not n_starving:
            return ()
        return (
            f"{n_starving} of {self.ubm.n_components} components have less than {LEAST_OCCUPANCY:g} frame in all "
            "recordings; their loadings stay as they started",
        )


def _updated(model: JointFactorModel, name: FactorName, sums: FactorSums) -> JointFactorModel:
    """Do the M step for some factors; components without frames keep their values."""
    seen = sums.occupancy >= LEAST_OCCUPANCY
    deviations = model.whitened.deviations[seen]
    values: Float64Array = getattr(model, name).copy()
    if name == "residual":
        values[seen] = deviations * sums.product[seen] / sums.second[seen]
    else:
        values[seen] = deviations[:, :, None] * solve_loadings(sums.second[seen], sums.product[seen])
    return replace(model, **{name: values})
