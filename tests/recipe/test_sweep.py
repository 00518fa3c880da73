"""Series of experiments: their points, what they share, what fails in them, and their table."""

import os

import numpy as np
import pytest
from pydantic import ValidationError

from helpers.commands import speechgmm
from helpers.paths import ROOT
from helpers.recipes import SMALL, synthetic_corpus, write_recipe
from helpers.tables import read_rows
from speechgmm.errors import RecipeError
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.running.runner import run
from speechgmm.recipe.schema.sweep import RandomConfig, RandomValues, SweepConfig, draw_points
from speechgmm.recipe.series.points import load_series, short_names, split_values
from speechgmm.recipe.series.sweep import run_series

SERIAL = Engine("serial")
TINY = f"""\
name: tiny
{synthetic_corpus(n_speakers=2, n_background=2, n_background_utterances=1, n_enrol=1, n_test=1)}
ubm: {{n_components: 4, n_iterations: 2}}
evaluation: {{dcf: [sre10, sre08], bootstrap: 10}}
"""
GRID = "sweep:\n  grid:\n    ubm.n_components: [2, 4]\n    speakers.relevance_factor: [4, 16]\n"


@pytest.fixture
def tiny(tmp_path):
    """Write a recipe, perhaps with a sweep."""

    def write(sweep=""):
        (tmp_path / "tiny.yaml").write_text(TINY + sweep)
        return tmp_path / "tiny.yaml"

    return write


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A series of four that has run, the largest of them in vain."""
    folder = tmp_path_factory.mktemp("series")
    (folder / "tiny.yaml").write_text(TINY + GRID.replace("[2, 4]", "[2, 99999]"))
    told = []
    series = load_series(folder / "tiny.yaml", ["ubm.weight_floor=0"])
    outcomes = run_series(series, results=folder / "results", engine=SERIAL, on_outcome=told.append)
    return folder, series, outcomes, told


def test_a_grid_is_each_with_each_the_last_fastest():
    config = SweepConfig(grid={"a.b": [1, 2], "c": ["x", [3, 4]]})
    assert draw_points(config) == (
        {"a.b": 1, "c": "x"}, {"a.b": 1, "c": [3, 4]}, {"a.b": 2, "c": "x"}, {"a.b": 2, "c": [3, 4]},
    )  # fmt: skip


def test_a_list_is_taken_as_it_stands():
    assert draw_points(SweepConfig(list=[{"a": 1}, {"b.c": None}])) == ({"a": 1}, {"b.c": None})


def test_random_points_are_the_seeds_within_their_ranges_and_the_first_of_more():
    keys = {
        "a.choice": RandomValues(choices=["x", "y"]),
        "a.whole": RandomValues(low=2, high=4),
        "a.real": RandomValues(low=0.5, high=1.5),
        "a.log": RandomValues(low=1, high=1000, log=True),
    }
    drawn = draw_points(SweepConfig(random=RandomConfig(n=400, seed=3, keys=keys)))
    assert drawn[:7] == draw_points(SweepConfig(random=RandomConfig(n=7, seed=3, keys=keys)))
    assert drawn[:7] != draw_points(SweepConfig(random=RandomConfig(n=7, seed=4, keys=keys)))
    assert {point["a.choice"] for point in drawn} == {"x", "y"}
    assert {point["a.whole"] for point in drawn} == {2, 3, 4}
    real = np.array([point["a.real"] for point in drawn])
    assert (real.min() >= 0.5, real.max() <= 1.5, abs(real.mean() - 1.0) < 0.05) == (True, True, True)
    logs = [point["a.log"] for point in drawn]
    assert all(isinstance(each, int) and 1 <= each <= 1000 for each in logs)
    # floor of a log-uniform number from 1 to 1001: below 32 with log(32) / log(1001) = 0.5016
    assert abs(np.mean([each < 32 for each in logs]) - 0.5016) < 3 * 0.5 / np.sqrt(400)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "nothing given; expected one of grid, list and random"),
        ({"grid": {"a": [1]}, "list": [{"a": 1}]}, "grid, list; expected one of"),
        ({"grid": {}}, "at least 1"),
        ({"grid": {"a": []}}, "at least 1"),
        ({"grid": {"a..b": [1]}}, "should match"),
        ({"random": {"n": 0, "keys": {"a": {"choices": [1]}}}}, "greater than or equal to 1"),
        ({"random": {"n": 1, "keys": {"a": {"low": 1}}}}, "expected choices, or low below high"),
        ({"random": {"n": 1, "keys": {"a": {"low": 1, "high": 1}}}}, "expected choices, or low below high"),
        ({"random": {"n": 1, "keys": {"a": {"low": 0, "high": 1, "log": True}}}}, "expected more than 0, with log"),
        ({"random": {"n": 1, "keys": {"a": {"choices": [1], "low": 0}}}}, "expected not both"),
    ],
)
def test_a_sweep_without_meaning_is_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        SweepConfig.model_validate(config)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("32", ["32"]),
        ("32, 64,128", ["32", "64", "128"]),
        ("[means],[means, variances]", ["[means]", "[means, variances]"]),
        ("{a: 1, b: 2},3", ["{a: 1, b: 2}", "3"]),
        ("'a,b',\"c,d\"", ["'a,b'", '"c,d"']),
    ],
)
def test_values_are_parted_by_the_commas_outside(text, values):
    assert split_values(text) == values


def test_short_names_tell_keys_apart():
    assert short_names(["ubm.n_iterations", "speakers.n_iterations", "ubm.n_components"]) == {
        "ubm.n_iterations": "ubm.n_iterations",
        "speakers.n_iterations": "speakers.n_iterations",
        "ubm.n_components": "n_components",
    }
    of_systems = {
        "systems.lfcc.ubm.n_components": "lfcc.n_components",
        "systems.v1.2.features.vad.method": "v1.2.method",
        "systems.ubm.scoring": "ubm.scoring",
        "calibration.systems": "systems",
    }
    assert short_names([*of_systems]) == of_systems
    both = ["systems.a.features.deltas.window", "systems.a.features.normalisation.window"]
    assert short_names(both) == dict(zip(both, both, strict=True))


def test_a_key_of_one_system_has_its_name_in_folders(tmp_path):
    systems = "systems: [{name: a, ubm: {n_components: 2}}, {name: b, ubm: {n_components: 2}}]"
    path = write_recipe(tmp_path, f"{SMALL}{systems}\n")
    series = load_series(path, ["systems.a.ubm.n_components=2,4", "systems.b.ubm.n_components=8"])
    assert [point.name for point in series.points] == ["a.n_components-2", "a.n_components-4"]


def test_what_is_typed_is_put_on_each_point_and_over_its_keys(tiny):
    path = tiny(GRID)
    series = load_series(path, ["ubm.n_components=8", "scoring.top_components=1,null", "seed=5"])
    assert series.keys == ("speakers.relevance_factor", "scoring.top_components")
    assert [point.name for point in series.points] == [
        "relevance_factor-4_top_components-1", "relevance_factor-4_top_components-null",
        "relevance_factor-16_top_components-1", "relevance_factor-16_top_components-null",
    ]  # fmt: skip
    for point in series.points:
        assert (point.recipe.ubm.n_components, point.recipe.seed, point.recipe.sweep) == (8, 5, None)
        assert str(point.recipe.speakers.relevance_factor).removesuffix(".0") == point.values[series.keys[0]]
    assert [point.recipe.scoring.top_components for point in series.points[:2]] == [1, None]


def test_equal_points_are_one_and_names_stay_apart(tiny):
    series = load_series(tiny(), ["ubm.n_components=2,2,4"])
    assert [point.name for point in series.points] == ["n_components-2", "n_components-4"]
    adapt = [f"speakers.adapt={text}" for text in ("[means],[ means ],[means, weights]",)]
    names = [point.name for point in load_series(tiny(), adapt).points]
    assert len(set(names)) == 3
    assert names[2] == "adapt-means-weights"


def test_names_that_differ_in_capitals_only_stay_apart(tiny):
    sets = ["corpus={kind: kaldi, root: A},{kind: kaldi, root: a}"]
    names = [point.name.lower() for point in load_series(tiny(), sets).points]
    assert len({*names}) == 2


def test_a_list_may_hold_sections_with_paths_beside_the_recipe(tiny, tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text("n_cepstra: 13\n")
    monkeypatch.chdir(os.sep)
    sweep = "sweep:\n  list:\n  - {}\n  - features: own.yaml\n  - features: {base: own.yaml, n_cepstra: 12}\n"
    series = load_series(tiny(sweep))
    assert [point.recipe.features.n_cepstra for point in series.points] == [24, 13, 12]
    assert series.points[0].name == "as-it-is"


def test_what_is_wrong_everywhere_is_told_once_with_its_line_before_anything_runs(tiny):
    path = tiny(GRID.replace("n_components", "n_componets"))
    with pytest.raises(RecipeError) as caught:
        load_series(path)
    assert str(caught.value).splitlines() == [f"{path}:7:5: ubm.n_componets: unknown key; did you mean n_components?"]
    with pytest.raises(RecipeError, match=r"tiny\.yaml:7:5: ubm\.n_components: 'many'; expected"):
        load_series(tiny(GRID.replace("[2, 4]", "[2, many]")))
    with pytest.raises(RecipeError, match=r"--set speakers.adapt=\[medians\]: speakers\.adapt"):
        load_series(tiny(GRID), ["speakers.adapt=[means],[medians]"])
    with pytest.raises(RecipeError, match="nothing makes a series of it"):
        load_series(tiny(), ["seed=3"])
    with pytest.raises(RecipeError, match=r"tiny\.yaml:6:3: sweep\.gird: unknown key; did you mean grid\?"):
        load_series(tiny(GRID.replace("grid", "gird")))


def test_one_that_is_wrong_is_told_beforehand_and_is_no_reason_not_to_run_the_others(tiny):
    series = load_series(tiny(GRID.replace("[2, 4]", "[1000000, 4]")), ["speakers.relevance_factor=4"])
    wrong, right = series.points
    assert (wrong.recipe, right.problem) == (None, "")
    assert "weight_floor" in wrong.problem


def test_a_failing_point_is_reported_and_the_others_are_in_the_table(whole):
    folder, series, outcomes, told = whole
    assert list(outcomes) == told
    assert [outcome.metrics is None for outcome in outcomes] == [False, False, True, True]
    table = read_rows(folder / "results" / "tiny" / "sweep.csv")
    assert [row["member"] for row in table] == [point.name for point in series.points]
    assert [row["status"] for row in table] == ["done", "done", "failed", "failed"]
    assert [row["ubm.n_components"] for row in table] == ["2", "2", "99999", "99999"]
    for row, outcome in zip(table[:2], outcomes, strict=False):
        own = outcome.metrics["trials"]["trials"]
        assert float(row["trials.eer"]) == own["eer"]
        assert float(row["trials.min_dcf.sre10"]) == own["min_dcf"]["sre10"]
        assert float(row["identification"]) == outcome.metrics["identification"]["rate"]
    assert "n_components 99999 is more than the" in table[2]["reason"]
    assert table[2]["trials.eer"] == ""
    log = (folder / "results" / "tiny" / table[2]["member"] / "log.txt").read_text()
    assert "Traceback" in log


def test_points_that_fail_for_the_same_reason_share_a_line(tmp_path):
    for name in ("x.wav", "a.wav", "b.wav"):
        (tmp_path / name).write_text(f"{name} is no audio")
    rows = ["path,speaker,role", "x.wav,x,background", "a.wav,ann,enrol", "b.wav,ann,test"]
    (tmp_path / "utterances.csv").write_text("\n".join(rows))
    (tmp_path / "bad.yaml").write_text(f"corpus: {{kind: csv, root: {tmp_path}}}")
    done = speechgmm(
        "sweep", tmp_path / "bad.yaml", "--set", "seed=0,1", "--results", tmp_path / "results", "--engine", "serial"
    )
    (failed,) = (line for line in done.stdout.splitlines() if line.startswith("failed: "))
    assert failed.startswith("failed: seed-0, seed-1: there is nothing to train the UBM on: none of 1 utterances")
    assert done.exit_code == 3


def test_points_are_what_they_would_be_alone_and_share_what_they_can(whole, tmp_path):
    folder, series, _, _ = whole
    point = series.points[1]
    alone = run(point.recipe, results=tmp_path, engine=SERIAL).folder
    for name in ("scores.csv", "metrics.json", "recipe.yaml", "speakers.safetensors"):
        assert (alone / name).read_bytes() == (folder / "results" / "tiny" / point.name / name).read_bytes()
    cache = folder / "results" / ".cache"
    shared = {
        stage: len(list((cache / stage).glob("[!.]*[!k]"))) for stage in ("corpus", "features", "ubm", "speakers")
    }
    assert shared == {"corpus": 1, "features": 3, "ubm": 1, "speakers": 2}
    assert not (folder / "results" / "tiny" / ".cache").exists()


def test_a_series_goes_on_where_it_was_and_gives_the_same_table(whole):
    folder, series, outcomes, _ = whole
    place = folder / "results" / "tiny"
    before = (place / "sweep.csv").read_bytes()
    (place / series.points[0].name / "report.html").unlink()  # what a run writes last
    again = run_series(series, results=folder / "results", engine=SERIAL)
    assert [outcome.reused for outcome in again] == [False, True, False, False]
    assert again[1].warnings == outcomes[1].warnings
    assert (place / "sweep.csv").read_bytes() == before


def test_results_that_say_too_little_are_made_again(whole):
    folder, series, _, _ = whole
    place = folder / "results" / "tiny"
    (place / series.points[0].name / "provenance.json").write_text("{}")
    (place / series.points[1].name / "provenance.json").write_text("[]")
    again = run_series(series, results=folder / "results", engine=SERIAL)
    assert [outcome.reused for outcome in again[:2]] == [False, False]


def test_another_recipe_is_run_again(whole):
    folder, series, _, _ = whole
    other = load_series(folder / "tiny.yaml", ["ubm.weight_floor=0", "ubm.n_components=2,99999", "seed=1"])
    kept = run_series(series, results=folder / "results", engine=SERIAL)
    changed = run_series(other, results=folder / "results", engine=SERIAL)
    assert (kept[0].reused, changed[0].reused) == (True, False)


def test_a_series_is_no_single_run(tiny):
    with pytest.raises(RecipeError, match="a series of experiments; run it with: speechgmm sweep"):
        run(tiny(GRID), engine=SERIAL)


def test_the_shipped_series_has_twelve_points():
    series = load_series(ROOT / "recipes" / "so762_sweep.yaml")
    assert len(series.points) == 12
    assert all(point.recipe for point in series.points)
