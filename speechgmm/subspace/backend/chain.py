"""Back ends: steps that are fitted one after the other, and the scorer that they end in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.backend.config import (
    CoralConfig,
    CosineConfig,
    PldaConfig,
    ScorerConfig,
    Step,
    SvmConfig,
    TransformConfig,
    check_steps,
)
from speechgmm.subspace.backend.cosine import CosineScorer
from speechgmm.subspace.backend.fitting import Background, correlation_aligned, fit_transform
from speechgmm.subspace.backend.scorer import EnrolledVectors, Scorer
from speechgmm.subspace.backend.svm import fit_svm
from speechgmm.subspace.backend.transforms import Transform
from speechgmm.subspace.vectors import Vectors, as_vectors

StepConfig = TransformConfig | ScorerConfig


@dataclass(frozen=True)
class Backend:
    """Steps and a scorer, fitted to the vectors of a background.

    An immutable value. Results have the same bits on any number of cores.

    Parameters
    ----------
    steps : tuple of fitted steps
        What vectors are put through, in this order.
    scorer : fitted scorer
        What makes models of the vectors that come out, and scores others against them.
    warnings : tuple of str
        What fitting found odd, a sentence each.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import Vectors, fit_backend
    >>> background = Vectors(np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [2.0, 3.0]]))
    >>> backend = fit_backend(["center", "cosine"], background, ["ann", "ann", "bo", "bo"])
    >>> [config.step for config in backend.configs]
    ['center', 'cosine']
    >>> backend.transform(Vectors(np.array([[5.0, 2.0]]))).values
    array([[3., 1.]])
    """

    steps: tuple[Transform, ...]
    scorer: Scorer
    warnings: tuple[str, ...] = ()

    @property
    def configs(self) -> tuple[StepConfig, ...]:
        """What the steps and the scorer were fitted as."""
        return (*(step.config for step in self.steps), self.scorer.config)

    @one_thread()
    def transform(self, vectors: Vectors | npt.ArrayLike) -> Vectors:
        """Put vectors through the steps before the scorer.

        Parameters
        ----------
        vectors : Vectors or np.ndarray, shape (U, R)
            Vectors of recordings as they were extracted.

        Returns
        -------
        Vectors, shape (U, R')
            The vectors that the scorer compares; each has the same bits whatever the others are.

        Raises
        ------
        ModelError
            If their dimension is not that of the background's vectors.
        """
        vectors = as_vectors(vectors)
        for step in self.steps:
            vectors = step.apply(vectors)
        return vectors

    @one_thread()
    def enrol(self, vectors: Vectors | npt.ArrayLike, speaker: str | None = None) -> EnrolledVectors:
        """Make one model of the vectors of one speaker.

        Parameters
        ----------
        vectors : Vectors or np.ndarray, shape (U, R), U >= 1
            Vectors of the speaker's recordings as they were extracted.
        speaker : str, optional
            The speaker's name in the background, if the background has recordings of the speaker: the support-vector
            machine leaves these out.

        Returns
        -------
        EnrolledVectors
            The model. `EnrolledVectors.stack` puts several side by side.

        Raises
        ------
        ModelError
            If there are no vectors, or their dimension is not that of the background's.

        Examples
        --------
        >>> import numpy as np
        >>> from speechgmm import Vectors, fit_backend
        >>> background = Vectors(np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [2.0, 3.0]]))
        >>> backend = fit_backend(["center", "cosine"], background, ["ann", "ann", "bo", "bo"])
        >>> model = backend.enrol(Vectors(np.array([[3.0, 1.0], [5.0, 1.0]])))
        >>> model.values, model.counts
        (array([[2., 0.]]), array([2]))
        """
        vectors = as_vectors(vectors)
        if not len(vectors):
            raise ModelError("no vectors to enrol; expected those of one recording or more")
        return self.scorer.enrol(self.transform(vectors), speaker)

    @one_thread()
    def score(self, models: EnrolledVectors, tests: Vectors | npt.ArrayLike) -> Float64Array:
        """Score tests against models.

        Parameters
        ----------
        models : EnrolledVectors, M models
            Models that `enrol` made, one or several side by side.
        tests : Vectors or np.ndarray, shape (U, R)
            Vectors of the tests as they were extracted.

        Returns
        -------
        np.ndarray, shape (M, U), float64
            Cosines, margins of support-vector machines, or log-likelihood ratios in nats. A column has the same bits
            whatever the other tests are.

        Raises
        ------
        ModelError
            If dimensions differ.

        Examples
        --------
        >>> import numpy as np
        >>> from speechgmm import Vectors, fit_backend
        >>> background = Vectors(np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [2.0, 3.0]]))
        >>> backend = fit_backend(["center", "cosine"], background, ["ann", "ann", "bo", "bo"])
        >>> model = backend.enrol(Vectors(np.array([[4.0, 1.0]])))
        >>> backend.score(model, Vectors(np.array([[3.0, 1.0], [2.0, 5.0], [1.0, 1.0]])))
        array([[ 1.,  0., -1.]])
        """
        return self.scorer.score(models, self.transform(tests))


@one_thread()
def fit_backend(
    steps: Sequence[StepConfig | str | Mapping[str, object]],
    vectors: Vectors | npt.ArrayLike,
    speakers: Sequence[str],
    *,
    adaptation: Vectors | npt.ArrayLike | None = None,
) -> Backend:
    """Fit the steps of a back end to the background, each to what the steps before it have made of the background.

    Parameters
    ----------
    steps : sequence of configurations, or of their short forms
        The steps in order, such as ``["center", {"nap": 60}, "length", "svm"]``; the last one scores: ``cosine``,
        ``svm`` or ``plda``. Nothing is done that is not in the list.
    vectors : Vectors or np.ndarray, shape (N, R)
        Vectors of the background's recordings.
    speakers : sequence of N str
        Who speaks in each.
    adaptation : Vectors or np.ndarray, shape (A, R), optional
        Vectors of unknown speakers as they are met later, usually those of the enrolment, for the step ``coral`` and
        the adaptation of ``plda``.

    Returns
    -------
    Backend
        The fitted steps and scorer, and warnings.

    Raises
    ------
    ModelError
        If the list is malformed or does not end in its only scorer, there are no vectors, speakers are not one for each
        vector, or a step needs more recordings or speakers than there are; the message has the counts.

    References
    ----------
    Those of the steps' configurations.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import Vectors, fit_backend
    >>> rng = np.random.default_rng(0)
    >>> voices = rng.normal(size=(20, 8))
    >>> recordings = Vectors(np.repeat(voices, 3, axis=0) + 0.3 * rng.normal(size=(60, 8)))
    >>> speakers = [f"speaker {number // 3}" for number in range(60)]
    >>> backend = fit_backend(["center", {"lda": 5}, "length", "cosine"], recordings, speakers)
    >>> model = backend.enrol(Vectors(voices[:1]))
    >>> backend.score(model, Vectors(voices[:1])).round(3)
    array([[1.]])
    """
    configs = parse_steps(steps)
    background = Background(as_vectors(vectors), tuple(speakers))
    adaptation = None if adaptation is None else as_vectors(adaptation)
    if adaptation is not None and not len(adaptation):
        raise ModelError("no vectors to adapt to; expected those of one recording or more")
    fitted = []
    for config in transforms_of(configs):
        step = fit_transform(config, background)
        if isinstance(config, CoralConfig):
            background = correlation_aligned(background, adaptation)
        else:
            background = Background(step.apply(background.vectors), background.speakers)
        adaptation = None if adaptation is None else step.apply(adaptation)
        fitted.append(step)
    scorer, warnings = _fit_scorer(configs[-1], background, adaptation)
    return Backend(tuple(fitted), scorer, warnings)


def parse_steps(steps: Sequence[StepConfig | str | Mapping[str, object]]) -> tuple[StepConfig, ...]:
    """Turn configurations and short forms into configurations; raise ModelError if the list makes no sense."""
    if isinstance(steps, str | Mapping):
        raise ModelError(f"backend {steps!r}; expected a list of steps, as in [{steps!r}]")
    adapter: TypeAdapter[tuple[StepConfig, ...]] = TypeAdapter(tuple[Step, ...])
    try:
        parsed = adapter.validate_python(steps)
        check_steps(parsed)
    except ValidationError as error:
        first = error.errors()[0]
        place, *keys = first["loc"] or ("",)
        entry = f"step {place + 1} of the backend" if isinstance(place, int) else "backend"
        reason = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{entry}{''.join(f', {key}' for key in keys)}: {reason}") from error
    except ValueError as error:
        raise ModelError(str(error)) from error
    return parsed


def transforms_of(configs: Sequence[StepConfig]) -> tuple[TransformConfig, ...]:
    """Return the steps before the scorer."""
    return tuple(config for config in configs if isinstance(config, TransformConfig))


def _fit_scorer(
    config: StepConfig, background: Background, adaptation: Vectors | None
) -> tuple[Scorer, tuple[str, ...]]:
    """Fit the last step; return it and its warnings."""
    match config:
        case CosineConfig():
            return CosineScorer(config), ()
        case SvmConfig():
            return fit_svm(config, background.vectors, background.speakers), ()
        case PldaConfig():
            from speechgmm.subspace.backend.plda import fit_plda

            plda = fit_plda(config, background.vectors, background.speakers, adaptation)
            return plda, plda.warnings
        case _:
            raise AssertionError(f"{config.step} is no scorer; check_steps refuses it")
