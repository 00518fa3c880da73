"""Augmented copies in experiments: which roles have them, which trials they form, and what stays as it was."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from helpers.recipes import synthetic_corpus, write_recipe
from speechgmm import AugmentConfig, load_recipe, open_store, run
from speechgmm.augmentation.augment import CopyPlan, copy_generator, draw_effects
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError, RecipeError
from speechgmm.features.extract import FeatureConfig, extract
from speechgmm.features.store import writing
from speechgmm.features.store.writing import Source, write_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache, StageKey
from speechgmm.recipe.graph import cross_fitting, experiment
from speechgmm.recipe.graph.experiment import extract_roles
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.reading.loader import dump_recipe
from speechgmm.recipe.results.reading import open_results
from speechgmm.recipe.results.report import summary
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StagePlanner
from speechgmm.recipe.stages.copies import Copy, inputs_of_copies, with_copies

SERIAL = Engine("serial")
EFFECTS = "band: [[300, 3400]], codec: [mp3, opus, vorbis, gsm, mulaw], noise: {}, reverb: {}, level_db: [-20, 0]"
RECIPE = f"""
{synthetic_corpus(n_background=8, n_background_utterances=3)}
ubm: {{n_components: 4, n_iterations: 2}}
normalisation: {{method: as, top_n: 3}}
"""
AUGMENTED = f"{RECIPE}augment: {{copies: 2, {EFFECTS}}}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("augmented")


@pytest.fixture(scope="module")
def small(folder):
    """Runs a small augmented experiment with other keys; all share a cache."""
    recipe = write_recipe(folder, AUGMENTED, "small.yaml")

    def small(*overrides, engine=SERIAL, results=folder):
        return run(recipe, overrides=overrides, results=results, engine=engine, until_stage="evaluation")

    return small


@pytest.fixture
def built(monkeypatch):
    """What whole systems and those of folds are built of, in the order in which they are."""
    calls = []

    def spy(real):
        def build(recipe, background, enrol, test, context, label, **more):
            calls.append((label, background, enrol, test, more.get("enrolment_tests")))
            return real(recipe, background, enrol, test, context, label, **more)

        return build

    for module in (cross_fitting, experiment):
        monkeypatch.setattr(module, "build_system", spy(module.build_system))
    return calls


def copies(role):
    return [each for each in role.utterances if isinstance(each, Copy)]


def recordings(role):
    return [each for each in role.utterances if not isinstance(each, Copy)]


def flaws_of(copy):
    """The effects of a copy by the definition: drawn from the seed, the recording's name and the number."""
    codecs = ["mp3", "opus", "vorbis", "gsm", "mulaw"]
    config = AugmentConfig(band=[[300, 3400]], codec=codecs, noise={}, reverb={}, level_db=[-20, 0])
    rng = copy_generator(0, copy.of, copy.number)
    return {*draw_effects(config, rng, CopyPlan(config, copy.of, copy.number).effect_in_turn())} - {"level_db"}


# ---- which roles have copies ----


def test_the_background_and_tests_of_calibration_have_copies_and_enrolment_and_tests_have_none(small, built):
    done = small("name=default")
    (label, background, enrol, test, enrolment_tests), *folds = built
    assert label == ""
    assert (len(recordings(background)), len(copies(background))) == (24, 48)
    assert not copies(enrol)
    assert not copies(test)
    assert (len(recordings(enrolment_tests)), len(copies(enrolment_tests))) == (8, 16)
    for _, known, enrolled, tried, _ in folds:
        assert len(copies(known)) == 2 * len(recordings(known)) > 0
        assert {len(flaws_of(each)) for each in copies(tried)} == {1}
        assert not copies(enrolled)
    # of the copies of the folds' tests none with one flaw is missing
    of_tests = {each.id for *_, tried, _ in folds for each in recordings(tried)}
    one = {each.id for each in copies(background) if len(flaws_of(each)) == 1 and each.of in of_tests}
    assert {each.id for *_, tried, _ in folds for each in copies(tried)} == one
    assert 0 < len(one) < 2 * len(of_tests)
    assert done.metrics["calibration"]["copies"] == 2
    assert done.metrics["trials"]["trials"]["n_target"] == 8
    scores = (done.folder / "scores.csv").read_text()
    assert "#aug" not in scores


