"""Results of another recipe under the same name: the run that replaces them says so, and keeps them beside its own."""

import errno
import shutil
from io import StringIO

import pytest
from filelock import FileLock
from rich.console import Console

from helpers.commands import speechgmm
from helpers.recipes import synthetic_corpus
from speechgmm import load_recipe, open_results, run
from speechgmm.errors import CorpusError, ResultsError
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.inventory import list_entries, prune
from speechgmm.recipe.layout import RESULTS_LOCK_PREFIX
from speechgmm.recipe.results.earlier import differences_from
from speechgmm.recipe.series.points import load_series
from speechgmm.recipe.series.sweep import run_series

SERIAL = Engine("serial")
TINY = f"""\
name: tiny
{synthetic_corpus(n_speakers=2, n_background=2, n_background_utterances=1, n_enrol=1, n_test=1)}
ubm: {{n_components: 4, n_iterations: 2}}
evaluation: {{bootstrap: 10}}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a recipe and its results, without report."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "tiny.yaml").write_text(TINY)
    run(folder / "tiny.yaml", results=folder / "results", engine=SERIAL, until_stage="evaluation")
    return folder


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    """A copy of it, in the current folder."""
    copy = shutil.copytree(whole, tmp_path / "place")
    monkeypatch.chdir(copy)
    return copy


def rerun(*overrides, until="evaluation", **options):
    return run("tiny.yaml", overrides=overrides, engine=SERIAL, until_stage=until, **options)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_times(files):
    return {name: data for name, data in files.items() if name not in ("log.txt", "provenance.json")}


def test_results_of_another_recipe_are_kept_and_the_keys_are_named(place):
    before = content(place / "results" / "tiny")
    (place / "results" / "tiny" / "notes.txt").write_text("mine")
    seen = StringIO()
    overrides = ["ubm.n_components=8", "seed=3", "scoring.top_components=2", "ubm.n_iterations=3"]
    done = rerun(*overrides, console=Console(file=seen, width=50))
    assert done.previous == place / "results" / "tiny.previous"
    assert content(done.previous) == before
    assert seen.getvalue() == (
        "note: results/tiny had results of another recipe (seed: 0 -> 3, ubm.n_components: 4 -> 8, "
        "ubm.n_iterations: 2 -> 3 and 1 more): they are kept in results/tiny.previous\n"
    )
    assert "kept in results/tiny.previous" in (done.folder / "log.txt").read_text()
    assert (done.folder / "notes.txt").read_text() == "mine"
    assert [open_results(path).recipe.seed for path in (done.previous, done.folder)] == [0, 3]
    compared = speechgmm("compare", "results/tiny.previous", "results/tiny")
    assert compared.exit_code == 0, compared.stderr
    assert ["seed", "0", "3"] in [line.split() for line in compared.output.splitlines()]
    assert not list((place / "results").glob(".writing-*"))


def test_a_rerun_of_the_same_recipe_keeps_nothing_and_gives_the_same_bytes(place):
    before = content(rerun().folder)
    done = rerun()
    assert done.previous is None
    after = content(done.folder)
    assert without_times(after) == without_times(before)
    assert {path.name for path in (place / "results").iterdir()} == {".cache", "tiny"}


def test_a_fresh_run_and_one_that_replaces_give_the_same_bytes(place):
    replaced = content(rerun("seed=3").folder)
    shutil.rmtree(place / "results" / "tiny")
    assert without_times(content(rerun("seed=3").folder)) == without_times(replaced)


def test_only_one_generation_is_kept_and_that_is_said(place):
    rerun("seed=1")
    second = content(place / "results" / "tiny")
    seen = StringIO()
    rerun("seed=2", console=Console(file=seen))
    assert seen.getvalue().endswith("(seed: 1 -> 2): they are kept in results/tiny.previous, in place of older ones\n")
    assert content(place / "results" / "tiny.previous") == second


def test_a_run_that_is_stopped_has_kept_them_and_the_next_one_keeps_nothing_else(place, monkeypatch):
    before = content(place / "results" / "tiny")

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("speechgmm.recipe.stages.ubm.save_gmm", stop)
        with pytest.raises(KeyboardInterrupt):
            rerun("seed=3")
    assert content(place / "results" / "tiny.previous") == before
    assert rerun("seed=3").previous is None
    assert content(place / "results" / "tiny.previous") == before
    assert open_results("results/tiny").recipe.seed == 3


@pytest.mark.parametrize("moment", ["rename", "rmtree"])
def test_at_every_moment_they_are_somewhere(place, monkeypatch, moment):
    before = content(place / "results" / "tiny")
    rerun("seed=1")
    rerun()  # `before` is in its place again, and the folder for earlier ones holds others

    def die(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patched:
        if moment == "rename":
            patched.setattr("pathlib.Path.rename", die)
        else:
            patched.setattr("speechgmm.recipe.running.runner.clear_results", die)
        with pytest.raises(SystemExit):
            rerun("seed=2")
    for name in ("scores.csv", "metrics.json", "recipe.yaml"):
        kept = [place / "results" / folder / name for folder in ("tiny", "tiny.previous")]
        assert before[name] in [path.read_bytes() for path in kept if path.is_file()]


def test_a_corpus_that_cannot_be_read_leaves_them_as_they_were(place):
    (place / "other.yaml").write_text("name: tiny\ncorpus: {kind: kaldi, root: nowhere}\n")
    before = content(place / "results")
    with pytest.raises(CorpusError):
        run("other.yaml", engine=SERIAL)
    assert content(place / "results") == before


def test_another_run_that_writes_them_keeps_its_place(place):
    before = content(place / "results" / "tiny")
    lock = place / "results" / ".cache" / ".locks" / f"{RESULTS_LOCK_PREFIX}results-tiny"
    with FileLock(lock), pytest.raises(ResultsError, match="another run is writing these results; wait for it, or"):
        rerun("seed=3")
    assert content(place / "results" / "tiny") == before
    assert not (place / "results" / "tiny.previous").exists()


@pytest.mark.parametrize("found", ["notes", "a run of that name", "a link"])
def test_a_folder_that_holds_something_else_is_not_replaced(place, found):
    previous = place / "results" / "tiny.previous"
    if found == "notes":
        previous.mkdir()
        (previous / "notes.txt").write_text("mine")
    elif found == "a run of that name":
        rerun("name=tiny.previous")
    else:
        previous.symlink_to(place / "results" / "tiny")
    before = content(place / "results")
    with pytest.raises(ResultsError, match=r"^results/tiny\.previous: not earlier results of tiny.*seed: 0 -> 3"):
        rerun("seed=3")
    assert content(place / "results") == before


@pytest.mark.parametrize("name", ["recipe.yaml", "scores.csv", "data.csv"])
def test_a_folder_of_the_user_is_not_taken_for_results(place, name):
    (place / "tiny").mkdir()
    (place / "tiny" / name).write_text("mine")
    with pytest.raises(ResultsError, match=rf"^tiny: {name} there, and not of a run"):
        rerun(results=".")
    assert content(place / "tiny") == {name: b"mine"}


def test_the_recipe_of_results_can_be_run_and_outlives_a_run_that_is_stopped(place, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("speechgmm.recipe.running.runner.write_results", stop)
        with pytest.raises(KeyboardInterrupt):
            run("results/tiny/recipe.yaml", engine=SERIAL)
    done = run("results/tiny/recipe.yaml", engine=SERIAL, until_stage="evaluation")
    assert done.previous is None
    assert open_results(done.folder).recipe == load_recipe("tiny.yaml")


def test_keys_that_an_earlier_version_did_not_have_are_no_difference(place):
    path = place / "results" / "tiny" / "recipe.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(("  bootstrap:", "  relevance_factor:"))))
    recipe = load_recipe("tiny.yaml", ["evaluation.bootstrap=1000"])
    assert differences_from(path.parent, recipe) == ""
    assert differences_from(path.parent, load_recipe("tiny.yaml", ["evaluation.bootstrap=9"])) == (
        "evaluation.bootstrap: 1000 -> 9"
    )


def test_a_recipe_that_another_version_wrote_counts_as_another(place):
    path = place / "results" / "tiny" / "recipe.yaml"
    path.write_text(f"{path.read_text()}flux_capacitor: 1\n")
    assert "another version" in differences_from(path.parent, load_recipe("tiny.yaml"))
    assert rerun().previous


def test_sections_that_only_one_of_the_recipes_has_differ(place):
    alone = place / "alone.yaml"
    alone.write_text(f"{TINY.partition('ubm:')[0]}speakers: {{method: independent, n_components: 2}}\n")
    assert "speakers.method: map -> independent" in differences_from(place / "results" / "tiny", load_recipe(alone))
    fused = place / "fused.yaml"
    fused.write_text("name: tiny\nsystems: [one.yaml, two.yaml]\n" + TINY.splitlines()[1] + "\n")
    for name in ("one", "two"):
        (place / f"{name}.yaml").write_text("ubm: {n_components: 4}\n")
    assert "systems[0].name: null -> one" in differences_from(place / "results" / "tiny", load_recipe(fused))


def test_another_name_is_no_other_recipe(place):
    shutil.copytree(place / "results" / "tiny", place / "results" / "copy")
    assert rerun("name=copy").previous is None


def test_a_run_up_to_an_early_stage_mixes_no_two_recipes(place):
    before = content(place / "results" / "tiny")
    done = rerun("features.n_cepstra=12", until="features")
    assert content(done.previous) == before
    assert {path.name for path in done.folder.iterdir() if path.is_file()} == {"log.txt", "skipped.csv"}
    assert {path.name for path in rerun(until="features").folder.iterdir()} >= {"log.txt", "skipped.csv"}


def test_a_run_that_is_not_complete_is_not_offered_for_comparison(place):
    shown = speechgmm("run", "tiny.yaml", "--set", "seed=3", "--until", "corpus").stdout
    assert shown.endswith("earlier results of this name, of another recipe: results/tiny.previous\n")


def test_where_they_cannot_be_kept_the_message_names_where_they_should_be(place, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "somewhere")

    before = content(place / "results" / "tiny")
    monkeypatch.setattr("speechgmm.recipe.results.earlier._link", refuse)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/results/tiny\.previous'$"):
        rerun("seed=3")
    assert content(place / "results" / "tiny") == before


def test_without_links_on_the_file_system_they_are_copied(place, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    before = content(place / "results" / "tiny")
    monkeypatch.setattr("os.link", refuse)
    assert content(rerun("seed=3").previous) == before


def test_what_earlier_results_use_is_not_pruned(place):
    before = {entry.folder for entry in list_entries()}
    rerun("seed=3")
    assert prune(list_entries()) == ()
    assert before <= {entry.folder for entry in list_entries() if "tiny.previous" in entry.used_by}


def test_points_and_the_table_of_an_earlier_series_are_kept(place):
    def sweep(*overrides):
        return run_series(load_series("tiny.yaml", ["ubm.n_components=2,4", *overrides]), engine=SERIAL)

    sweep()
    series = place / "results" / "tiny"
    table, point = (series / "sweep.csv").read_bytes(), (series / "n_components-2" / "metrics.json").read_bytes()
    assert all(outcome.reused for outcome in sweep())
    assert not (series / "sweep.previous.csv").exists()
    assert not any(outcome.reused for outcome in sweep("seed=1"))
    sweep("seed=1")
    assert (series / "sweep.previous.csv").read_bytes() == table
    assert (series / "n_components-2.previous" / "metrics.json").read_bytes() == point
