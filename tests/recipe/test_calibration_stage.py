"""Normalisation and calibration as parts of a recipe."""

import json
import shutil

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from typer.testing import CliRunner

import naive
from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm import accumulate, extract, load_gmm, map_adapt, read_audio, run, score_matrix
from speechgmm.cli import app
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError, RecipeError
from speechgmm.evaluation.metrics import act_dcf, cllr, eer, min_dcf
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import read_decision_errors
from speechgmm.gallery.gallery import Gallery
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import CalibrationSection
from speechgmm.recipe.stages import calibration as calibration_stage
from speechgmm.recipe.stages.calibration import LabelledScores
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, restrict_to_common
from speechgmm.scoring.calibration import LinearCalibration, load_calibration
from speechgmm.scoring.calibration_prior import EVIDENCE_OF_SPEAKER, CalibrationPrior
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
    # 12 speakers in folds of 6, whose tests are tried against each of the 6
    assert stored["n_nontarget"] == 5 * stored["n_target"]
    assert 12 <= stored["n_target"] <= 36  # one to three of four utterances are tests
    assert (stored["n_speakers"], stored["folds"], stored["prior"]) == (12, 2, "shipped")
    numbers = done.metrics["trials"]["trials"]
    llrs, raw = sides(table, "llr"), sides(table, "score")
    assert numbers["cllr"] == pytest.approx(cllr(*llrs))
    assert numbers["cllr_uncalibrated"] == pytest.approx(cllr(*raw))
    assert numbers["eer"] == pytest.approx(eer(*raw))
    assert numbers["act_dcf"]["voxceleb"] == pytest.approx(act_dcf(*llrs, "voxceleb"))
    assert numbers["act_dcf"]["voxceleb"] >= min_dcf(*llrs, "voxceleb")
    assert done.metrics["calibration"]["n_target"] == stored["n_target"]
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


@pytest.mark.parametrize("prior", ["none", "wide"])
def test_a_development_list_calibrates_the_others(small, lists, prior):
    keys = ["corpus.trials=[dev.txt, eval.txt]", "calibration.on=dev", f"calibration.prior={prior}"]
    done = run(lists, overrides=keys, results=small.folder, engine=Engine("serial"))
    table = read_rows(done.folder / "scores.csv")
    development = [tuple(line.split()[:2]) for line in lists_of(lists, "dev")]
    own = [row for row in table if (row["model"], row["test"]) in development]
    calibration = load_calibration(json.loads((done.folder / "calibration.json").read_text())["calibration"])
    target, nontarget = ([[score] for score in side] for side in sides(own, "score"))
    found = np.array([calibration.weights[0], calibration.offset])
    # The slope of the objective is 0 where it is least.
    if prior == "none":
        slope = approx_fprime(found, lambda at: naive.weighted_cost(at[:1], at[1], target, nontarget, 0.5), 1e-7)
    else:
        evidence = 2 * EVIDENCE_OF_SPEAKER
        known = naive.wide_prior(target, nontarget)
        slope = approx_fprime(found, naive.posterior_cost, 1e-7, target, nontarget, 0.5, evidence, *known, 1)
    assert np.abs(slope).max() < 1e-5
    facts = {"trained_on": "the trials of dev", "n_speakers": 2, "n_target": len(target), "n_nontarget": len(nontarget)}
    assert facts.items() <= done.metrics["calibration"].items()
    assert "folds" not in done.metrics["calibration"]


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


@pytest.mark.parametrize(("shared", "shrinkage"), [(False, 10), (True, 10), (False, 0)])
def test_s_normalisation_is_the_mean_of_two_standardised_scores(small, lists, tmp_path, shared, shrinkage):
    keys = [f"normalisation={{method: s, shrinkage: {shrinkage}}}"]
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
    first = {each.speaker: each for each in reversed(corpus.background)}
    by_itself = scores(cohort, [first[who] for who in cohort])  # the first utterance of each speaker
    others = [[number for number in range(len(cohort)) if number != own] for own in range(len(cohort))]
    reference = {  # what the statistics of few speakers are drawn towards
        "z": mean_statistics([by_itself[own, others[own]] for own in range(len(cohort))]),
        "t": mean_statistics([by_itself[others[own], own] for own in range(len(cohort))]),
    }
    expected = np.empty_like(raw)
    for row, model in enumerate(speakers):
        own_z = z[row, [each.speaker != model for each in corpus.background]]
        own_t = t[[other != model for other in cohort]]
        assert (len(own_z), len(own_t)) == ((48 + 6, 15) if shared else (48, 12))
        by_model = (raw[row] - own_z.mean()) / own_z.std()
        by_test = (raw[row] - own_t.mean(axis=0)) / own_t.std(axis=0)
        if shrinkage:
            kept = len(own_t) / (len(own_t) + shrinkage)
            by_model = standardised(raw[row], own_z.mean(), own_z.std(), kept, *reference["z"])
            by_test = standardised(raw[row], own_t.mean(axis=0), own_t.std(axis=0), kept, *reference["t"])
        expected[row] = (by_model + by_test) / 2
    column = {utterance.id: number for number, utterance in enumerate(corpus.test)}
    for row in read_rows(done.folder / "scores.csv"):
        place = list(speakers).index(row["model"]), column[row["test"]]
        assert float(row["score"]) == pytest.approx(expected[place], abs=1e-3)


def mean_statistics(scores):
    """The mean of the centres of scores, and that of the logarithms of their deviations."""
    return np.mean([each.mean() for each in scores]), np.mean([np.log(each.std()) for each in scores])


