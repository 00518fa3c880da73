"""Galleries of several systems and recognisers. Expected scores are those of their runs, or of one system alone."""

import csv
import json
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import soundfile

from helpers.paths import ROOT
from helpers.recipes import synthetic_corpus
from speechgmm import Gallery, enrol, identify_speaker, load_gmm, map_adapt, run
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.errors import GalleryError, ModelError
from speechgmm.gallery.building import build_gallery
from speechgmm.gallery.config import RecogniserFacts
from speechgmm.gallery.pretrained import (
    about_pretrained,
    load_pretrained,
    pretrained_names,
    pretrained_source,
    write_pretrained,
)
from speechgmm.gallery.recognition import score_tests, verify_speaker
from speechgmm.gallery.timeline import make_timeline
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.gallery import gallery_of_results, recogniser_of_results
from speechgmm.scoring.identification import IdentificationConfig

RECIPE = f"""
name: fused
{synthetic_corpus(n_background=10, n_background_utterances=3)}
systems:
  - {{name: llr, ubm: {{n_components: 4, n_iterations: 3}}}}
  - name: plda
    ubm: {{n_components: 4, n_iterations: 3}}
    vectors: {{kind: ivector, rank: 4, n_iterations: 3}}
    backend: [center, length, plda]
  - {{name: linear, features: {{kind: lfcc}}, ubm: {{n_components: 2, n_iterations: 3}}}}
calibration: {{systems: trained, prior: wide, duration: true}}
evaluation: {{bootstrap: 20, dcf: [voxceleb]}}
"""
CLOSED = IdentificationConfig(p_unknown=0.0)
ABOUT = {"name": "tiny", "version": 1, "recipe": "tiny.yaml", "sources": [{"name": "a", "licence": "b", "url": "c"}]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run an experiment of three systems with two front ends, two of which share a background model."""
    folder = tmp_path_factory.mktemp("fused")
    (folder / "r.yaml").write_text(RECIPE)
    run(folder / "r.yaml", results=folder, engine=Engine("serial"), until_stage="evaluation")
    return folder / "fused"


@pytest.fixture(scope="module")
def corpus(results):
    """The recordings of the experiment."""
    (recorded,) = (results.parent / ".cache" / "corpus").iterdir()
    return read_kaldi(KaldiConfig(root=str(recorded)))


@pytest.fixture(scope="module")
def source(results):
    """The systems of the experiment."""
    return recogniser_of_results(results, load_recipe(results / "recipe.yaml"))


def fill(gallery, corpus):
    for model in corpus.models:
        enrol(gallery, model, [gallery.record(each.path) for each in corpus.enrol if each.enrols == model])
    return gallery


@pytest.fixture(scope="module")
def filled(results, corpus, tmp_path_factory):
    """A gallery of the results, with the run's models enrolled."""
    return fill(gallery_of_results(results, tmp_path_factory.mktemp("galleries") / "fused"), corpus)


def llrs_of_the_run(results, corpus):
    matrix = np.full((len(corpus.models), len(corpus.test)), np.nan)
    tests = [each.id for each in corpus.test]
    with (results / "scores.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            matrix[corpus.models.index(row["model"]), tests.index(row["test"])] = float(row["llr"])
    return matrix


def test_fused_ratios_are_those_of_the_run(results, corpus, filled):
    gallery = Gallery(filled.folder)
    found = score_tests(gallery, [gallery.read(each.path) for each in corpus.test])
    order = [found.names.index(model) for model in corpus.models]
    np.testing.assert_allclose(found.matrix[order], llrs_of_the_run(results, corpus), rtol=1e-4, atol=1e-4)
    assert gallery.config.score_unit == "nats, calibrated"


def test_scaled_ratios_are_those_of_the_run(results, corpus, tmp_path):
    keys = ["calibration={systems: scaled}", "name=scaled"]
    run(results.parent / "r.yaml", overrides=keys, results=results.parent, engine=Engine("serial"))
    scaled = results.parent / "scaled"
    assert len(json.loads((scaled / "calibration.json").read_text())["scales"]) == 3
    gallery = fill(gallery_of_results(scaled, tmp_path / "scaled"), corpus)
    found = score_tests(gallery, [gallery.read(each.path) for each in corpus.test])
    order = [found.names.index(model) for model in corpus.models]
    np.testing.assert_allclose(found.matrix[order], llrs_of_the_run(scaled, corpus), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scales", [[1.0, 2.0], [1.0, 0.0, 2.0], "one"])
def test_scales_of_other_systems_are_refused(source, tmp_path, scales):
    document = json.loads(source.calibration.read_text()) | {"scales": scales}
    (tmp_path / "calibration.json").write_text(json.dumps(document))
    with pytest.raises(GalleryError, match="expected a number above 0 for each of 3 systems"):
        build_gallery(tmp_path / "gallery", {"": replace(source, calibration=tmp_path / "calibration.json")})


def test_systems_of_one_background_model_share_its_statistics(filled):
    assert len(filled.front_ends) == 2
    assert len(filled.recognisers[0].backgrounds) == 2
    recording = filled.speaker(filled.names[0]).recordings[0]
    assert [each.zeroth.shape for each in recording.statistics] == [(4,), (2,)]


def test_every_call_takes_what_read_returns_and_frames_of_one_front_end_are_refused(corpus, filled):
    test = filled.read(corpus.test[0].path)
    scores = score_tests(filled, [test]).matrix[:, 0]
    best = filled.names[int(np.argmax(scores))]
    assert identify_speaker(filled, test, CLOSED).answer == best
    assert verify_speaker(filled, best, test).score == pytest.approx(scores.max(), abs=1e-6)
    timeline = make_timeline(filled, test, 60.0, CLOSED)
    assert timeline.answers == (best,)
    np.testing.assert_array_equal(timeline.scores[0], scores)
    with pytest.raises(
        GalleryError, match=r"frames of one front end, and this gallery has 2; expected what its `read`"
    ):
        identify_speaker(filled, test.frames, CLOSED)


def test_a_damaged_file_of_any_system_is_named(filled, corpus, tmp_path, source):
    gallery = fill(build_gallery(tmp_path / "gallery", {"": source}), corpus)
    damaged = gallery.folder / "plda" / "backend.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    with pytest.raises(GalleryError, match=r"plda.backend\.safetensors: damaged"):
        score_tests(Gallery(gallery.folder), [filled.read(corpus.test[0].path)])


def test_systems_without_the_calibration_that_fuses_them_are_refused(tmp_path, source):
    with pytest.raises(GalleryError, match="3 systems without a calibration; expected the calibration that fuses them"):
        build_gallery(tmp_path / "gallery", {"": replace(source, calibration=None)})


def test_a_pair_is_compared_by_the_widest_recogniser_whose_band_both_fill(results, corpus, source, tmp_path):
    """Of two recognisers with the same systems, the second doubles the ratios."""
    doubled = json.loads((results / "calibration.json").read_text())
    for key in ("weights", "side_weights"):
        doubled["calibration"][key] = [2 * value for value in doubled["calibration"][key]]
    doubled["calibration"]["offset"] *= 2
    (tmp_path / "calibration.json").write_text(json.dumps(doubled))
    narrow = replace(source, calibration=tmp_path / "calibration.json")
    gallery = build_gallery(tmp_path / "gallery", {"wide": source, "narrow": narrow})
    first, second = corpus.models[:2]
    samples = {}
    for model in (first, second):
        path = next(each.path for each in corpus.enrol if each.enrols == model)
        samples[model] = soundfile.read(path)
    assert enrol(gallery, first, [gallery.record(next(e.path for e in corpus.enrol if e.enrols == first))])
    wave, rate = samples[second]
    spectrum = np.fft.rfft(wave)
    spectrum[int(3000 * len(wave) / rate) :] = 0  # as from a telephone
    soundfile.write(tmp_path / "narrow.wav", np.fft.irfft(spectrum, len(wave)), rate)
    with pytest.warns(UserWarning, match="kHz only"):
        recording = gallery.record(tmp_path / "narrow.wav")
    assert recording.bandwidth < 4000
    enrol(gallery, second, [recording])
    test = gallery.read(corpus.test[0].path)
    found = score_tests(gallery, [test])
    frames = {name: each.frames for name, each in test.by_front_end.items()}
    for name, factor in ((first, 1), (second, 2)):
        models = {name: gallery.models_of(name).by_recogniser[0]}
        alone = gallery.recognisers[0].score(models, [frames], [test.condition]).matrix[0, 0]
        assert found.matrix[found.names.index(name), 0] == pytest.approx(factor * alone)


def test_enrolled_recordings_get_copies_and_models_are_made_of_both(corpus, source, tmp_path):
    copies = AugmentConfig(copies=2, noise={"snr_db": [10, 20]})
    gallery = build_gallery(tmp_path / "gallery", {"": replace(source, facts=RecogniserFacts(enrolment_copies=copies))})
    path = next(each.path for each in corpus.enrol if each.enrols == corpus.models[0])
    recording = gallery.record(path)
    assert len(recording.copies) == 2
    enrol(gallery, "Ann", [recording])
    stored = Gallery(gallery.folder).speaker("Ann").recordings[0]
    assert len(stored.copies) == 2
    for made, read in zip(recording.copies, stored.copies, strict=True):
        np.testing.assert_array_equal(read[1].first, made[1].first.astype(np.float32))
    ubm = load_gmm(gallery.folder / "llr" / "ubm.safetensors")
    pooled = reduce(add, (row[0] for row in (stored.statistics, *stored.copies)))
    expected = map_adapt(ubm, pooled, relevance_factor=10.0).means
    np.testing.assert_allclose(Gallery(gallery.folder).model("Ann").means, expected)
    again = gallery.record(path)
    np.testing.assert_array_equal(again.copies[0][0].first, recording.copies[0][0].first)


def test_a_pretrained_recogniser_makes_the_same_gallery_up_to_half_precision(corpus, filled, source, tmp_path):
    write_pretrained(source, ABOUT, tmp_path / "tiny")
    assert about_pretrained("tiny", tmp_path).sources[0].licence == "b"
    gallery = fill(build_gallery(tmp_path / "gallery", {"tiny": pretrained_source("tiny", tmp_path)}), corpus)
    tests = [gallery.read(each.path) for each in corpus.test]
    expected = score_tests(filled, tests).matrix
    np.testing.assert_allclose(score_tests(gallery, tests).matrix, expected, atol=0.05)
    assert load_pretrained("tiny", tmp_path).top_frequency == filled.recognisers[0].top_frequency
    sizes = [(gallery.folder / "tiny" / "plda" / "subspace.safetensors"), (filled.folder / "plda/subspace.safetensors")]
    assert sizes[0].stat().st_size < sizes[1].stat().st_size
    with pytest.raises(ModelError, match="other: no such pretrained model; expected one of tiny"):
        about_pretrained("other", tmp_path)


def test_the_page_on_pretrained_models_lists_the_digests_of_their_files():
    page = (ROOT / "docs" / "pretrained.md").read_text(encoding="utf-8")
    for name in pretrained_names():
        recogniser = about_pretrained(name).recogniser
        for system, config in recogniser.systems.items():
            for file, digest in config.digests.items():
                assert f"| `{system}/{file}` | `{digest}` |" in page
        assert f"| `calibration.json` | `{recogniser.calibration}` |" in page
