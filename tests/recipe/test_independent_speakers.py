"""Speakers modelled alone, and background models of each sex, as parts of a recipe."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import naive
from helpers.models import parameters, random_gmm
from helpers.recipes import synthetic_corpus
from speechgmm import accumulate, extract, load_gmm, map_adapt, run, score_matrix, train
from speechgmm.cli import app
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.errors import CorpusError, ModelError, RecipeError
from speechgmm.gmm.storage import load_independent, read_header, save_independent
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.rates import at_rate
from speechgmm.scoring.llr import ScoringConfig

RECIPE = f"""
name: small
{synthetic_corpus(n_background=8)}
calibration: {{method: none}}
evaluation: {{dcf: [voxceleb]}}
"""
ALONE = "speakers: {method: independent, n_components: 4, n_iterations: 3}\n"
PER_SEX = "ubm: {n_components: 4, n_iterations: 3, per_sex: true}\nscoring: {top_components: null}\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a small experiment with other sections; all share a cache."""
    folder = tmp_path_factory.mktemp("independent")

    def small(sections, results=folder, engine=None):
        (folder / "small.yaml").write_text(RECIPE + sections)
        return run(folder / "small.yaml", results=results, engine=engine or Engine("serial"))

    small.folder = folder
    small.write = lambda text: (folder / "small.yaml").write_text(text)
    return small


def corpus_of(results):
    """The lists of the synthetic talkers that a run recorded."""
    (recorded,) = (results / ".cache" / "corpus").iterdir()
    return read_kaldi(KaldiConfig(root=str(recorded)))


def scores_of(folder):
    with (folder / "scores.csv").open(newline="") as stream:
        return {(row["model"], row["test"]): float(row["score"]) for row in csv.DictReader(stream)}


def frames_by_speaker(utterances, config):
    frames = {}
    for utterance in utterances:
        frames.setdefault(utterance.speaker, []).append(extract(utterance.path, config))
    return {speaker: np.concatenate(own) for speaker, own in frames.items()}


def test_a_model_alone_is_trained_on_its_own_speaker_and_compared_with_the_backgrounds(small):
    done = small(ALONE)
    corpus = corpus_of(small.folder)
    recipe = load_recipe(small.folder / "small.yaml")
    models = load_independent(done.folder / "speakers.safetensors")
    trained = {}
    for name, frames in (
        frames_by_speaker(corpus.enrol, recipe.features) | frames_by_speaker(corpus.background, recipe.features)
    ).items():
        trained[name] = alone(name, frames)
    for name, model in models.items():
        np.testing.assert_allclose(model.means, trained[name].means, rtol=1e-5, atol=1e-6)
    cohort = [parameters(trained[name]) for name in sorted({each.speaker for each in corpus.background})]
    for test in corpus.test[:3]:
        frames = extract(test.path, recipe.features)
        for name in corpus.models:
            expected = naive.cohort_score(frames, parameters(trained[name]), cohort, "utterance")
            assert scores_of(done.folder)[name, test.id] == pytest.approx(expected, abs=1e-3)
    assert not (done.folder / "ubm.safetensors").exists()
    assert not (done.folder / "plots" / "training.svg").exists()
    assert "8 speakers of the background" in (done.folder / "report.html").read_text()
    resolved = recipe.model_copy(update={"features": at_rate(recipe.features, 16000, resample=False)})
    assert load_recipe(done.folder / "recipe.yaml").to_json() == resolved.to_json()


def alone(name, frames):
    """Train as the stage should: from a stream that is the seed's and the name's."""
    stream = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
    return train(
        [frames], IndependentConfig(n_components=4, n_iterations=3), rng=np.random.default_rng([0, stream])
    ).gmm


