"""Durations, thresholds and ranks in a recipe, and what a run says of them."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.pages import Page
from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm import run
from speechgmm.cli import app
from speechgmm.corpus.manifest import Utterance
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.errors import CorpusError, RecipeError
from speechgmm.evaluation.identification import identification_rate
from speechgmm.evaluation.metrics import act_dcf, cllr, eer, min_cllr, min_dcf
from speechgmm.features.store.store import open_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.graph import cross_fitting, experiment
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.stages import calibration as calibration_stage
from speechgmm.recipe.stages.calibration import label_all_pairs, side_information
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, restrict_to_common
from speechgmm.scoring.calibration import LinearCalibration, PavCalibration
from speechgmm.scoring.decision_errors import errors_in_words
from speechgmm.scoring.thresholds import ThresholdConfig, find_threshold

SYSTEM = "ubm: {n_components: 8, n_iterations: 3}\n"
SERIAL = Engine("serial")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Voices on disk: four who are enrolled, in lists of two (dev, eval) and of all, and twelve others."""
    folder = tmp_path_factory.mktemp("decisions")
    (folder / "made.yaml").write_text(f"{synthetic_corpus(n_background_utterances=4, n_test=3)}\n{SYSTEM}")
    run(folder / "made.yaml", results=folder, engine=SERIAL)
    (root,) = (folder / ".cache" / "corpus").iterdir()
    trials = [line.split() for line in (root / "trials.txt").read_text().splitlines()]
    lists = read_kaldi(KaldiConfig(root=str(root)))
    who = {utterance.id: utterance.speaker for utterance in lists.test}
    for name, chosen in (("dev", lists.models[:2]), ("eval", lists.models[2:])):
        own = [trial for trial in trials if trial[0] in chosen and who[trial[1]] in chosen]
        (root / f"{name}.txt").write_text("".join(" ".join(trial) + "\n" for trial in own))
    return root


