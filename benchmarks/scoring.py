"""Scoring many trials: exact, over the ten best components, linear, and a loop over trials with scikit-learn.

The problem is so762's, 420 tests against its 60 speakers and against 1,000 models, where the data are
($SPEECHGMM_DATA or ../shared/data); otherwise one of the same size is drawn.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from em import problem
from side_by_side import seconds, show
from sklearn.mixture import GaussianMixture

from speechgmm import DiagonalGMM, ScoringConfig, accumulate, linear_score_matrix, load_gmm, map_adapt, score_matrix
from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.reading import read_kaldi
from speechgmm.errors import CorpusError
from speechgmm.evaluation.metrics import eer
from speechgmm.features.store.store import open_store
from speechgmm.gmm.storage import load_speakers
from speechgmm.parallel.engine import Engine
from speechgmm.parallel.threads import one_thread
from speechgmm.recipe.layout import SPEAKERS_FILE, UBM_FILE
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.stages.features import write_role_features
from speechgmm.recipe.stages.score_matrix import ScoreMatrix
from speechgmm.recipe.stages.speakers import write_adapted_speakers
from speechgmm.recipe.stages.ubm import write_ubm

RECIPE = Path(__file__).parent.parent / "recipes" / "so762.yaml"
N_COMPONENTS = 256
METHODS = {
    "exact": ScoringConfig(top_components=None),
    "top-10": ScoringConfig(top_components=10),
    "linear": ScoringConfig(method="linear"),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """A background model, speakers' models, tests, and the frames that more models are made of."""

    ubm: DiagonalGMM
    models: dict[str, DiagonalGMM]
    tests: dict[str, np.ndarray]
    enrolment: np.ndarray
    trials: dict[str, tuple[Trial, ...]] = field(default_factory=dict)


def of_so762() -> Problem:
    """Train what the recipe trains."""
    recipe = load_recipe(RECIPE, [f"ubm.n_components={N_COMPONENTS}"])
    corpus = read_kaldi(recipe.corpus)
    engine = Engine("processes")

    def ignore(*_: int) -> None:
        """Ignore progress."""

    with tempfile.TemporaryDirectory() as name:
        folders = {role: Path(name) / role for role in ("background", "enrol", "test", "ubm", "speakers", "unfinished")}
        for role, folder in folders.items():
            folder.mkdir()
            if role in ("background", "enrol", "test"):
                write_role_features(folder, engine, ignore, utterances=corpus.role(role), config=recipe.features)
        ubm, speakers = folders["ubm"] / UBM_FILE, folders["speakers"] / SPEAKERS_FILE
        write_ubm(
            folders["ubm"],
            engine,
            ignore,
            unfinished=folders["unfinished"],
            features=folders["background"],
            utterances=[utterance.id for utterance in corpus.background],
            config=recipe.ubm,
            seed=recipe.seed,
        )
        write_adapted_speakers(
            folders["speakers"],
            engine,
            ignore,
            ubm=ubm,
            features=folders["enrol"],
            utterances=corpus.enrol,
            config=recipe.speakers,
        )
        tests, enrolment = (
            {each.utterance: np.array(store.frames(each.utterance)) for each in store.utterances}
            for store in (open_store(folders["test"]), open_store(folders["enrol"]))
        )
        pooled = np.concatenate(list(enrolment.values()))
        return Problem(load_gmm(ubm), dict(load_speakers(speakers)), tests, pooled, dict(corpus.trials))


def drawn() -> Problem:
    """Draw a problem of the same size."""
    ubm, frames = problem(420 * 319, N_COMPONENTS, 72)
    tests = {str(number): test for number, test in enumerate(np.split(frames, 420))}
    return Problem(ubm, dict(enumerate(more_models(ubm, frames, 60))), tests, frames)