def test_no_copy_is_tested_against_its_own_recording_and_folds_hold_whole_speakers(small, built):
    small("name=disjoint", "seed=3", "augment.enrolment=true")
    _, *folds = built
    for _, known, enrolled, tried, _ in folds:
        sources = {each.of if isinstance(each, Copy) else each.id for each in enrolled.utterances}
        assert not sources & {each.of if isinstance(each, Copy) else each.id for each in tried.utterances}
        assert not {each.speaker for each in known.utterances} & {each.speaker for each in tried.utterances}
        assert len(copies(enrolled)) == 2 * len(recordings(enrolled))


@pytest.mark.parametrize(
    ("keys", "in_background", "in_enrolment", "in_trials"),
    [
        (["augment.background=false"], False, False, True),
        (["augment.calibration=false"], True, False, False),
        (["augment.calibration=false", "augment.enrolment=true"], True, True, False),
        (["calibration.method=none"], True, False, False),
    ],
)
def test_copies_are_where_the_recipe_asks_for_them(small, built, keys, in_background, in_enrolment, in_trials):
    done = small("name=asked", *keys)
    for label, background, enrol, test, enrolment_tests in built:
        assert bool(copies(background)) is in_background
        assert bool(copies(enrol)) is in_enrolment
        assert bool(copies(test)) is (in_trials and label != "")
        if enrolment_tests:
            assert bool(copies(enrolment_tests)) is in_trials
    assert ((done.metrics["calibration"] or {}).get("copies") == 2) is in_trials


def test_folds_are_drawn_as_without_copies(folder, small, built):
    small("name=with", "seed=5")
    drawn = [[{each.id for each in recordings(role)} for role in roles[:3]] for _, *roles in built[1:]]
    built.clear()
    plain = write_recipe(folder, RECIPE, "plain.yaml")
    run(plain, overrides=["seed=5"], results=folder, engine=SERIAL, until_stage="evaluation")
    assert [[{*role.ids} for role in roles[:3]] for _, *roles in built[1:]] == drawn


def test_the_cohort_is_the_background_as_recorded(small):
    done = small("name=cohort")
    (title,) = (each for each in done.stages if each.title == "scores of the cohort's utterances")
    names = (title.folder / "scores.json").read_text()
    assert "bg-" in names
    assert "#aug" not in names


@pytest.mark.parametrize(
    "system",
    [
        "vectors={kind: ivector, rank: 4, n_iterations: 2}",
        "speakers={method: isv, rank: 2, n_iterations: 2}",
        "speakers={method: independent, n_components: 2}",
    ],
)
def test_systems_of_other_kinds_take_copies_too(folder, built, system):
    text = RECIPE.replace("normalisation: {method: as, top_n: 3}\n", "")
    if "independent" in system:
        text = text.replace("ubm: {n_components: 4, n_iterations: 2}\n", "")
    if "ivector" in system:
        text += "backend: [center, length, cosine]\n"
    recipe = write_recipe(folder, f"{text}augment: {{copies: 1, noise: {{}}}}\n", "kinds.yaml")
    done = run(recipe, overrides=[system], results=folder, engine=SERIAL, until_stage="evaluation")
    assert copies(built[0][1])
    assert done.metrics["calibration"]["copies"] == 1


# ---- the same copies, whoever makes them ----


def test_copies_have_the_same_bytes_with_any_engine_and_order(tmp_path, rng):
    paths = []
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, np.repeat([0.001, 0.1], 8000)), 16000)
        paths.append(tmp_path / f"{name}.wav")
    config = AugmentConfig(codec=["mp3", "opus", "vorbis", "gsm"], noise={}, reverb={}, seed=4)
    sources = [
        Source(f"{path.stem}#aug{number}", str(path), copy=CopyPlan(config, path.stem, number))
        for path in paths
        for number in (1, 2)
    ]
    frames = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SHARD_SECONDS", 1.5)  # two copies a shard
        for way, (engine, ordered) in {
            "here": (SERIAL, sources),
            "two workers": (Engine("processes", 2), sources),
            "reversed": (SERIAL, sources[::-1]),
        }.items():
            for _ in write_store(tmp_path / way, ordered, FeatureConfig(), engine):
                pass
            store = open_store(tmp_path / way)
            frames[way] = {each.utterance: store.frames(each.utterance).tobytes() for each in store.utterances}
    assert frames["here"] == frames["two workers"] == frames["reversed"]
    assert len(set(frames["here"].values())) == 6


