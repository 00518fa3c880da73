"""Normalisation and calibration as parts of a recipe."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm import accumulate, extract, load_gmm, map_adapt, read_audio, run, score_matrix
from speechgmm.cli import app
from speechgmm.corpus.manifest import Utterance
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError, RecipeError
from speechgmm.evaluation.metrics import act_dcf, cllr, eer, min_dcf
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import read_decision_errors
from speechgmm.gallery.gallery import Gallery
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.graph import cross_fitting
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import CalibrationSection
from speechgmm.recipe.stages import calibration as calibration_stage
from speechgmm.recipe.stages.calibration import LabelledScores
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, restrict_to_common
from speechgmm.scoring.calibration import LinearCalibration, load_calibration
from speechgmm.scoring.llr import ScoringConfig

RECIPE = f"""
name: small
{synthetic_corpus(n_background_utterances=4, n_test=3)}
ubm: {{n_components: 8, n_iterations: 3}}
evaluation: {{dcf: [voxceleb]}}
"""
SAME_BYTES = ("ubm.safetensors", "scores.csv", "metrics.json", "calibration.json")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a small experiment with other keys; all share a cache."""
    folder = tmp_path_factory.mktemp("calibrating")
    (folder / "small.yaml").write_text(RECIPE)

    def small(*overrides, engine=None):
        return run(folder / "small.yaml", overrides=overrides, results=folder, engine=engine or Engine("serial"))

    small.folder = folder
    return small


def sides(table, column):
    return tuple([float(row[column]) for row in table if row["label"] == label] for label in ("target", "nontarget"))


def test_scores_are_calibrated_on_the_background_by_default(small):
    done = small()
    table = read_rows(done.folder / "scores.csv")
    stored = json.loads((done.folder / "calibration.json").read_text())
    calibration = load_calibration(stored["calibration"])
    assert calibration.weights[0] > 0
    for row in table:
        assert float(row["llr"]) == pytest.approx(
            calibration.weights[0] * float(row["score"]) + calibration.offset, abs=1e-12
        )
    # 12 speakers in halves of 6: two of four utterances of each enrol, two are tests.
    assert (stored["n_target"], stored["n_nontarget"]) == (2 * 6 * 2, 2 * 6 * 5 * 2)
    numbers = done.metrics["trials"]["trials"]
    llrs, raw = sides(table, "llr"), sides(table, "score")
    assert numbers["cllr"] == pytest.approx(cllr(*llrs))
    assert numbers["cllr_uncalibrated"] == pytest.approx(cllr(*raw))
    assert numbers["eer"] == pytest.approx(eer(*raw))
    assert numbers["act_dcf"]["voxceleb"] == pytest.approx(act_dcf(*llrs, "voxceleb"))
    assert numbers["act_dcf"]["voxceleb"] >= min_dcf(*llrs, "voxceleb")
    assert done.metrics["calibration"]["n_target"] == 24
    few, *doubts = done.warnings
    assert few.startswith("calibrated on 12 background speakers, fewer than 20: ")
    assert not [told for told in doubts if not told.startswith(("trials: ", "fewer than 30 target"))]


def test_the_errors_of_decisions_are_those_of_the_trials_of_calibration(small, monkeypatch):
    seen, train_on = [], calibration_stage.train_on
    monkeypatch.setattr(calibration_stage, "train_on", lambda *given: seen.append(given[1]) or train_on(*given))
    path = small("calibration.p_target=0.3").folder / "calibration.json"  # which no other test has stored
    (trials,) = seen
    llrs = load_calibration(json.loads(path.read_text())["calibration"]).apply(trials.scores)
    for threshold in (-3.0, 0.0, 0.5):
        rates = np.mean(llrs[trials.target] < threshold), np.mean(llrs[~trials.target] >= threshold)
        assert read_decision_errors(path).at(threshold) == pytest.approx(rates)


