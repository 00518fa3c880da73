"""Models that come with the package as members of recipes."""

import csv
import json
import shutil

import numpy as np
import pytest

from helpers.pretrained import FRONT_END, write_tiny
from helpers.recipes import synthetic_corpus
from speechgmm import Utterance, accumulate, extract, load_gmm, load_recipe, map_adapt, open_results, open_store, run
from speechgmm.corpus.manifest import Corpus, Trial
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import ModelError, RecipeError
from speechgmm.gallery import pretrained
from speechgmm.gallery.pretrained import load_pretrained
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.running.vectors import write_recipe_vectors
from speechgmm.recipe.schema.sections import BackgroundConfig
from speechgmm.recipe.shipped import shipped_file, shipped_names
from speechgmm.recipe.stages.pretrained import known_recordings, shipped_source
from speechgmm.recipe.stages.rates import at_rates
from speechgmm.scoring.shipped_map import shipped_map

SERIAL = Engine("serial")
OF_THE_PACKAGE = pretrained.pretrained_folder
TALKERS = SyntheticConfig(n_speakers=3, n_background=1, n_background_utterances=1, n_enrol=2, n_test=1, seconds=2.0)
ALONE = "corpus: {kind: kaldi, root: alone, background: null}\n"
WITH_OTHERS = synthetic_corpus(n_speakers=3, n_background=6, n_test=1) + "\n"
SMALL = f"features: {FRONT_END}\nubm: {{pretrained: speech16k}}\n"
PLDA = f"{SMALL}vectors: {{kind: pretrained}}\n"
OTHER_FRONT_END = FRONT_END.replace("mean: 0", "mean: 1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a tiny pretrained recogniser, and recordings without a background."""
    folder = tmp_path_factory.mktemp("home")
    write_tiny(folder)
    assert list(write_recordings(TALKERS, folder / "alone"))
    return folder


@pytest.fixture(autouse=True)
def installed(home, monkeypatch):
    """The tiny recogniser in place of those of the package."""
    monkeypatch.setattr(pretrained, "pretrained_folder", lambda: home / "pretrained")


@pytest.fixture
def recipe(home):
    """Writes a recipe and reads it."""

    def recipe(text, name="small"):
        (home / f"{name}.yaml").write_text(text)
        return load_recipe(home / f"{name}.yaml")

    return recipe


@pytest.fixture
def go(home, recipe):
    """Runs a recipe; all share a cache."""

    def go(text, name="small", **options):
        return run(recipe(text, name), results=home / "results", engine=SERIAL, **options)

    return go


def stage(done, title):
    (found,) = [each for each in done.stages if each.title == title]
    return found


def files_of(home, system="small"):
    return home / "pretrained" / "speech16k" / system


def assert_same_model(one, other):
    for name in ("weights", "means", "variances"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# ---- as they come ----


def test_a_pretrained_background_model_needs_no_background(go, home):
    done = go(ALONE + SMALL)
    assert_same_model(load_gmm(done.folder / "ubm.safetensors"), load_gmm(files_of(home) / "ubm.safetensors"))
    assert not any("taken in its place" in warning for warning in done.warnings)
    assert not stage(done, "features of background").folder.joinpath("shard-0.npy").exists()
    results = open_results(done.folder)
    assert results.sizes == (4,)
    assert results.training == {}
    assert results.provenance["pretrained"] == {"speech16k": 1}
    page = (done.folder / "report.html").read_text()
    assert "against a background model of 4 Gaussians that came pretrained (speech16k)" in page


@pytest.mark.parametrize(("text", "system"), [(f"{SMALL}scoring: {{top_components: null}}\n", 0), (PLDA, 1)])
def test_scores_are_those_of_the_recogniser_itself(go, home, text, system):
    done = go(f"{ALONE}{text}calibration: {{method: none}}\n", f"own{system}")
    results, stored = open_results(done.folder), load_pretrained("speech16k").systems[system]
    frames = {row.id: extract(row.path, results.recipe.features) for row in results.data}
    enrolled = {}
    for row in results.data:
        if row.role == "enrol":
            enrolled.setdefault(row.speaker, []).append(accumulate(stored.ubm, frames[row.id]))
    models = {speaker: stored.kind.model(statistics) for speaker, statistics in enrolled.items()}
    tests = [row.id for row in results.data if row.role == "test"]
    expected = stored.score(models, [frames[test] for test in tests])
    with (done.folder / "scores.csv").open(newline="") as stream:
        found = {(row["model"], row["test"]): float(row["score"]) for row in csv.DictReader(stream)}
    scores = [[found[model, test] for test in tests] for model in models]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)


def test_the_name_without_a_rate_is_the_model_of_the_front_ends_rate(go):
    named, by_rate = (go(ALONE + text, "rate") for text in (SMALL, SMALL.replace("speech16k", "speech")))
    assert stage(named, "ubm").digest == stage(by_rate, "ubm").digest


def test_resampled_audio_has_the_same_front_end(go, home):
    resampled = SMALL.replace("{n_cepstra", "{sample_rate: 16000, resample: true, n_cepstra")
    done = go(ALONE + resampled, "resampled")
    assert_same_model(load_gmm(done.folder / "ubm.safetensors"), load_gmm(files_of(home) / "ubm.safetensors"))


def test_vectors_are_written_of_the_roles_that_there_are(recipe, home):
    written = write_recipe_vectors(
        recipe(ALONE + PLDA, "vectors"), home / "v.npz", results=home / "results", engine=SERIAL
    )
    assert (written.n_vectors, written.dimension) == (9, 3)  # three speakers, two enrolments and a test each
    with_others = recipe(WITH_OTHERS + PLDA, "vectors")
    written = write_recipe_vectors(with_others, home / "w.npz", results=home / "results", engine=SERIAL)
    assert written.n_vectors == 6 * 2 + 9


def test_an_own_back_end_is_fitted_to_vectors_by_the_pretrained_model(go, home):
    done = go(f"{WITH_OTHERS}{PLDA}backend: [center, length, cosine]\ncalibration: {{method: none}}\n", "cosine")
    assert stage(done, "vectors of background")
    backend = (done.folder / "backend.safetensors").read_bytes()
    assert backend != (files_of(home, "small_plda") / "backend.safetensors").read_bytes()


def test_a_fusion_without_a_background_is_scaled_by_the_enrolment(go, home):
    fusion = f"{ALONE}systems: [{{name: a, {_flow(SMALL)}}}, {{name: b, {_flow(PLDA)}}}]\n"
    learnt = go(f"{fusion}calibration: {{systems: scaled}}\ndecision: {{method: eer}}\n", "learnt")
    assert any("the scores are not calibrated: 0 speakers of the background" in each for each in learnt.warnings)
    done = go(f"{fusion}calibration: {{systems: scaled}}\n", "fusion")
    assert not any("whatever their scales" in each for each in (*done.warnings, *learnt.warnings))
    assert any("by the map that comes with speechgmm alone" in each for each in done.warnings)
    unscaled = json.loads((stage(learnt, "calibration").folder / "calibration.json").read_text())
    document = json.loads((stage(done, "calibration").folder / "calibration.json").read_text())
    assert document["scales"] == unscaled["scales"]
    total = []
    for number, name in enumerate("ab"):
        folder = stage(done, f"scores of the enrolment of {name}").folder
        names = json.loads((folder / "scores.json").read_text())
        matrix = np.load(folder / "scores.npy")
        others = [
            matrix[row, column]
            for row, model in enumerate(names["models"])
            for column, test in enumerate(names["tests"])
            if not test.startswith(model)
        ]
        assert document["scales"][number] == pytest.approx(np.std(others))
        total.append(np.array(others) / np.std(others))
    known, sums = shipped_map(), np.sum(total, axis=0)
    assert document["standard"] == pytest.approx([sums.mean(), sums.std()])
    weight = known.weight / sums.std()
    assert document["calibration"]["weights"] == pytest.approx([weight, weight])
    assert document["calibration"]["offset"] == pytest.approx(known.offset - weight * sums.mean())


def _flow(text):
    return ", ".join(text.splitlines())


# ---- adapted ----


def background_frames(done):
    store = open_store(stage(done, "features of background").folder)
    return np.concatenate([store.frames(each.utterance) for each in store.utterances])


def test_map_adapts_to_the_own_background(go, home):
    adapt = "{method: map, relevance_factor: 16, adapt: [means, weights, variances], n_iterations: 2}"
    done = go(f"{WITH_OTHERS}{SMALL[:-2]}, adapt: {adapt}}}\n", "adapted", until_stage="speakers")
    frames, prior = background_frames(done), load_gmm(files_of(home) / "ubm.safetensors")
    expected = prior
    for _ in range(2):
        statistics = accumulate(expected, frames)
        expected = map_adapt(prior, statistics, relevance_factor=16, adapt=("means", "weights", "variances"))
    found = load_gmm(stage(done, "ubm").folder / "ubm.safetensors")
    for name in ("weights", "means", "variances"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-6)


def test_em_goes_on_from_the_pretrained_model(go, home):
    done = go(f"{WITH_OTHERS}{SMALL[:-2]}, adapt: {{method: em, n_iterations: 1}}}}\n", "em")
    statistics = accumulate(load_gmm(files_of(home) / "ubm.safetensors"), background_frames(done))
    found = load_gmm(done.folder / "ubm.safetensors")
    assert statistics.zeroth.min() > 10  # or a component would keep its place
    np.testing.assert_allclose(found.means, statistics.first / statistics.zeroth[:, None], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.weights, statistics.zeroth / statistics.zeroth.sum(), rtol=1e-4)
    assert len(open_results(done.folder).training[()]) == 1


# ---- cross-fitting ----


def test_folds_share_what_is_pretrained(go):
    done = go(WITH_OTHERS + PLDA, "folds")
    assert done.metrics["calibration"]["folds"] == 2
    for what in ("ubm", "subspace", "backend"):
        of_folds = {stage(done, f"{what} of fold {number}").digest for number in (1, 2)}
        assert of_folds == {stage(done, what).digest}
    assert not any("statistics of background" in each.title for each in done.stages)


def test_an_adapted_model_knows_nothing_of_a_fold(go):
    done = go(f"{WITH_OTHERS}{SMALL[:-2]}, adapt: {{method: map}}}}\n", "fold")
    digests = {stage(done, title).digest for title in ("ubm", "ubm of fold 1", "ubm of fold 2")}
    assert len(digests) == 3
    assert done.metrics["calibration"]["folds"] == 2


# ---- what depends on what ----


def test_a_stored_model_is_found_by_the_digest_of_its_file(go, home, recipe, monkeypatch, tmp_path):
    done = go(ALONE + SMALL)
    again = recipe(ALONE + SMALL)
    assert [each.why for each in plan(again, home / "results").stages if each.output.title == "ubm"] == [None]
    shutil.copytree(home / "pretrained", tmp_path / "other")
    about = tmp_path / "other" / "speech16k" / "about.json"
    settings = json.loads(about.read_text())
    (tmp_path / "other" / "speech16k" / "small" / "ubm.safetensors").write_bytes(
        (files_of(home) / "ubm.safetensors").read_bytes() + b" "
    )
    monkeypatch.setattr(pretrained, "pretrained_folder", lambda: tmp_path / "other")
    with pytest.raises(ModelError, match=r"ubm.safetensors: damaged: its digest is not that of its about\.json"):
        plan(again, home / "results")
    (tmp_path / "other" / "speech16k" / "small" / "ubm.safetensors").write_bytes(
        (files_of(home) / "ubm.safetensors").read_bytes()
    )
    settings["version"] = 2
    about.write_text(json.dumps(settings))
    assert not [each for each in plan(again, home / "results").stages if each.why]
    assert done.folder.exists()


def test_recipes_from_before_there_were_pretrained_models_stay_the_same_text():
    assert not {"pretrained", "adapt"} & BackgroundConfig().model_dump(mode="json").keys()


def test_a_pretrained_recipe_reads_back_the_same(go, recipe):
    done = go(f"{WITH_OTHERS}{PLDA}", "back")
    written = load_recipe(done.folder / "recipe.yaml")
    assert written.ubm.pretrained == "speech16k"
    assert written.backend == ()
    assert go(f"{WITH_OTHERS}{PLDA}", "back").previous is None


# ---- refused ----


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("ubm: {pretrained: speech16k, n_components: 64}", "n_components: no effect, as pretrained speech16k is not"),
        ("ubm: {pretrained: speech16k, per_sex: true}", "per_sex: no effect"),
        ("ubm: {adapt: {method: map}}", "adapt: there is no pretrained model to adapt"),
        ("ubm: {pretrained: ../x}", "expected text that matches"),
        ("ubm: {n_components: 4}\nvectors: {kind: pretrained}", "ubm.pretrained names none"),
        ("ubm: {pretrained: speech, adapt: {method: em}}\nvectors: {kind: pretrained}", "ubm.adapt changes it"),
        ("ubm: {pretrained: speech}\nvectors: {kind: pretrained, rank: 3}", "rank: unknown key with kind pretrained"),
    ],
)
def test_keys_without_effect_are_refused(recipe, keys, message):
    with pytest.raises(RecipeError, match=message):
        recipe(f"{ALONE}{keys}\n", "wrong")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("mean: 0", "mean: 1"), r"no background model of this front end.*small \(normalisation.mean 0.0"),
        (SMALL.replace("speech16k", "speech8k"), "speech8k: no such pretrained model; expected one of speech16k"),
        (
            SMALL.replace("speech16k", "speech").replace("{n_cep", "{sample_rate: 8000, resample: true, n_cep"),
            "speech: no pretrained model of features at 8000 Hz; there are speech16k",
        ),
    ],
)
def test_what_is_not_there_is_refused_before_anything_runs(go, recipe, home, text, message):
    earlier = go(ALONE + SMALL, "kept")
    with pytest.raises(ModelError, match=message):
        go(ALONE + text, "kept")
    assert (earlier.folder / "metrics.json").exists()
    found = check_recipe(recipe(ALONE + text, "kept"), SERIAL).findings[0]
    assert (found.severity, found.what) == ("error", "pretrained model")


