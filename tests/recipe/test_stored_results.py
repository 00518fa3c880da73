"""Results, galleries and states of training that an older version wrote are still of use; tests/stored says which."""

import json
import shutil

import numpy as np
import pytest

from helpers.commands import speechgmm
from helpers.models import parameters
from helpers.pages import Page
from helpers.paths import ROOT
from helpers.tables import read_rows
from speechgmm import TrainingConfig, load_gmm, load_speakers, open_results, train
from speechgmm.recipe.reading.loader import load_recipe


@pytest.fixture
def older(tmp_path, monkeypatch):
    """A copy of all that the older version wrote, in the current folder."""
    folder = shutil.copytree(ROOT / "tests" / "stored" / "e07de02", tmp_path / "older")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.pictures
def test_a_report_is_written_from_older_results(older):
    done = speechgmm("report", "small")
    assert done.exit_code == 0, done.output
    page = Page((older / "small" / "report.html").read_text(encoding="utf-8"))
    metrics = json.loads((older / "small" / "metrics.json").read_text())["trials"]["trials"]
    for shown in (f"{metrics['n_target']} target", f"{metrics['n_nontarget']} nontarget", f"{metrics['eer']:.2%}"[:-1]):
        assert shown in page.text
    assert {path.name for path in (older / "small" / "plots").iterdir()} >= {"det.svg", "scores.svg", "training.svg"}


def test_older_results_compare_with_themselves(older, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree("small", "again")
    done = speechgmm("compare", "small", "again")
    assert done.exit_code == 0, done.output
    shown = " ".join(done.output.split())
    assert "trials.eer 50.00% 50.00% [+0.00: +0.00 to +0.00]" in shown
    assert "identification 50.00% 50.00%" in shown


def test_older_results_open(older):
    results = open_results(older / "small")
    assert results.recipe == load_recipe(older / "small" / "recipe.yaml")
    assert len(results.data) == 24 + 8 + 8
    assert results.metrics == json.loads((older / "small" / "metrics.json").read_text())


def test_older_models_load(older):
    for folder in ("small", "gallery"):
        ubm = load_gmm(f"{folder}/ubm.safetensors")
        assert (ubm.n_components, ubm.n_features) == (8, 5)
    assert {*load_speakers("small/speakers.safetensors")} == {"f001", "m002", "f003", "m004"}
    assert len(read_rows(older / "small" / "scores.csv")) == 32


def check_answer(found, expected):
    """Compare answers: numbers to within 1e-6, all else as it is."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            check_answer(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_answer(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6)
    else:
        assert found == expected


def test_an_older_gallery_answers_as_it_did(older):
    done = speechgmm("gallery", "identify", "gallery", "f001-test-02.flac", "m002-test-01.flac", "--json")
    assert done.exit_code == 0, done.output
    check_answer(json.loads(done.stdout), json.loads((older / "answer.json").read_text()))


def test_an_older_gallery_keeps_its_costs(older):
    for folder in ("gallery", "new"):
        if folder == "new":  # of older results, whose resolved recipe has these costs
            assert speechgmm("gallery", "create", "small", "--out", "new").exit_code == 0
            shutil.copy("gallery/speakers/Ann.safetensors", "new/speakers/Ann.safetensors")
        shown = speechgmm("gallery", "verify", folder, "Ann", "f001-test-02.flac").stdout
        assert ", threshold +4.60; nats, calibrated\n" in shown
        assert "of 100" not in shown


def test_a_gallery_of_older_results_answers_as_the_older_gallery(older):
    assert speechgmm("gallery", "create", "small", "--out", "new", "--min-speech", 0.5).exit_code == 0
    for path in (older / "gallery" / "speakers").iterdir():
        shutil.copy(path, older / "new" / "speakers" / path.name)
    done = speechgmm("gallery", "identify", "new", "f001-test-02.flac", "m002-test-01.flac", "--json")
    expected = json.loads((older / "answer.json").read_text())
    check_answer(json.loads(done.stdout), {**expected, "gallery": "new"})


def test_an_older_training_resumes_from_its_checkpoint(older):
    seen = []
    config = TrainingConfig(n_components=4, n_iterations=6, tolerance=0)
    frames = np.load("training/frames.npy")
    result = train([frames], config, checkpoint="training/state.safetensors", on_iteration=seen.append)
    assert [iteration.number for iteration in seen] == [3, 4, 5, 6]
    for one, other in zip(parameters(result.gmm), parameters(load_gmm("training/gmm.safetensors")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)  # kernels of other processors add in other orders