def test_halves_know_nothing_of_each_other(small, monkeypatch):
    calls = []
    real = cross_fitting.build_system

    def spy(recipe, background, enrol, test, context, label):
        calls.append((background, enrol, test))
        return real(recipe, background, enrol, test, context, label)

    monkeypatch.setattr(cross_fitting, "build_system", spy)
    small("seed=1")
    halves = []
    for background, enrol, test in calls:
        who = [{utterance.speaker for utterance in voices.utterances} for voices in (background, enrol, test)]
        assert not who[0] & who[1]
        assert who[1] == who[2]
        assert not {*enrol.ids} & {*test.ids}
        halves.append(who[0])
    assert len(halves) == 2
    assert len(halves[0] | halves[1]) == 12
    assert not halves[0] & halves[1]
    calls.clear()
    small("seed=2")
    assert {utterance.speaker for utterance in calls[0][0].utterances} not in halves


def test_engines_and_repetitions_give_the_same_bytes(small):
    serial = small("name=one", "normalisation.method=s").folder
    for stage in ("ubm", "speakers", "scores"):
        for folder in (small.folder / ".cache" / stage).iterdir():
            (folder / "stage.json").unlink()  # damaged, and made again
    workers = small("name=two", "normalisation.method=s", engine=Engine("processes", 2)).folder
    for name in SAME_BYTES:
        assert (serial / name).read_bytes() == (workers / name).read_bytes()


def test_none_leaves_scores_as_they_are(small):
    folder = small("calibration.method=none", "name=raw").folder
    assert not (folder / "calibration.json").exists()
    assert all(row["score"] == row["llr"] for row in read_rows(folder / "scores.csv"))
    assert json.loads((folder / "metrics.json").read_text())["calibration"] is None


def test_pav_never_falls(small):
    table = read_rows(small("calibration.method=pav", "name=pav").folder / "scores.csv")
    pairs = sorted((float(row["score"]), float(row["llr"])) for row in table)
    assert (np.diff([llr for _, llr in pairs]) >= 0).all()


def test_too_few_speakers_are_told_and_leave_scores_as_they_are(small):
    done = small("corpus.n_background=3", "name=few")
    assert done.metrics["calibration"] is None
    warning, *_ = done.warnings
    assert "not calibrated: 3 speakers of the background model, 3 with two utterances or more; expected 10" in warning


@pytest.fixture(scope="module")
def lists(small, tmp_path_factory):
    """The corpus with lists of two speakers each, and one of them all."""
    small()
    (root,) = (folder for folder in (small.folder / ".cache" / "corpus").iterdir() if is_whole(folder))
    folder = tmp_path_factory.mktemp("lists")
    trials = [line.split() for line in (root / "trials.txt").read_text().splitlines()]
    corpus = read_kaldi(KaldiConfig(root=str(root)))
    who = {utterance.id: utterance.speaker for utterance in corpus.test}
    first = set(corpus.models[:2])
    for name, chosen in (("dev", first), ("eval", set(corpus.models[2:])), ("all", set(corpus.models))):
        own = [trial for trial in trials if trial[0] in chosen and who[trial[1]] in chosen]
        (root / f"{name}.txt").write_text("".join(" ".join(trial) + "\n" for trial in own))
    (folder / "lists.yaml").write_text(RECIPE.replace(RECIPE.splitlines()[2], f"corpus: {{kind: kaldi, root: {root}}}"))
    return folder / "lists.yaml"


def is_whole(folder):
    return (
        len(list((folder / "lists" / "background").iterdir())) > 0
        and (folder / "trials.txt").exists()
        and (len((folder / "lists" / "background" / "utt2spk").read_text().splitlines()) == 48)
    )


