"""The estimators for scikit-learn: its own checks, and that they are what the functions give."""

import copy
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.models import draw, parameters, random_gmm
from helpers.paths import ROOT
from speechgmm import DiagonalGMM, accumulate, map_adapt
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update
from speechgmm.sklearn import DiagonalGaussianMixture, GMMClassifier

NO_FLOORS = {"variance_floor": 0, "weight_floor": 0}
NOT_CONVERGED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same(first, second, rtol=1e-12):
    for one, other in zip(parameters(first), parameters(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


def start(rng, frames, n_components=4):
    chosen = frames[rng.choice(len(frames), n_components, replace=False)]
    return DiagonalGMM(np.full(n_components, 1 / n_components), chosen, np.ones_like(chosen))


@pytest.fixture
def frames(rng):
    return draw(rng, random_gmm(rng, 4, 3), 600)


@pytest.fixture
def labelled(rng):
    """Rows of three classes, each of two clusters of its own."""
    labels = rng.permutation(np.repeat(["a", "b", "c"], (200, 100, 100)))
    which = np.unique(labels, return_inverse=True)[1]
    means = 3 * rng.normal(size=(3, 2, 4))
    return means[which, rng.integers(2, size=len(which))] + rng.normal(size=(len(which), 4)), labels


def failures_with_a_reason(estimator):
    if isinstance(estimator, GMMClassifier) and estimator.method == "independent" and estimator.n_components > 1:
        name = "check_sample_weight_equivalence_on_dense_data"
        return {name: "leaves a class one row of positive weight, and two components need two distinct ones"}
    return {}


# Skips of checks that need pandas or SCIPY_ARRAY_API are scikit-learn's own.
@NOT_CONVERGED
@parametrize_with_checks(
    [
        DiagonalGaussianMixture(),
        DiagonalGaussianMixture(3),
        GMMClassifier(),
        GMMClassifier(2),
        GMMClassifier(method="map"),
        GMMClassifier(2, method="map", adapt=("weights", "means", "variances"), adaptation_iterations=2),
    ],
    expected_failed_checks=failures_with_a_reason,
)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


@NOT_CONVERGED
@pytest.mark.parametrize("n_iterations", [1, 7, 40])
def test_iterations_agree_with_scikit_learns_mixture(rng, frames, n_iterations):
    first = start(rng, frames)
    reference = GaussianMixture(
        4,
        covariance_type="diag",
        max_iter=n_iterations,
        tol=0,
        reg_covar=0,
        weights_init=first.weights,
        means_init=first.means,
        precisions_init=1 / first.variances,
    ).fit(frames)
    ours = DiagonalGaussianMixture(4, max_iter=n_iterations, tol=0, gmm_init=first, **NO_FLOORS).fit(frames)
    assert ours.n_iter_ == n_iterations
    assert not ours.converged_
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(reference, name), rtol=1e-8, atol=1e-8)
    for method in ("score", "aic", "bic"):
        assert getattr(ours, method)(frames) == pytest.approx(getattr(reference, method)(frames), rel=1e-9)
    np.testing.assert_allclose(ours.score_samples(frames), reference.score_samples(frames), rtol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(frames), reference.predict_proba(frames), atol=1e-8)
    assert np.array_equal(ours.predict(frames), reference.predict(frames))
    single = clone(ours).fit(frames.astype(np.float32))
    assert single.score(frames.astype(np.float32)) == pytest.approx(reference.score(frames), rel=1e-6)


def test_it_stops_where_scikit_learn_stops(rng, frames):
    first = start(rng, frames)
    given = {"weights_init": first.weights, "means_init": first.means, "precisions_init": 1 / first.variances}
    reference = GaussianMixture(4, covariance_type="diag", tol=1e-3, reg_covar=0, **given).fit(frames)
    ours = DiagonalGaussianMixture(4, tol=1e-3, gmm_init=first, **NO_FLOORS).fit(frames)
    assert ours.converged_
    assert ours.n_iter_ == reference.n_iter_ > 2
    assert ours.lower_bound_ == pytest.approx(reference.lower_bound_, rel=1e-9)


def test_running_out_of_iterations_is_warned_of(frames):
    with pytest.warns(ConvergenceWarning, match="still changed by tol 0 or more after max_iter 2"):
        DiagonalGaussianMixture(2, max_iter=2, tol=0, random_state=0).fit(frames)


@NOT_CONVERGED
def test_integer_weights_are_repeated_rows(rng, frames):
    counts = rng.integers(0, 4, len(frames))
    repeated = rng.permutation(np.repeat(frames, counts, axis=0))
    mixture = DiagonalGaussianMixture(5, max_iter=20, tol=0, random_state=1)
    weighted = clone(mixture).fit(frames, sample_weight=counts)
    assert_same(weighted.gmm_, clone(mixture).fit(repeated).gmm_, rtol=1e-9)
    assert_same(weighted.gmm_, clone(mixture).fit(frames, sample_weight=counts / counts.sum()).gmm_, rtol=1e-9)
    unweighted = clone(mixture).fit(frames)
    assert abs(unweighted.means_ - weighted.means_).max() > 1e-3


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_a_pass_are_one_iteration_over_the_whole(rng, frames, weighted):
    weights = rng.uniform(0.5, 2, len(frames)) if weighted else np.ones(len(frames))
    first = start(rng, frames)
    mixture = DiagonalGaussianMixture(4, gmm_init=first)
    expected = ml_update(
        accumulate(first, frames, weights=weights, dtype=np.float64),
        first,
        TrainingConfig(n_components=4, min_occupancy=0),
    )
    for part in np.split(np.arange(len(frames)), [1, 50, 400]):  # even one row is a part
        mixture.partial_fit(frames[part], sample_weight=weights[part])
    assert_same(mixture.gmm_, expected)
    assert mixture.start_gmm_ is first
    assert mixture.stats_.n_frames == len(frames)
    assert mixture.n_iter_ == 1


@NOT_CONVERGED
def test_passes_in_parts_are_a_fit(rng, frames):
    mixture = DiagonalGaussianMixture(4, max_iter=3, tol=0, gmm_init=start(rng, frames))
    parts = np.array_split(frames, 3)
    in_parts = clone(mixture)
    for _ in range(3):
        for number, part in enumerate(parts):
            in_parts.partial_fit(part, new_pass=number == 0)
    whole = mixture.fit(frames)
    assert in_parts.n_iter_ == whole.n_iter_ == 3
    assert in_parts.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)
    assert_same(in_parts.gmm_, whole.gmm_, rtol=1e-10)


