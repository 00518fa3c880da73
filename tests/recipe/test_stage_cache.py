"""What runs, what is stored, and what is told of it beforehand."""

import json
import multiprocessing
import shutil
import time
from importlib import metadata

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from speechgmm import run
from speechgmm.cli import app
from speechgmm.cli.run import Stage
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.errors import CorpusError, ResultsError
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.extract import FeatureConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache import memory
from speechgmm.recipe.cache.inventory import list_entries, prune
from speechgmm.recipe.cache.memory import forget_peak, peak_memory
from speechgmm.recipe.cache.outputs import StageCache, StageKey
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.stages import evaluation
from speechgmm.recipe.stages.context import STAGES, StagePlanner
from speechgmm.recipe.stages.evaluation import evaluation_output
from speechgmm.recipe.stages.features import role_features
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, load_scores

RECIPE = f"""
{synthetic_corpus()}
ubm: {{n_components: 4, n_iterations: 2}}
normalisation: {{method: s}}
evaluation: {{bootstrap: 20}}
"""
SERIAL = Engine("serial")
FEATURES = ["features of background", "features of enrol", "features of test"]
COHORT = ["scores of the cohort's utterances", "speakers of the cohort", "scores of the cohort's models"]
COHORT += ["scores of the cohort by itself"]
SYSTEM = ["ubm", "speakers", "scores", *COHORT, "normalisation"]
ENROLMENT = [
    "scores of the enrolment",
    "scores of the cohort's models of the enrolment",
    "normalisation of the enrolment",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recipe whose stages are all stored."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "small.yaml").write_text(RECIPE)
    run(folder / "small.yaml", results=folder, engine=SERIAL)
    return folder


def titles(stages, *, reused):
    return [stage.title for stage in stages if stage.reused == reused]


def folds():
    return [f"{title} of fold {number}" for number in (1, 2) for title in SYSTEM]


def plan_of(folder, *overrides):
    """The titles of what is stored, and why others would run."""
    planned, unknown, _ = plan(load_recipe(folder / "small.yaml", overrides), folder)
    assert not unknown
    stored = [each.output.title for each in planned if each.why is None]
    return stored, {each.output.title: each.why for each in planned if each.why}


ALL = ["corpus", *FEATURES, *SYSTEM, *ENROLMENT, *folds(), "calibration", "evaluation"]


def test_a_plan_of_what_has_run_is_that_all_is_stored(whole):
    assert plan_of(whole) == (ALL, {})


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluation.bootstrap=30", ["evaluation"]),
        ("calibration.p_target=0.1", ["calibration", "evaluation"]),
        ("decision.method=eer", ["calibration", "evaluation"]),
        (
            "normalisation.statistics=median",
            [each for each in ALL if "normalis" in each] + ["calibration", "evaluation"],
        ),
        ("speakers.relevance_factor=4", [each for each in ALL if not each.startswith(("corpus", "features", "ubm"))]),
        ("ubm.n_components=3", [each for each in ALL if not each.startswith(("corpus", "features"))]),
    ],
)
def test_what_is_planned_is_what_runs(whole, override, expected, tmp_path):
    stored, why = plan_of(whole, override)
    assert sorted(why) == sorted(expected)
    assert sorted(stored) == sorted({*ALL} - {*expected})
    done = run(whole / "small.yaml", overrides=[override, "name=other"], results=whole, engine=SERIAL)
    assert sorted(titles(done.stages, reused=False)) == sorted(expected)
    assert sorted(titles(done.stages, reused=True)) == sorted(stored)


def test_a_plan_says_what_is_different(whole, tmp_path):
    _, why = plan_of(whole, "speakers.relevance_factor=5")
    assert "relevance_factor (" in why["speakers"]
    assert "5.0 here)" in why["speakers"]
    assert why["scores"].startswith("stored with other speakers")
    nothing, unknown, _ = plan(load_recipe(whole / "small.yaml"), tmp_path)
    assert [each.why for each in nothing] == ["nothing is stored for this stage"]
    assert unknown == ("features and all after them",)
    assert not [*tmp_path.iterdir()]


def test_a_plan_of_recordings_that_were_not_heard_ends_where_they_matter(whole, tmp_path):
    (recorded,) = (path for path in (whole / ".cache" / "corpus").iterdir())
    (tmp_path / "kaldi.yaml").write_text(
        RECIPE.replace(RECIPE.splitlines()[1], f"corpus: {{kind: kaldi, root: {recorded}}}")
    )
    planned, unknown, _ = plan(load_recipe(tmp_path / "kaldi.yaml"), tmp_path / "results")
    assert [each.output.title for each in planned] == FEATURES + SYSTEM + ENROLMENT
    assert unknown == ("calibration", "evaluation")


