"""The sample rate of features, which recipes leave to the corpus unless they state it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.commands import speechgmm
from speechgmm import FeatureConfig, Recipe, load_recipe, run
from speechgmm.errors import RecipeError
from speechgmm.features.store.writing import Source
from speechgmm.gmm.storage import read_header
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.reading.loader import dump_recipe, load_features
from speechgmm.recipe.reading.origins import list_origins
from speechgmm.recipe.results.earlier import differences_from
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.running.vectors import write_recipe_vectors
from speechgmm.recipe.schema.rates import at_rate, follows_corpus
from speechgmm.recipe.series.points import load_series
from speechgmm.recipe.series.sweep import run_series
from speechgmm.recipe.stages.rates import at_rates_of

SERIAL = Engine("serial")
SMALL = "ubm: {n_components: 2, n_iterations: 1}\ncalibration: {method: none}\nevaluation: {bootstrap: 0}\n"
ROLES = [("x", "background"), ("y", "background"), *((s, role) for s in "ab" for role in ("enrol", "test"))]


@pytest.fixture
def write(tmp_path, rng, monkeypatch):
    """Write six recordings, at one rate or at a rate each, and a recipe for them."""
    monkeypatch.chdir(tmp_path)

    def write(*rates, text="", name="r"):
        rows = ["path,speaker,role"]
        for (speaker, role), rate in zip(ROLES, rates if len(rates) > 1 else rates * 6, strict=True):
            rows.append(f"{speaker}-{role}.wav,{speaker},{role}")
            loudness = np.where(np.arange(rate) < rate // 2, 0.001, 0.1)  # half of it passes for speech
            soundfile.write(tmp_path / f"{speaker}-{role}.wav", rng.normal(0, loudness), rate)
        (tmp_path / "utterances.csv").write_text("\n".join(rows))
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"corpus: {{kind: csv, root: .}}\n{SMALL}{text}")
        return path

    return write


def taken(path, overrides=()):
    """What the features of a recipe take from its recordings: the rate, the upper edge, whether they are resampled."""
    features = plan(load_recipe(path, overrides), path.parent).resolved.recipe.features
    return features.sample_rate, features.high_frequency, features.resample


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([16000], (16000, None, False)),  # 95 % of half the rate, 7600 Hz
        ([8000], (8000, 3700, False)),
        ([6000], (6000, 2700, False)),
        ([44100], (44100, 7600, False)),
        ([44100, 16000, 16000, 16000, 16000, 16000], (16000, None, True)),
        ([44100, 48000, 22050, 22050, 22050, 22050], (16000, None, True)),
        ([44100, 16000, 16000, 11025, 16000, 16000], (8000, 3700, True)),
        ([8000, 16000, 16000, 16000, 16000, 16000], (8000, 3700, True)),
        ([8000, 16000, 16000, 16000, 16000, 6000], (6000, 2700, True)),
    ],
    ids=str,
)
def test_features_have_the_rate_of_the_corpus_or_one_that_all_recordings_reach(rates, expected, write):
    path = write(*rates)
    assert taken(path) == expected
    assert taken(path, ["features.sample_rate=auto"]) == expected
    top = 7600 if expected[1] is None else expected[1]
    assert taken(path, ["features=mfcc72"]) == (expected[0], top, expected[2])


def test_keys_that_are_set_stay(write):
    path = write(8000)
    assert taken(path, ["features.high_frequency=3900"])[:2] == (8000, 3900)
    assert taken(path, ["features.high_frequency=4000"])[:2] == (8000, 4000)
    assert taken(path, ["features.high_frequency=4001"])[:2] == (8000, 3700)
    assert taken(path, ["features.sample_rate=16000"]) == (16000, None, False)
    assert taken(path, ["features.resample=true"]) == (16000, None, True)  # as before the rate was the corpus's
    assert taken(path, ["features={sample_rate: auto, resample: true}"]) == (8000, 3700, False)
    assert taken(path, ["features=kaldi"]) == (16000, 8000, False)
    assert taken(path, ["features={base: kaldi, sample_rate: 8000}"])[:2] == (8000, 4000)


@pytest.mark.parametrize(
    ("front_end", "changes", "expected"),
    [
        ("mfcc72", ["features.sample_rate=8000"], (8000, 3700)),  # 300 Hz below half the rate, as auto
        ("{base: lfcc90, sample_rate: 11025}", [], (11025, 5212.5)),
        ("mfcc72", ["features.sample_rate=44100"], (44100, 7600)),
        ("mfcc72", ["features.sample_rate=16000"], (16000, 7600)),
        ("{base: mfcc72, high_frequency: 3900}", ["features.sample_rate=8000"], (8000, 3900)),
    ],
)
def test_a_shipped_front_end_follows_a_rate_that_is_stated(front_end, changes, expected, write):
    path = write(8000, text=f"features: {front_end}\n")
    features = load_recipe(path, changes).features
    assert (features.sample_rate, features.top_frequency) == expected
    of_system = f"[{{name: a, features: {front_end}}}, {{name: b, features: mfcc20}}]"
    path.write_text(f"corpus: {{kind: csv, root: .}}\nsystems: {of_system}\n")
    first, second = load_recipe(path, [change.replace("features", "systems.a.features") for change in changes]).systems
    assert (first.features.sample_rate, first.features.top_frequency) == expected
    assert follows_corpus(second.features)


def test_where_a_lowered_frequency_comes_from_is_said(write):
    origins = {
        row.key: row for row in list_origins(write(8000, text="features: mfcc72\n"), ["features.sample_rate=8000"])
    }
    top = origins["features.high_frequency"]
    assert (top.value, top.origin) == (3700, "--set features.sample_rate=8000")
    assert load_features("mfcc72", ["sample_rate=8000"]).high_frequency == 3700


def test_an_own_frequency_above_half_of_a_stated_rate_is_refused(write):
    path = write(8000, text="features: {base: mfcc72, high_frequency: 5000}\n")
    with pytest.raises(RecipeError, match="high_frequency"):
        load_recipe(path, ["features.sample_rate=8000"])


def test_a_front_end_of_python_follows_unless_it_states_its_rate():
    assert follows_corpus(FeatureConfig(n_cepstra=13, high_frequency=7000))
    assert not follows_corpus(FeatureConfig(sample_rate=16000))
    assert not follows_corpus(FeatureConfig(resample=True))
    assert not follows_corpus(FeatureConfig.preset("librosa"))
    linear = at_rate(FeatureConfig(kind="lfcc", deltas={"order": 1}), 8000, resample=False)
    assert linear == FeatureConfig(kind="lfcc", deltas={"order": 1}, sample_rate=8000, high_frequency=3700)
    recipe = Recipe(name="r", corpus={"kind": "synthetic", "sample_rate": 8000})
    assert recipe.to_json()["features"]["sample_rate"] == "auto"
    stated = Recipe(name="r", corpus=recipe.corpus, features=linear)
    assert stated.to_json()["features"]["sample_rate"] == 8000


def test_a_preset_and_imported_features_have_no_rate_of_the_corpus(write):
    path = write(8000, text="features: {base: kaldi, sample_rate: auto}\n")
    message = r"r\.yaml:5:\d+: features\.sample_rate: auto; expected a rate in Hz, as the values of the preset kaldi"
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)
    path = write(8000, text="features: {kind: given, n_static: 13, sample_rate: auto}\n")
    with pytest.raises(RecipeError, match=r"features\.sample_rate: unknown key"):
        load_recipe(path)


def test_keys_that_do_not_fit_the_rate_are_named(write):
    path = write(44100, text="features: {n_fft: 512}\n")
    message = (
        r"^r: features\.sample_rate auto: at 44100 Hz, the rate of the corpus, n_fft 512 is shorter than the frame of "
        r"1102 samples \(0\.025 s at 44100 Hz\); change that key, or set"
    )
    with pytest.raises(RecipeError, match=message):
        plan(load_recipe(path))


def test_files_that_cannot_be_read_have_no_rate(write):
    path = write(8000)
    (path.parent / "x-background.wav").write_text("no audio")
    assert taken(path) == (8000, 3700, False)
    for file in path.parent.glob("*.wav"):
        file.unlink()
    assert taken(path) == (16000, None, False)
    assert plan(load_recipe(path)).resolved.taken.endswith("16000 Hz, as no recording can be read")


def test_each_system_has_the_rate_of_all_recordings(write):
    path = write(16000, 8000, 8000, 8000, 8000, 8000)
    systems = "[{name: a}, {name: b, features: {base: lfcc90, sample_rate: 8000, high_frequency: 3500}}]"
    path.write_text(f"corpus: {{kind: csv, root: .}}\ncalibration: {{method: none}}\nsystems: {systems}\n")
    resolved = plan(load_recipe(path)).resolved
    front_ends = [system.features for system in resolved.recipe.systems]
    assert [each.high_frequency for each in front_ends] == [3700, 3500]
    assert [each.resample for each in front_ends] == [True, False]
    assert resolved.warnings == (resolved.taken,)
    stored = path.with_name("stored.yaml")
    stored.write_text(dump_recipe(resolved.recipe))
    assert at_rates_of(load_recipe(path), load_recipe(stored)).to_json() == resolved.recipe.to_json()


def test_a_run_states_what_was_taken_and_its_recipe_gives_the_same_bytes(write):
    path = write(44100, 16000, 16000, 16000, 16000, 16000, text="features: mfcc20\n")
    done = run(path, results="results", engine=SERIAL)
    said = (
        "features.sample_rate auto: 16000 Hz, with resampling, because the rates of the recordings differ: "
        "1 at 44100 Hz, 5 at 16000 Hz"
    )
    assert [each for each in done.warnings if "sample_rate" in each] == [said]
    assert said in (done.folder / "report.html").read_text()
    assert (done.folder / "log.txt").read_text().count(said) == 1
    assert json.loads((done.folder / "provenance.json").read_text())["warnings"] == list(done.warnings)
    stored = load_recipe(done.folder / "recipe.yaml")
    expected = {"sample_rate": 16000, "high_frequency": 7600, "resample": True}
    features = read_header(done.folder / "ubm.safetensors").front_end
    for found in (stored.to_json()["features"], features):
        assert {key: found[key] for key in expected} == expected
    again = run(done.folder / "recipe.yaml", results="again", engine=SERIAL)
    for file in ("ubm.safetensors", "scores.csv", "metrics.json", "recipe.yaml"):
        assert (again.folder / file).read_bytes() == (done.folder / file).read_bytes()
    assert not [each for each in again.warnings if "sample_rate" in each]


def test_stored_results_are_of_the_same_recipe_whatever_rate_they_took(write):
    path = write(8000)
    done = run(path, results="results", engine=SERIAL, until_stage="evaluation")
    assert differences_from(done.folder, load_recipe(path)) == ""
    stated = ["features.sample_rate=8000", "features.high_frequency=3700"]
    assert differences_from(done.folder, load_recipe(path, stated)) == ""
    other = load_recipe(path, ["features.sample_rate=16000"])
    assert differences_from(done.folder, other) == (
        "features.sample_rate: 8000 -> 16000, features.high_frequency: 3700.0 -> null"
    )
    assert differences_from(done.folder, load_recipe(path, ["features.high_frequency=3800"])) == (
        "features.high_frequency: 3700.0 -> 3800.0"
    )
    again = run(path, results="results", engine=SERIAL, until_stage="evaluation")
    assert again.previous is None
    assert all(stage.reused for stage in again.stages)


def test_the_points_of_a_series_are_found(write):
    path = write(8000, text="sweep: {grid: {ubm.n_iterations: [1, 2]}}\n")
    for reused in (False, True):
        done = run_series(load_series(path), results="results", engine=SERIAL)
        assert [outcome.reused for outcome in done] == [reused, reused]


def test_vectors_are_of_features_at_the_rate_of_the_corpus(write):
    path = write(8000, text="vectors: {kind: supervector}\nbackend: [cosine]\n")
    stated = ["features.sample_rate=8000", "features.high_frequency=3700"]
    for recordings in (None, [Source("new", "a-test.wav")]):
        for name, overrides in (("auto", []), ("stated", stated)):
            recipe = load_recipe(path, overrides)
            assert write_recipe_vectors(recipe, Path(f"{name}.h5"), recordings=recordings, engine=SERIAL).n_vectors
        assert Path("auto.h5").read_bytes() == Path("stated.h5").read_bytes()


def test_what_is_written_out_is_read_back(write):
    path = write(8000, text="features: {high_frequency: 3900}\n")
    text = dump_recipe(load_recipe(path))
    path.write_text(text)
    assert "sample_rate: auto\n" in text
    assert dump_recipe(load_recipe(path)) == text
    assert taken(path) == (8000, 3900, False)


def test_show_says_where_auto_stands_and_what_it_will_be(write):
    path = write(8000)
    key = "features.sample_rate"
    shown = {row.key: row for row in list_origins(path)}
    assert shown[key] == (key, "auto", "default")
    shown = {row.key: row for row in list_origins(path, [f"{key}=auto"])}
    assert shown[key] == (key, "auto", f"--set {key}=auto")
    path = write(8000, text="features:\n  sample_rate: auto\n")
    assert {row.key: row.origin for row in list_origins("r.yaml")}[key] == "r.yaml:6"
    said = f"{key} auto: 8000 Hz, the rate of all recordings"
    assert f"\n{said}\n" in speechgmm("show", "r.yaml").output
    assert json.loads(speechgmm("show", "r.yaml", "--json").output)["taken"] == said
    assert "auto:" not in speechgmm("show", "r.yaml", "--set", f"{key}=8000").output


def test_check_says_what_will_be_taken(write):
    path = write(8000)
    report = check_recipe(load_recipe(path), SERIAL)
    assert report.taken == "features.sample_rate auto: 8000 Hz, the rate of all recordings"
    assert not report.count("error")
    assert report.taken in speechgmm("check", "r.yaml").output
    path = write(8000, 16000, 16000, 16000, 16000, 16000)
    report = check_recipe(load_recipe(path), SERIAL)
    assert not report.count("error")
    assert [each.items for each in report.findings if each.what == "mixed sample rates"] == [(report.taken,)]
    refused = check_recipe(load_recipe(path, ["features.sample_rate=16000"]), SERIAL)
    assert [finding.what for finding in refused.findings if finding.severity == "error"] == ["sample rate"]
    assert refused.taken == ""


def test_synthetic_talkers_have_their_rate(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("corpus: {kind: synthetic, sample_rate: 8000, n_speakers: 2, n_test: 1, seconds: 1}\n" + SMALL)
    assert check_recipe(load_recipe(path)).taken == "features.sample_rate auto: 8000 Hz, the rate of all recordings"
    planned = plan(load_recipe(path), tmp_path)
    assert (planned.resolved.taken, planned.unknown != ()) == ("", True)
    done = run(path, results=tmp_path, engine=SERIAL, until_stage="evaluation")
    assert load_recipe(done.folder / "recipe.yaml").features.high_frequency == 3700