def test_a_speaker_alone_is_the_same_whoever_else_is_enrolled_and_whatever_runs_it(small, tmp_path):
    lone = small(ALONE)
    workers = small(ALONE, tmp_path / "workers", Engine("processes", 2))
    for name in ("scores.csv", "speakers.safetensors", "metrics.json"):
        assert (lone.folder / name).read_bytes() == (workers.folder / name).read_bytes()
    # The lists without their first speaker, whose first model is drawn at random: the others' stay as they were.
    sections = "speakers: {method: independent, n_components: 4, n_iterations: 3, initial: random}\n"
    models = load_independent(small(sections).folder / "speakers.safetensors")
    (recorded,) = (small.folder / ".cache" / "corpus").iterdir()
    first, *others = models
    lists = tmp_path / "lists"
    for role in ("background", "enrol", "test"):
        (lists / role).mkdir(parents=True)
        for file in (recorded / "lists" / role).iterdir():
            kept = [line for line in file.read_text().splitlines(True) if not line.startswith(first)]
            if file.name == "wav.scp":
                kept = [line.replace(" ", f" {recorded}/") for line in kept]
            (lists / role / file.name).write_text("".join(kept))
    trials = [line for line in (recorded / "trials.txt").read_text().splitlines(True) if first not in line]
    (tmp_path / "trials.txt").write_text("".join(trials))
    small.write(f"corpus: {{kind: kaldi, root: {tmp_path}}}\ncalibration: {{method: none}}\n{sections}")
    fewer = run(small.folder / "small.yaml", results=tmp_path / "fewer", engine=Engine("serial"))
    left = load_independent(fewer.folder / "speakers.safetensors")
    assert [*left] == others
    for name in others:
        assert np.array_equal(left[name].means, models[name].means)


def test_without_a_background_the_others_stand_for_everybody(small):
    recipe_corpus = corpus_of(small(ALONE).folder.parent)
    recipe = load_recipe(small.folder / "small.yaml")
    own = frames_by_speaker(recipe_corpus.enrol, recipe.features)
    models = {name: alone(name, frames) for name, frames in own.items()}
    from speechgmm.recipe.cache.outputs import StageCache
    from speechgmm.recipe.graph import system
    from speechgmm.recipe.stages.context import StageRunner
    from speechgmm.recipe.stages.features import RoleFeatures, role_features
    from speechgmm.recipe.stages.progress import ProgressBars

    runner = StageRunner(StageCache(small.folder / ".cache"), Engine("serial"), ProgressBars(None))
    enrol, test = (role_features(role, recipe_corpus.role(role), recipe.features, runner) for role in ("enrol", "test"))
    nobody = RoleFeatures((), enrol.features)
    built = system.build_system(recipe, nobody, enrol, test, runner)
    utterance = recipe_corpus.test[0]
    frames = extract(utterance.path, recipe.features)
    for row, name in enumerate(built.scores.models):
        others = [parameters(model) for other, model in models.items() if other != name]
        expected = naive.cohort_score(frames, parameters(models[name]), others, "utterance")
        assert built.scores.matrix[row, 0] == pytest.approx(expected, abs=1e-3)
    small.write(RECIPE)
    with pytest.raises(CorpusError, match="there is no background to train a background model on; expected some, or"):
        system.build_system(load_recipe(small.folder / "small.yaml"), nobody, enrol, test, runner)


def builder(small, sections):
    """Builds systems of the synthetic talkers with other lists."""
    from speechgmm.recipe.cache.outputs import StageCache
    from speechgmm.recipe.graph.system import build_system
    from speechgmm.recipe.stages.context import StageRunner
    from speechgmm.recipe.stages.features import role_features
    from speechgmm.recipe.stages.progress import ProgressBars

    corpus = corpus_of(small(ALONE).folder.parent)
    small.write(RECIPE + sections)
    recipe = load_recipe(small.folder / "small.yaml")
    runner = StageRunner(StageCache(small.folder / ".cache"), Engine("serial"), ProgressBars(None))

    def build(background, enrol):
        own = (role_features("", each, recipe.features, runner) for each in (background, enrol, corpus.test))
        return build_system(recipe, *own, runner).scores

    return recipe, corpus, build


def test_another_seed_trains_other_models(small):
    speakers = []
    for seed in ("", "seed: 1\n"):
        speakers += [stage.digest for stage in small(ALONE + seed).stages if stage.title == "speakers"]
    assert len({*speakers}) == 2


def test_of_several_models_of_a_speaker_none_stands_for_others(small):
    recipe, corpus, build = builder(small, ALONE)
    enrol = [replace(each, model=each.id) for each in corpus.enrol]
    models = {each.id: alone(each.id, extract(each.path, recipe.features)) for each in enrol}
    frames = extract(corpus.test[0].path, recipe.features)
    scores = build((), enrol)
    for own in enrol[:3]:
        others = [parameters(models[each.id]) for each in enrol if each.speaker != own.speaker]
        assert len(others) == len(enrol) - 2
        expected = naive.cohort_score(frames, parameters(models[own.id]), others, "utterance")
        assert scores.matrix[scores.models.index(own.id), 0] == pytest.approx(expected, abs=1e-3)


