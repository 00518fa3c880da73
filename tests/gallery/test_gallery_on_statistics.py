"""Galleries of systems on statistics: session factors and vectors. Expected scores are those of their runs."""

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from speechgmm import DiagonalGMM, accumulate, load_gmm, run, save_gmm
from speechgmm.cli import app
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.errors import GalleryError, ModelError
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.enrolment import create_gallery, enrol, extend, forget, forget_recording
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.recognition import identify_recordings, identify_speaker, score_tests, verify_speaker
from speechgmm.gallery.timeline import make_timeline
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import read_header
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.results.gallery import gallery_of_results
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.subspace.backend.chain import fit_backend
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.storage import save_backend
from speechgmm.subspace.session.config import ISVConfig
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig, Vectors

RECIPE = f"""
{synthetic_corpus(n_background=10, n_background_utterances=3)}
ubm: {{n_components: 4, n_iterations: 3}}
evaluation: {{bootstrap: 20, dcf: [voxceleb]}}
"""
ISV = "speakers: {method: isv, rank: 2, n_iterations: 3}\n"
IVECTORS = "vectors: {kind: ivector, rank: 4, n_iterations: 3}\n"
SYSTEMS = {
    "isv-linear": ISV + "scoring: {method: linear}\n",
    "isv": ISV,
    "jfa": "speakers: {method: jfa, rank: 2, speaker_rank: 2, n_iterations: 2}\n",
    "plda": IVECTORS + "backend: [center, length, plda]\n",
    "svm": "vectors: {kind: supervector}\nbackend: [center, {nap: 2}, {length: unit}, svm]\n",
}
MORE = {
    "pooled": IVECTORS.replace("rank: 4", "rank: 4, pooled: true") + "backend: [center, length, plda]\n",
    "uncertain": IVECTORS.replace("rank: 4", "rank: 4, acoustic_weight: 0.3, max_count: 50.0")
    + "backend: [center, {plda: {uncertainty: true}}]\n",
    "cosine": IVECTORS + "backend: [{lda: 3}, cosine]\n",
}
S_NORM = "normalisation: {method: s}\n"
UNCALIBRATED = "calibration: {method: none}\n"
CLOSED = IdentificationConfig(p_unknown=0.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run a small experiment with other sections, and return its results; all share a cache."""
    folder = tmp_path_factory.mktemp("statistics")

    def results(name, more=""):
        sections = SYSTEMS.get(name) or MORE[name]
        label = f"{name}{'-s' * (S_NORM in more)}{'-raw' * (UNCALIBRATED in more)}"
        if not (folder / label).exists():
            (folder / "r.yaml").write_text(f"name: {label}\n{RECIPE}{sections}{more}")
            run(folder / "r.yaml", results=folder, engine=Engine("serial"), until_stage="evaluation")
        return folder / label

    return results


@pytest.fixture(scope="module")
def corpus(results):
    """The recordings of the experiments."""
    (recorded,) = (results("isv").parent / ".cache" / "corpus").iterdir()
    return read_kaldi(KaldiConfig(root=str(recorded)))


@pytest.fixture
def filled(results, corpus, tmp_path):
    """Make a gallery of a run's results, with the run's models enrolled."""

    def filled(name, more="", folder="gallery"):
        gallery = gallery_of_results(results(name, more), tmp_path / folder)
        for model in corpus.models:
            enrol(gallery, model, [gallery.record(each.path) for each in corpus.enrol if each.enrols == model])
        return gallery

    return filled


def scores_of(folder, corpus, column):
    """A column of scores.csv as a matrix of models and tests."""
    matrix = np.full((len(corpus.models), len(corpus.test)), np.nan)
    tests = [each.id for each in corpus.test]
    with (folder / "scores.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            matrix[corpus.models.index(row["model"]), tests.index(row["test"])] = float(row[column])
    assert np.isfinite(matrix).all()
    return matrix


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*s*") if path.is_file()}


@pytest.mark.parametrize("more", ["", S_NORM], ids=["plain", "s-norm"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_scores_are_those_of_the_run(results, corpus, filled, name, more):
    gallery = filled(name, more)
    raw, calibrated = (scores_of(results(name, more), corpus, column) for column in ("score", "llr"))
    reads = [gallery.read(each.path) for each in corpus.test]
    found = score_tests(gallery, [each.frames for each in reads])
    assert found.names == tuple(sorted(corpus.models))
    rows = [corpus.models.index(model) for model in found.names]
    np.testing.assert_allclose(found.raw, raw[rows], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.matrix, calibrated[rows], rtol=1e-6, atol=1e-6)
    assert (gallery.config.score_quantity, gallery.config.score_unit) == ("log-likelihood ratio", "nats, calibrated")
    expected = dict(zip(corpus.models, calibrated[:, 3], strict=True))
    identified = identify_speaker(gallery, reads[3].frames)
    assert {one.name: one.llr for one in identified.candidates} == pytest.approx(expected, rel=1e-6, abs=1e-6)
    for model, score in expected.items():
        assert verify_speaker(gallery, model, reads[3].frames).score == pytest.approx(score, rel=1e-6, abs=1e-6)
    timeline = make_timeline(gallery, reads[3], 60.0)
    np.testing.assert_allclose(timeline.scores[0], calibrated[rows, 3], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MORE)
def test_what_vectors_are_made_of_and_compared_by_is_that_of_the_run(results, corpus, filled, name):
    gallery = filled(name)
    frames = [gallery.read(each.path).frames for each in corpus.test]
    rows = [corpus.models.index(model) for model in gallery.names]
    expected = scores_of(results(name), corpus, "score")[rows]
    np.testing.assert_allclose(score_tests(gallery, frames).raw, expected, rtol=1e-6, atol=1e-6)
    counts = {int(model.counts[0]) for model in map(gallery.model, gallery.names)}
    assert counts == ({1} if name == "pooled" else {2})


@pytest.mark.parametrize("method", ["z", "t", "zt", "tz", "as"])
def test_every_normalisation_is_that_of_the_run(results, corpus, tmp_path, method):
    more = f"normalisation: {{method: {method}}}\n{UNCALIBRATED}"
    own = tmp_path / "r.yaml"
    own.write_text(f"name: {method}\n{RECIPE}{SYSTEMS['svm']}{more}")
    folder = results("svm").parent
    done = run(own, results=folder, engine=Engine("serial"), until_stage="evaluation").folder
    gallery = gallery_of_results(done, tmp_path / "gallery")
    for model in corpus.models:
        enrol(gallery, model, [gallery.record(each.path) for each in corpus.enrol if each.enrols == model])
    found = score_tests(gallery, [gallery.read(each.path).frames for each in corpus.test])
    rows = [corpus.models.index(model) for model in found.names]
    np.testing.assert_allclose(found.matrix, scores_of(done, corpus, "score")[rows], rtol=1e-6, atol=1e-6)
    assert gallery.config.score_unit == "deviations of the cohort's scores, not calibrated"


@pytest.mark.parametrize("name", SYSTEMS)
def test_speakers_and_recordings_come_and_go_and_change_their_own_model_only(corpus, filled, tmp_path, name):
    gallery = filled(name, S_NORM)
    before, models = content(gallery.folder), gallery.models()[0]
    first, *others = gallery.names
    new = gallery.record(corpus.test[0].path)
    extend(gallery, first, [new])
    extended = gallery.models()[0]
    assert all(extended[other] is models[other] for other in others)
    assert extended[first] is not models[first]
    together = Gallery(shutil.copytree(gallery.folder, tmp_path / "copy"))
    forget(together, first)
    enrol(together, first, [*gallery.speaker(first).recordings])
    test = gallery.read(corpus.test[1].path).frames
    scores = score_tests(gallery, [test])
    np.testing.assert_array_equal(score_tests(together, [test]).matrix, scores.matrix)
    forget_recording(gallery, first, new.file)
    assert content(gallery.folder) == before
    assert score_tests(gallery, [test]).matrix[0] != scores.matrix[0]
    np.testing.assert_allclose(score_tests(gallery, [test]).matrix[1:], scores.matrix[1:], rtol=1e-9)
    forget(gallery, first)
    assert list(gallery.models()[0]) == others
    assert all(model is models[other] for other, model in gallery.models()[0].items())
    np.testing.assert_allclose(score_tests(gallery, [test]).matrix, scores.matrix[1:], rtol=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_names_with_the_same_recordings_are_no_answer(corpus, filled, name):
    gallery = filled(name, S_NORM)
    test = gallery.read(corpus.test[0].path).frames
    best = identify_speaker(gallery, test, CLOSED).answer
    assert best is not None
    enrol(gallery, "twin", gallery.speaker(best).recordings)
    identified = identify_speaker(gallery, test, CLOSED)
    assert (identified.answer, identified.tied) == (None, tuple(sorted([best, "twin"])))


@pytest.mark.parametrize("name", SYSTEMS)
def test_windows_of_a_recording_are_scored_by_their_own_frames(corpus, filled, name):
    gallery = filled(name)
    read = gallery.read(corpus.test[2].path)
    timeline = make_timeline(gallery, read, 0.5)
    middles = gallery.front_end.first_centre_seconds + np.flatnonzero(read.speech) * gallery.front_end.shift_seconds
    windows = np.minimum(middles // 0.5, len(timeline.starts) - 1)
    for window, scores in enumerate(timeline.scores):
        if not np.isnan(scores).any():
            alone = score_tests(gallery, [read.frames[windows == window]]).matrix[:, 0]
            np.testing.assert_allclose(scores, alone, rtol=1e-6, atol=1e-9)
    assert np.isfinite(timeline.scores).any()


def test_models_are_what_their_system_makes_of_the_recordings(results, corpus, filled):
    for name in ("isv", "jfa"):
        gallery = filled(name, folder=name)
        shifted = gallery.model(corpus.models[0])
        assert isinstance(shifted, DiagonalGMM)
        np.testing.assert_array_equal(shifted.variances, gallery.ubm.variances)
        assert np.abs(shifted.means - gallery.ubm.means).max() > 0.01
    gallery = filled("plda")
    vectors = gallery.model(corpus.models[0])
    assert isinstance(vectors, EnrolledVectors)
    assert (vectors.values.shape, vectors.counts.tolist()) == ((1, 4), [2])
    assert gallery.model(corpus.models[0]) is vectors
    header = read_header(results("plda") / "speakers.safetensors")
    assert tuple(sorted(header.names)) == gallery.names


@pytest.mark.parametrize(
    ("name", "more", "quantity", "unit"),
    [
        ("isv", UNCALIBRATED, "log-likelihood ratio", "nats per frame, not calibrated"),
        ("plda", UNCALIBRATED, "log-likelihood ratio", "nats, not calibrated"),
        ("svm", UNCALIBRATED, "score", "margins of support-vector machines, not calibrated"),
        ("cosine", UNCALIBRATED, "score", "cosines, not calibrated"),
        ("plda", UNCALIBRATED + S_NORM, "score", "deviations of the cohort's scores, not calibrated"),
        ("svm", "", "log-likelihood ratio", "nats, calibrated"),
    ],
)
def test_scores_are_called_what_they_are(results, tmp_path, name, more, quantity, unit):
    done = CliRunner().invoke(app, ["gallery", "create", str(results(name, more)), "--out", str(tmp_path / "g")])
    assert done.exit_code == 0
    assert f"scores in {unit}" in " ".join(done.stdout.split())
    config = Gallery(tmp_path / "g").config
    assert (config.score_quantity, config.score_unit) == (quantity, unit)


def test_without_a_calibration_a_threshold_decides(corpus, filled):
    gallery = filled("cosine", UNCALIBRATED)
    (answer,) = identify_recordings(gallery, [corpus.test[0].path]).answers
    assert (answer.decided, answer.p_unknown) == (False, None)
    with pytest.raises(GalleryError, match="not calibrated; expected a threshold, or a closed set"):
        identify_speaker(gallery, gallery.read(corpus.test[0].path).frames)
    frames = gallery.read(corpus.test[0].path).frames
    best = identify_speaker(gallery, frames, CLOSED).candidates[0]
    assert -1 <= best.llr <= 1
    assert identify_speaker(gallery, frames, IdentificationConfig(threshold=best.llr)).answer == best.name
    assert identify_speaker(gallery, frames, IdentificationConfig(threshold=1.5)).answer is None


def test_a_gallerys_settings_say_how_models_are_made(results, tmp_path):
    expected = {
        "isv": ({"speakers", "scoring"}, {"subspace.safetensors"}),
        "plda": ({"vectors", "scorer"}, {"subspace.safetensors", "backend.safetensors"}),
        "svm": ({"vectors", "scorer"}, {"backend.safetensors"}),
    }
    common = {"format_version", "front_end", "fingerprint", "normalisation", "decisions", "synthetic", "digests"}
    for name, (keys, files) in expected.items():
        gallery = gallery_of_results(results(name), tmp_path / name)
        data = json.loads((gallery.folder / "gallery.json").read_text())
        assert {*data} == common | keys
        assert {*data["digests"]} == files | {"ubm.safetensors", "calibration.json"}
        assert all((gallery.folder / file).read_bytes() == (results(name) / file).read_bytes() for file in files)
    plain = create_gallery(tmp_path / "plain", results("isv") / "ubm.safetensors")
    keys = list(json.loads((plain.folder / "gallery.json").read_text()))
    assert keys == [  # as an earlier version wrote them, and reads them
        *("format_version", "front_end", "fingerprint", "adaptation", "scoring", "normalisation"),
        *("decisions", "digests"),
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [("isv", "subspace.safetensors"), ("plda", "subspace.safetensors"), ("svm", "backend.safetensors")],
)
def test_a_damaged_part_of_the_system_stops_scores_and_nothing_else(corpus, filled, name, file):
    gallery = filled(name)
    test = gallery.read(corpus.test[0].path).frames
    path = gallery.folder / file
    data = path.read_bytes()
    path.write_bytes(data[:-8] + b"\1" * 8)
    for use in (lambda: score_tests(gallery, [test]), lambda: verify_speaker(gallery, gallery.names[0], test)):
        with pytest.raises(GalleryError, match=f"^[^;]*{file}: damaged, or another file than this gallery was made"):
            use()
    assert not gallery.roster().damaged
    extend(gallery, gallery.names[0], [gallery.record(corpus.test[0].path)])
    forget(gallery, gallery.names[0])
    path.unlink()
    with pytest.raises(GalleryError, match=rf"{file}: not readable \(No such file"):
        score_tests(Gallery(gallery.folder), [test])
    path.write_bytes(data)
    assert len(score_tests(Gallery(gallery.folder), [test]).names) == 3


def test_a_damaged_speaker_is_named_and_the_others_work(corpus, filled):
    gallery = filled("plda")
    path = gallery.folder / "speakers" / f"{gallery.names[0]}.safetensors"
    path.write_bytes(b"")
    found = score_tests(gallery, [gallery.read(corpus.test[0].path).frames])
    assert (found.names, list(found.damaged)) == (gallery.names[1:], [str(path)])


@pytest.mark.parametrize("name", SYSTEMS)
def test_tests_that_cannot_be_scored_are_refused(filled, name):
    gallery = filled(name)
    n_features = gallery.ubm.n_features
    for frames in (np.zeros((0, n_features)), np.full((3, n_features), np.nan), np.zeros((3, n_features + 1))):
        with pytest.raises(ValueError, match=r"no frames|finite|shape"):
            score_tests(gallery, [frames])
    assert score_tests(gallery, []).matrix.shape == (len(gallery.names), 0)


def parts(results, name):
    return {
        argument: results(name) / file
        for argument, file in (("factors", "subspace.safetensors"), ("backend", "backend.safetensors"))
        if (results(name) / file).exists()
    }


def test_what_is_not_one_system_is_refused(results, tmp_path):
    ubm = results("isv") / "ubm.safetensors"
    isv, ivectors = ISVConfig(method="isv", rank=2), IVectorConfig(rank=4)
    supervectors = SupervectorConfig(kind="supervector")
    of_isv, of_plda, of_svm = (parts(results, name) for name in ("isv", "plda", "svm"))
    wrong = {
        "speakers of method isv without factors; expected the file subspace.safetensors": {"speakers": isv},
        "factors beside adaptation, which need none": of_isv,
        "backend beside adaptation, which need none": of_svm,
        "backend beside speakers of method isv": {"speakers": isv, **of_isv, **of_svm},
        "vectors of kind ivector without factors": {"vectors": ivectors, **of_svm},
        "vectors of kind supervector without backend": {"vectors": supervectors},
        "factors beside vectors of kind supervector": {"vectors": supervectors, **of_plda},
        "models by speakers and vectors": {"speakers": isv, "vectors": ivectors, **of_plda},
        "models by adaptation and speakers": {"adaptation": AdaptationConfig(), "speakers": isv, **of_isv},
        "scoring beside vectors": {"scoring": ScoringConfig(), "vectors": ivectors, **of_plda},
        "factors of rank 4; expected 3, as the settings say": {"vectors": IVectorConfig(rank=3), **of_plda},
        "factors of rank 2; expected 3": {"speakers": ISVConfig(method="isv", rank=3), **of_isv},
        "factors of speaker_rank 2; expected 0": {"speakers": isv, **parts(results, "jfa")},
    }
    for message, arguments in wrong.items():
        with pytest.raises(GalleryError, match=message):
            create_gallery(tmp_path / "g", ubm, **arguments)
    of_another_kind = {
        "holds 'total_variability'; expected 'joint_factors'": {"speakers": isv, "factors": of_plda["factors"]},
        "holds 'joint_factors'; expected 'total_variability'": {"vectors": ivectors, **of_plda, **of_isv},
        "holds 'gmm'; expected 'backend'": {"vectors": supervectors, "backend": ubm},
        "no such model file": {"speakers": isv, "factors": tmp_path / "none"},
        "4 dimensions": {"vectors": ivectors, **of_plda, **of_svm},
    }
    for message, arguments in of_another_kind.items():
        with pytest.raises(ModelError, match=message):
            create_gallery(tmp_path / "g", ubm, **arguments)
    assert not (tmp_path / "g").exists()


def test_factors_of_another_background_model_are_refused(results, tmp_path):
    own = results("isv") / "ubm.safetensors"
    gmm, front_end = load_gmm(own), read_header(own).front_end
    smaller = DiagonalGMM(np.full(2, 0.5), gmm.means[:2], gmm.variances[:2])
    moved = DiagonalGMM(gmm.weights, gmm.means + 0.1, gmm.variances)
    for name, other in (("smaller", smaller), ("moved", moved)):
        save_gmm(tmp_path / name, other, front_end=front_end)
    isv, ivectors = ISVConfig(method="isv", rank=2), IVectorConfig(rank=4)
    shape = "factors of 4 components over 72 features; expected 2 components over 72 features"
    with pytest.raises(GalleryError, match=shape):
        create_gallery(tmp_path / "g", tmp_path / "smaller", speakers=isv, **parts(results, "isv"))
    with pytest.raises(GalleryError, match=shape):
        create_gallery(tmp_path / "g", tmp_path / "smaller", vectors=ivectors, **parts(results, "plda"))
    with pytest.raises(GalleryError, match="factors of another background model; expected those trained with this one"):
        create_gallery(tmp_path / "g", tmp_path / "moved", speakers=isv, **parts(results, "isv"))


def test_a_back_end_that_needs_what_supervectors_lack_is_refused(results, tmp_path):
    rng = np.random.default_rng(0)
    front_end = read_header(results("svm") / "ubm.safetensors").front_end
    save_gmm(tmp_path / "ubm", DiagonalGMM([1.0], [[0.0, 0.0]], [[1.0, 1.0]]), front_end=front_end)
    background = Vectors(rng.normal(size=(30, 2)), np.tile(np.eye(2) * 0.1, (30, 1, 1)))
    backend = fit_backend([{"plda": {"uncertainty": True}}], background, [f"{number // 3}" for number in range(30)])
    save_backend(tmp_path / "b", backend)
    supervectors = SupervectorConfig(kind="supervector")
    with pytest.raises(ModelError, match="the vectors have no covariances; expected those of i-vectors' posteriors"):
        create_gallery(tmp_path / "g", tmp_path / "ubm", vectors=supervectors, backend=tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scorer": "svm"}, "a back end that ends in plda; expected svm, as the settings say"),
        ({"scorer": None}, r"gallery\.json: scorer None; expected the last step of the back end"),
        ({"vectors": None}, r"gallery\.json: models by nothing; expected one of adaptation, speakers and vectors"),
        ({"scoring": {}}, r"gallery\.json: scoring beside vectors"),
        ({"vectors": {"kind": "xvector"}}, r"gallery\.json: vectors: .*xvector"),
        ({"vectors": {"kind": "ivector", "rank": 7}}, "factors of rank 4; expected 7"),
        ({"vectors": {"kind": "supervector"}}, r"gallery\.json: factors beside vectors of kind supervector"),
        ({"vectors": None, "speakers": {"method": "isv"}}, r"gallery\.json: speakers without scoring"),
    ],
)
def test_settings_that_are_changed_into_nonsense_are_named(corpus, filled, change, message):
    gallery = filled("plda")
    own = gallery.folder / "gallery.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | change))
    with pytest.raises(GalleryError, match=message):
        score_tests(Gallery(gallery.folder), [gallery.read(corpus.test[0].path).frames])


def test_runs_whose_parts_are_missing_make_no_gallery(results, tmp_path):
    copy = shutil.copytree(results("plda"), tmp_path / "plda")
    for file in ("backend.safetensors", "subspace.safetensors"):
        (copy / file).unlink()
        with pytest.raises(ModelError, match=rf"{file}: no such model file"):
            gallery_of_results(copy, tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_machines_of_the_cohort_leave_their_own_speaker_out(results, corpus, filled):
    gallery = filled("svm", S_NORM)
    cohort = load_cohort(results("svm", S_NORM) / "cohort.safetensors")
    recordings = [
        accumulate(gallery.ubm, frames)
        for name, frames in zip(cohort.speakers, cohort.frames, strict=True)
        if name == cohort.speakers[0]
    ]
    own, another = (
        gallery.recognisers[0].systems[0].kind.model(recordings, name) for name in (cohort.speakers[0], None)
    )
    assert not np.array_equal(own.values, another.values)