def test_a_copy_of_a_long_recording_has_its_beginning(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_SECONDS", 1.0)
    samples = rng.normal(0, np.repeat([0.001, 0.1] * 4, 8000))
    soundfile.write(tmp_path / "long.wav", samples, 16000, "FLOAT")
    config = AugmentConfig(level_db=[0, 0])  # which changes nothing
    source = Source("long#aug1", str(tmp_path / "long.wav"), start=0.5, copy=CopyPlan(config, "long", 1))
    for _ in write_store(tmp_path / "store", [source], FeatureConfig()):
        pass
    store = open_store(tmp_path / "store")
    assert store.utterances[0].seconds == 1.0
    np.testing.assert_array_equal(store.frames("long#aug1"), extract(samples[8000:24000].astype(np.float32)))


def test_a_copy_of_silence_is_unusable_for_the_reason_of_its_recording(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    plan = CopyPlan(AugmentConfig(noise={}), "silent", 1)
    for _ in write_store(
        tmp_path / "store", [Source("s#aug1", str(tmp_path / "silent.wav"), copy=plan)], FeatureConfig()
    ):
        pass
    (unusable,) = open_store(tmp_path / "store").unusable
    assert unusable.reason == "nothing but silence: all 16000 samples are 0"


# ---- digests ----


def test_a_recipe_without_augmentation_says_nothing_of_it():
    recipe = Recipe(name="x", corpus={"kind": "synthetic"})
    assert "augment" not in recipe.to_json()
    assert "augment" not in dump_recipe(recipe)


def test_stages_without_augmentation_keep_their_digests(folder):
    """The digest of a features stage, from its inputs as version 3 of the stage states them."""
    path = folder / "one.wav"
    soundfile.write(path, np.ones(10), 16000)
    utterances = (Utterance("one", "ann", str(path)),)
    planner = StagePlanner(StageCache(folder / "digests"))
    corpus = corpus_of(utterances)
    recipe = Recipe(name="x", corpus={"kind": "synthetic"})
    features = extract_roles(recipe, corpus, planner).roles[0]["background"].features
    inputs = {
        "config": recipe.features.model_dump(mode="json"),
        "utterances": [["one", hashlib.sha256(path.read_bytes()).hexdigest()]],
    }
    assert features.digest == StageKey("features", 3, inputs).digest
    augmented = Recipe(name="x", corpus={"kind": "synthetic"}, augment={"level_db": [0, 0]})
    changed = extract_roles(augmented, corpus, planner).roles[0]
    assert changed["background"].features.digest != features.digest
    assert changed["test"].features.digest == StageKey("features", 3, {**inputs, "utterances": []}).digest


def corpus_of(background):
    roles = {"background": background, "enrol": (), "test": ()}
    return SimpleNamespace(role=roles.__getitem__)


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"seed": 1}, True),
        ({"noise": {"snr_db": [5, 29]}}, True),
        ({"copies": 3}, True),
        ({"enrolment": True}, False),
        ({"calibration": False}, False),
    ],
)
def test_the_digest_of_copies_follows_what_they_sound_like(folder, change, changes):
    corpus = corpus_of((Utterance("one", "ann", str(folder / "none.wav")),))

    def digest(**keys):
        recipe = Recipe(name="x", corpus={"kind": "synthetic"}, augment={"noise": {}, **keys})
        planner = StagePlanner(StageCache(folder / "digests"))
        return extract_roles(recipe, corpus, planner).roles[0]["background"].features.digest

    assert (digest(**change) != digest()) is changes