def test_a_development_list_calibrates_the_others(small, lists):
    keys = ["corpus.trials=[dev.txt, eval.txt]", "calibration.on=dev"]
    done = run(lists, overrides=keys, results=small.folder, engine=Engine("serial"))
    table = read_rows(done.folder / "scores.csv")
    development = [tuple(line.split()[:2]) for line in lists_of(lists, "dev")]
    own = [row for row in table if (row["model"], row["test"]) in development]
    calibration = load_calibration(json.loads((done.folder / "calibration.json").read_text())["calibration"])
    target, nontarget = sides(own, "score")
    # The slope of the prior-weighted objective is 0 where it is least.
    llrs = [np.array(side) * calibration.weights[0] + calibration.offset for side in (target, nontarget)]
    slope = np.mean(-1 / (1 + np.exp(llrs[0]))) + np.mean(1 / (1 + np.exp(-llrs[1])))
    assert abs(slope) < 1e-6
    assert done.metrics["calibration"]["trained_on"] == "the trials of dev"


def lists_of(recipe, name):
    root = load_recipe(recipe).corpus.root
    with open(f"{root}/{name}.txt") as stream:  # noqa: PTH123
        return stream.read().splitlines()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["corpus.trials=[dev.txt, all.txt]", "calibration.on=dev"], "the list dev and those evaluated"),
        (["corpus.trials=[all.txt]", "calibration.on=all"], "it is the only list"),
        (["corpus.trials=[all.txt]", "calibration.on=other"], "expected background, or one of the lists all"),
    ],
)
def test_training_on_what_is_evaluated_is_refused_unless_asked_for(small, lists, keys, message):
    with pytest.raises(CorpusError, match=message):
        run(lists, overrides=keys, results=small.folder, engine=Engine("serial"))
    if "other" not in keys[1]:
        keys = [*keys, "calibration.allow_evaluated=true"]
        assert run(lists, overrides=keys, results=small.folder, engine=Engine("serial")).metrics["calibration"]


@pytest.mark.parametrize("shared", [False, True])
def test_s_normalisation_is_the_mean_of_two_standardised_scores(small, lists, tmp_path, shared):
    keys = ["normalisation.method=s"]
    if shared:  # enrolled speakers are in the cohort, but for the model's own
        root = shutil.copytree(load_recipe(lists).corpus.root, tmp_path / "shared")
        for name in ("wav.scp", "utt2spk"):
            with (root / "lists" / "background" / name).open("a") as stream:
                stream.write((root / "lists" / "enrol" / name).read_text())
        keys.append(f"corpus.root={root}")
    done = run(lists, overrides=keys, results=small.folder, engine=Engine("serial"))
    recipe = load_recipe(lists, keys)
    corpus = read_kaldi(recipe.corpus)
    ubm = load_gmm(done.folder / "ubm.safetensors")
    frames = {
        utterance.id: extract(read_audio(utterance.path)[0], recipe.features)
        for role in ("background", "enrol", "test")
        for utterance in corpus.role(role)
    }

    def models(utterances):
        own = {}
        for utterance in utterances:
            own.setdefault(utterance.speaker, []).append(frames[utterance.id])
        return {
            who: map_adapt(ubm, accumulate(ubm, np.concatenate(parts)), relevance_factor=10)
            for who, parts in own.items()
        }

    speakers, cohort = models(corpus.enrol), models(corpus.background)
    config = ScoringConfig()

    def scores(some, utterances):
        return score_matrix(list(some.values()), ubm, [frames[each.id] for each in utterances], config)

    raw, z, t = (
        scores(speakers, corpus.test),
        scores(speakers, corpus.background),
        scores(cohort, corpus.test),
    )
    expected = np.empty_like(raw)
    for row, model in enumerate(speakers):
        own_z = z[row, [each.speaker != model for each in corpus.background]]
        own_t = t[[other != model for other in cohort]]
        assert (len(own_z), len(own_t)) == ((48 + 6, 15) if shared else (48, 12))
        by_model = (raw[row] - own_z.mean()) / own_z.std()
        by_test = (raw[row] - own_t.mean(axis=0)) / own_t.std(axis=0)
        expected[row] = (by_model + by_test) / 2
    column = {utterance.id: number for number, utterance in enumerate(corpus.test)}
    for row in read_rows(done.folder / "scores.csv"):
        place = list(speakers).index(row["model"]), column[row["test"]]
        assert float(row["score"]) == pytest.approx(expected[place], abs=1e-3)


