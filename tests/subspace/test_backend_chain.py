"""Back ends: what they are fitted to in order, how they score, and their files."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.paths import GOLDEN
from naive import subspace_backend as naive
from speechgmm.errors import ModelError
from speechgmm.gmm.storage import check_front_end, read_header
from speechgmm.subspace.backend.chain import Backend, fit_backend, parse_steps
from speechgmm.subspace.backend.config import CosineConfig, LdaConfig, LengthConfig, NapConfig, SvmConfig
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.storage import load_backend, load_enrolled, save_backend, save_enrolled
from speechgmm.subspace.vectors import Vectors

SPEAKERS = [f"s{number // 5}" for number in range(60)]
LONGEST = ["center", {"nap": 2}, {"lda": 5}, "wccn", {"efr": 2}, "length", "coral", "whiten"]


@pytest.fixture
def vectors(rng):
    """60 recordings of 12 speakers, of 9 dimensions."""
    values = (np.repeat(rng.normal(size=(12, 9)), 5, axis=0) + 0.4 * rng.normal(size=(60, 9))) @ rng.normal(size=(9, 9))
    return Vectors(values + 1.0)


@pytest.fixture
def unseen(rng):
    return Vectors(rng.normal(size=(21, 9)) + 1.0)


# The list of steps


def test_short_forms_and_configurations_are_the_same():
    expected = (
        NapConfig(step="nap", rank=60),
        LengthConfig(step="length"),
        LdaConfig(step="lda", dimension=5, total_covariance_factor=0.1),
        SvmConfig(step="svm", penalty=2.0),
    )
    assert parse_steps(expected) == expected
    assert (
        parse_steps([{"nap": 60}, "length", {"lda": {"dimension": 5, "total_covariance_factor": 0.1}}, {"svm": 2.0}])
        == expected
    )


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "backend is empty: expected steps that end in one of cosine, svm, plda"),
        (["center"], "backend center: expected steps that end in one of"),
        (["cosine", "svm"], "backend cosine, svm: expected steps that end in one of"),
        (["svm", "center"], "backend svm, center: expected"),
        (
            ["center", "whitten", "svm"],
            "step 2 of the backend: Input tag 'whitten' found using 'step' does not match any",
        ),
        (["center", {"nap": 0}, "svm"], "step 2 of the backend, nap, rank: Input should be greater than or equal to 1"),
        (["nap", "svm"], "step 1 of the backend: nap: expected its number beside it"),
        ([{"svm": "hard"}], "step 1 of the backend, svm, penalty: Input should be a valid number"),
        ([3, "svm"], "step 1 of the backend: "),
        ("cosine", r"backend 'cosine'; expected a list of steps, as in \['cosine'\]"),
    ],
)
def test_lists_that_make_no_sense_are_refused(vectors, steps, message):
    with pytest.raises(ModelError, match=message):
        fit_backend(steps, vectors, SPEAKERS)


# Order


def test_each_step_is_fitted_to_what_the_steps_before_have_made_of_the_background(vectors):
    first = fit_backend([{"nap": 2}, "cosine"], vectors, SPEAKERS)
    second = fit_backend([{"lda": 4}, "cosine"], first.transform(vectors), SPEAKERS)
    both = fit_backend([{"nap": 2}, {"lda": 4}, "cosine"], vectors, SPEAKERS)
    assert np.array_equal(both.transform(vectors).values, second.transform(first.transform(vectors)).values)


def test_the_order_of_steps_matters(vectors, unseen):
    one = fit_backend(["center", "length", "cosine"], vectors, SPEAKERS).transform(unseen).values
    other = fit_backend(["length", "center", "cosine"], vectors, SPEAKERS).transform(unseen).values
    centred = unseen.values - vectors.values.mean(axis=0)
    np.testing.assert_allclose(one, 3 * centred / np.linalg.norm(centred, axis=1)[:, None], rtol=1e-12)
    unit = [3 * each / np.linalg.norm(each, axis=1)[:, None] for each in (unseen.values, vectors.values)]
    np.testing.assert_allclose(other, unit[0] - unit[1].mean(axis=0), rtol=1e-9, atol=1e-12)


def test_nothing_is_done_that_is_not_in_the_list(vectors, unseen):
    backend = fit_backend(["cosine"], vectors, SPEAKERS)
    assert backend.steps == ()
    assert np.array_equal(backend.transform(unseen).values, unseen.values)
    for step in ({"nap": 2}, "wccn"):  # neither subtracts a mean
        backend = fit_backend([step, "cosine"], vectors, SPEAKERS)
        assert not backend.transform(Vectors(np.zeros((1, 9)))).values.any()


def test_coral_moves_the_background_only(vectors, unseen, rng):
    adaptation = Vectors(rng.normal(size=(40, 9)) @ rng.normal(size=(9, 9)) - 2.0)
    assert np.array_equal(
        fit_backend(["coral", "cosine"], vectors, SPEAKERS, adaptation=adaptation).transform(unseen).values,
        unseen.values,
    )
    backend = fit_backend(["coral", "whiten", "cosine"], vectors, SPEAKERS, adaptation=adaptation)
    white = backend.transform(adaptation).values
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-11)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(9) * 59 / 60, atol=1e-10)


def test_what_coral_adapts_to_goes_through_the_steps_before(vectors, rng):
    adaptation = Vectors(rng.normal(size=(40, 9)) @ rng.normal(size=(9, 9)) - 2.0)
    before = fit_backend(["length", "cosine"], vectors, SPEAKERS)
    by_hand = fit_backend(
        ["coral", "center", "cosine"], before.transform(vectors), SPEAKERS, adaptation=before.transform(adaptation)
    )
    backend = fit_backend(["length", "coral", "center", "cosine"], vectors, SPEAKERS, adaptation=adaptation)
    assert np.array_equal(backend.steps[-1].mean, by_hand.steps[-1].mean)


def test_plda_is_given_what_the_steps_make_of_all_vectors(vectors, unseen, monkeypatch):
    given = []

    def fit_plda(*arguments):
        given.extend(arguments)
        return SimpleNamespace(config=arguments[0], arrays={}, warnings=("few speakers",))

    monkeypatch.setitem(sys.modules, "speechgmm.subspace.backend.plda", SimpleNamespace(fit_plda=fit_plda))
    backend = fit_backend(["center", {"plda": {"n_iterations": 3}}], vectors, SPEAKERS, adaptation=unseen)
    assert given[0].n_iterations == 3
    assert np.array_equal(given[1].values, backend.transform(vectors).values)
    assert given[2] == tuple(SPEAKERS)
    assert np.array_equal(given[3].values, backend.transform(unseen).values)
    assert backend.warnings == ("few speakers",)


def test_covariances_go_along(vectors, unseen):
    known = Vectors(unseen.values, np.tile(np.eye(9), (21, 1, 1)))
    backend = fit_backend(["center", {"lda": 4}, "length", "cosine"], vectors, SPEAKERS)
    result = backend.transform(known)
    assert result.covariances.shape == (21, 4, 4)
    assert np.array_equal(result.values, backend.transform(unseen).values)


def test_fitting_needs_vectors_and_speakers(vectors):
    with pytest.raises(ModelError, match="12 speakers for 60 background vectors; expected one for each"):
        fit_backend(["cosine"], vectors, SPEAKERS[:12])
    with pytest.raises(ModelError, match=r"background vectors of shape \(0, 9\)"):
        fit_backend(["cosine"], Vectors(np.zeros((0, 9))), [])
    with pytest.raises(ModelError, match="no vectors to adapt to"):
        fit_backend(["coral", "cosine"], vectors, SPEAKERS, adaptation=Vectors(np.zeros((0, 9))))
    with pytest.raises(ModelError, match="no vectors to enrol; expected those of one recording or more"):
        fit_backend(["center", "cosine"], vectors, SPEAKERS).enrol(Vectors(np.zeros((0, 9))))


# Scores


def test_cosines_are_kaldis_products_over_the_lengths():
    golden = dict(np.load(GOLDEN / "subspace" / "input.npz")) | dict(np.load(GOLDEN / "subspace" / "plda_kaldi.npz"))
    recordings = golden["emb_test"].astype(np.float64).reshape(12, 3, 6)
    backend = Backend((), fit_backend(["cosine"], Vectors(golden["emb"]), ["one"] * 105).scorer)
    models = EnrolledVectors.stack([backend.enrol(Vectors(each[:2])) for each in recordings])
    enrolled, tested = recordings[:, :2].mean(axis=1), recordings[:, 2]
    lengths = np.outer(np.linalg.norm(enrolled, axis=1), np.linalg.norm(tested, axis=1))
    np.testing.assert_allclose(backend.score(models, Vectors(tested)), golden["scores_dot"] / lengths, atol=2e-7)


@pytest.mark.parametrize("last", ["cosine", "svm"])
def test_scores_are_of_transformed_vectors_and_the_same_bits_alone(vectors, unseen, last):
    backend = fit_backend(["center", {"nap": 2}, "length", last], vectors, SPEAKERS)
    models = EnrolledVectors.stack([backend.enrol(Vectors(vectors.values[start : start + 5])) for start in (0, 5, 10)])
    scores = backend.score(models, unseen)
    assert scores.shape == (3, 21)
    assert np.array_equal(np.hstack([backend.score(models, Vectors(row[None])) for row in unseen.values]), scores)
    values = backend.transform(unseen).values
    if last == "cosine":
        own = backend.transform(Vectors(vectors.values[5:10])).values.mean(axis=0)
        np.testing.assert_allclose(scores[1], [naive.cosine(own, test) for test in values], atol=1e-13)
    else:
        np.testing.assert_allclose(scores[1], values @ models.values[1] + models.offsets[1], atol=1e-12)


def test_cosines_do_not_depend_on_lengths_and_those_of_0_are_0(vectors, unseen):
    backend = fit_backend(["cosine"], vectors, SPEAKERS)
    model, tripled = (backend.enrol(Vectors(factor * vectors.values[:5])) for factor in (1.0, 3.0))
    expected = backend.score(model, unseen)
    np.testing.assert_allclose(backend.score(tripled, Vectors(0.01 * unseen.values)), expected, atol=1e-14)
    assert np.abs(expected).max() <= 1
    nothing = backend.enrol(Vectors(np.zeros((2, 9))))
    assert not backend.score(nothing, unseen).any()
    assert not backend.score(model, Vectors(np.zeros((3, 9)))).any()


def test_a_model_of_another_dimension_is_refused(vectors, unseen):
    backend = fit_backend([{"lda": 4}, "cosine"], vectors, SPEAKERS)
    raw = fit_backend(["cosine"], vectors, SPEAKERS).enrol(vectors)
    with pytest.raises(ModelError, match="tests of 4 dimensions for models of 9; expected the same"):
        backend.score(raw, unseen)


def test_the_speaker_is_left_out_of_what_a_machine_separates_the_model_from(vectors):
    backend = fit_backend(["center", "svm"], vectors, SPEAKERS)
    own = Vectors(vectors.values[:5])
    assert backend.score(backend.enrol(own, "s0"), own).min() > 0.9
    assert backend.enrol(own).values[0].tolist() != backend.enrol(own, "s0").values[0].tolist()


# Files


@pytest.mark.parametrize("last", ["cosine", {"svm": 3.0}])
def test_a_back_end_comes_back_bit_for_bit(vectors, unseen, rng, tmp_path, last):
    backend = fit_backend([*LONGEST, last], vectors, SPEAKERS, adaptation=Vectors(rng.normal(size=(30, 9))))
    backend = Backend(backend.steps, backend.scorer, ("12 speakers are few",))
    save_backend(tmp_path / "a", backend, front_end={"b": 1, "a": 2})
    again = load_backend(tmp_path / "a")
    assert again.configs == backend.configs
    assert again.warnings == backend.warnings
    assert np.array_equal(again.transform(unseen).values, backend.transform(unseen).values)
    own = Vectors(vectors.values[:5])
    models = [each.enrol(own, "s0") for each in (backend, again)]
    assert np.array_equal(again.score(models[1], unseen), backend.score(models[0], unseen))
    save_backend(tmp_path / "b", again, front_end={"a": 2, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_header(tmp_path / "a").kind == "backend"
    with pytest.raises(ModelError, match="trained on features of another front end: b 1 there, 3 here"):
        check_front_end(tmp_path / "a", {"b": 3, "a": 2})


def test_enrolled_models_come_back_bit_for_bit(rng, tmp_path):
    halves = rng.normal(size=(3, 4, 4))
    models = EnrolledVectors(
        rng.normal(size=(3, 4)), np.array([1, 12, 3]), rng.normal(size=3), halves @ halves.transpose(0, 2, 1)
    )
    for number, each in enumerate((models, EnrolledVectors(models.values, models.counts, models.offsets))):
        path = tmp_path / f"{number}"
        save_enrolled(path, ["zoë", "Ann Lee", "b"], each, front_end={"a": 2})
        names, again = load_enrolled(path)
        assert names == ("zoë", "Ann Lee", "b")
        for name in ("values", "counts", "offsets"):
            assert np.array_equal(getattr(again, name), getattr(each, name))
        assert again.counts.dtype == np.intp
        assert np.array_equal(again.covariances, models.covariances) if number == 0 else again.covariances is None
        assert read_header(path).front_end == {"a": 2}
        content = path.read_bytes()
        save_enrolled(path, names, again, front_end={"a": 2})
        assert path.read_bytes() == content


def test_models_are_written_with_one_name_each(rng, tmp_path):
    models = EnrolledVectors(rng.normal(size=(2, 4)), np.ones(2, int), np.zeros(2))
    for names in ([], ["ann"], ["ann", "ann"], ["ann", "bo", "cy"]):
        with pytest.raises(ModelError, match=f"{len(set(names))} names for 2 models; expected one for each"):
            save_enrolled(tmp_path / "models", names, models)


def rewrite(path, header_changes, array_changes):
    """Change the header and arrays of a file; None removes what is there."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["speechgmm"]) | header_changes
    arrays = {name: array for name, array in (load_file(path) | array_changes).items() if array is not None}
    header = {key: value for key, value in header.items() if value is not None or key not in header_changes}
    save_file(arrays, path, {"speechgmm": json.dumps(header)})


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"steps": None}, {}, "damaged header"),
        ({"steps": [{"step": "nap"}]}, {}, "damaged back end .step 1 of the backend, nap, rank: Field required"),
        ({"steps": ["center", "svm"]}, {}, "damaged back end .center: arrays matrix, mean; expected mean"),
        ({"negatives": ["a"]}, {}, "damaged back end .svm: background vectors of shape .60, 9. for 1 speakers"),
        ({"negatives": 7}, {}, "damaged header .names or warnings; expected lists"),
        ({"kind": "gmm"}, {}, "holds 'gmm'; expected 'backend'"),
        ({}, {"0.mean": None}, "damaged back end .whiten: arrays matrix; expected mean, matrix"),
        ({}, {"1.negatives": None}, "damaged back end"),
        ({}, {"9.mean": np.zeros(3)}, "damaged back end"),
        ({}, {"mean": np.zeros(3)}, "damaged back end"),
        ({}, {"0.mean": np.zeros((3, 3))}, "damaged back end .mean of shape .3, 3.; expected 1 axes"),
        ({}, {"0.mean": np.zeros(9, np.int8)}, "0.mean of type int8; expected finite numbers"),
        ({}, {"0.mean": np.full(9, np.nan)}, "0.mean of type float64; expected finite numbers"),
    ],
)
def test_a_damaged_back_end_is_refused(vectors, tmp_path, header, arrays, message):
    save_backend(tmp_path / "file", fit_backend(["whiten", "svm"], vectors, SPEAKERS))
    rewrite(tmp_path / "file", header, arrays)
    with pytest.raises(ModelError, match=f"file: {message}"):
        load_backend(tmp_path / "file")


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"names": ["ann"]}, {}, "holds arrays counts .2,., .* expected those of 1 models"),
        ({}, {"counts": None}, "holds arrays offsets .2,., values .2, 4.; expected those of 2"),
        ({}, {"values": None}, "holds arrays counts"),
        ({}, {"covariances": np.zeros((2, 4, 3))}, "holds arrays counts .2,., covariances .2, 4, 3."),
        ({}, {"counts": np.ones(2, np.int64)}, "counts of type int64; expected finite"),
        ({}, {"counts": np.array([1.0, 1.5])}, "counts 1, 1.5; expected whole numbers above 0"),
    ],
)
def test_damaged_models_are_refused(rng, tmp_path, header, arrays, message):
    models = EnrolledVectors(rng.normal(size=(2, 4)), np.ones(2, int), np.zeros(2))
    save_enrolled(tmp_path / "file", ["ann", "bo"], models)
    rewrite(tmp_path / "file", header, arrays)
    with pytest.raises(ModelError, match=f"file: {message}"):
        load_enrolled(tmp_path / "file")


