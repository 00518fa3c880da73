"""Steps on vectors: what they are fitted to, and what they make of vectors."""

import numpy as np
import pytest

from helpers.paths import GOLDEN
from naive import subspace_backend as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.chain import parse_steps
from speechgmm.subspace.backend.fitting import Background, correlation_aligned, fit_transform
from speechgmm.subspace.backend.transforms import transform_of
from speechgmm.subspace.vectors import Vectors

ALL_STEPS = ("center", "whiten", "length", {"length": "unit"}, {"efr": 3}, {"nap": 3}, "wccn", {"lda": 4}, "coral")


@pytest.fixture(scope="module")
def golden():
    """The arrays of all golden files by name."""
    arrays = {}
    for name in ("input", "plda_kaldi", "bob", "literal"):
        arrays |= dict(np.load(GOLDEN / "subspace" / f"{name}.npz"))
    return arrays


@pytest.fixture(scope="module")
def embeddings(golden):
    """105 recordings of 30 speakers, of 6 dimensions."""
    return background(golden["emb"].astype(np.float64), golden["emb_speaker"])


@pytest.fixture
def voices(rng):
    """60 recordings of 12 speakers, of 7 dimensions."""
    speakers = np.repeat(np.arange(12), 5)
    mixing = rng.normal(size=(7, 7))
    values = 2.0 + (rng.normal(size=(12, 7))[speakers] + 0.5 * rng.normal(size=(60, 7))) @ mixing
    return background(values, speakers)


def background(values, speakers):
    return Background(Vectors(values), tuple(f"s{speaker}" for speaker in speakers))


def fit(step, fitted_to):
    (config, _) = parse_steps([step, "cosine"])
    return fit_transform(config, fitted_to)


def put_through(step, fitted_to, values=None):
    """Fit a step and apply it, to the background itself unless to others."""
    vectors = fitted_to.vectors if values is None else Vectors(values)
    return fit(step, fitted_to).apply(vectors).values


def assert_close(values, expected, tolerance):
    """Compare, relative to the largest value expected."""
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def same_signs(rows, expected):
    """Turn rows whose signs are free."""
    return rows * np.sign((rows * expected).sum(axis=1))[:, None]


# Golden values


def test_centring_and_both_lengths_are_kaldis(golden, embeddings):
    assert_close(put_through("center", embeddings), golden["emb_centred"], 2e-7)
    assert_close(put_through("length", embeddings), golden["emb_norm"], 2e-7)
    assert_close(put_through({"length": "unit"}, embeddings), golden["emb_unit"], 2e-7)


@pytest.mark.parametrize(("name", "dimension", "factor"), [("within", 3, 0.0), ("half", 3, 0.5), ("total", 6, 1.0)])
def test_lda_is_kaldis(golden, embeddings, name, dimension, factor):
    step = fit({"lda": {"dimension": dimension, "total_covariance_factor": factor}}, embeddings)
    rows = np.column_stack([step.matrix, -step.matrix @ step.mean])
    assert_close(same_signs(rows, golden[f"lda_{name}"]), golden[f"lda_{name}"], 2e-7)


def test_what_lda_makes_of_vectors_is_what_kaldi_makes(golden, embeddings):
    values = put_through({"lda": 3}, embeddings)
    assert_close(
        same_signs(values.T, golden["emb_lda"].T), golden["emb_lda"].T, 5e-7
    )  # Kaldi multiplies in single precision


def test_whitening_is_bobs(golden, embeddings):
    step = fit("whiten", embeddings)
    assert_close(step.mean, golden["whiten_mean"], 1e-13)
    assert_close(step.matrix.T, golden["whiten_weights"], 1e-12)
    assert_close(step.apply(embeddings.vectors).values, golden["whiten_transform"], 1e-12)