@pytest.mark.parametrize("stage", ["corpus", "features", "ubm", "speakers", "scores", "normalisation", "calibration"])
def test_from_a_stage_on_all_is_made_anew_and_the_same(whole, stage):
    before = (whole / "small" / "scores.csv").read_bytes()
    of_stage = {each: next(name for name in STAGES if each.startswith(name)) for each in ALL}
    again = {title for title, name in of_stage.items() if STAGES.index(name) >= STAGES.index(stage)}
    done = run(whole / "small.yaml", results=whole, engine=SERIAL, from_stage=stage)
    assert {*titles(done.stages, reused=False)} == again
    assert {*titles(done.stages, reused=True)} == {*ALL} - again
    assert (whole / "small" / "scores.csv").read_bytes() == before


def test_until_a_stage_only_what_it_needs_is_done(whole, tmp_path):
    expected = {
        "corpus": ["corpus"],
        "features": ["corpus", *FEATURES],
        "ubm": ["corpus", *FEATURES, "ubm"],
        "speakers": ["corpus", *FEATURES, "ubm", "speakers"],
        "normalisation": ["corpus", *FEATURES, *SYSTEM],
        "calibration": ALL[:-1],
    }
    for stage, done in expected.items():
        left = run(whole / "small.yaml", overrides=["name=until"], results=whole, engine=SERIAL, until_stage=stage)
        assert [each.title for each in left.stages] == done
        assert left.metrics == {}
        assert not (left.folder / "metrics.json").exists()
    numbers = run(
        whole / "small.yaml", overrides=["name=until"], results=whole, engine=SERIAL, until_stage="evaluation"
    )
    assert numbers.metrics["trials"]
    assert not (numbers.folder / "report.html").exists()
    with pytest.raises(ValueError, match="stage 'ubms'; expected one of corpus, features"):
        run(whole / "small.yaml", results=whole, until_stage="ubms")


def test_a_corpus_that_is_not_there_leaves_earlier_results(whole):
    folder = whole / "small"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "log.txt"}
    assert {"metrics.json", "report.html", "scores.csv"} <= set(before)
    corpus = "corpus={kind: folder, root: nowhere, protocol: {background: 0.5}}"
    with pytest.raises(CorpusError, match="nowhere: no such folder"):
        run(whole / "small.yaml", overrides=[corpus], results=whole, engine=SERIAL)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_the_command_line_knows_the_stages(whole):
    assert [each.value for each in Stage] == [*STAGES]
    common = [str(whole / "small.yaml"), "--results", str(whole), "--engine", "serial"]
    stopped = CliRunner().invoke(app, ["run", *common, "--until", "ubm"])
    assert stopped.exit_code == 0
    assert "ubm: stored before, in " in stopped.output
    both = CliRunner().invoke(app, ["run", *common, "--force", "--from", "ubm"])
    assert both.exit_code == 2
    assert "--force and --from ubm: expected one of them" in both.output
    crossed = CliRunner().invoke(app, ["run", *common, "--from", "scores", "--until", "ubm"])
    assert crossed.exit_code == 2
    assert "--from scores is after --until ubm: nothing would be rerun" in crossed.output
    shown = CliRunner().invoke(app, ["show", str(whole / "small.yaml"), "--results", str(whole), "--json"])
    stages = json.loads(shown.output)["stages"]
    assert [each["stage"] for each in stages] == ALL
    assert all(each["stored"] for each in stages)
    plain = CliRunner().invoke(
        app, ["show", str(whole / "small.yaml"), "--results", str(whole), "--set", "calibration.p_target=0.3"]
    )
    assert "calibration" in plain.output
    assert "would run: stored with other calibration.p_target (" in plain.output


