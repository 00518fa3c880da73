"""Scoring by a linear support-vector machine for each model: its recordings against those of the background."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from speechgmm.arrays import Float64Array, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import SvmConfig
from speechgmm.subspace.backend.cosine import check_comparable
from speechgmm.subspace.backend.products import row_products
from speechgmm.subspace.backend.scorer import Arrays, EnrolledVectors
from speechgmm.subspace.vectors import Vectors

TOLERANCE = 1e-8
"""How far, in margins, the conditions of the optimum may be from met."""

MOST_STEPS = 1_000_000
"""Steps of the solver: vectors that cannot be separated need more the higher the penalty is."""


@dataclass(frozen=True, eq=False)
class SvmScorer:
    """The background's recordings, which each machine separates the recordings of its model from.

    Products of the background's recordings are computed once, when the first model is enrolled. They are of vectors
    less the background's mean, which changes no machine but keeps more digits.
    """

    config: SvmConfig
    negatives: Float64Array  # (N, D)
    speakers: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "negatives", read_only(self.negatives))
        if self.negatives.ndim != 2 or len(self.negatives) != len(self.speakers):
            raise ModelError(
                f"svm: background vectors of shape {self.negatives.shape} for {len(self.speakers)} speakers; "
                "expected (N, D) and one speaker for each"
            )
        if not np.isfinite(self.negatives).all():
            raise ModelError("svm: background vectors hold NaN or infinity; expected finite numbers")

    @property
    def arrays(self) -> Arrays:
        """The background's vectors."""
        return {"negatives": self.negatives}

    @cached_property
    def _mean(self) -> Float64Array:
        """Mean of the background's vectors, shape (D,)."""
        mean: Float64Array = self.negatives.mean(axis=0)
        return mean

    @cached_property
    def _gram(self) -> Float64Array:
        """Products of the background's vectors less their mean, shape (N, N)."""
        centred = self.negatives - self._mean
        products: Float64Array = centred @ centred.T
        return products

    def enrol(self, vectors: Vectors, speaker: str | None = None) -> EnrolledVectors:
        """Train the machine of one speaker; the background's recordings of that speaker are left out."""
        if vectors.dimension != self.negatives.shape[1]:
            raise ModelError(
                f"svm: vectors of {vectors.dimension} dimensions; expected {self.negatives.shape[1]}, as the "
                "background's"
            )
        others = np.flatnonzero([each != speaker for each in self.speakers])
        if not len(others):
            raise ModelError(
                f"svm: all {len(self.speakers)} background recordings are of {speaker}; expected those of others too"
            )
        positives = vectors.values - self._mean
        crossed = (positives @ self.negatives.T)[:, others] - (positives @ self._mean)[:, None]
        gram = np.block([[self._gram[np.ix_(others, others)], crossed.T], [crossed, positives @ positives.T]])
        duals, offset = _optimum(gram, len(positives), self.config.penalty)
        of_negatives = np.zeros(len(self.negatives))
        of_negatives[others] = duals[: len(others)]
        weights = of_negatives @ self.negatives + duals[len(others) :] @ vectors.values
        offset -= float(weights @ self._mean)
        return EnrolledVectors(weights[None], np.array([len(vectors)]), np.array([offset]))

    def score(self, models: EnrolledVectors, tests: Vectors) -> Float64Array:
        """Score U tests against M models, shape (M, U), in margins: 1 is the edge of the model's side."""
        check_comparable(models, tests)
        return np.ascontiguousarray((row_products(tests.values, models.values.T) + models.offsets).T)


def fit_svm(config: SvmConfig, vectors: Vectors, speakers: Sequence[str]) -> SvmScorer:
    """Keep the background's vectors and speakers; machines are trained when models are enrolled."""
    return SvmScorer(config, vectors.values, tuple(speakers))


def _optimum(gram: Float64Array, n_positive: int, penalty: float) -> tuple[Float64Array, float]:
    """Return the weights of all vectors in the normal of the best plane, shape (N,), and its offset.

    The last `n_positive` vectors are the model's. Errors of the few positives and of the many negatives weigh the same
    in sum.
    """
    from sklearn.svm import SVC

    signs = np.ones(len(gram))
    signs[:-n_positive] = -1
    machine = SVC(kernel="precomputed", C=penalty, class_weight="balanced", tol=TOLERANCE, max_iter=MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that ran out, which is reported below
        machine.fit(gram, signs)
    if machine.n_iter_.max() >= MOST_STEPS:
        raise ModelError(
            f"svm: no plane found in {MOST_STEPS:,} steps between {n_positive} vectors of a model and "
            f"{len(gram) - n_positive} of the background; expected vectors of one length, or a lower penalty"
        )
    duals = np.zeros(len(gram))
    duals[machine.support_] = machine.dual_coef_[0]
    penalties = penalty * machine.class_weight_[(signs > 0).astype(np.intp)]
    return _refined(gram, signs, penalties, duals, float(machine.intercept_[0]))


def _refined(
    gram: Float64Array, signs: Float64Array, penalties: Float64Array, duals: Float64Array, offset: float
) -> tuple[Float64Array, float]:
    """Place the vectors between the bounds exactly on the edge of the margin, as the solver's products are single.

    Weights and offset stay as they are if no vector is between, or that is no better.
    """
    free = (duals != 0) & (np.abs(duals) < penalties * (1 - TOLERANCE))
    n_free = int(free.sum())
    system = np.zeros((n_free + 1, n_free + 1))
    system[:-1, :-1] = gram[np.ix_(free, free)]
    system[:-1, -1] = system[-1, :-1] = 1
    right = np.append(signs[free] - gram[np.ix_(free, ~free)] @ duals[~free], -duals[~free].sum())
    try:
        solution = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:  # copies of a vector, or none between
        return duals, offset
    within = np.clip(signs[free] * solution[:-1], 0, penalties[free]) * signs[free]
    before = np.abs(system @ np.append(duals[free], offset) - right).max()
    if np.array_equal(within, solution[:-1]) and np.abs(system @ solution - right).max() < before:
        refined = duals.copy()
        refined[free] = within
        return refined, float(solution[-1])
    return duals, offset
