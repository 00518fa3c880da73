"""What holds for every problem: training never loses likelihood, and names, places and units mean nothing to it."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from helpers.models import draw, parameters, random_gmm
from speechgmm import DiagonalGMM, SufficientStats, accumulate, log_likelihood, map_adapt, posteriors, train
from speechgmm.gmm.adaptation import MAP_VARIANCE_FLOOR
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update

ALL = ("weights", "means", "variances")
seeds = st.integers(0, 2**32 - 1)
adapted = st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple)
relevances = st.sampled_from([0.0, 0.5, 16.0, 1e3])


@dataclass(frozen=True)
class Problem:
    """A start and frames that it does not fit."""

    gmm: DiagonalGMM
    frames: np.ndarray

    @property
    def shape(self):
        return self.gmm.means.shape


@st.composite
def problems(draws):
    rng = np.random.default_rng(draws(seeds))
    n_components, n_features = draws(st.integers(1, 6)), draws(st.integers(1, 5))
    gmm, other = (random_gmm(rng, n_components, n_features) for _ in range(2))
    return Problem(gmm, draw(rng, other, draws(st.integers(30, 200))))


def statistics(gmm, frames):
    return accumulate(gmm, frames, dtype=np.float64)


def iterate(gmm, frames, variance_floor, n_iterations=3):
    """Do the EM steps that `train` does, from a given start."""
    config = TrainingConfig(n_components=1, variance_floor=variance_floor, weight_floor=0, min_occupancy=0)
    for _ in range(n_iterations):
        gmm = ml_update(statistics(gmm, frames), gmm, config)
    return gmm


def assert_same(found, expected, rtol=1e-7, sd=1.0):
    """Compare models; an error of a mean, which may be 0, counts in standard deviations of the features."""
    np.testing.assert_allclose(found.weights, expected.weights, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(found.means / sd, expected.means / sd, rtol=0, atol=rtol)
    np.testing.assert_allclose(found.variances, expected.variances, rtol=rtol)


# Likelihood


def gaussians(rng, shape):
    return draw(rng, random_gmm(rng, 4, shape[1]), shape[0])


FRAMES = {
    "gaussians": gaussians,
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "heavy tails": lambda rng, shape: rng.standard_t(2, shape),
    "counts": lambda rng, shape: rng.poisson(1.0, shape).astype(float),
    "all alike": lambda rng, shape: np.full(shape, rng.normal()),
    "clusters far apart": lambda rng, shape: rng.normal(size=shape) + 100 * rng.integers(0, 3, (shape[0], 1)),
}


@settings(max_examples=200, deadline=None)
@given(
    seed=seeds,
    kind=st.sampled_from(list(FRAMES)),
    n_components=st.integers(1, 8),
    n_features=st.integers(1, 6),
    n_more=st.integers(0, 300),
    offset=st.sampled_from([0.0, -3.0, 100.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    variance_floor=st.sampled_from([0.0, 0.01, 0.3]),
    n_shards=st.integers(1, 3),
)
def test_the_log_likelihood_never_falls(
    seed, kind, n_components, n_features, n_more, offset, scale, variance_floor, n_shards
):
    rng = np.random.default_rng(seed)
    frames = (FRAMES[kind](rng, (n_components + n_more, n_features)) + offset) * scale
    # A component that is put elsewhere may cost likelihood; the best variances above a floor that stays do not.
    config = TrainingConfig(
        n_components=n_components,
        n_iterations=12,
        tolerance=0,
        variance_floor=variance_floor,
        weight_floor=0,
        min_occupancy=0,
    )
    result = train(np.array_split(frames.astype(np.float32), n_shards), config, rng=rng)
    values = np.array([each.log_likelihood for each in result.history])
    assert len(values) == 12
    assert np.isfinite(values).all()
    # Half of single precision's digits of a frame's squared distance in standard deviations, which is D on average.
    rounding = 1e-5 * (n_features + np.abs(values[:-1]))
    assert (np.diff(values) >= -rounding).all(), np.diff(values).min()
    before, after = (
        log_likelihood(result.gmm, frames.astype(np.float32), dtype=each) for each in (np.float32, np.float64)
    )
    assert abs(before.mean() - after.mean()) <= 1e-5 * (n_features + abs(after.mean()))


@settings(max_examples=50, deadline=None)
@given(problem=problems())
def test_an_iteration_in_double_precision_never_loses_anything(problem):
    gmm, values = problem.gmm, []
    for _ in range(8):
        values.append(statistics(gmm, problem.frames).log_likelihood)
        gmm = iterate(gmm, problem.frames, 0.0, 1)
    assert (np.diff(values) >= -1e-12 * np.abs(values[1:])).all()


# Names, places and units


@settings(max_examples=50, deadline=None)
@given(problem=problems(), variance_floor=st.sampled_from([0.0, 0.1]), data=st.data())
def test_the_order_of_features_components_and_frames_does_not_matter(problem, variance_floor, data):
    gmm, frames = problem.gmm, problem.frames
    n_components, n_features = problem.shape
    components = data.draw(st.permutations(range(n_components)), "components")
    columns = data.draw(st.permutations(range(n_features)), "columns")
    rows = data.draw(st.permutations(range(len(frames))), "rows")

    def permuted(model):
        return DiagonalGMM(
            model.weights[components], model.means[components][:, columns], model.variances[components][:, columns]
        )

    there, moved = permuted(gmm), frames[rows][:, columns]
    for dtype, tolerance in ((np.float32, 2e-5), (np.float64, 1e-11)):
        found = log_likelihood(there, moved, dtype=dtype)
        np.testing.assert_allclose(
            found, log_likelihood(gmm, frames, dtype=dtype)[rows], rtol=tolerance, atol=tolerance
        )
        found = posteriors(there, moved, dtype=dtype)
        expected = posteriors(gmm, frames, dtype=dtype)[rows][:, components]
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert_same(iterate(there, moved, variance_floor), permuted(iterate(gmm, frames, variance_floor)), 1e-8)
    stats, stats_there = statistics(gmm, frames), statistics(there, moved)
    for adapt in (ALL, ("means",)):
        assert_same(map_adapt(there, stats_there, adapt=adapt), permuted(map_adapt(gmm, stats, adapt=adapt)), 1e-9)


@settings(max_examples=100, deadline=None)
@given(
    problem=problems(), variance_floor=st.sampled_from([0.0, 0.1]), adapt=adapted, relevance=relevances, data=st.data()
)
def test_the_origin_and_the_units_of_each_feature_do_not_matter(problem, variance_floor, adapt, relevance, data):
    gmm, frames = problem.gmm, problem.frames
    n_features = problem.shape[1]
    of_each = {"min_size": n_features, "max_size": n_features}
    scale = np.array(data.draw(st.lists(st.sampled_from([1e-4, 0.3, -1.0, 7.0, 1e5]), **of_each), "scale"))
    shift = np.array(data.draw(st.lists(st.sampled_from([-300.0, 0.0, 1.0, 50.0]), **of_each), "shift"))

    def moved(model):
        return DiagonalGMM(model.weights, (model.means + shift) * scale, model.variances * scale**2)

    there, x = moved(gmm), (frames + shift) * scale
    units = np.log(np.abs(scale)).sum()
    for dtype, tolerance in ((np.float32, 2e-5), (np.float64, 1e-9)):
        found, expected = log_likelihood(there, x, dtype=dtype), log_likelihood(gmm, frames, dtype=dtype) - units
        # A sum that the units leave near 0 keeps the digits of its parts.
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * (1 + abs(units)))
        found, expected = posteriors(there, x, dtype=dtype), posteriors(gmm, frames, dtype=dtype)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    sd = np.abs(scale)
    assert_same(iterate(there, x, variance_floor), moved(iterate(gmm, frames, variance_floor)), 1e-6, sd)
    here = map_adapt(gmm, statistics(gmm, frames), relevance_factor=relevance, adapt=adapt)
    found = map_adapt(there, statistics(there, x), relevance_factor=relevance, adapt=adapt)
    assert_same(found, moved(here), 1e-6, sd)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), times=st.integers(2, 4), adapt=adapted, relevance=relevances, data=st.data())
def test_a_weight_is_a_repetition_and_repetition_of_all_is_a_smaller_relevance(problem, times, adapt, relevance, data):
    gmm, frames = problem.gmm, problem.frames
    rng = np.random.default_rng(data.draw(seeds))
    counts = rng.integers(0, 4, len(frames))
    repeated = statistics(gmm, np.repeat(frames, counts, axis=0))
    weighted = accumulate(gmm, frames, weights=counts, dtype=np.float64)
    for name in ("zeroth", "first", "second", "log_likelihood"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-10, atol=1e-10)
    once, again = statistics(gmm, frames), statistics(gmm, np.tile(frames, (times, 1)))
    assert_same(iterate(gmm, np.tile(frames, (times, 1)), 0.0, 1), iterate(gmm, frames, 0.0, 1), 1e-9)
    found = map_adapt(gmm, again, relevance_factor=times * relevance, adapt=adapt)
    assert_same(found, map_adapt(gmm, once, relevance_factor=relevance, adapt=adapt), 1e-8)


# The ends of adaptation


@settings(max_examples=50, deadline=None)
@given(
    problem=problems(),
    adapt=adapted,
    relevance=st.sampled_from([0.0, 1e-300, 1e-3, 16.0, 1e12, 1e300]),
    alpha=st.none() | st.floats(0, 1),
)
def test_no_frames_give_the_ubm(problem, adapt, relevance, alpha):
    ubm = problem.gmm
    for nothing in (SufficientStats.zeros(*problem.shape), accumulate(ubm, problem.frames[:0])):
        found = map_adapt(ubm, nothing, relevance_factor=relevance, alpha=alpha, adapt=adapt)
        assert_same(found, ubm, 1e-13)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), adapt=adapted, exactly=st.sampled_from([{"relevance_factor": 0.0}, {"alpha": 1.0}]))
def test_no_relevance_gives_maximum_likelihood(problem, adapt, exactly):
    ubm, stats = problem.gmm, statistics(problem.gmm, problem.frames)
    found = map_adapt(ubm, stats, adapt=adapt, **exactly)
    weights, means, variances = naive.ml_update(stats.zeroth, stats.first, stats.second)
    if "means" not in adapt:  # then the likeliest variances are those about the means that stay
        means, variances = ubm.means, variances + (means - ubm.means) ** 2
    kept = [
        old if name not in adapt else new
        for name, old, new in zip(ALL, parameters(ubm), (weights, means, variances), strict=True)
    ]
    if "variances" in adapt:
        kept[2] = np.maximum(kept[2], MAP_VARIANCE_FLOOR * ubm.variances)
    assert_same(found, DiagonalGMM(*kept), 1e-8)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), adapt=adapted, data=st.data())
def test_the_more_relevance_the_nearer_the_ubm_and_in_the_end_there(problem, adapt, data):
    ubm, stats = problem.gmm, statistics(problem.gmm, problem.frames)
    distances = []
    for relevance in (0.0, 1.0, 16.0, 1e3, 1e6):
        found = map_adapt(ubm, stats, relevance_factor=relevance, adapt=("means",))
        distances.append(np.abs(found.means - ubm.means))
    assert (np.diff(distances, axis=0) <= 1e-12).all()
    for huge in (1e14, 1e100, 1e300):
        assert_same(map_adapt(ubm, stats, relevance_factor=huge, adapt=adapt), ubm, 1e-9)
    assert_same(map_adapt(ubm, stats, alpha=0.0, adapt=adapt), ubm, 1e-12)
