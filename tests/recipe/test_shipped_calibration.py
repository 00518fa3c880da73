"""Where the maps that come with the package calibrate a recipe, and what the background's own trials add to them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm import run, train_calibration
from speechgmm.cli import app
from speechgmm.gallery.gallery import Gallery
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.graph import calibration as graph
from speechgmm.recipe.layout import EARLIER_ON_BACKGROUND
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.report import calibration_phrase, report_results
from speechgmm.recipe.stages import calibration as stage
from speechgmm.recipe.stages.score_matrix import load_scores
from speechgmm.scoring.calibration import CalibrationConfig, load_calibration
from speechgmm.scoring.shipped_map import Standard, shipped_map

SERIAL = Engine("serial")
RECIPE = f"{synthetic_corpus(n_background_utterances=4, n_test=3)}\nubm: {{n_components: 8, n_iterations: 3}}\n"
S_NORM = "normalisation.method=s"
ALONE = "the scores are calibrated by the map that comes with speechgmm alone, because the background gives no trials: "


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a small experiment with other keys; all share a cache."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "small.yaml").write_text(RECIPE)
    (folder / "fused.yaml").write_text(
        RECIPE.splitlines()[0]
        + "\nsystems:\n  - {name: a, ubm: {n_components: 4, n_iterations: 2}, normalisation: {method: s}}\n"
        + "  - {name: b, ubm: {n_components: 8, n_iterations: 2}, normalisation: {method: s}}\n"
    )

    def small(*overrides, recipe="small.yaml"):
        return run(folder / recipe, overrides=overrides, results=folder, engine=SERIAL)

    small.folder = folder
    return small


@pytest.fixture
def learnt(monkeypatch):
    """The folds of a calibration, and the trials and the prior that it is trained on."""
    seen = {}
    real_folds, real_train = graph.cross_fitted_systems, stage.train_on

    def folds(*arguments):
        seen["folds"] = real_folds(*arguments)
        return seen["folds"]

    def train_on(recipe, trials, trained_on, prior):
        seen.update(trials=trials, prior=prior)
        return real_train(recipe, trials, trained_on, prior)

    monkeypatch.setattr(graph, "cross_fitted_systems", folds)
    monkeypatch.setattr(stage, "train_on", train_on)
    return seen


def calibration_of(done):
    stored = json.loads((done.folder / "calibration.json").read_text())
    return stored, load_calibration(stored["calibration"])


def enrolled_nontargets(done, names=("",)):
    """Scores (M, S) of the models for the enrolment of other speakers, whose recordings have their names."""
    columns = []
    for name in names:
        of = f" of {name}" if name else ""
        titles = (f"normalisation of the enrolment{of}", f"scores of the enrolment{of}")
        (folder, *_) = [stage.folder for title in titles for stage in done.stages if stage.title == title]
        scores = load_scores([folder])
        others = [[not test.startswith(f"{model}-") for test in scores.tests] for model in scores.models]
        columns.append(scores.matrix[np.array(others)])
    return np.stack(columns, axis=1)


def on_scale_of(whole, fold):
    """The scores of a fold's systems, with the mean and deviation that nontargets have by the whole ones."""
    speaker = {each.id: each.speaker for each in fold.test}
    parts = []
    for column, system in enumerate(fold.systems):
        scores = system.scores
        others = np.array([[speaker[test] != model for test in scores.tests] for model in scores.models])
        unknown = scores.matrix[others]
        standardised = (scores.matrix - unknown.mean()) / unknown.std()
        parts.append((standardised * whole[:, column].std() + whole[:, column].mean()).ravel())
    return np.stack(parts, axis=1)


# ---- moved by the background's own trials ----


@pytest.mark.parametrize(("recipe", "n_systems"), [("small.yaml", 1), ("fused.yaml", 2)])
def test_the_backgrounds_trials_move_the_shipped_map(small, learnt, recipe, n_systems):
    keys = [S_NORM] if recipe == "small.yaml" else []
    done = small(*keys, f"name=moved-{n_systems}", recipe=recipe)
    stored, found = calibration_of(done)
    assert (stored["prior"], stored["folds"], stored["n_speakers"]) == ("shipped", 2, 12)
    whole = enrolled_nontargets(done, ("a", "b") if n_systems == 2 else ("",))
    expected = [on_scale_of(whole, fold) for fold in learnt["folds"]]
    trials = learnt["trials"]
    np.testing.assert_allclose(trials.scores, np.concatenate(expected), rtol=1e-9, atol=1e-9)
    again = train_calibration(
        trials.scores[trials.target],
        trials.scores[~trials.target],
        CalibrationConfig(systems="equal"),
        prior=shipped_map().prior(Standard.of(whole)),
        n_speakers=12,
    )
    np.testing.assert_allclose([*found.weights, found.offset], [*again.weights, again.offset], rtol=1e-9)
    for row in read_rows(done.folder / "scores.csv"):
        assert float(row["llr"]) == pytest.approx(found.weights[0] * float(row["score"]) + found.offset, abs=1e-9)