def test_what_a_model_is_called_makes_no_difference_to_its_cohort(small):
    sections = "ubm: {n_components: 4, n_iterations: 2}\nnormalisation: {method: s}\n"
    _, corpus, build = builder(small, sections)
    background = (*corpus.background, *corpus.test)  # who is enrolled is in the background too
    named = build(background, corpus.enrol)
    renamed = build(background, [replace(each, model=f"model-of-{each.speaker}") for each in corpus.enrol])
    assert renamed.models == tuple(f"model-of-{name}" for name in named.models)
    assert np.array_equal(renamed.matrix, named.matrix)


def test_a_speaker_with_too_few_frames_is_named_and_the_others_are_scored(small):
    # 2 s at 100 frames a second, of which some are silence: nobody has 2,000 frames, and with 300 somebody may.
    with pytest.raises(ModelError, match=r"none of 4 speakers could have a model, \S+ for one: .*2000"):
        small("speakers: {method: independent, n_components: 2000}\n")
    corpus = corpus_of(small.folder)
    recipe = load_recipe(small.folder / "small.yaml")
    lengths = {name: len(frames) for name, frames in frames_by_speaker(corpus.enrol, recipe.features).items()}
    size = sorted(lengths.values())[1]
    done = small(f"speakers: {{method: independent, n_components: {size}, n_iterations: 1, weight_floor: 0.0}}\n")
    short = [name for name, length in lengths.items() if length < size]
    assert short
    with (done.folder / "skipped.csv").open(newline="") as stream:
        skipped = {row["id"]: row["reason"] for row in csv.DictReader(stream) if row["kind"] == "model"}
    assert [*skipped] == short
    assert all(str(size) in reason for reason in skipped.values())
    assert done.metrics["trials"]["trials"]["n_unscored"] == len(short) * len(corpus.test)


def test_models_of_several_sizes_come_back_bit_by_bit(tmp_path, rng):
    models = {"a": random_gmm(rng, 5), "b": random_gmm(rng, 2), "c": random_gmm(rng, 1)}
    save_independent(tmp_path / "m.safetensors", models, front_end={"kind": "mfcc"})
    loaded = load_independent(tmp_path / "m.safetensors")
    assert [*loaded] == [*models]
    for name in models:
        assert all(
            np.array_equal(getattr(loaded[name], key), getattr(models[name], key)) for key in ("weights", "means")
        )
    header = read_header(tmp_path / "m.safetensors")
    assert (header.kind, header.sizes) == ("independent", (5, 2, 1))
    with pytest.raises(ModelError, match="holds 'independent'; expected 'gmm'"):
        load_gmm(tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="no speakers to write"):
        save_independent(tmp_path / "n.safetensors", {})
    with pytest.raises(ModelError, match=r"over \[3, 4\] features"):
        save_independent(tmp_path / "n.safetensors", {"a": random_gmm(rng, 2, 3), "b": random_gmm(rng, 2, 4)})


@pytest.mark.parametrize("sizes", [[5, 2], [5, 2, 2], [5, 3, 0], [8, 1, -1], ["5", 2, 1], 8])
def test_damaged_sizes_of_models_are_refused(tmp_path, rng, sizes):
    path = tmp_path / "m.safetensors"
    save_independent(path, {"a": random_gmm(rng, 5), "b": random_gmm(rng, 2), "c": random_gmm(rng, 1)})
    tensors = load_file(path)
    header = {"format_version": 1, "kind": "independent", "package_version": "0", "front_end": None, "names": [*"abc"]}
    save_file(tensors, path, {"speechgmm": json.dumps({**header, "sizes": sizes})})
    with pytest.raises(ModelError, match="sizes"):
        load_independent(path)