def standardised(score, mean, deviation, kept, usual_mean, usual_log):
    """A score over statistics that keep this weight against the usual ones."""
    centre = kept * mean + (1 - kept) * usual_mean
    return (score - centre) / np.exp(kept * np.log(deviation) + (1 - kept) * usual_log)


@pytest.mark.parametrize("method", ["z", "t", "zt", "tz", "as"])
def test_every_normalisation_runs_and_only_what_it_needs(small, method):
    done = small(f"normalisation.method={method}", f"name=norm-{method}")
    titles = {stage["stage"] for stage in json.loads((done.folder / "provenance.json").read_text())["stages"]}
    own = {title for title in titles if "fold" not in title}
    assert ("scores of the cohort's utterances" in own) == (method != "t")
    assert ("scores of the cohort's models" in own) == (method != "z")
    assert ("scores of the cohort by itself" in own) == (method != "as")  # whose statistics are not drawn anywhere
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
    assert gallery.recognisers[0].systems[0].cohort is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["calibration.method=pav", "calibration.p_target=0.1"], "p_target 0.1 is for method logistic"),
        (["calibration.method=none", "calibration.on=dev"], "on: there is no calibration with method none"),
        (["calibration.method=none", "calibration.prior=wide"], "prior: there is no calibration with method none"),
        (["calibration.method=pav", "calibration.prior=wide"], "prior wide is for method logistic; pav has none"),
        (["calibration.on=dev", "calibration.folds=4"], "folds 4 is for calibration on the background"),
    ],
)
def test_keys_of_a_calibration_that_would_have_no_effect_are_refused(small, keys, message):
    with pytest.raises(RecipeError, match=message):
        small(*keys)


def test_pav_has_no_weights_to_learn(fused):
    with pytest.raises(RecipeError, match=r"calibration\.systems trained is for method logistic"):
        fused("calibration.method=pav", "calibration.systems=trained")


def trials_of(target, nontarget, n_speakers=4):
    scores = np.concatenate([target, nontarget])
    scores = scores[:, None] if scores.ndim == 1 else scores
    is_target = np.arange(len(scores)) < len(target)
    return LabelledScores(scores, is_target, np.empty((len(scores), 0)), n_speakers)


def recipe_with(**calibration):
    return Recipe(name="small", corpus=SyntheticConfig(), calibration=CalibrationSection(**calibration))


@pytest.mark.parametrize("highest", [0.9, 1.0])  # of equal scores a weight without bound fits too
def test_trials_without_an_error_are_refused_by_those_who_want_to_know_nothing_else(highest):
    trials = trials_of([1.0, 2.0], [0.0, 0.5, highest])
    with pytest.raises(CorpusError, match="none of 2 target trials scores below any of 3 nontarget trials"):
        calibration_stage.train_on(recipe_with(prior="none"), trials, "them", None)
    assert calibration_stage.train_on(
        recipe_with(prior="none"), trials_of([1.0, 2.0], [0.0, 1.5]), "them", None
    ).calibration
    # with a prior they say a little, the more the more speakers they are of
    sure = [
        calibration_stage.train_on(recipe_with(), trials._replace(n_speakers=n), "them", None).calibration.weights[0]
        for n in (1, 4, 40)
    ]
    assert 0 < sure[0] < sure[1] < sure[2] < 20
    assert calibration_stage.train_on(recipe_with(method="pav"), trials, "them", None).prior is None


def test_trials_of_one_kind_and_trials_upside_down_are_refused():
    prior = CalibrationPrior(np.array([2.0, -3.0]), np.eye(2))
    for known in (None, prior):
        with pytest.raises(CorpusError, match="0 target and 1 nontarget trials have scores; expected some of both"):
            calibration_stage.train_on(recipe_with(), trials_of(np.zeros(0), [1.0]), "them", known)
    with pytest.raises(CorpusError, match=r"the weights that the trials taught are -\d.*; expected a sum above 0"):
        calibration_stage.train_on(recipe_with(), trials_of([0.0, 0.5], [1.0, 2.0]), "them", None)
    with pytest.raises(CorpusError, match=r"are 0\.5, -1; expected a sum above 0"):
        calibration_stage.check_direction(LinearCalibration(weights=(0.5, -1.0)))
    calibration_stage.check_direction(LinearCalibration(weights=(1.0, -0.5)))


@pytest.mark.parametrize("parted_by", ["trained weights", "duration"])
def test_trials_that_only_what_is_learnt_parts_teach_nothing_alone(rng, parted_by):
    target = np.arange(40) < 20
    apart, noise = np.where(target, 1.0, 0.0) + rng.normal(0, 0.1, 40), rng.normal(0, 10.0, 40)
    if parted_by == "duration":
        scores, side, learnt = noise[:, None], (apart - noise / 10)[:, None], {"duration": True}
    else:
        scores, side, learnt = np.stack([apart, noise], axis=1), np.empty((40, 0)), {"systems": "trained"}
    calibration_stage.check_overlap(scores[target], scores[~target])
    trials = LabelledScores(scores, target, side, 10)
    with pytest.raises(CorpusError, match="none of 20 target trials scores below any of 20 nontarget"):
        calibration_stage.train_on(recipe_with(prior="none", **learnt), trials, "them", None)
    assert calibration_stage.train_on(recipe_with(**learnt), trials, "them", None).prior == "wide"


def test_systems_share_what_all_of_them_have():
    first = ScoreMatrix(("a", "b", "c"), ("1", "2"), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    second = ScoreMatrix(("c", "a"), ("2", "3", "1"), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    one, other = restrict_to_common([first, second])
    assert one.models == other.models == ("a", "c")
    assert one.tests == other.tests == ("1", "2")
    assert one.matrix.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert other.matrix.tolist() == [[6.0, 4.0], [3.0, 1.0]]