@NOT_CONVERGED
def test_rows_after_a_fit_join_its_last_iteration(rng, frames):
    mixture = DiagonalGaussianMixture(4, max_iter=1, gmm_init=start(rng, frames))
    assert_same(
        clone(mixture).fit(frames[:400]).partial_fit(frames[400:]).gmm_, clone(mixture).fit(frames).gmm_, rtol=1e-11
    )


def test_the_first_part_makes_the_first_model(frames):
    mixture = DiagonalGaussianMixture(3, random_state=2).partial_fit(frames[:100]).partial_fit(frames[100:])
    assert mixture.stats_.n_frames == 600
    assert np.isfinite(mixture.score(frames))
    with pytest.raises(ValueError, match="features"):
        mixture.partial_fit(frames[:, :2])


def test_samples_are_seeded_and_of_the_model(rng):
    truth = random_gmm(rng, 2, 3)
    mixture = DiagonalGaussianMixture(2, gmm_init=truth, random_state=5).partial_fit(draw(rng, truth, 5000))
    rows, components = mixture.sample(20_000)
    assert rows.shape == (20_000, 3)
    np.testing.assert_allclose(np.bincount(components) / 20_000, mixture.weights_, atol=0.015)
    for component in range(2):
        of_it = rows[components == component]
        np.testing.assert_allclose(of_it.mean(axis=0), mixture.means_[component], atol=0.08)
        np.testing.assert_allclose(of_it.var(axis=0), mixture.covariances_[component], rtol=0.1)
    assert np.array_equal(mixture.sample(7)[0], mixture.sample(7)[0])
    mixture.set_params(random_state=6)
    assert not np.array_equal(mixture.sample(20_000)[0], rows)
    state = check_random_state(0)
    mixture.set_params(random_state=state)
    assert not np.array_equal(mixture.sample(7)[0], mixture.sample(7)[0])  # a state goes on


def test_a_seed_gives_the_same_bits(frames):
    mixture = DiagonalGaussianMixture(5, initial_frames=100, random_state=3)
    first, second = (clone(mixture).fit(frames) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(parameters(first.gmm_), parameters(second.gmm_), strict=True))
    assert abs(first.means_ - clone(mixture).set_params(random_state=4).fit(frames).means_).max() > 0


@pytest.mark.parametrize("estimator", [DiagonalGaussianMixture(3, random_state=0), GMMClassifier(2, random_state=0)])
def test_copies_and_clones(labelled, estimator):
    X, y = labelled
    fitted = clone(estimator).fit(X, y)
    again = copy.deepcopy(fitted)
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)
    with_model = clone(DiagonalGaussianMixture(2, gmm_init=random_gmm(np.random.default_rng(0), 2, 4)))
    assert with_model.fit(X).n_features_in_ == 4


def test_pipelines_and_searches(labelled):
    X, y = labelled
    pipeline = make_pipeline(StandardScaler(), GMMClassifier(random_state=0))
    search = GridSearchCV(pipeline, {"gmmclassifier__n_components": np.array([1, 2])}, cv=3).fit(X, y)
    assert search.best_score_ > 0.8
    sizes = GridSearchCV(DiagonalGaussianMixture(random_state=0), {"n_components": [1, 6]}, cv=3).fit(X)
    assert sizes.best_params_ == {"n_components": 6}