def test_wccn_is_hatchs_and_the_scatter_within_speakers_is_bobs(golden, embeddings):
    assert_close(fit("wccn", embeddings).matrix.T, golden["wccn_hatch"], 1e-12)
    deviations, bobs = embeddings.deviations(), golden["wccn_weights"]  # B B' = (scatter / speakers)^-1
    assert_close(bobs @ bobs.T @ (deviations.T @ deviations) / 30, np.eye(6), 1e-12)


def test_wccn_of_as_many_recordings_of_every_speaker_is_bobs_but_for_its_scale(voices):
    deviations = voices.deviations()
    bobs = np.linalg.cholesky(np.linalg.inv(deviations.T @ deviations / 12))
    assert_close(fit("wccn", voices).matrix.T, np.sqrt(5) * bobs, 1e-12)


@pytest.mark.parametrize("n_recordings", [40, 200])
def test_nap_of_fewer_and_of_more_recordings_than_dimensions_is_the_golden_one(golden, n_recordings):
    copies = n_recordings // 40
    vectors = np.tile(golden["kl_supervectors"], (copies, 1))
    step = fit({"nap": 3}, background(vectors, np.tile(golden["speaker"], copies)))
    assert_close(step.directions.T @ step.directions, golden["nap_basis"] @ golden["nap_basis"].T, 1e-11)
    assert_close(step.apply(Vectors(golden["kl_supervectors"])).values, golden["nap_supervectors"], 1e-11)


def test_coral_is_the_golden_one(golden, embeddings):
    target = Vectors(golden["emb_adapt"].astype(np.float64))
    moved = correlation_aligned(embeddings, target)
    assert_close(moved.vectors.values, golden["coral_emb"], 1e-12)
    assert moved.speakers == embeddings.speakers


# Theory


def test_after_whitening_the_covariance_is_the_identity(voices):
    values = put_through("whiten", voices)
    assert_close(np.cov(values.T), np.eye(7), 1e-11)
    assert_close(values.mean(axis=0) + 1, np.ones(7), 1e-12)


def test_after_wccn_the_mean_covariance_within_speakers_is_the_identity(voices):
    assert_close(naive.within_covariance(put_through("wccn", voices), voices.speakers), np.eye(7), 1e-11)


def test_lda_makes_the_covariance_within_speakers_the_identity_and_sorts_that_between(voices):
    values = put_through({"lda": 7}, voices)
    assert_close(
        naive.within_covariance(values, voices.speakers), np.eye(7), 1e-10
    )  # as many recordings of every speaker
    between = np.cov(values.T, bias=True) - np.eye(7)
    assert_close(between, np.diag(np.diag(between)), 1e-10)
    assert (np.diff(np.diag(between)) < 0).all()


def test_nap_removes_the_directions_and_changes_nothing_more_the_second_time(voices):
    step = fit({"nap": 3}, voices)
    once = step.apply(voices.vectors)
    assert np.abs(once.values @ step.directions.T).max() < 1e-12
    assert_close(step.apply(once).values, once.values, 1e-14)
    assert np.linalg.matrix_rank(once.values - once.values.mean(axis=0), tol=1e-9) == 4


def test_nap_removes_the_directions_of_most_variance_within_speakers(voices):
    within = naive.within_covariance(voices.vectors.values, voices.speakers)
    left = naive.within_covariance(put_through({"nap": 2}, voices), voices.speakers)
    assert np.trace(left) == pytest.approx(np.sort(np.linalg.eigvalsh(within))[:-2].sum())


def test_nap_of_sessions_in_one_direction_leaves_the_speakers(rng):
    speakers = np.repeat(np.arange(4), 3)
    session, voices = rng.normal(size=300), rng.normal(size=(4, 300))
    values = voices[speakers] + rng.normal(size=(12, 1)) * session
    cleaned = put_through({"nap": 1}, background(values, speakers))
    direction = session / np.linalg.norm(session)
    assert_close(cleaned, (voices - np.outer(voices @ direction, direction))[speakers], 1e-12)


