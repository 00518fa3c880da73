"""The transformers from recordings to vectors: scikit-learn's checks, and that they are what the functions give."""

import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.models import draw, parameters, random_gmm
from helpers.voices import enrolment
from speechgmm import DiagonalGMM, FeatureConfig, accumulate, extract
from speechgmm.sklearn import DiagonalGaussianMixture, IVectorTransformer, SupervectorTransformer
from speechgmm.sklearn.rows import generator
from speechgmm.subspace.supervectors import supervectors
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.training import train_total_variability
from speechgmm.subspace.vectors import IVectorConfig

TRANSFORMERS = [
    SupervectorTransformer(3, max_iter=50, random_state=0),
    IVectorTransformer(3, rank=2, max_iter=50, random_state=0),
]
NOT_CONVERGED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
UNDETERMINED = pytest.mark.filterwarnings("ignore:.* recordings:UserWarning")
each_transformer = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda each: type(each).__name__)
pytestmark = NOT_CONVERGED


def same_model(first, second):
    return all(np.array_equal(one, other) for one, other in zip(parameters(first), parameters(second), strict=True))


def statistics_of(ubm, recordings):
    return [accumulate(ubm, frames, dtype=frames.dtype.type) for frames in recordings]


@pytest.fixture
def recordings(rng):
    """70 recordings, more than a block, each with means of its own."""
    gmm = random_gmm(rng, 3, 4)
    lengths = rng.integers(5, 60, size=70)
    return [draw(rng, gmm, length) + rng.normal(size=(1, 4)) for length in lengths]


@pytest.fixture
def speakers(rng):
    """Recordings of six speakers, whose components are moved by speaker, and less by session."""
    gmm = random_gmm(rng, 4, 5)
    labels = np.repeat(list("abcdef"), 8)
    shifts = {label: 0.7 * rng.normal(size=gmm.means.shape) for label in "abcdef"}
    moved = [
        DiagonalGMM(gmm.weights, gmm.means + shifts[label] + 0.2 * rng.normal(size=gmm.means.shape), gmm.variances)
        for label in labels
    ]
    return [draw(rng, each, int(rng.integers(100, 200))) for each in moved], labels


def failures_with_a_reason(estimator):
    if isinstance(estimator, IVectorTransformer) and estimator.rank > 1:
        return {"check_fit2d_1feature": "one component of one feature has one mean, which two factors cannot move"}
    return {}


# Skips of checks that need pandas or SCIPY_ARRAY_API are scikit-learn's own.
@UNDETERMINED
@parametrize_with_checks(
    [
        SupervectorTransformer(),
        SupervectorTransformer(3),
        IVectorTransformer(),
        IVectorTransformer(2, rank=2, update_variances=False),
    ],
    expected_failed_checks=failures_with_a_reason,
)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_supervectors_are_those_of_the_function(recordings, dtype):
    recordings = [frames.astype(dtype) for frames in recordings]
    transformer = SupervectorTransformer(3, relevance_factor=4, max_iter=20, random_state=1)
    vectors = transformer.fit(recordings).transform(recordings)
    mixture = DiagonalGaussianMixture(3, max_iter=20, random_state=1).fit(np.concatenate(recordings))
    assert same_model(transformer.ubm_, mixture.gmm_)
    assert transformer.n_iter_ == mixture.n_iter_ > 1
    expected = supervectors(mixture.gmm_, statistics_of(mixture.gmm_, recordings), relevance_factor=4.0)
    assert vectors.dtype == np.float64
    np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ivectors_are_those_of_the_functions(recordings, dtype):
    recordings = [frames.astype(dtype) for frames in recordings]
    options = {"acoustic_weight": 0.5, "max_count": 10.0}
    transformer = IVectorTransformer(3, rank=2, factor_iterations=4, min_occupancy=1.0, random_state=1, **options)
    vectors = transformer.fit(recordings).transform(recordings)
    ubm = DiagonalGaussianMixture(3, min_occupancy=1.0, random_state=1).fit(np.concatenate(recordings)).gmm_
    assert same_model(transformer.ubm_, ubm)
    statistics = statistics_of(ubm, recordings)
    config = IVectorConfig(rank=2, n_iterations=4, min_occupancy=1.0, acoustic_weight=0.5)
    model = train_total_variability(ubm, statistics, config, rng=generator(1).spawn(1)[0]).model
    for name in ("means", "loadings", "variances"):
        np.testing.assert_array_equal(getattr(transformer.total_variability_, name), getattr(model, name))
    assert vectors.dtype == np.float64
    np.testing.assert_array_equal(vectors, ivectors(model, statistics, **options).values)