def test_scores_of_folds_are_on_the_scale_of_the_whole_by_the_wide_prior_too(small, learnt):
    done = small(S_NORM, "calibration.prior=wide", "name=scaled-wide")
    expected = [on_scale_of(enrolled_nontargets(done), fold) for fold in learnt["folds"]]
    np.testing.assert_allclose(learnt["trials"].scores, np.concatenate(expected), rtol=1e-9, atol=1e-9)
    assert learnt["prior"] is None
    assert done.metrics["calibration"]["prior"] == "wide"


def test_without_a_prior_the_enrolment_is_not_scored_and_scores_stay(small, learnt):
    done = small(S_NORM, "calibration.prior=none", "name=alone")
    raw = np.concatenate([fold.systems[0].scores.matrix.ravel() for fold in learnt["folds"]])
    assert np.array_equal(learnt["trials"].scores[:, 0], raw)
    assert not [stage.title for stage in done.stages if "enrolment" in stage.title]
    assert "prior" not in done.metrics["calibration"]


S, ADAPTED = "normalisation: {method: s}\n", "speakers: {method: map, relevance_factor: 4}\n"


@pytest.mark.parametrize(
    ("sections", "holds"),
    [
        (S, True),
        (S + ADAPTED, True),
        ("normalisation: {method: s, statistics: median}\n", True),
        ("", True),
        ("normalisation: {method: z}\n", True),
        (S + "scoring: {method: linear}\n", False),
        (S + "speakers: {method: isv, rank: 2}\n", False),
        (S + "speakers: {method: independent}\n", False),
        (S + "vectors: {kind: ivector, rank: 4}\nbackend: [center, length, plda]\n", False),
        (S + "ubm: {per_sex: true}\n", False),
        (S + "calibration: {prior: wide}\n", False),
        (S + "calibration: {prior: none}\n", False),
        (S + "calibration: {method: pav}\n", False),
        (S + "calibration: {duration: true}\n", False),
    ],
)
def test_the_shipped_maps_are_of_scores_such_as_they_were_learnt_of(tmp_path, sections, holds):
    (tmp_path / "r.yaml").write_text(f"{synthetic_corpus()}\n{sections}")
    assert (graph._known_before(load_recipe(tmp_path / "r.yaml")) is not None) == holds


@pytest.mark.parametrize(
    ("key", "holds"),
    [("calibration.systems=equal", True), ("calibration.systems=scaled", True), ("calibration.systems=trained", False)],
)
def test_the_shipped_maps_are_of_sums_of_systems_that_all_have_such_scores(small, key, holds):
    recipe = load_recipe(small.folder / "fused.yaml", [key])
    assert (graph._known_before(recipe) is not None) == holds
    (small.folder / "other.yaml").write_text(
        (small.folder / "fused.yaml").read_text().replace("{name: a,", "{name: a, scoring: {method: linear},", 1)
    )
    assert graph._known_before(load_recipe(small.folder / "other.yaml", [key])) is None


def test_the_shipped_map_is_of_scaled_sums_where_systems_are_scaled(small, learnt):
    done = small("calibration.systems=scaled", "name=scaled-sum", recipe="fused.yaml")
    stored, found = calibration_of(done)
    trials = learnt["trials"]
    scales = trials.scores[~trials.target].std(axis=0)
    np.testing.assert_allclose(stored["scales"], scales, rtol=1e-9)
    again = train_calibration(
        trials.scores[trials.target] / scales,
        trials.scores[~trials.target] / scales,
        CalibrationConfig(systems="equal"),
        prior=shipped_map().prior(Standard.of(enrolled_nontargets(done, ("a", "b")) / scales)),
        n_speakers=12,
    )
    np.testing.assert_allclose([*found.weights, found.offset], [*again.weights, again.offset], rtol=1e-9)


# ---- the map alone ----