def more_models(ubm: DiagonalGMM, frames: np.ndarray, n_models: int) -> list[DiagonalGMM]:
    """Adapt models to frames drawn from all."""
    rng = np.random.default_rng(0)
    chosen = [frames[rng.integers(len(frames), size=500)] for _ in range(n_models)]
    return [map_adapt(ubm, accumulate(ubm, each), relevance_factor=10) for each in chosen]


def loop_over_trials(
    ubm: DiagonalGMM, models: Sequence[DiagonalGMM], tests: Sequence[np.ndarray]
) -> Callable[[], object]:
    """Score each test against the next model, both likelihoods by scikit-learn in single precision."""

    def converted(gmm: DiagonalGMM) -> GaussianMixture:
        """Set what its `fit` would set."""
        result = GaussianMixture(gmm.n_components, covariance_type="diag")
        result.weights_, result.means_ = gmm.weights.astype(np.float32), gmm.means.astype(np.float32)
        result.covariances_ = gmm.variances.astype(np.float32)
        result.precisions_cholesky_ = 1 / np.sqrt(result.covariances_)
        return result

    background = converted(ubm)
    pairs = [(converted(model), test) for model, test in zip(models, tests, strict=False)]
    return lambda: [np.mean(model.score_samples(test) - background.score_samples(test)) for model, test in pairs]


def compare(title: str, ubm: DiagonalGMM, models: Sequence[DiagonalGMM], tests: Sequence[np.ndarray]) -> None:
    """Time the methods. The slow ones score a part of the tests; all are reported in trials per second."""
    n_trials = len(models) * len(tests)
    steps = {"exact": 10, "top-10": 1, "linear": 1} if len(models) < 100 else {"exact": 40, "top-10": 3, "linear": 1}
    statistics = [accumulate(ubm, test) for test in tests]
    calls: dict[str, Callable[[], object]] = {
        name: lambda config=config, step=steps[name]: score_matrix(models, ubm, tests[::step], config)
        for name, config in METHODS.items()
    }
    calls["linear, from statistics"] = lambda: linear_score_matrix(models, ubm, statistics)
    calls["a loop with scikit-learn"] = loop_over_trials(ubm, models, tests[::7])
    parts = {name: len(tests[::step]) * len(models) for name, step in steps.items()}
    parts["a loop with scikit-learn"] = len(tests[::7])
    times = {name: each * n_trials / parts.get(name, n_trials) for name, each in seconds(calls, n_rounds=3).items()}
    show(title, "trials/s", n_trials, times, ours="top-10")


def errors(given: Problem) -> None:
    """Print the equal error rates of the methods, and how far their scores are from the exact ones."""
    names = tuple(given.models), tuple(given.tests)
    exact = None
    for method, config in METHODS.items():
        matrix = score_matrix(list(given.models.values()), given.ubm, list(given.tests.values()), config)
        exact = matrix if exact is None else exact
        scores = ScoreMatrix(*names, matrix)
        rates = []
        for trials in given.trials.values():
            values, targets = scores.for_trials(trials), np.array([trial.target for trial in trials])
            rates.append(f"{100 * eer(values[targets], values[~targets]):.2f} %")
        print(f"  {method:7s} EER {' '.join(rates)}   mean gap to exact {np.abs(matrix - exact).mean():.5f} nats")


def main() -> None:
    """Print a table for 60 and for 1,000 models, and the error rates where there are trials."""
    try:
        given = of_so762()
        where = "so762"
    except CorpusError as error:
        print(f"so762 cannot be read ({error}): drawn frames of the same shape instead")
        given, where = drawn(), "drawn frames"
    tests = list(given.tests.values())
    shape = f"{len(tests)} tests of {where}, {N_COMPONENTS} components x {given.ubm.n_features}"
    compare(f"60 models x {shape}", given.ubm, list(given.models.values()), tests)
    with one_thread():
        many = more_models(given.ubm, given.enrolment, 1000)
    compare(f"1,000 models x {shape}", given.ubm, many, tests)
    if given.trials:
        print(f"{' and '.join(given.trials)} of so762")
        with one_thread():
            errors(given)


if __name__ == "__main__":
    main()