@pytest.mark.parametrize("option", [{"update_variances": False}, {"minimum_divergence": False}])
def test_the_switches_of_the_factors_reach_their_training(recordings, option):
    transformer = IVectorTransformer(2, rank=1, factor_iterations=3, random_state=0, **option).fit(recordings)
    statistics = statistics_of(transformer.ubm_, recordings)
    config = IVectorConfig(rank=1, n_iterations=3, min_occupancy=0.0, **option)
    model = train_total_variability(transformer.ubm_, statistics, config, rng=generator(0).spawn(1)[0]).model
    np.testing.assert_array_equal(transformer.total_variability_.loadings, model.loadings)


def test_one_component_of_a_table_is_factor_analysis(rng):
    table = rng.normal(size=(128, 2)) @ rng.normal(size=(2, 12)) + rng.normal(size=(128, 12))
    ours = IVectorTransformer(1, rank=2, factor_iterations=60, random_state=0).fit(table)
    reference = FactorAnalysis(2, tol=1e-12, max_iter=10_000, svd_method="lapack").fit(table)
    np.testing.assert_allclose(ours.total_variability_.variances[0], reference.noise_variance_, rtol=1e-4)
    vectors, expected = ours.transform(table), reference.transform(table)
    signs = np.sign((vectors * expected).sum(axis=0))
    np.testing.assert_allclose(vectors * signs, expected, atol=1e-4)


@each_transformer
def test_rows_of_a_table_are_recordings_of_one_frame(recordings, transformer):
    table = np.concatenate(recordings)[:80]
    alone = clone(transformer).fit(table)
    listed = clone(transformer).fit(list(table[:, None]))
    assert alone.n_features_in_ == 4
    assert not hasattr(listed, "n_features_in_")
    np.testing.assert_array_equal(alone.transform(table), listed.transform(list(table[:, None])))
    np.testing.assert_array_equal(alone.transform(table), alone.transform(table.tolist()))


@each_transformer
def test_lists_may_have_many_forms(rng, recordings, transformer):
    transformer = clone(transformer).fit(recordings)
    expected = transformer.transform(recordings)
    array = np.empty(len(recordings), object)
    array[:] = recordings
    for other in (tuple(recordings), array, [frames.tolist() for frames in recordings]):
        np.testing.assert_array_equal(transformer.transform(other), expected)
    equal = rng.normal(size=(5, 7, 4))
    expected = transformer.transform(list(equal))
    for other in (equal, equal.astype(object), equal.tolist()):
        np.testing.assert_array_equal(transformer.transform(other), expected)


@pytest.mark.parametrize(
    "transformer",
    [
        SupervectorTransformer(4, random_state=0),
        IVectorTransformer(4, rank=6, random_state=0),
    ],
)
def test_pipelines_recognise_speakers(speakers, transformer):
    recordings, labels = speakers
    pipeline = make_pipeline(transformer, StandardScaler(), LogisticRegression())
    scores = cross_val_score(pipeline, recordings, labels, cv=4)
    assert scores.mean() > 0.9  # by chance a sixth
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, recordings, labels, cv=4))


def test_searches_find_a_rank_that_recognises_speakers(speakers):
    recordings, labels = speakers
    ubm = DiagonalGaussianMixture(4, random_state=0).fit(np.concatenate(recordings)).gmm_
    transformer = IVectorTransformer(ubm=ubm, factor_iterations=5, random_state=0)
    pipeline = make_pipeline(transformer, StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"ivectortransformer__rank": np.array([1, 6])}, cv=3).fit(recordings, labels)
    assert search.best_params_ == {"ivectortransformer__rank": 6}
    assert search.best_score_ > 0.9
    assert search.predict(recordings[:1]).tolist() == ["a"]


@each_transformer
def test_paths_are_their_features(voices, transformer):
    paths = enrolment(voices, "f001") + enrolment(voices, "m002")
    frames = [extract(path) for path in paths]
    from_frames = clone(transformer).fit(frames)
    expected = from_frames.transform(frames)
    assert expected.shape[0] == len(paths) == 6
    np.testing.assert_array_equal(from_frames.transform([str(path) for path in paths]), expected)
    np.testing.assert_array_equal(from_frames.transform(np.array([str(path) for path in paths])), expected)
    np.testing.assert_array_equal(from_frames.transform([frames[0], paths[1]]), expected[:2])
    np.testing.assert_array_equal(clone(transformer).fit_transform(paths), expected)
    np.testing.assert_array_equal(clone(transformer).fit(paths).transform(paths), expected)


