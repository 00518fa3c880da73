"""Backgrounds of too few speakers for a cohort: what a run does, what `check` says, and what is refused."""

import pytest

from helpers.recipes import synthetic_corpus, write_recipe
from speechgmm import load_recipe, run
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import ModelError
from speechgmm.gallery.gallery import Gallery
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.results.earlier import differences_from
from speechgmm.recipe.results.gallery import gallery_of_results
from speechgmm.recipe.stages.small_cohorts import without_small_cohorts

SERIAL = Engine("serial")
TINY = "ubm: {n_components: 2, n_iterations: 1}\nevaluation: {bootstrap: 0}\n"
SHRUNK = f"{TINY}normalisation: {{method: zt}}\n"
PLAIN = f"{TINY}normalisation: {{method: tz}}\n"
NOTE = "2 background speakers, too few for a cohort: the scores are not normalised"


def corpus_of(*background, enrolled="ab"):
    utterances = [Utterance(f"{name}-{number}", name, "x.wav") for number, name in enumerate(background)]
    enrol, test = tuple(Utterance(name, name, "x.wav") for name in enrolled), (Utterance("t", "a", "y.wav"),)
    return Corpus(tuple(utterances), enrol, test, {"trials": (Trial("a", "t", target=True),)})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Kaldi lists of three enrolled speakers and two others."""
    folder = tmp_path_factory.mktemp("few")
    config = SyntheticConfig(n_speakers=3, n_background=2, n_background_utterances=2, n_enrol=1, n_test=1, seconds=2.0)
    assert list(write_recordings(config, folder))
    return folder


def recipe_of(recordings, text, name="few"):
    return write_recipe(recordings, f"corpus: {{kind: kaldi, root: .}}\n{text}", f"{name}.yaml")


@pytest.mark.parametrize(
    ("method", "background", "enrolled", "is_left"),
    [  # each model, and for zt each speaker of the cohort, needs two others; z is content with one of two utterances
        ("zt", "xxyyzz", "ab", False),
        ("zt", "xxyy", "ab", True),
        ("s", "xxyy", "ab", False),
        ("s", "xx", "ab", True),
        ("z", "xx", "ab", False),
        ("t", "abb", "ab", True),  # whose own recordings are not in their cohort
        ("zt", "abc", "abc", False),
        ("zt", "aa", "a", True),
    ],
)
def test_scores_are_left_where_a_model_has_no_cohort(method, background, enrolled, is_left, tmp_path):
    recipe = load_recipe(write_recipe(tmp_path, f"{synthetic_corpus()}\nnormalisation: {{method: {method}}}\n"))
    corpus = corpus_of(*background, enrolled=enrolled)
    taken, noted = without_small_cohorts(recipe, corpus)
    assert taken.normalisation.method == ("none" if is_left else method)
    assert len(noted.notes) == is_left


def test_each_system_is_left_by_itself(tmp_path):
    systems = "[{name: a, normalisation: {method: zt}}, {name: b, normalisation: {method: s}}, {name: c}]"
    recipe = load_recipe(write_recipe(tmp_path, f"{synthetic_corpus()}\nsystems: {systems}\n"))
    taken, noted = without_small_cohorts(recipe, corpus_of(*"xxyy"))
    assert [system.normalisation.method for system in taken.systems] == ["none", "s", "none"]
    assert noted.notes == ("2 background speakers, too few for a cohort: the scores of a are not normalised",)


def test_a_run_says_so_once_and_its_results_are_of_the_same_recipe(recordings, tmp_path):
    path = recipe_of(recordings, SHRUNK)
    done = run(path, results=tmp_path, engine=SERIAL)
    assert [warning for warning in done.warnings if "cohort" in warning] == [NOTE]
    assert load_recipe(done.folder / "recipe.yaml").normalisation.method == "none"
    assert done.metrics["calibration"]["prior"] == "shipped"
    assert differences_from(done.folder, load_recipe(path)) == ""
    assert "normalisation.method: none -> z" in differences_from(
        done.folder, load_recipe(path, ["normalisation={method: z, shrinkage: 0}"])
    )
    assert run(path, results=tmp_path, engine=SERIAL).previous is None
    gallery = gallery_of_results(done.folder, tmp_path / "gallery")
    assert isinstance(gallery, Gallery)
    assert gallery.recognisers[0].systems[0].cohort is None


def test_check_says_beforehand_what_a_run_does(recordings):
    report = check_recipe(load_recipe(recipe_of(recordings, SHRUNK)), SERIAL)
    assert NOTE in [item for finding in report.findings for item in finding.items]
    assert report.count("error") == 0


def test_plain_statistics_of_a_small_cohort_are_refused_with_what_to_do(recordings, tmp_path):
    one = recipe_of(recordings, PLAIN)
    (found,) = [each for each in check_recipe(load_recipe(one), SERIAL).findings if each.severity == "error"]
    assert found.what == "normalisation"
    with pytest.raises(ModelError) as refused:
        run(one, results=tmp_path, engine=SERIAL)
    assert found.items == (str(refused.value),)
    assert str(refused.value).endswith("add background speakers, or --set normalisation.method=none")
    systems = "systems: [{name: a, normalisation: {method: tz}}, {name: b}]\n"
    several = recipe_of(recordings, systems, "several")
    (found,) = [each for each in check_recipe(load_recipe(several), SERIAL).findings if each.severity == "error"]
    assert found.items[0].startswith("systems.a.normalisation.method tz: the cohort of ")
    assert found.items[0].endswith("or --set systems.a.normalisation.method=none")
    assert load_recipe(several, ["systems.a.normalisation.method=none"]).systems[0].normalisation.method == "none"


def test_one_enrolled_speaker_without_a_background_is_run(recordings, tmp_path):
    files = sorted((recordings / "f001").glob("*.flac"))
    rows = [f"{file},f001,{role}" for file, role in zip(files, ("enrol", "test"), strict=True)]
    (tmp_path / "utterances.csv").write_text("\n".join(["path,speaker,role", *rows, ""]))
    path = write_recipe(tmp_path, f"corpus: {{kind: csv, root: .}}\n{SHRUNK}")
    done = run(path, results=tmp_path / "results", engine=SERIAL)
    assert any(warning.startswith("1 background speaker, too few for a cohort") for warning in done.warnings)
    assert done.metrics["trials"]["trials"]["n_unscored"] == 0


def test_folds_without_a_cohort_are_refused_before_any_system_is_trained(tmp_path):
    config = SyntheticConfig(n_speakers=2, n_background=4, n_background_utterances=2, n_enrol=1, n_test=1, seconds=1.0)
    assert list(write_recordings(config, tmp_path))
    done = run(recipe_of(tmp_path, SHRUNK), results=tmp_path / "results", engine=SERIAL)
    assert (
        "the scores are calibrated by the map that comes with speechgmm alone, because the background gives no trials: "
        "4 speakers of the background leave 2 without a fold, too few for the cohort of normalisation.method zt"
    ) in done.warnings
    assert not any("fold" in stage.title for stage in done.stages)