def test_a_package_without_its_models_says_so(go, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "pretrained_folder", lambda: tmp_path / "nowhere")
    for name in ("speech", "speech16k"):
        with pytest.raises(ModelError, match="nowhere holds none; install speechgmm again"):
            go(ALONE + SMALL.replace("speech16k", name))


# ---- what the models know ----


def test_recordings_that_a_model_was_trained_on_are_named(recipe):
    here = [f"so762/S0005/S0005-00005000{number}.flac" for number in (3, 9)]  # only the first is in the list
    paths = [*here, "LibriSpeech/19/198/19-198-0000.flac", "WAVE/SPEAKER0005/000050003.WAV", "own/19-198.wav"]
    utterances = tuple(Utterance(f"u{number}", "ann", path) for number, path in enumerate(paths))
    corpus = Corpus((), utterances[:3], utterances[3:], {"trials": (Trial("ann", "u4", target=True),)})
    (warning,) = known_recordings(recipe(ALONE + SMALL), corpus)
    assert warning.startswith("3 of 5 recordings have names of files that speech16k was trained on (S0005-000050003.fl")
    assert known_recordings(recipe(f"{ALONE}ubm: {{n_components: 4}}\n", "none"), corpus) == ()


SHIPPED = [name for name in shipped_names("systems") if name.startswith("pretrained_")]


@pytest.mark.parametrize("rate", [16000, 8000])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_systems_are_those_of_the_models(name, rate, monkeypatch):
    monkeypatch.setattr(pretrained, "pretrained_folder", OF_THE_PACKAGE)
    if f"speech{rate // 1000}k" not in pretrained.pretrained_names():
        pytest.skip("these models are not in the package here")
    recipe = load_recipe(shipped_file("systems", name), ["corpus.kind=synthetic", f"corpus.sample_rate={rate}"])
    resolved = at_rates(recipe, {rate: 1}).recipe
    config = shipped_source(resolved).config
    if name.endswith("_plda"):
        assert config.scorer == "plda"
    else:
        assert config.scoring == resolved.scoring
        assert config.normalisation == resolved.normalisation


def test_a_system_is_shipped_for_each_front_end():
    assert len(SHIPPED) == 6