@each_transformer
def test_paths_go_through_the_given_front_end(voices, transformer):
    paths = enrolment(voices, "f001")
    front_end = FeatureConfig(n_cepstra=8, deltas={"order": 0})
    transformer = clone(transformer).set_params(front_end=front_end).fit(paths)
    assert transformer.ubm_.n_features == front_end.n_features
    np.testing.assert_array_equal(
        transformer.transform(paths), transformer.transform([extract(path, front_end) for path in paths])
    )


@each_transformer
def test_a_given_background_mixture_is_used_as_it_is(rng, recordings, transformer):
    own = clone(transformer).fit(recordings)
    mixture = DiagonalGaussianMixture(3, max_iter=50, random_state=0).fit(np.concatenate(recordings))
    for ubm in (mixture, mixture.gmm_, FrozenEstimator(mixture)):
        given = clone(transformer).set_params(ubm=ubm).fit(recordings)
        assert given.ubm_ is mixture.gmm_
        assert given.n_iter_ == 0
        np.testing.assert_array_equal(given.transform(recordings), own.transform(recordings))
    for ubm in (mixture.gmm_, FrozenEstimator(mixture)):
        again = clone(clone(transformer).set_params(ubm=ubm)).fit(recordings)
        np.testing.assert_array_equal(again.transform(recordings), own.transform(recordings))
    with pytest.raises(ValueError, match=r"is not a fitted model.*give them its gmm_"):
        clone(clone(transformer).set_params(ubm=mixture)).fit(recordings)


def test_supervectors_of_a_given_mixture_are_fitted_without_reading():
    ubm = random_gmm(np.random.default_rng(0), 2, 72)
    transformer = SupervectorTransformer(ubm=ubm).fit(["missing.wav"])
    with pytest.raises(ValueError, match=r"X\[0\]: missing.wav: no such audio file"):
        transformer.transform(["missing.wav"])


@each_transformer
def test_a_seed_gives_the_same_bits(recordings, transformer):
    first = clone(transformer).fit(recordings).transform(recordings)
    np.testing.assert_array_equal(clone(transformer).fit(recordings).transform(recordings), first)
    np.testing.assert_array_equal(clone(transformer).fit_transform(recordings), first)
    other = clone(transformer).set_params(random_state=1).fit(recordings).transform(recordings)
    assert not np.array_equal(other, first)


@each_transformer
def test_a_recording_has_the_same_bits_alone_and_among_others(recordings, transformer):
    transformer = clone(transformer).fit(recordings)
    together = transformer.transform(recordings)
    np.testing.assert_array_equal(np.concatenate([transformer.transform([each]) for each in recordings]), together)
    np.testing.assert_array_equal(transformer.transform(recordings[::-1]), together[::-1])


@each_transformer
def test_copies_clones_and_names(recordings, transformer):
    fitted = clone(transformer).fit(recordings)
    vectors = fitted.transform(recordings)
    np.testing.assert_array_equal(copy.deepcopy(fitted).transform(recordings), vectors)
    with pytest.raises(NotFittedError):
        clone(fitted).transform(recordings)
    names = fitted.get_feature_names_out()
    assert len(names) == vectors.shape[1]
    assert names[0] == f"{type(transformer).__name__.lower()}0"
    assert fitted.get_params()["n_components"] == 3
    assert type(fitted.set_output(transform="default").transform(recordings)) is np.ndarray


@each_transformer
def test_vectors_may_be_data_frames(recordings, transformer):
    pytest.importorskip("pandas")
    fitted = clone(transformer).set_output(transform="pandas").fit(recordings)
    table = fitted.transform(recordings)
    assert list(table.columns) == fitted.get_feature_names_out().tolist()
    np.testing.assert_array_equal(table.to_numpy(), clone(transformer).fit(recordings).transform(recordings))


@each_transformer
def test_a_column_of_paths_is_a_list_of_recordings(voices, transformer):
    paths = enrolment(voices, "f001")
    column = np.array([[str(path), "f"] for path in paths], object)
    columns = ColumnTransformer([("voice", clone(transformer), 0)])
    np.testing.assert_array_equal(columns.fit_transform(column), clone(transformer).fit_transform(paths))
    assert columns.get_feature_names_out(["path", "sex"])[0] == f"voice__{type(transformer).__name__.lower()}0"