@pytest.mark.parametrize("n_iterations", [1, 2, 4])
def test_efr_has_the_angles_of_the_equation(voices, rng, n_iterations):
    others = rng.normal(size=(5, 7))
    values = put_through({"efr": n_iterations}, voices, others)
    expected = naive.efr(voices.vectors.values, others, n_iterations)  # turned: its root of the covariance is symmetric
    assert_close(values @ values.T, expected @ expected.T, 1e-10)


def test_lengths_are_one_or_the_root_of_the_dimension_and_0_stays_0(voices):
    values = np.vstack([voices.vectors.values, np.zeros(7), np.full(7, 1e-200)])
    for step, length in (("length", np.sqrt(7)), ({"length": "unit"}, 1.0)):
        lengths = np.linalg.norm(put_through(step, voices, values), axis=1)
        np.testing.assert_allclose(lengths[:-2], length, rtol=1e-14)
        assert (lengths[-2:] < 1e-199).all()


def test_after_coral_mean_and_covariance_are_those_of_the_others(voices, rng):
    target = rng.normal(size=(30, 7)) @ rng.normal(size=(7, 7)) + 3.0
    moved = correlation_aligned(voices, Vectors(target)).vectors.values
    assert_close(moved.mean(axis=0), target.mean(axis=0), 1e-11)
    assert_close(np.cov(moved.T, bias=True), np.cov(target.T, bias=True), 1e-10)


def test_the_order_of_the_background_changes_nothing_but_rounding(voices, rng):
    order = rng.permutation(60)
    turned = background(voices.vectors.values[order], np.repeat(np.arange(12), 5)[order])
    for step in ALL_STEPS:
        values, again = put_through(step, voices), put_through(step, turned, voices.vectors.values)
        assert_close(again @ again.T, values @ values.T, 1e-9)  # the signs of LDA's rows are free


# Bits and covariances


@pytest.mark.parametrize("step", ALL_STEPS, ids=str)
@pytest.mark.parametrize("dimension", [7, 193])
def test_a_vector_comes_out_with_the_same_bits_alone_and_among_others(rng, step, dimension):
    speakers = np.repeat(np.arange(30), 8)
    fitted = fit(step, background(rng.normal(size=(240, dimension)) + 0.2, speakers))
    values = rng.normal(size=(41, dimension))
    whole = fitted.apply(Vectors(values)).values
    assert np.array_equal(np.vstack([fitted.apply(Vectors(row[None])).values for row in values]), whole)
    assert np.array_equal(fitted.apply(Vectors(values[5:24])).values, whole[5:24])


@pytest.mark.parametrize("step", ALL_STEPS, ids=str)
def test_covariances_go_through_the_linear_map_of_the_step(voices, rng, step):
    halves = rng.normal(size=(3, 7, 7))
    vectors = Vectors(rng.normal(size=(3, 7)), halves @ halves.transpose(0, 2, 1))
    fitted = fit(step, voices)
    result = fitted.apply(vectors)
    assert np.array_equal(result.covariances, result.covariances.transpose(0, 2, 1))
    for row in range(3):
        matrix = linear_part(fitted, vectors.values[row])
        assert_close(result.covariances[row], matrix @ vectors.covariances[row] @ matrix.T, 1e-9)
    assert np.array_equal(result.values, fitted.apply(Vectors(vectors.values)).values)


def linear_part(fitted, x):
    """The matrix that multiplies a vector, with the lengths that it is divided by held fixed."""
    step = fitted.config.step
    if step == "length":
        return np.eye(7) / np.linalg.norm(x) * (np.sqrt(7) if fitted.config.scale == "dimension" else 1)
    if step == "efr":
        whole = np.eye(7)
        for mean, matrix in zip(fitted.means, fitted.matrices, strict=True):
            moved = matrix @ (x - mean)
            whole, x = matrix @ whole / np.linalg.norm(moved), moved / np.linalg.norm(moved)
        return whole
    origin = fitted.apply(Vectors(np.zeros((1, 7)))).values
    return (fitted.apply(Vectors(np.eye(7))).values - origin).T