def test_each_sex_has_a_background_model_of_its_own(small):
    done = small(PER_SEX)
    corpus = corpus_of(small.folder)
    recipe = load_recipe(small.folder / "small.yaml")
    sexes = {utterance.speaker: utterance.sex for utterance in corpus.enrol}
    assert {*sexes.values()} == {"f", "m"}
    scores = scores_of(done.folder)
    for sex in ("f", "m"):
        folder = done.folder / "sexes" / sex
        ubm = load_gmm(folder / "ubm.safetensors")
        # What it is trained on: EM from the frames of that sex alone gives the same.
        background = [extract(each.path, recipe.features) for each in corpus.background if each.sex == sex]
        trained = train([np.concatenate(background)], recipe.ubm).gmm
        np.testing.assert_allclose(ubm.means, trained.means, rtol=1e-4, atol=1e-4)
        for speaker, own in frames_by_speaker(
            [each for each in corpus.enrol if each.sex == sex], recipe.features
        ).items():
            model = map_adapt(ubm, accumulate(ubm, own), relevance_factor=10.0)
            for test in corpus.test[:2]:
                frames = extract(test.path, recipe.features)
                expected = score_matrix([model], ubm, [frames], ScoringConfig(top_components=None))[0, 0]
                assert scores[speaker, test.id] == pytest.approx(expected, abs=1e-4)
    assert not (done.folder / "ubm.safetensors").exists()
    pooled = small("ubm: {n_components: 4, n_iterations: 3}\n")
    assert (pooled.folder / "ubm.safetensors").exists()
    assert not [*(pooled.folder / "sexes").rglob("*.safetensors")]


@pytest.mark.parametrize("method", ["s", "zt"])
@pytest.mark.parametrize("sections", [ALONE, PER_SEX], ids=["alone", "per sex"])
def test_they_are_normalised_and_calibrated_like_any_other(small, sections, method, tmp_path):
    small.write(RECIPE.replace("n_background: 8", "n_background: 12").replace("{method: none}", "{}") + sections)
    done = run(small.folder / "small.yaml", overrides=[f"normalisation={{method: {method}}}"], results=tmp_path)
    assert not [told for told in done.warnings if "not calibrated" in told or "could not be made" in told]
    assert done.metrics["calibration"]["n_target"] > 0
    ran = [each["digest"] for each in json.loads((done.folder / "provenance.json").read_text())["stages"]]
    assert len(ran) == len({*ran})


def test_sexes_must_be_known_and_have_a_background(small):
    from dataclasses import replace

    from speechgmm.gmm.adaptation import AdaptationConfig
    from speechgmm.recipe.stages.features import RoleFeatures
    from speechgmm.recipe.stages.speakers import adapted_models
    from speechgmm.recipe.stages.ubm import UbmSet

    small(PER_SEX)
    corpus = corpus_of(small.folder)
    unknown = RoleFeatures(tuple(replace(each, sex=None) for each in corpus.enrol), None)
    with pytest.raises(CorpusError, match=r"ubm.per_sex: the sex of 4 speakers is not known, of \S+ for one"):
        unknown.sexes()
    with pytest.raises(CorpusError, match=r"sex '../x'; expected letters"):
        RoleFeatures(tuple(replace(each, sex="../x") for each in corpus.enrol), None).sexes()
    with pytest.raises(CorpusError, match=r"no background speaker is of sex f"):
        adapted_models(AdaptationConfig(), UbmSet(by_sex={"m": None}), RoleFeatures(corpus.enrol, None), None, "", "")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (ALONE + "ubm: {n_components: 4}\n", "ubm: with speakers.method independent there is no background model"),
        (ALONE + "scoring: {method: linear}\n", "scoring: with speakers.method independent"),
        ("speakers: {method: indepedent}\n", "speakers.method: 'indepedent'; expected one of 'map', 'independent'"),
        ("speakers: {method: independent, relevance_factor: 4}\n", "speakers.relevance_factor: unknown key"),
        ("speakers: {n_components: 4}\n", "speakers.n_components: unknown key"),
    ],
)
def test_keys_without_an_effect_are_refused(small, sections, message):
    small.write(RECIPE + sections)
    with pytest.raises(RecipeError, match=message):
        load_recipe(small.folder / "small.yaml")


@pytest.mark.parametrize("sections", [ALONE, PER_SEX], ids=["alone", "per sex"])
def test_a_gallery_needs_one_background_model(small, sections, tmp_path):
    done = small(sections)
    made = CliRunner().invoke(app, ["gallery", "create", str(done.folder), "--out", str(tmp_path / "g")])
    assert made.exit_code == 2
    assert "expected one background model" in made.output