@pytest.mark.parametrize("method", ["z", "t", "zt", "tz", "as"])
def test_every_normalisation_runs_and_only_what_it_needs(small, method):
    done = small(f"normalisation.method={method}", f"name=norm-{method}")
    titles = {stage["stage"] for stage in json.loads((done.folder / "provenance.json").read_text())["stages"]}
    own = {title for title in titles if "half" not in title}
    assert ("scores of the cohort's utterances" in own) == (method != "t")
    assert ("scores of the cohort's models" in own) == (method != "z")
    assert ("scores of the cohort by itself" in own) == (method in ("zt", "tz"))
    assert done.metrics["calibration"]


def test_bad_keys_are_named(small):
    for key, message in (
        ("calibration.method=logistc", "did you mean logistic"),
        ("calibration.p_target=1.5", "calibration.p_target"),
        ("normalisation.method=q", "normalisation.method"),
        ("calibration.onn=x", "did you mean on"),
    ):
        with pytest.raises(RecipeError, match=message):
            small(key)


@pytest.fixture(scope="module")
def fused(small):
    """Two systems of the small corpus, and a recipe that lists them."""
    corpus = next(line for line in RECIPE.splitlines() if line.startswith("corpus"))
    for name, n_components in (("four", 4), ("eight", 8)):
        text = f"{corpus}\nubm: {{n_components: {n_components}, n_iterations: 3}}\nseed: 5\n"
        (small.folder / f"{name}.yaml").write_text(text)
    (small.folder / "both.yaml").write_text(
        f"{corpus}\nsystems: [four.yaml, eight.yaml]\nevaluation: {{dcf: [sre08]}}\n"
    )

    def fused(*overrides, recipe="both.yaml"):
        return run(small.folder / recipe, overrides=overrides, results=small.folder, engine=Engine("serial"))

    return fused


def test_the_scores_of_systems_are_added_and_calibrated_together(fused):
    both = read_rows(fused().folder / "scores.csv")
    alone = [read_rows(fused("seed=0", recipe=f"{name}.yaml").folder / "scores.csv") for name in ("four", "eight")]
    for together, first, second in zip(both, *alone, strict=True):
        assert float(together["score"]) == pytest.approx(float(first["score"]) + float(second["score"]))
    stored = json.loads((fused().folder / "calibration.json").read_text())
    weights = stored["calibration"]["weights"]
    assert len(weights) == 2
    assert weights[0] == weights[1]
    for row in both:
        llr = weights[0] * float(row["score"]) + stored["calibration"]["offset"]
        assert float(row["llr"]) == pytest.approx(llr, abs=1e-9)


def test_systems_may_have_weights_that_are_learnt(fused):
    folder = fused("calibration.systems=trained", "name=trained").folder
    weights = json.loads((folder / "calibration.json").read_text())["calibration"]["weights"]
    assert weights[0] != weights[1]


def test_the_models_of_each_system_are_left_and_stages_are_shared(fused):
    done = fused("seed=3", "name=third")
    for name, n_components in (("four", 4), ("eight", 8)):
        assert load_gmm(done.folder / "systems" / name / "ubm.safetensors").n_components == n_components
    report = (done.folder / "report.html").read_text()
    assert "4 speakers enrolled against background models of 4 and 8 Gaussians from 12 speakers" in report
    assert "The scores are fused from 2 systems: four, eight." in report
    stages = json.loads((done.folder / "provenance.json").read_text())["stages"]
    features = [stage["digest"] for stage in stages if stage["stage"].startswith("features")]
    assert len(features) == 6
    assert len(set(features)) == 3


def test_a_run_of_one_system_leaves_no_models_of_several(fused):
    folder = fused("name=reused").folder
    (folder / "systems" / "four" / "notes.txt").write_text("mine")
    assert fused("name=reused", recipe="four.yaml").folder == folder
    assert [path.name for path in (folder / "systems").rglob("*") if path.is_file()] == ["notes.txt"]