@each_transformer
def test_a_list_after_a_table_forgets_its_columns(recordings, transformer):
    transformer = clone(transformer).fit(np.concatenate(recordings)).fit([frames[:, :2] for frames in recordings])
    assert transformer.transform([recordings[0][:, :2]]).shape[1] == len(transformer.get_feature_names_out(["audio"]))


def test_statistics_of_few_recordings_are_in_memory(recordings, monkeypatch):
    sizes = []

    def counted(model, statistics, **options):
        sizes.append(len(statistics))
        return ivectors(model, statistics, **options)

    monkeypatch.setattr("speechgmm.sklearn.ivectors.ivectors", counted)
    IVectorTransformer(2, random_state=0).fit(recordings).transform(recordings)
    assert sizes == [64, 6]


def test_too_many_factors_are_warned_of(rng):
    with pytest.warns(UserWarning, match="rank 2, but the number of recordings with frames is 2.*use a lower rank"):
        IVectorTransformer(rank=2).fit([rng.normal(size=(50, 3)) + shift for shift in (0, 1)])


@each_transformer
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((5, 3)), r"X\[2\]: frames of shape \(5, 3\); expected \(T, 4\)"),
        (np.zeros((0, 4)), r"X\[2\]: frames of shape \(0, 4\); expected one frame"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]]), r"X\[2\]: frame 1 holds NaN or infinity"),
        (np.full((1, 4), np.inf), r"X\[2\]: frame 0 holds NaN or infinity"),
        (np.full((2, 4), "a"), r"X\[2\]: frames of type <U1; expected real numbers"),
        (np.zeros(16000), r"X\[2\]: an array of shape \(16000,\); expected frames, of shape \(T, D\), or the path"),
        (None, r"X\[2\]: frames of type object"),
        ([[1, 2, 3, 4], [1, 2]], r"X\[2\]: frames of rows that differ in length"),
        ("missing.wav", r"X\[2\]: missing.wav: no such audio file"),
    ],
    ids=str,
)
def test_a_recording_that_cannot_be_used_is_named_by_its_place(recordings, transformer, bad, message):
    damaged = [*recordings[:2], bad, *recordings[2:]]
    with pytest.raises(ValueError, match=message):
        clone(transformer).fit(damaged)
    with pytest.raises(ValueError, match=message):
        clone(transformer).fit(recordings).transform(damaged)


@each_transformer
def test_what_is_no_list_of_recordings_is_refused(recordings, transformer):
    transformer = clone(transformer).fit(recordings)
    with pytest.raises(ValueError, match="X of 0 recordings; expected 1 or more"):
        transformer.transform([])
    with pytest.raises(ValueError, match=r"X is one path, a.wav; expected a list of recordings, such as \['a.wav'\]"):
        transformer.transform("a.wav")
    with pytest.raises(ValueError, match=r"X\[0\]: an array of shape \(800,\); expected frames"):
        transformer.transform([np.zeros(800), np.zeros(900)])


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (SupervectorTransformer(0), "n_components"),
        (SupervectorTransformer(relevance_factor=0), "relevance_factor == 0"),
        (SupervectorTransformer(relevance_factor="4"), "relevance_factor must be an instance of"),
        (SupervectorTransformer(5000), "n_components 5000 is more than the"),
        (SupervectorTransformer(ubm="ubm.safetensors"), "ubm 'ubm.safetensors' is not a fitted model"),
        (
            IVectorTransformer(ubm=DiagonalGMM([1.0], [[0.0]], [[1.0]])),
            r"X\[0\]: frames of shape \(\d+, 4\); expected \(T, 1\)",
        ),
        (IVectorTransformer(rank=0), "rank"),
        (IVectorTransformer(rank=1.5), "rank must be an instance of"),
        (IVectorTransformer(rank=5), "rank 5 is more than the 4 means"),
        (IVectorTransformer(factor_iterations=0), "factor_iterations == 0"),
        (IVectorTransformer(acoustic_weight=2.0), "acoustic_weight"),
        (IVectorTransformer(max_count=-1), "max_count"),
        (IVectorTransformer(update_variances="no"), "update_variances must be an instance of"),
    ],
)
def test_values_out_of_range_are_refused(recordings, transformer, message):
    with pytest.raises((TypeError, ValueError), match=message):
        transformer.fit(recordings)


def test_one_recording_has_no_factors(recordings):
    with pytest.raises(ValueError, match="X of 1 recordings; expected 2 or more"):
        IVectorTransformer().fit(recordings[:1])