def test_the_digest_of_copies_follows_the_recordings_of_a_folder(folder):
    noises = folder / "noises"
    noises.mkdir()
    config = AugmentConfig(noise={"folder": str(noises)})
    soundfile.write(noises / "hum.wav", np.ones(100), 8000)
    before = inputs_of_copies(config)
    assert inputs_of_copies(config) == before
    (noises / "notes.txt").write_text("no audio")
    assert inputs_of_copies(config) == before
    soundfile.write(noises / "hum.wav", np.zeros(100), 8000)
    assert inputs_of_copies(config) != before


# ---- what is said, and refused ----


def test_results_say_what_copies_there_were(small, folder):
    done = small("name=said")
    words = "2 augmented copies of each recording (room, noise, level, band, codec) in the background"
    assert f"Augmentation: {words} and in calibration trials." in summary(open_results(done.folder))
    rows = [row for row in open_results(done.folder).data if row.role == "background copies"]
    assert len(rows) == 48
    assert all(row.seconds for row in rows)
    assert "augment: 2 augmented copies of each" in check_recipe(load_recipe(folder / "small.yaml")).copies


def test_unusable_copies_are_listed(folder, small):
    (folder / "noise").mkdir()
    (folder / "noise" / "broken.wav").write_bytes(b"RIFF")
    done = small("name=broken", f"augment={{copies: 1, noise: {{folder: {folder / 'noise'}}}}}")
    assert {item.id for item in done.skipped} >= {"bg-f001-01#aug1"}
    assert all("broken.wav" in item.reason and item.path for item in done.skipped)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["augment={background: false, calibration: false, noise: {}}"], "are all false; expected one of them"),
        (["augment.background=false", "calibration.method=none"], "calibration alone, .* calibration.method is none"),
        (["augment.background=false", "calibration.on=dev"], "calibration alone, .* calibration.on is dev"),
        (["augment={copies: 2}"], "no effect is given"),
        (["augment.bnad=3"], "band"),
    ],
)
def test_augmentation_without_sense_is_refused(folder, keys, message):
    recipe = write_recipe(folder, AUGMENTED, "wrong.yaml")
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, keys)


@pytest.mark.parametrize(
    "keys",
    [
        ["augment.noise={folder: noises}", "augment.reverb={folder: rooms}"],
        ["calibration.method=none"],
        ["calibration.on=dev"],
    ],
)
def test_a_recipe_as_written_out_is_the_same_recipe(folder, keys):
    recipe = load_recipe(write_recipe(folder, AUGMENTED, "round.yaml"), keys)
    assert load_recipe(write_recipe(folder, dump_recipe(recipe), "again.yaml")) == recipe
    assert ("calibration trials" in recipe.copies_in_words) is recipe.calibrates_on_copies


def test_augmentation_of_features_is_refused(folder):
    text = (
        "corpus: {kind: kaldi, root: ., input: features}\nfeatures: {kind: given, n_static: 3}\naugment: {noise: {}}\n"
    )
    with pytest.raises(RecipeError, match=r"augment: corpus\.input is features; expected audio"):
        load_recipe(write_recipe(folder, text, "given.yaml"))


def test_a_folder_of_noise_is_relative_to_the_recipe_and_checked(folder):
    text = f"{RECIPE}augment: {{noise: {{folder: ../noises/none}}}}\n"
    recipe = load_recipe(write_recipe(folder / "recipes", text))
    assert recipe.augment.noise.folder == str(folder / "noises" / "none")
    (finding,) = (each for each in check_recipe(recipe).findings if each.what == "augment")
    assert finding.severity == "error"
    assert "no such folder" in finding.items[0]


def test_a_recording_with_the_name_of_a_copy_is_refused():
    some = (Utterance("a", "ann", "a.wav"), Utterance("a#aug1", "ann", "b.wav"))
    with pytest.raises(CorpusError, match="a#aug1: an utterance has the name that copy 1 of a gets"):
        with_copies(some, 1)


def test_systems_have_the_copies_of_the_recipe_that_lists_them():
    systems = [{"name": "a", "augment": {"noise": {}}}, {"name": "b"}]
    recipe = Recipe(name="x", corpus={"kind": "synthetic"}, systems=systems, augment={"level_db": [0, 0]})
    assert [system.augment for system in recipe.systems] == [None, None]
    assert recipe.to_json()["augment"]["level_db"] == [0, 0]
    assert "augment" not in recipe.to_json()["systems"][0]