def test_the_resolved_recipe_of_a_fusion_gives_the_same_bytes(fused, tmp_path):
    first = fused("name=again").folder
    names = ("scores.csv", "metrics.json", "calibration.json", "recipe.yaml")
    files = [(first / name).read_bytes() for name in names]
    (tmp_path / "again.yaml").write_bytes((first / "recipe.yaml").read_bytes())
    second = run(tmp_path / "again.yaml", results=first.parent, engine=Engine("serial")).folder
    assert second == first
    assert files == [(second / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("systems: [four.yaml, eight.yaml]\nubm: {n_components: 4}", "ubm: systems have their own"),
        ("systems: [four.yaml]", "four alone; expected two or more"),
        ("systems: [four.yaml, four.yaml]", "a second system by the name of four"),
        ("systems: [four.yaml, nowhere.yaml]", "nowhere.yaml"),
        ("systems: [four.yaml, bad.yaml]", "bad lists systems itself"),
        ("systems: four.yaml", "expected a list"),
    ],
)
def test_systems_that_make_no_sense_are_refused(fused, small, text, message):
    corpus = next(line for line in RECIPE.splitlines() if line.startswith("corpus"))
    (small.folder / "bad.yaml").write_text(f"{corpus}\n{text}\n")
    with pytest.raises(RecipeError, match=message):
        fused(recipe="bad.yaml")


def test_systems_of_other_voices_are_run_on_those_of_the_recipe(fused, small):
    (small.folder / "other.yaml").write_text(
        "corpus: {kind: synthetic, seed: 9}\nubm: {n_components: 4, n_iterations: 3}\n"
    )
    text = (small.folder / "both.yaml").read_text().replace("four.yaml", "{base: other.yaml, name: four}")
    (small.folder / "mixed.yaml").write_text(text)
    again = fused(recipe="mixed.yaml").folder
    assert (again / "scores.csv").read_bytes() == (fused().folder / "scores.csv").read_bytes()


def test_a_normalised_run_leaves_the_cohort_that_a_gallery_takes(small, tmp_path):
    assert not (small("name=plain").folder / "cohort.safetensors").exists()
    folder = small("normalisation.method=s", "name=normalised").folder
    assert len(load_cohort(folder / "cohort.safetensors").frames) == 48
    result = CliRunner().invoke(app, ["gallery", "create", str(folder), "--out", str(tmp_path / "team")])
    assert result.exit_code == 0, result.output
    gallery = Gallery(tmp_path / "team")
    assert gallery.config.calibrated
    assert gallery.cohort is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["calibration.method=pav", "calibration.p_target=0.1"], "p_target 0.1 is for method logistic"),
        (["calibration.method=none", "calibration.on=dev"], "on: there is no calibration with method none"),
    ],
)
def test_keys_of_a_calibration_that_would_have_no_effect_are_refused(small, keys, message):
    with pytest.raises(RecipeError, match=message):
        small(*keys)


def test_pav_has_no_weights_to_learn(fused):
    with pytest.raises(RecipeError, match=r"calibration\.systems trained is for method logistic"):
        fused("calibration.method=pav", "calibration.systems=trained")


def test_a_first_model_that_may_know_everybody_calibrates_nothing(small):
    first = small().folder / "ubm.safetensors"
    done = small(f"ubm.initial_model={first}", "name=known")
    assert done.metrics["calibration"] is None
    assert f"initial_model {first} may know the speakers of both halves" in done.warnings[0]
    corpus = next(line for line in RECIPE.splitlines() if line.startswith("corpus"))
    (small.folder / "alone.yaml").write_text(
        f"{corpus}\nspeakers: {{method: independent, n_components: 8, n_iterations: 2, initial_model: {first}}}\n"
    )
    done = run(small.folder / "alone.yaml", results=small.folder, engine=Engine("serial"))
    assert f"initial_model {first} may know the speakers of both halves" in done.warnings[0]