def test_coral_moves_the_covariances_of_the_background(voices, rng):
    target = Vectors(rng.normal(size=(30, 7)) @ rng.normal(size=(7, 7)))
    known = Background(Vectors(voices.vectors.values, np.tile(np.eye(7), (60, 1, 1))), voices.speakers)
    moved = correlation_aligned(known, target).vectors
    ends = correlation_aligned(voices, target).vectors.values
    matrix = np.linalg.lstsq(voices.vectors.values - voices.vectors.values.mean(axis=0), ends - ends.mean(axis=0))[0]
    assert_close(moved.covariances[0], matrix.T @ matrix, 1e-9)


@pytest.mark.parametrize("step", ALL_STEPS, ids=str)
def test_a_step_comes_back_from_its_arrays(voices, step):
    fitted = fit(step, voices)
    again = transform_of(fitted.config, fitted.arrays)
    assert np.array_equal(again.apply(voices.vectors).values, fitted.apply(voices.vectors).values)
    with pytest.raises(ModelError, match=f"{fitted.config.step}: arrays .*; expected"):
        transform_of(fitted.config, {**fitted.arrays, "another": np.zeros(3)})


# What the background does not carry


@pytest.mark.parametrize(
    ("step", "n_speakers", "n_each", "dimension", "message"),
    [
        (
            "whiten",
            5,
            2,
            10,
            "whiten: vectors of 10 dimensions, but 10 recordings of 5 speakers vary in at most 9; use",
        ),
        (
            {"efr": 2},
            5,
            2,
            18432,
            "efr: vectors of 18432 dimensions, but 10 recordings of 5 speakers vary in at most 9",
        ),
        ("wccn", 5, 2, 6, "wccn: vectors of 6 .* 10 recordings of 5 speakers, within speakers, vary in at most 5; use"),
        ("wccn", 8, 1, 3, "wccn: 8 recordings of 8 speakers; expected speakers with two recordings or more"),
        ({"nap": 2}, 8, 1, 30, "nap: 8 recordings of 8 speakers; expected speakers with two recordings or more"),
        ({"lda": 2}, 8, 1, 3, "lda: 8 recordings of 8 speakers; expected speakers with two recordings or more"),
        (
            {"nap": 5},
            5,
            2,
            30,
            "rank 5, but 10 recordings of 5 speakers in 30 .* 5 directions at most; expected a rank b",
        ),
        ({"nap": 3}, 5, 4, 3, "rank 3, but 20 recordings of 5 speakers in 3 dimensions differ .* in 3 directions"),
        ({"lda": 5}, 5, 4, 8, "lda: dimension 5 with 5 speakers; expected at most 4, one less than speakers"),
        (
            {"lda": 2},
            5,
            2,
            6,
            "lda: vectors of 6 dimensions, but 10 recordings of 5 speakers, within speakers, vary in",
        ),
        ({"lda": 4}, 9, 4, 3, "lda: dimension 4, but 36 recordings of 9 speakers vary in 3 of 3 dimensions"),
    ],
)
def test_too_few_recordings_are_refused_with_the_counts(rng, step, n_speakers, n_each, dimension, message):
    speakers = np.repeat(np.arange(n_speakers), n_each)
    with pytest.raises(ModelError, match=message):
        fit(step, background(rng.normal(size=(len(speakers), dimension)), speakers))


def test_lda_relative_to_the_total_covariance_needs_as_many_recordings_as_dimensions_only(rng):
    speakers = np.repeat(np.arange(5), 2)
    few = background(rng.normal(size=(10, 9)), speakers)
    assert fit({"lda": {"dimension": 2, "total_covariance_factor": 0.5}}, few).matrix.shape == (2, 9)
    with pytest.raises(ModelError, match="lda: vectors of 10 dimensions, but 10 recordings"):
        fit({"lda": {"dimension": 2, "total_covariance_factor": 0.5}}, background(rng.normal(size=(10, 10)), speakers))