@pytest.fixture(scope="module")
def recipe(corpus, tmp_path_factory):
    """Runs a recipe of these voices; all share a cache."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "one.yaml").write_text(f"corpus: {{kind: kaldi, root: {corpus}}}\n{SYSTEM}")

    def recipe(*overrides, name="one.yaml"):
        return run(folder / name, overrides=overrides, results=folder, engine=SERIAL)

    recipe.folder = folder
    return recipe


def sides(done, column):
    table = read_rows(done.folder / "scores.csv")
    return tuple([float(row[column]) for row in table if row["label"] == label] for label in ("target", "nontarget"))


def of_list(corpus, name):
    return {(line.split()[0], line.split()[1]) for line in (corpus / f"{name}.txt").read_text().splitlines()}


def llrs_of(done, pairs):
    table = [row for row in read_rows(done.folder / "scores.csv") if (row["model"], row["test"]) in pairs]
    return tuple([float(row["llr"]) for row in table if row["label"] == label] for label in ("target", "nontarget"))


def calibration_of(done):
    return json.loads((done.folder / "calibration.json").read_text())


def frames_of(folder):
    return {
        stored.utterance: stored.stop - stored.start
        for store in map(open_store, (folder / ".cache" / "features").iterdir())
        for stored in store.utterances
    }


# ---- side information ----


@pytest.mark.parametrize("keys", [[], ["corpus.trials=[dev.txt, eval.txt]", "calibration.on=dev"]])
def test_the_duration_of_a_test_has_a_weight_beside_its_score(recipe, keys):
    done = recipe("calibration.duration=true", *keys)
    stored, frames = calibration_of(done), frames_of(recipe.folder)
    assert stored["duration"] is True
    weight, of_duration = stored["calibration"]["weights"][0], stored["calibration"]["side_weights"][0]
    assert of_duration != 0
    for row in read_rows(done.folder / "scores.csv"):
        expected = weight * float(row["score"]) + of_duration * math.log(frames[row["test"]])
        assert float(row["llr"]) == pytest.approx(expected + stored["calibration"]["offset"], abs=1e-9)
    assert done.metrics["calibration"]["duration"] is True
    assert calibration_of(recipe(*keys))["calibration"]["side_weights"] == []


def test_the_condition_of_a_test_has_weights_beside_its_score(recipe):
    copies = "augment={copies: 2, noise: {snr_db: [5, 25]}, band: [[300, 3400]], codec: [mp3]}"
    done = recipe("calibration.condition=true", "calibration.duration=true", copies)
    stored = calibration_of(done)
    assert (stored["duration"], stored["condition"]) == (True, True)
    *_, of_noise, of_band, of_holes = weights = [
        *stored["calibration"]["weights"],
        *stored["calibration"]["side_weights"],
    ]
    assert len(weights) == 5
    assert 0 not in (of_noise, of_band, of_holes)
    conditions = {
        each.utterance: each.condition
        for store in map(open_store, (recipe.folder / ".cache" / "features").iterdir())
        for each in store.utterances
    }
    frames = frames_of(recipe.folder)
    for row in read_rows(done.folder / "scores.csv"):
        found = conditions[row["test"]]
        beside = [math.log(frames[row["test"]]), min(found.snr, 40), found.high / 1000, found.holes]
        expected = np.dot(weights, [float(row["score"]), *beside]) + stored["calibration"]["offset"]
        assert float(row["llr"]) == pytest.approx(expected, abs=1e-9)
    assert "condition" not in calibration_of(recipe())


def test_conditions_that_were_not_measured_are_asked_for():
    store = SimpleNamespace(utterances=[SimpleNamespace(utterance="x", start=0, stop=9, condition=None)])
    assert side_information(("duration",), store, ["x", "x"]).tolist() == [[math.log(9)]] * 2
    with pytest.raises(CorpusError, match="lack the condition of recordings: --from features measures them"):
        side_information(("condition",), store, ["x"])


def test_trials_of_all_pairs_have_the_duration_of_their_test():
    stored = [
        SimpleNamespace(utterance=name, start=3, stop=3 + length, condition=None)
        for name, length in (("x", 10), ("y", 20))
    ]
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    scores = [ScoreMatrix(("a", "b"), ("y", "x"), matrix), ScoreMatrix(("a", "b"), ("y", "x"), 10 * matrix)]
    test = [Utterance("x", "b", ""), Utterance("y", "a", "")]
    found = label_all_pairs(scores, test, ("duration",), SimpleNamespace(utterances=stored))
    assert found.scores.tolist() == [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]
    assert found.target.tolist() == [True, False, False, True]
    np.testing.assert_allclose(found.side, np.log([[20], [10], [20], [10]]))


# ---- thresholds ----


def test_decisions_are_where_errors_cost_least_unless_said_otherwise(recipe):
    done = recipe("decision.costs={c_miss: 10, p_target: 0.05}", "name=costs")
    decision = done.metrics["decision"]
    assert decision["threshold"] == pytest.approx(math.log(0.95 / (10 * 0.05)))
    assert "c_miss 10, c_fa 1, p_target 0.05" in decision["meaning"]
    target, nontarget = sides(done, "llr")
    numbers = done.metrics["trials"]["trials"]
    assert numbers["p_miss"] == np.mean(np.array(target) < decision["threshold"])
    assert numbers["p_fa"] == np.mean(np.array(nontarget) >= decision["threshold"])
    shares = errors_in_words(numbers["p_miss"], numbers["p_fa"])
    assert decision["errors"].startswith(f"at p_target 0.05, {shares}")
    assert decision["errors"].endswith(" (on the list trials)")


@pytest.mark.parametrize(
    ("overrides", "threshold", "source"),
    [
        ((), math.log(0.99 / (10 * 0.01)), "sre08"),
        (("evaluation.dcf=[sre16, sre08]",), math.log(99), "sre16"),  # the first costs of the first preset
        (("evaluation.dcf=[]",), math.log(99), ""),
        (("decision.costs={c_miss: 1}",), math.log(99), ""),
    ],
)
def test_the_costs_of_decisions_are_those_of_the_first_preset_unless_set(recipe, overrides, threshold, source):
    decision = recipe(*overrides, "name=preset").metrics["decision"]
    assert decision["threshold"] == pytest.approx(threshold)
    assert decision["meaning"].endswith(f": the costs of {source}, the evaluation's first preset") == bool(source)


def test_a_learnt_threshold_follows_the_first_preset_too(recipe):
    for preset, costs in (("sre08", "c_miss: 10, p_target: 0.01"), ("sre10", "p_target: 0.001")):
        by_preset = recipe("decision.method=min_dcf", f"evaluation.dcf=[{preset}]")
        stated = recipe(f"decision={{method: min_dcf, costs: {{{costs}}}}}")
        assert by_preset.metrics["decision"]["threshold"] == stated.metrics["decision"]["threshold"]


@pytest.mark.parametrize(
    "config",
    [
        ThresholdConfig(method="eer"),
        ThresholdConfig(method="p_fa", p_fa=0.2),
        ThresholdConfig.model_validate({"method": "min_dcf", "costs": {"p_target": 0.3}}),
    ],
)
def test_a_threshold_is_learnt_where_calibration_is_and_not_where_it_is_evaluated(recipe, corpus, config):
    keys = ["corpus.trials=[dev.txt, eval.txt]", "calibration.on=dev"]
    section = config.model_dump_json(exclude_defaults=True)
    done = recipe(*keys, f"decision={section}")
    own, others = (llrs_of(done, of_list(corpus, name)) for name in ("dev", "eval"))
    threshold = find_threshold(*own, config)
    decision = done.metrics["decision"]
    assert (decision["method"], decision["threshold"]) == (config.method, pytest.approx(threshold, abs=1e-9))
    assert decision["errors"].startswith("at p_target 0.3, of 100" if config.costs else "of 100 recordings")
    assert decision["errors"].endswith(" (on the list dev)")
    assert "calibration was trained on" in done.metrics["decision"]["meaning"]
    found = done.metrics["decision"]["threshold"]
    for name, (target, nontarget) in (("dev", own), ("eval", others)):
        numbers = done.metrics["trials"][name]
        assert numbers["p_miss"] == np.mean(np.array(target) < found)
        assert numbers["p_fa"] == np.mean(np.array(nontarget) >= found)
    # the same without the list that is evaluated
    assert find_threshold(*others, config) != pytest.approx(threshold)


def test_a_threshold_without_calibration_is_none(recipe):
    with pytest.raises(RecipeError, match=r"decision: a threshold is of calibrated scores.*calibration.method is none"):
        recipe("calibration.method=none", "decision.method=eer")
    assert recipe("calibration.method=none").metrics["decision"] is None
    with pytest.raises(RecipeError, match="duration is for method logistic"):
        recipe("calibration.method=pav", "calibration.duration=true")
    with pytest.raises(RecipeError, match="condition is for method logistic"):
        recipe("calibration.method=pav", "calibration.condition=true")
    with pytest.raises(RecipeError, match="method p_fa without p_fa; expected the share of nontargets"):
        recipe("decision.method=p_fa")


# ---- what is shown ----


def test_so_is_a_list_that_shares_trials_with_it(recipe):
    keys = ["corpus.trials=[dev.txt, trials.txt]", "calibration.on=dev", "calibration.allow_evaluated=true"]
    lists = recipe(*keys).metrics["trials"]
    assert (lists["dev"]["trains_calibration"], lists["trials"]["trains_calibration"]) == (True, True)


def test_a_list_that_calibration_was_trained_on_is_marked(recipe):
    keys = ["corpus.trials=[dev.txt, eval.txt]", "calibration.on=dev", "name=marked"]
    done = recipe(*keys)
    lists = done.metrics["trials"]
    assert (lists["dev"]["trains_calibration"], lists["eval"]["trains_calibration"]) == (True, False)
    report = (done.folder / "report.html").read_text()
    assert report.count("Calibration was trained on trials of this list") == 1
    words = ["run", str(recipe.folder / "one.yaml"), "--results", str(recipe.folder), "--engine", "serial"]
    shown = CliRunner().invoke(app, words + [word for key in keys for word in ("--set", key)]).stdout
    assert "dev*" in shown
    assert "eval*" not in shown
    assert "*: calibration was trained on trials of this list, so its metrics look better than they are\n" in shown
    assert "threshold: +2.29 nats, where log-likelihood ratios decide best" in shown
    assert f"\ndecisions: {done.metrics['decision']['errors']}\n" in shown
    assert f"Decisions: {done.metrics['decision']['errors']}." in Page(report).text
    calibration = done.metrics["calibration"]
    trials = f"{calibration['n_target']} target and {calibration['n_nontarget']} nontarget trials"
    assert f"\ncalibrated on the trials of dev, from the map that comes with speechgmm ({trials})\n" in shown


def test_the_report_has_the_costs_of_decisions_and_the_scores_before_calibration(recipe):
    done = recipe("name=shown", "evaluation.dcf=[sre08]")
    report = (done.folder / "report.html").read_text()
    numbers = done.metrics["trials"]["trials"]
    for title, value in (
        ("act DCF sre08", numbers["act_dcf"]["sre08"]),
        ("Cllr before calibration", numbers["cllr_uncalibrated"]),
    ):
        row = report[report.index(title) :]
        assert f">{value:.3f}<" in row[: row.index("</tr>")]


def test_pav_leaves_the_order_of_trials_to_their_scores(recipe):
    done = recipe("calibration.method=pav", "name=pav", "evaluation.dcf=[sre10]")
    raw, llrs = sides(done, "score"), sides(done, "llr")
    assert len(set(llrs[0] + llrs[1])) < len(set(raw[0] + raw[1]))
    numbers = done.metrics["trials"]["trials"]
    assert numbers["eer"] == eer(*raw)
    assert numbers["min_dcf"]["sre10"] == min_dcf(*raw, "sre10")
    assert numbers["min_cllr"] == min_cllr(*raw)
    assert numbers["cllr"] == cllr(*llrs)
    assert numbers["act_dcf"]["sre10"] == act_dcf(*llrs, "sre10")
    assert done.metrics["identification"] == recipe("calibration.method=none").metrics["identification"]
    table = {(row["model"], row["test"]): row for row in read_rows(done.folder / "scores.csv")}
    worst = max((row for row in table.values() if row["label"] == "nontarget"), key=lambda row: float(row["score"]))
    report = (done.folder / "report.html").read_text()
    highest = report[report.index("Highest nontarget scores") :]
    assert highest.index(f"<strong>{worst['model']}</strong> against {worst['test']}<") < highest.index("</tr>", 300)


def test_identification_with_pav_is_by_the_scores(recipe, monkeypatch):
    of_raw = recipe("calibration.method=none", "seed=9").metrics["identification"]
    assert of_raw["rate"] > 0
    flat = PavCalibration(scores=(0.0,), llrs=(0.0,))  # nobody scores strictly highest by these
    monkeypatch.setattr(calibration_stage, "train_calibration", lambda *_, **__: flat)
    done = recipe("calibration.method=pav", "name=flat", "seed=9")  # which nobody else stores
    assert set(sides(done, "llr")[0]) == {0.0}
    assert done.metrics["identification"] == of_raw


# ---- several systems ----


@pytest.fixture(scope="module")
def fused(corpus, tmp_path_factory):
    """Two systems, of which one cannot use short recordings: one of the background, and a test of the list dev."""
    folder = tmp_path_factory.mktemp("fused")
    root = shutil.copytree(corpus, folder / "corpus")
    lists = read_kaldi(KaldiConfig(root=str(root)))
    dev = {line.split()[1] for line in (root / "dev.txt").read_text().splitlines()}
    short = [lists.background[0], next(each for each in lists.test if each.id in dev)]
    for utterance in short:
        samples, rate = soundfile.read(utterance.path)
        soundfile.write(utterance.path, samples[rate : rate + rate // 5], rate)
    of = f"corpus: {{kind: kaldi, root: {root}, trials: [dev.txt, eval.txt]}}\n"
    (folder / "brief.yaml").write_text(of + SYSTEM)
    (folder / "long.yaml").write_text(f"{of}{SYSTEM}features: {{frame_length: 0.25, vad: {{method: none}}}}\n")
    (folder / "both.yaml").write_text(f"{of}systems: [long.yaml, brief.yaml]\n")

    def fused(*overrides):
        return run(folder / "both.yaml", overrides=overrides, results=folder, engine=SERIAL)

    fused.short = [utterance.id for utterance in short]
    fused.recipe = folder / "both.yaml"
    return fused


def test_every_system_gets_as_far_as_the_last_stage_that_was_asked_for(fused, tmp_path):
    done = run(fused.recipe, results=tmp_path, engine=SERIAL, until_stage="ubm")
    assert done.metrics == {}
    assert [stage.title for stage in done.stages if stage.title.startswith("ubm")] == ["ubm of long", "ubm of brief"]


def test_the_scores_of_systems_are_put_together_once(fused, monkeypatch):
    calls, final_scores = [], experiment.final_scores
    monkeypatch.setattr(experiment, "final_scores", lambda *given: calls.append(1) or final_scores(*given))
    fused("name=once", "evaluation.bootstrap=7")
    assert calls == [1]


def test_what_one_system_cannot_use_calibrates_none(fused, monkeypatch):
    used = {"enrol": set(), "test": set()}
    real = cross_fitting.build_system

    def spy(recipe, background, enrol, test, *others):
        used["enrol"].update(enrol.ids)
        used["test"].update(test.ids)
        return real(recipe, background, enrol, test, *others)

    monkeypatch.setattr(cross_fitting, "build_system", spy)
    done = fused("name=cross")
    assert not [warning for warning in done.warnings if "not calibrated" in warning]
    # 12 speakers of four utterances, but for one of three
    assert fused.short[0] not in used["enrol"] | used["test"]
    assert len(used["enrol"]) + len(used["test"]) == 47
    n_tests = len(used["test"])
    assert (done.metrics["calibration"]["n_target"], done.metrics["calibration"]["n_nontarget"]) == (
        n_tests,
        n_tests * 5,
    )
    lists = done.metrics["trials"]
    assert (lists["dev"]["n_unscored"], lists["eval"]["n_unscored"]) == (2, 0)


def test_trials_without_scores_teach_nothing(fused):
    done = fused("calibration.on=dev", "name=dev")
    numbers = done.metrics["trials"]["dev"]
    assert (numbers["n_target"], numbers["n_nontarget"]) == (5, 5)
    assert {key: done.metrics["calibration"][key] for key in ("n_target", "n_nontarget")} == {
        "n_target": 5,
        "n_nontarget": 5,
    }


@pytest.mark.pictures
def test_the_report_of_a_fusion_is_of_every_system(fused):
    done = fused("name=told")
    skipped = read_rows(done.folder / "skipped.csv")
    assert [(row["id"], row["role"], row["system"]) for row in skipped] == [
        (fused.short[0], "background", "long"),
        (fused.short[1], "test", "long"),
    ]
    assert (done.folder / "log.txt").read_text().count(" long: skipped utterance ") == 2
    report = (done.folder / "report.html").read_text()
    for shown in ("background, brief", "test, long", "Training of the background model, long", ", test, long<"):
        assert shown in report
    plots = {path.name for path in (done.folder / "plots").iterdir()}
    assert plots >= {"det.svg", "scores.svg", "training-brief.svg", "training-long.svg"}


def test_clipping_is_told_whichever_system_can_use_the_recording(fused, monkeypatch):
    seen = {}
    monkeypatch.setattr("speechgmm.recipe.running.runner.clipped_warnings", lambda clipped: seen.update(clipped) or ())
    fused("name=clipped")
    assert set(fused.short) <= set(seen)


def test_identification_with_trained_systems_is_by_the_ratios(fused, monkeypatch):
    monkeypatch.setattr(
        calibration_stage, "train_calibration", lambda *_, **__: LinearCalibration(weights=(1.0, -0.9), offset=-1.0)
    )
    done = fused("calibration.systems=trained", "name=weighted")
    corpus = read_kaldi(load_recipe(done.folder / "recipe.yaml").corpus)
    systems = [
        ScoreMatrix(tuple(names["models"]), tuple(names["tests"]), np.load(path / "scores.npy"))
        for path, names in scores_of(done)
    ]
    first, second = restrict_to_common(systems)
    who = {utterance.id: utterance.speaker for utterance in corpus.test}
    truth = np.array([first.models.index(who[test]) for test in first.tests])
    expected = identification_rate(first.matrix - 0.9 * second.matrix, truth)
    assert expected != identification_rate(first.matrix + second.matrix, truth)
    assert done.metrics["identification"]["rate"] == expected


def scores_of(done):
    """The folders of the systems' own scores, and the names in them."""
    stages = json.loads((done.folder / "provenance.json").read_text())["stages"]
    for system in ("long", "brief"):
        (digest,) = (each["digest"] for each in stages if each["stage"] == f"scores of {system}")
        path = next(done.folder.parent.glob(f".cache/scores/{digest[:8]}*"))
        yield path, json.loads((path / "scores.json").read_text())


# ---- who may be in the list ----


def test_whoever_is_heard_in_a_list_is_one_of_its_speakers(corpus, recipe):
    lists = read_kaldi(KaldiConfig(root=str(corpus)))
    one, other = lists.models[:2]
    who = {utterance.id: utterance.speaker for utterance in lists.test}
    trials = [line.split() for line in (corpus / "trials.txt").read_text().splitlines()]
    for name, claimed, heard in (("claims", one, {one, other}), ("hears", other, {other})):
        chosen = [trial for trial in trials if trial[0] == claimed and who[trial[1]] in heard]
        (corpus / f"{name}.txt").write_text("".join(" ".join(trial) + "\n" for trial in chosen))
    with pytest.raises(CorpusError, match=f"the list claims and those evaluated share {other}"):
        recipe("corpus.trials=[claims.txt, hears.txt]", "calibration.on=claims")