def test_nothing_that_results_rest_on_is_pruned(tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    recipe = tmp_path / "small.yaml"
    run(recipe, results=tmp_path, engine=SERIAL)
    run(recipe, overrides=["ubm.n_components=3"], results=tmp_path, engine=SERIAL)  # takes the first one's place
    shutil.rmtree(tmp_path / "small.previous")  # where the first one's results are kept
    left = tmp_path / ".cache" / "ubm" / ".unfinished-0123"
    left.mkdir()
    (left / "state").write_bytes(bytes(1000))
    listed = list_entries(tmp_path)
    assert {each.state for each in listed} == {"whole", "unfinished"}
    assert {each.used_by for each in listed} == {("small",), ()}
    removed = CliRunner().invoke(app, ["cache", "--results", str(tmp_path), "--prune"])
    unused = [each for each in listed if not each.used_by]
    # Of each of three trainings: a background model, and all after it. Features are used still.
    assert {each.stage for each in unused if each.state == "whole"} == {"ubm", *STAGES[7:-1]}
    assert f"{len(unused)} removed, {sum(each.size for each in unused) / 1e6:,.1f} MB freed" in removed.output
    assert list_entries(tmp_path) == tuple(each for each in listed if each.used_by)
    done = run(recipe, overrides=["ubm.n_components=3"], results=tmp_path, engine=SERIAL)
    assert not titles(done.stages, reused=False)
    shown = CliRunner().invoke(app, ["cache", "--results", str(tmp_path), "--json"])
    assert {each["stage"] for each in json.loads(shown.output)} == {*STAGES[:3], *STAGES[7:-1]}


def make(root, started, go_on, made):
    """Make an output slowly, in a process of its own."""

    def slowly(folder):
        started.set()
        go_on.wait(20)
        (folder / "out").write_text("made")
        made.value += 1

    StageCache(root).get_or_run(StageKey("ubm", 1, {"key": 1}), slowly)


def test_two_runs_make_an_output_once(tmp_path):
    spawn = multiprocessing.get_context("fork")
    started, go_on, made = spawn.Event(), spawn.Event(), spawn.Value("i", 0)
    both = [spawn.Process(target=make, args=(tmp_path, started, go_on, made)) for _ in range(2)]
    for process in both:
        process.start()
    assert started.wait(20)
    unfinished = [each for each in list_entries(tmp_path.parent) if each.folder.is_relative_to(tmp_path)]
    assert not unfinished  # another folder's cache
    time.sleep(0.2)  # the other one comes to the lock
    go_on.set()
    for process in both:
        process.join(20)
        assert process.exitcode == 0
    assert made.value == 1


def hold(recipe, results, until):
    """Run as another process does, and stop in its middle for a while."""
    import speechgmm.recipe.graph.experiment as graph

    def waiting(*_):
        until[0].set()
        until[1].wait(20)
        raise SystemExit(0)

    graph.extract_roles = waiting
    run(recipe, results=results, engine=SERIAL)


def test_two_runs_of_one_name_do_not_write_the_same_results(whole):
    fork = multiprocessing.get_context("fork")
    until = fork.Event(), fork.Event()
    other = fork.Process(target=hold, args=(whole / "small.yaml", whole, until))
    other.start()
    assert until[0].wait(20)
    with pytest.raises(ResultsError, match="another run is writing these results"):
        run(whole / "small.yaml", results=whole, engine=SERIAL)
    with pytest.raises(ResultsError, match="small: a run is writing these results; prune when it has ended"):
        prune(list_entries(whole))
    until[1].set()
    other.join(20)
    run(whole / "small.yaml", results=whole, engine=SERIAL)


def test_what_is_being_made_is_not_pruned(tmp_path):
    cache = StageCache(tmp_path / ".cache")

    def making(folder):
        (stored,) = list_entries(tmp_path)
        assert stored.state == "unfinished"
        cache.unfinished(StageKey("ubm", 1, {"key": 1})).mkdir()  # what it may go on from
        assert len(list_entries(tmp_path)) == 2
        assert prune(list_entries(tmp_path)) == ()
        (folder / "out").write_text("made")

    StageCache(tmp_path / ".cache").get_or_run(StageKey("ubm", 1, {"key": 1}), making)
    assert [each.state for each in list_entries(tmp_path)] == ["whole"]


def test_what_is_made_anew_goes_on_from_nothing(tmp_path):
    cache = StageCache(tmp_path, frozenset({"ubm"}))
    unfinished = cache.unfinished(StageKey("ubm", 1, {}))
    unfinished.mkdir(parents=True)
    left = []
    cache.get_or_run(StageKey("ubm", 1, {}), lambda _: left.append(unfinished.exists()))
    assert left == [False]


def test_an_output_is_made_anew_once_in_a_run(tmp_path):
    made = []
    cache = StageCache(tmp_path, frozenset({"ubm"}))
    assert [cache.get_or_run(StageKey("ubm", 1, {}), made.append).reused for _ in range(3)] == [False, True, True]
    assert len(made) == 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "below" / "a").write_text("B"), "below/a is not as it was written"),
        (lambda folder: (folder / "below" / "a").unlink(), "below/a is missing"),
        (lambda folder: (folder / "more").touch(), "more is not as it was written"),
        (lambda folder: alter(folder / "stage.json", seconds=1e6), "stage.json is not as it was written"),
        (lambda folder: alter(folder / "stage.json", digests={}), "stage.json is not as it was written"),
        (lambda folder: (folder / "stage.json").write_text("{}"), "stage.json is not readable, or of a version that"),
    ],
)
def test_whatever_has_changed_in_an_output_is_found_and_made_again(tmp_path, damage, told):
    def write(folder):
        (folder / "below").mkdir()
        (folder / "below" / "a").write_text("A")

    folder = StageCache(tmp_path).get_or_run(StageKey("ubm", 1, {}), write).folder
    before = sorted(path.name for path in folder.rglob("*"))
    damage(folder)
    assert StageCache(tmp_path).lookup(StageKey("ubm", 1, {})) is None
    assert told in StageCache(tmp_path).explain_miss(StageKey("ubm", 1, {}))
    again = StageCache(tmp_path).get_or_run(StageKey("ubm", 1, {}), write)
    assert (again.reused, told in again.damage) == (False, True)
    assert (folder / "below" / "a").read_text() == "A"
    assert sorted(path.name for path in folder.rglob("*")) == before