@pytest.mark.parametrize("step", ["whiten", {"efr": 1}, "wccn"])
def test_a_dimension_that_never_changes_is_refused_with_the_counts(voices, step):
    values = voices.vectors.values.copy()
    values[:, 2] = 1.5
    name = step if isinstance(step, str) else "efr"
    with pytest.raises(
        ModelError, match=f"{name}: 60 recordings of 12 speakers.* vary in 6 of 7 dimensions; use vectors"
    ):
        fit(step, Background(Vectors(values), voices.speakers))
    with pytest.raises(ModelError, match=f"{name}: .* vary in 0 of 7 dimensions"):
        fit(step, Background(Vectors(np.ones((60, 7))), voices.speakers))


def test_lda_leaves_out_directions_in_which_nothing_varies(voices):
    cleaned = Background(Vectors(put_through({"nap": 2}, voices)), voices.speakers)
    values = put_through({"lda": 5}, cleaned)
    assert_close(naive.within_covariance(values, voices.speakers), np.eye(5), 1e-9)
    with pytest.raises(ModelError, match=r"lda: dimension 6, but .* vary in 5 of 7 dimensions"):
        fit({"lda": 6}, cleaned)


def test_lda_refuses_a_direction_in_which_speakers_differ_and_their_recordings_never_do(voices):
    values = voices.vectors.values.copy()
    values[:, 2] = np.repeat(np.arange(12), 5)
    with pytest.raises(
        ModelError, match="lda: 60 recordings of 12 speakers differ within speakers in 6 of 7 dimensions"
    ):
        fit({"lda": 3}, Background(Vectors(values), voices.speakers))


def test_nap_of_copied_recordings_is_refused(voices):
    copied = np.repeat(voices.vectors.values[::5], 5, axis=0)
    copied[:5] += np.arange(5)[:, None]
    with pytest.raises(
        ModelError, match=r"nap: rank 2, .* differ within speakers in 1 directions; expected a rank of at m"
    ):
        fit({"nap": 2}, Background(Vectors(copied), voices.speakers))


def test_coral_needs_vectors_to_adapt_to(voices, rng):
    with pytest.raises(ModelError, match="coral: no vectors to adapt to; expected those of the enrolment"):
        correlation_aligned(voices, None)
    with pytest.raises(ModelError, match="coral: vectors of 6 dimensions to adapt to; expected 7"):
        correlation_aligned(voices, Vectors(rng.normal(size=(20, 6))))
    with pytest.raises(
        ModelError, match="coral: vectors of 7 dimensions, but 7 recordings to adapt to vary in at most 6"
    ):
        correlation_aligned(voices, Vectors(rng.normal(size=(7, 7))))
    flat = Background(Vectors(np.ones((60, 7))), voices.speakers)
    with pytest.raises(ModelError, match="coral: 60 recordings of 12 speakers vary in 0 of 7 dimensions"):
        correlation_aligned(flat, Vectors(rng.normal(size=(20, 7))))


@pytest.mark.parametrize("step", ["center", "whiten", {"efr": 2}, {"nap": 2}, "wccn", {"lda": 3}], ids=str)
def test_vectors_of_another_dimension_are_refused(voices, step):
    with pytest.raises(ModelError, match="vectors of 5 dimensions; expected 7, as the background's"):
        fit(step, voices).apply(Vectors(np.ones((2, 5))))


def test_a_background_is_one_speaker_for_each_vector(rng):
    with pytest.raises(ModelError, match="3 speakers for 4 background vectors; expected one for each"):
        background(rng.normal(size=(4, 2)), range(3))
    with pytest.raises(ModelError, match=r"background vectors of shape \(0, 2\); expected one or more"):
        background(np.zeros((0, 2)), ())