def test_few_speakers_with_s_norm_are_calibrated_by_the_shipped_map_alone(small, tmp_path):
    done = small("corpus.n_background=3", S_NORM, "name=few")
    why = "3 speakers of the background, 3 with two utterances or more; expected 4 of those for 2 folds"
    assert ALONE + why in done.warnings
    stored, found = calibration_of(done)
    expected = shipped_map().prior(Standard.of(enrolled_nontargets(done)))
    np.testing.assert_allclose([found.weights[0], found.offset], expected.mean, rtol=1e-9)
    facts = {"prior": "shipped", "n_speakers": 0, "n_target": 0, "n_nontarget": 0}
    assert facts.items() <= done.metrics["calibration"].items()
    assert stored["threshold"] == pytest.approx(np.log(9.9))  # of the first preset, sre08
    assert "calibrated by the map that comes with speechgmm alone." in report_text(done.folder)
    printed = CliRunner().invoke(
        app,
        ["run", str(small.folder / "small.yaml"), "--results", str(small.folder), "--engine", "serial"]
        + [part for key in ("corpus.n_background=3", S_NORM, "name=few") for part in ("--set", key)],
    )
    assert "\ncalibrated by the map that comes with speechgmm alone\n" in printed.output
    assert "calibrated on" not in printed.output
    # a gallery decides by it
    created = CliRunner().invoke(app, ["gallery", "create", str(done.folder), "--out", str(tmp_path / "team")])
    assert created.exit_code == 0, created.output
    assert Gallery(tmp_path / "team").config.calibrated
    warning = "warning: calibrated by the map that comes with speechgmm alone, as the background gave no trials: scores"
    assert warning in created.stderr


def test_a_gallery_from_few_speakers_says_so(small, tmp_path):
    done = small("name=some")
    created = CliRunner().invoke(app, ["gallery", "create", str(done.folder), "--out", str(tmp_path / "team")])
    assert "warning: calibrated on 12 background speakers, fewer than 20: log-likelihood ratios" in created.stderr


def report_text(folder):
    return report_results(folder).read_text(encoding="utf-8")


def test_few_speakers_with_scores_of_other_kinds_stay_uncalibrated(small):
    done = small("corpus.n_background=3", "scoring.method=linear", "name=uncalibrated")
    assert done.metrics["calibration"] is None
    why = "3 speakers of the background, 3 with two utterances or more; expected 4 of those for 2 folds"
    assert done.warnings[0] == f"the scores are not calibrated: {why}"
    assert all(row["score"] == row["llr"] for row in read_rows(done.folder / "scores.csv"))


def test_a_threshold_that_is_learnt_needs_trials(small):
    done = small("corpus.n_background=3", S_NORM, "decision.method=eer", "name=eer")
    assert done.metrics["calibration"] is None
    (why,) = [warning for warning in done.warnings if "not calibrated" in warning]
    assert why.endswith("expected 4 of those for 2 folds; or decision.method bayes, which needs no trials")


def test_folds_that_are_too_small_for_their_systems_leave_the_map_alone(small, monkeypatch):
    from speechgmm.errors import ModelError

    def fail(*_):
        raise ModelError("60 frames for 64 components")

    monkeypatch.setattr(graph, "cross_fitted_systems", fail)
    done = small(S_NORM, "name=small-folds", "seed=7")
    assert done.warnings[0] == f"{ALONE}60 frames for 64 components"
    _, found = calibration_of(done)
    expected = shipped_map().prior(Standard.of(enrolled_nontargets(done)))
    np.testing.assert_allclose([found.weights[0], found.offset], expected.mean, rtol=1e-9)
    done = small("name=small-folds", "seed=7", "scoring.method=linear")
    assert "the scores are not calibrated: 60 frames for 64 components" in done.warnings


# ---- in words ----


@pytest.mark.parametrize(
    ("facts", "phrase"),
    [
        (
            {"trained_on": graph.ON_BACKGROUND, "folds": 4, "n_speakers": 65, "prior": "shipped"},
            "calibrated by 4-fold cross-validation on 65 background speakers, from the map that comes with speechgmm",
        ),
        (
            {"trained_on": graph.ON_BACKGROUND, "folds": 2, "n_speakers": 12, "prior": "wide"},
            "calibrated by 2-fold cross-validation on 12 background speakers",
        ),
        (
            {"trained_on": graph.ON_OTHER_CORPORA, "n_speakers": 0, "prior": "shipped"},
            "calibrated by the map that comes with speechgmm alone",
        ),
        (
            {"trained_on": "the trials of dev", "n_speakers": 9, "prior": "shipped"},
            "calibrated on the trials of dev, from the map that comes with speechgmm",
        ),
        ({"trained_on": "the trials of dev", "n_speakers": 9}, "calibrated on the trials of dev"),
        (
            {"trained_on": EARLIER_ON_BACKGROUND, "n_target": 3},
            "calibrated by 2-fold cross-validation on the background speakers",
        ),
        ({"trained_on": "the trials of an earlier version"}, "calibrated on the trials of an earlier version"),
    ],
)
def test_how_scores_were_calibrated_is_said(facts, phrase):
    assert calibration_phrase(facts) == phrase