def test_trials_without_an_error_and_trials_upside_down_teach_nothing():
    for highest in (0.9, 1.0):  # of equal scores a weight without bound fits too
        with pytest.raises(CorpusError, match="none of 2 target trials scores below any of 3 nontarget trials"):
            calibration_stage.check_overlap(np.array([[1.0], [2.0]]), np.array([[0.0], [0.5], [highest]]))
    calibration_stage.check_overlap(np.array([[1.0], [2.0]]), np.array([[0.0], [1.5]]))
    with pytest.raises(CorpusError, match="0 target and 1 nontarget"):
        calibration_stage.check_overlap(np.zeros((0, 1)), np.zeros((1, 1)))
    with pytest.raises(CorpusError, match=r"are 0\.5, -1; expected a sum above 0"):
        calibration_stage.check_direction(LinearCalibration(weights=(0.5, -1.0)))
    calibration_stage.check_direction(LinearCalibration(weights=(1.0, -0.5)))


@pytest.mark.parametrize("parted_by", ["trained weights", "duration"])
def test_trials_that_only_what_is_learnt_parts_teach_nothing(rng, parted_by):
    target = np.arange(40) < 20
    apart, noise = np.where(target, 1.0, 0.0) + rng.normal(0, 0.1, 40), rng.normal(0, 10.0, 40)
    if parted_by == "duration":
        scores, durations, learnt = noise[:, None], apart - noise / 10, {"duration": True}
    else:
        scores, durations, learnt = np.stack([apart, noise], axis=1), np.zeros(40), {"systems": "trained"}
    calibration_stage.check_overlap(scores[target], scores[~target])
    recipe = Recipe(name="small", corpus=SyntheticConfig(), calibration=CalibrationSection(**learnt))
    with pytest.raises(CorpusError, match="none of 20 target trials scores below any of 20 nontarget"):
        calibration_stage.train_on(recipe, LabelledScores(scores, target, durations), "them")


def test_a_half_chooses_as_large_a_share_of_its_cohort(small, monkeypatch):
    seen = []
    real = cross_fitting.build_system

    def spy(recipe, *others):
        seen.append(recipe.normalisation.top_n)
        return real(recipe, *others)

    monkeypatch.setattr(cross_fitting, "build_system", spy)
    small("normalisation={method: as, top_n: 8}", "name=half")
    assert seen == [4, 4]


def test_systems_share_what_all_of_them_have():
    first = ScoreMatrix(("a", "b", "c"), ("1", "2"), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    second = ScoreMatrix(("c", "a"), ("2", "3", "1"), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    one, other = restrict_to_common([first, second])
    assert one.models == other.models == ("a", "c")
    assert one.tests == other.tests == ("1", "2")
    assert one.matrix.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert other.matrix.tolist() == [[6.0, 4.0], [3.0, 1.0]]


def test_speakers_keep_an_utterance_for_tests_and_both_halves_get_those_who_have_two():
    def of(name, n_utterances):
        return [Utterance(f"{name}-{number}", name, "") for number in range(n_utterances)]

    enrol, test = cross_fitting._enrolment({"a": of("a", 5), "b": of("b", 2), "c": of("c", 1)}, 3)
    assert [each.id for each in enrol] == ["a-0", "a-1", "a-2", "b-0"]
    assert [each.id for each in test] == ["a-3", "a-4", "b-1"]
    some = {f"s{number}": of(f"s{number}", 2 if number < 10 else 1) for number in range(30)}
    for seed in range(5):
        halves = cross_fitting._halves(some, np.random.default_rng(seed))
        assert [sum(len(own) > 1 for own in half.values()) for half in halves] == [5, 5]
        assert [len(half) for half in halves] == [15, 15]
        assert not halves[0].keys() & halves[1].keys()
    with pytest.raises(CorpusError, match="30 speakers of the background model, 9 with two utterances or more"):
        cross_fitting._halves({**some, "s0": of("s0", 1)}, np.random.default_rng(0))