def test_one_component_is_naive_bayes(labelled):
    X, y = labelled
    reference = GaussianNB(var_smoothing=0).fit(X, y)
    ours = GMMClassifier(variance_floor=0).fit(X, y)
    np.testing.assert_allclose(ours.class_prior_, reference.class_prior_)
    joint = reference.predict_joint_log_proba(X)
    np.testing.assert_allclose(ours.predict_joint_log_proba(X), joint, rtol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X), reference.predict_log_proba(X), rtol=1e-7, atol=1e-9)
    assert np.array_equal(ours.predict(X), reference.predict(X))
    priors = [0.6, 0.3, 0.1]
    ours, reference = (type(each)(priors=priors).fit(X, y) for each in (ours, reference))
    np.testing.assert_allclose(ours.class_prior_, reference.class_prior_)
    two = y != "c"
    odds = GMMClassifier().fit(X[two], y[two]).decision_function(X)
    assert odds.shape == (len(X),)


def test_map_adapts_the_model_of_all_classes(labelled):
    X, y = labelled
    ours = GMMClassifier(4, method="map", relevance_factor=7, adapt=["means", "weights"], random_state=0).fit(X, y)
    assert_same(ours.ubm_, DiagonalGaussianMixture(4, random_state=0).fit(X).gmm_)
    for label, gmm in zip("abc", ours.gmms_, strict=True):
        stats = accumulate(ours.ubm_, X[y == label], dtype=np.float64)
        assert_same(gmm, map_adapt(ours.ubm_, stats, relevance_factor=7, adapt=("means", "weights")))
    assert ours.score(X, y) > 0.8
    given = GMMClassifier(method="map", relevance_factor=7, adapt=("means", "weights"), ubm=ours.ubm_).fit(X, y)
    assert np.array_equal(given.predict_proba(X), ours.predict_proba(X))
    assert given.n_iter_ == 0


@pytest.mark.parametrize("method", ["independent", "map"])
def test_a_classifiers_integer_weights_are_repeated_rows(rng, labelled, method):
    X, y = labelled
    counts = rng.integers(0, 3, len(X))
    counts[y == "c"] = 0
    classifier = GMMClassifier(2, method=method, random_state=0)
    weighted = clone(classifier).fit(X, y, sample_weight=counts)
    repeated = clone(classifier).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert list(weighted.classes_) == list(repeated.classes_) == ["a", "b"]
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (DiagonalGaussianMixture(0), "n_components"),
        (DiagonalGaussianMixture(2.5), "n_components must be an instance of"),
        (DiagonalGaussianMixture(weight_floor=None), "weight_floor must be an instance of"),
        (DiagonalGaussianMixture(max_iter=0), "max_iter == 0"),
        (DiagonalGaussianMixture(tol=-1.0), r"tol == -1\.0"),
        (DiagonalGaussianMixture(variance_floor=2), "variance_floor"),
        (DiagonalGaussianMixture(7), "n_components 7 is more than the 6 distinct rows"),
        (
            DiagonalGaussianMixture(gmm_init=DiagonalGMM([1.0], [[0.0]], [[1.0]])),
            r"gmm_init of shape \(1, 1\); expected \(1, 2\)",
        ),
        (GMMClassifier(method="ml"), "method 'ml': expected independent or map"),
        (GMMClassifier(ubm=DiagonalGMM([1.0], [[0.0]], [[1.0]])), "no use for a ubm"),
        (
            GMMClassifier(method="map", ubm=DiagonalGMM([1.0], [[0.0]], [[1.0]])),
            r"frames of shape \(6, 2\); the model expects",
        ),
        (GMMClassifier(priors=[1.0]), "expected one for each of 2 classes"),
        (GMMClassifier(4), "class 'a': n_components 4 is more than the 3 distinct rows"),
        (GMMClassifier(method="map", relevance_factor=-1), "relevance_factor"),
    ],
)
def test_values_out_of_range_are_refused(rng, estimator, message):
    with pytest.raises((TypeError, ValueError), match=message):
        estimator.fit(np.repeat(rng.normal(size=(6, 2)), 2, axis=0), np.repeat(["a", "b"], 6))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "one for each row"),
        ([1, 1, -1], "no negative"),
        ([0, 0, 0], "not all zero"),
        ([1, 1, np.nan], "NaN"),
    ],
)
def test_weights_without_meaning_are_refused(rng, weights, message):
    with pytest.raises(ValueError, match=message):
        DiagonalGaussianMixture().fit(rng.normal(size=(3, 2)), sample_weight=weights)


def test_the_documentation_runs_as_typed(capsys):
    text = (ROOT / "docs" / "sklearn.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names = {}
    for code in blocks:
        exec(compile(code, "docs/sklearn.md", "exec"), names)
    assert float(capsys.readouterr().out) > 0.9