def test_files_that_are_not_there_or_of_another_kind_are_refused(rng, tmp_path):
    for load in (load_backend, load_enrolled):
        with pytest.raises(ModelError, match="missing: no such model file"):
            load(tmp_path / "missing")
    save_enrolled(tmp_path / "models", ["ann"], EnrolledVectors(rng.normal(size=(1, 4)), np.ones(1, int), np.zeros(1)))
    with pytest.raises(ModelError, match="models: holds 'vectors'; expected 'backend'"):
        load_backend(tmp_path / "models")


def test_a_cosine_scorer_has_no_arrays(vectors, tmp_path):
    save_backend(tmp_path / "file", fit_backend(["center", CosineConfig(step="cosine")], vectors, SPEAKERS))
    rewrite(tmp_path / "file", {}, {"1.mean": np.zeros(9)})
    with pytest.raises(ModelError, match=r"damaged back end \(cosine: arrays mean; expected none"):
        load_backend(tmp_path / "file")


def test_arrays_stand_for_vectors_without_covariances(vectors, unseen):
    steps = ["center", "length", "plda"]
    backend, of_arrays = fit_backend(steps, vectors, SPEAKERS), fit_backend(steps, vectors.values, SPEAKERS)
    model = of_arrays.enrol(vectors.values[:3])
    assert np.array_equal(
        of_arrays.score(model, unseen.values), backend.score(backend.enrol(Vectors(vectors.values[:3])), unseen)
    )