def alter(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_outputs_of_other_stages_versions_and_inputs_lie_apart(tmp_path):
    cache = StageCache(tmp_path)
    keys = [StageKey(*each) for each in (("ubm", 1, {}), ("ubm", 2, {}), ("ubm", 1, {"a": 1}), ("scores", 1, {}))]
    assert len({cache.locate(key) for key in keys}) == 4
    assert len({key.digest for key in keys}) == 4


def test_the_most_similar_output_says_what_is_different(tmp_path):
    cache = StageCache(tmp_path)
    for a, b in ((1, 1), (2, 2), (3, 3)):
        cache.get_or_run(StageKey("ubm", 1, {"config": {"a": a, "b": b}}), lambda _: None)
    wanted = StageKey("ubm", 1, {"config": {"a": 2, "b": 9}})
    assert cache.explain_miss(wanted) == "stored with other b (2 there, 9 here)"


def test_what_has_become_whole_meanwhile_is_not_pruned(tmp_path):
    listed = []

    def making(folder):
        listed.extend(list_entries(tmp_path))
        (folder / "out").write_text("made")

    StageCache(tmp_path / ".cache").get_or_run(StageKey("ubm", 1, {"key": 1}), making)
    assert [each.state for each in listed] == ["unfinished"]
    assert prune(listed) == ()
    assert [each.state for each in list_entries(tmp_path)] == ["whole"]


def test_the_numbers_depend_on_seed_labels_and_speakers(tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "small.yaml")
    context = StagePlanner(StageCache(tmp_path / ".cache"))

    def planned(model="ann", test="bob", target=False, seed=0):
        enrol = (Utterance("a", model, "a.wav", model="m"), Utterance("b", "bob", "b.wav"))
        corpus = Corpus((), enrol, (Utterance("t", test, "t.wav"),), {"trials": (Trial("m", "t", target),)})
        seeded = recipe.model_copy(update={"seed": seed})
        return evaluation_output(seeded, corpus, (), None, None, pytest.fail, context).digest

    assert planned() == planned()
    others = planned(model="eve"), planned(test="eve"), planned(target=True), planned(seed=1)
    assert len({planned(), *others}) == 5


def test_features_depend_on_the_part_of_a_file_and_the_channel(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"a")
    context = StagePlanner(StageCache(tmp_path / ".cache"))

    def planned(**part):
        utterance = Utterance("a", "ann", str(tmp_path / "a.wav"), **part)
        return role_features("features", [utterance], FeatureConfig(), context).features.digest

    assert planned() == planned(session="monday")
    assert len({planned(), planned(start=1.0), planned(end=1.0), planned(channel=1), planned(channel="mean")}) == 5


def test_scores_of_several_groups_are_in_the_order_of_names(tmp_path):
    for folder, models, scores in (("f", ["ann", "eve"], [[1.0], [3.0]]), ("m", ["bob"], [[2.0]])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scores.json").write_text(json.dumps({"models": models, "tests": ["t"]}))
        np.save(tmp_path / folder / "scores.npy", np.array(scores))
    found = load_scores([tmp_path / "f", tmp_path / "m"])
    assert found.models == ("ann", "bob", "eve")
    assert found.matrix.tolist() == [[1.0], [2.0], [3.0]]


def test_provenance_says_what_made_the_results(whole):
    run(whole / "small.yaml", results=whole, engine=SERIAL)
    facts = json.loads((whole / "small" / "provenance.json").read_text())
    assert {"platform", "versions", "created", "git", "seed", "warnings", "stages"} <= facts.keys()
    assert facts["versions"]["numba"] == metadata.version("numba")
    assert {"speechgmm", "python", "numpy", "blas"} <= facts["versions"].keys()
    for stage in facts["stages"]:
        assert stage["seconds"] >= 0
        assert stage["made_at"].startswith("20")
        assert stage["peak_memory"] is None or 1e7 < stage["peak_memory"] < 1e11


def test_the_peak_is_that_of_the_process_that_held_most(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROCESSES", tmp_path)
    for process, peak in (("self", 100), ("7", 300), ("8", 200)):
        (tmp_path / process).mkdir()
        (tmp_path / process / "status").write_text(f"Name:\tpython\nVmHWM:\t  {peak} kB\nVmRSS:\t 9 kB\n")
    (tmp_path / "self" / "task" / "1").mkdir(parents=True)
    (tmp_path / "self" / "task" / "1" / "children").write_text("7 8 9 ")  # the last has ended
    assert peak_memory() == 300 * 1024


def test_the_peak_of_memory_is_that_since_it_was_forgotten():
    if peak_memory() is None:
        pytest.skip("this system does not tell the peak of memory")
    forget_peak()
    before = peak_memory()
    held = bytearray(b"x") * 200_000_000
    assert peak_memory() - before > 1.5e8
    del held
    forget_peak()
    assert peak_memory() - before < 1.5e8


def test_a_calibration_that_was_refused_is_stored_with_its_reason(tmp_path, monkeypatch):
    def refuse(*_):
        raise CorpusError("they tell nothing")

    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.setattr("speechgmm.recipe.stages.calibration.check_direction", refuse)
    first = run(tmp_path / "small.yaml", results=tmp_path, engine=SERIAL)
    monkeypatch.undo()
    again = run(tmp_path / "small.yaml", results=tmp_path, engine=SERIAL)
    for done in (first, again):
        refused, few = done.warnings
        assert refused == "the scores are not calibrated: they tell nothing"
        assert few.startswith("fewer than 30 target or nontarget trials with scores, too few to say much, in the list")
        assert done.metrics["calibration"] is None
        assert not (done.folder / "calibration.json").exists()
    assert not titles(again.stages, reused=False)
    assert plan_of(tmp_path) == (ALL, {})


def test_until_a_stage_leaves_earlier_results_as_they_are(whole):
    run(whole / "small.yaml", overrides=["name=kept"], results=whole, engine=SERIAL)
    before = (whole / "kept" / "metrics.json").read_bytes()
    run(whole / "small.yaml", overrides=["name=kept"], results=whole, engine=SERIAL, until_stage="scores")
    assert (whole / "kept" / "metrics.json").read_bytes() == before


def test_a_model_is_identified_by_its_speaker_whatever_it_is_called():
    utterances = [Utterance(f"{who}-1", who, "", model=model) for who, model in (("a", "A"), ("b", "B"), ("c", "C1"))]
    more = Utterance("c-2", "c", "", model="C2")
    tests = tuple(Utterance(f"{who}-t", who, "") for who in "abcd")
    trials = {"trials": (Trial("A", "a-t", True),)}
    corpus = Corpus((), (*utterances, more), tests, trials)
    matrix = np.array([[2.0, 0.0, 9.0, 0.0], [1.0, -1.0, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0], [0.0, -3.0, 0.0, 0.0]])
    scores = ScoreMatrix(("A", "B", "C1", "C2"), tuple(each.id for each in tests), matrix)
    # c has two models and d has none; of a and b, a is right (2 > 1) and b is not (0 > -1).
    config = EvaluationConfig(bootstrap=0)
    assert evaluation._identification(corpus, scores, config, 0) == {
        **{"n_tests": 2, "n_models": 4, "n_unscored": 0, "rate": 0.5, "cmc": [0.5, 1.0, 1.0, 1.0]},
        # d scores 0 at most, a scores 2, and b is not identified
        "open_set": {"n_known": 2, "n_unknown": 1, "dir_at_fa": {"0.01": 0.5, "0.1": 0.5}},
        "intervals": None,
    }
    found = evaluation._identification(corpus, scores, EvaluationConfig(bootstrap=500), 0)
    assert found["intervals"]["rate"] == (0.0, 1.0)
    assert list(found["intervals"]["dir_at_fa"]) == ["0.01", "0.1"]
    no_models = ScoreMatrix(("C1", "C2"), scores.tests, scores.matrix[2:])
    assert evaluation._identification(corpus, no_models, config, 0) == {
        **{"n_tests": 0, "n_models": 2, "n_unscored": 2, "rate": None},
        **dict.fromkeys(("cmc", "open_set", "intervals")),
    }
