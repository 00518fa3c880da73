"""Features instead of audio, and parts of recordings, on their way into a store."""

import kaldiio
import numpy as np
import pytest
import soundfile

from helpers.paths import ROOT
from speechgmm import FeatureConfig, extract
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError, RecipeError
from speechgmm.features.formats.reading import file_of_place, read_place, shape_of_place
from speechgmm.features.store.imported import ImportedConfig, write_imported_store
from speechgmm.features.store.store import open_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.running.runner import run
from speechgmm.recipe.stages.context import StageRunner
from speechgmm.recipe.stages.features import role_features
from speechgmm.recipe.stages.progress import ProgressBars

PLAIN = {"deltas": {"order": 0}, "normalisation": {"mean": 0.0}}


@pytest.fixture
def archive(tmp_path, rng):
    """Matrices in an archive, and their places in it."""
    matrices = {f"u{n}": rng.normal(size=(50 + n, 4)).astype(np.float32) for n in range(4)}
    kaldiio.save_ark(str(tmp_path / "f.ark"), matrices, scp=str(tmp_path / "f.scp"))
    places = dict(line.split() for line in (tmp_path / "f.scp").read_text().splitlines())
    return matrices, places


def test_given_features_are_stored_as_they_are(archive, tmp_path):
    matrices, places = archive
    config = ImportedConfig.model_validate({"n_static": 4, "frame_shift": 3.0, **PLAIN})
    assert list(write_imported_store(tmp_path / "store", places, config)) == [4, 4]  # a shard is full at ten minutes
    store = open_store(tmp_path / "store")
    assert len(store.shards()) == 1
    for name, matrix in matrices.items():
        np.testing.assert_array_equal(store.frames(name), matrix)
    assert [stored.seconds for stored in store.utterances] == [150.0, 153.0, 156.0, 159.0]
    half = ImportedConfig.model_validate({"n_static": 4, "frame_shift": 6.0, **PLAIN})
    assert list(write_imported_store(tmp_path / "more", places, half)) == [2, 4, 4]
    assert len(open_store(tmp_path / "more").shards()) == 2


def test_deltas_and_normalisation_are_put_to_them(archive, tmp_path):
    matrices, places = archive
    config = ImportedConfig.model_validate(
        {"n_static": 4, "deltas": {"order": 1, "window": 1}, "normalisation": {"mean": 1}}
    )
    list(write_imported_store(tmp_path / "store", places, config))
    frames = matrices["u2"].astype(np.float64)
    padded = np.concatenate([frames[:1], frames, frames[-1:]])
    expected = np.hstack([frames, (padded[2:] - padded[:-2]) / 2])
    np.testing.assert_allclose(open_store(tmp_path / "store").frames("u2"), expected - expected.mean(0), atol=1e-6)


def test_what_cannot_be_used_is_named(archive, tmp_path):
    _, places = archive
    places |= {"gone": str(tmp_path / "gone.ark:5"), "odd": f"{tmp_path / 'f.ark'}:1"}
    list(write_imported_store(tmp_path / "store", places, ImportedConfig(n_static=3)))
    assert {each.utterance: each.reason for each in open_store(tmp_path / "store").unusable} == {
        **{f"u{n}": "4 features; expected 3, as features.n_static says" for n in range(4)},
        "gone": "not readable (No such file or directory)",
        "odd": "expected a Kaldi matrix at byte 1; cut short, or something else",
    }


def test_a_place_is_a_file_with_an_offset_and_rows(archive):
    matrices, places = archive
    np.testing.assert_array_equal(read_place(f"{places['u3']}[2:4]"), matrices["u3"][2:5])
    assert file_of_place("/a/b:c.ark:17[1:2]") == "/a/b:c.ark"
    for bad in ("copy-feats x |", "| x"):
        with pytest.raises(CorpusError, match="commands are not run"):
            read_place(bad)


@pytest.mark.parametrize("compression", [None, 1, 3, 5])
def test_the_shape_at_a_place_is_that_of_what_is_read_there(tmp_path, rng, compression):
    matrices = {f"u{n}": rng.uniform(0, 1, size=(50 + n, 4)).astype(np.float32) for n in range(3)}
    kaldiio.save_ark(str(tmp_path / "f.ark"), matrices, scp=str(tmp_path / "f.scp"), compression_method=compression)
    (tmp_path / "t.ark").write_text("u [\n 1 2 3\n 4 5 6 ]\n")
    places = dict(line.split() for line in (tmp_path / "f.scp").read_text().splitlines())
    for name, place in places.items():
        assert shape_of_place(place) == matrices[name].shape
    assert shape_of_place(f"{places['u1']}[2:4]") == (3, 4)
    assert shape_of_place(f"{tmp_path / 't.ark'}:2") == (2, 3)
    with pytest.raises(CorpusError, match="expected a Kaldi matrix at byte 1"):
        shape_of_place(f"{tmp_path / 'f.ark'}:1")


def write_lists(folder, role, places, text="feats.scp"):
    (folder / "lists" / role).mkdir(parents=True)
    (folder / "lists" / role / text).write_text("".join(f"{name} {place}\n" for name, place in places.items()))
    (folder / "lists" / role / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in places))


RECIPE = """
corpus: {kind: kaldi, root: ., input: features, protocol: {}}
features: {kind: given, n_static: 3, normalisation: {mean: 0}}
ubm: {n_components: 2, n_iterations: 2}
calibration: {method: none}
"""


def test_a_recipe_runs_on_features_alone_and_knows_when_they_change(tmp_path, rng):
    for role, speakers in {"background": "xy", "enrol": "ab", "test": "ab"}.items():
        matrices = {
            f"{speaker}-{role}": (rng.normal(size=(200, 3)) + ord(speaker) % 7).astype(np.float32)
            for speaker in speakers
        }
        ark = tmp_path / f"{role}.ark"
        kaldiio.save_ark(str(ark), matrices, scp=str(tmp_path / "f.scp"))
        places = dict(line.split() for line in (tmp_path / "f.scp").read_text().splitlines())
        write_lists(tmp_path, role, {name: place.removeprefix(f"{tmp_path}/") for name, place in places.items()})
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    done = run(path, results=tmp_path / "results", engine=Engine())
    assert done.metrics["trials"]["trials"]["eer"] == 0
    assert load_recipe(done.folder / "recipe.yaml") == load_recipe(path)
    assert all(stage.reused for stage in run(path, results=tmp_path / "results", engine=Engine()).stages)
    (tmp_path / "test.ark").write_bytes((tmp_path / "test.ark").read_bytes() + b"\n")
    again = run(path, results=tmp_path / "results", engine=Engine())
    reused = {stage.title for stage in again.stages if stage.reused}
    assert reused == {"features of background", "features of enrol", "ubm", "speakers"}


def test_trials_of_utterances_against_utterances_run(tmp_path, rng):
    names = {f"{speaker}{n}": speaker for speaker in "abxyz" for n in range(3)}
    matrices = {
        name: (rng.normal(size=(200, 3)) + ord(speaker) % 7).astype(np.float32) for name, speaker in names.items()
    }
    kaldiio.save_ark(str(tmp_path / "f.ark"), matrices, scp=str(tmp_path / "feats.scp"))
    (tmp_path / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in names.items()))
    trials = ["1 a0 a1", "1 a0 a2", "1 a1 a2", "1 b0 b1", "0 a0 b1", "0 a1 b1", "0 b0 a1", "0 b0 a2"]
    (tmp_path / "trials.txt").write_text("\n".join(trials))
    changed = RECIPE.replace("protocol: {}", "data: .")
    (tmp_path / "r.yaml").write_text(changed)
    done = run(tmp_path / "r.yaml", results=tmp_path / "results", engine=Engine())
    assert done.metrics["trials"]["trials"]["eer"] == 0
    assert done.metrics["trials"]["trials"]["n_target"] == 4
    assert done.metrics["identification"]["n_tests"] == 1  # b1: the speaker of a1 and a2 has two models


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", input: features", "", r"r\.yaml:.*: features\.kind given: the corpus has audio; expected both or neither"),
        ("kind: given, n_static: 3", "kind: lfcc", r"features\.kind lfcc: corpus\.input is features; expected both"),
        ("n_static: 3", "n_static: 3, window: povey", r"r\.yaml:3:\d*:? ?features\.window: unknown key"),
        ("kind: given, n_static: 3", "kind: given", r"features\.n_static: missing"),
        ("mean: 0", "mean: 0}, deltas: {order: 0, sdc: {n: 4}", r"sdc\.n 4: expected at most the 3"),
    ],
)
def test_features_and_corpus_may_not_contradict_each_other(tmp_path, old, new, message):
    assert old in RECIPE
    (tmp_path / "r.yaml").write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "r.yaml")


def test_a_dump_of_given_features_comes_back(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "r.yaml")
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_segments_and_channels_of_one_file_are_utterances_of_their_own(tmp_path, rng):
    path = tmp_path / "two.wav"
    soundfile.write(path, 0.1 * rng.normal(size=(4 * 16000, 2)), 16000)
    utterances = [
        Utterance("early", "a", str(path), start=0.0, end=1.5, channel=0),
        Utterance("late", "a", str(path), start=1.5, channel=1),
        Utterance("whole", "a", str(path), channel="mean"),
        Utterance("beyond", "a", str(path), start=3.0, end=9.0, channel=0),
        Utterance("nearly", "a", str(path), start=3.0, end=4.49, channel=0),
    ]
    config = FeatureConfig.model_validate({"vad": {"method": "none"}})
    runner = StageRunner(StageCache(tmp_path / "cache"), Engine(), ProgressBars(None))
    features = role_features("features", utterances, config, runner).features
    store = open_store(features.folder)
    for each in utterances[:3]:
        expected = extract(path, config, channel=each.channel, start=each.start, stop=each.end)
        np.testing.assert_array_equal(store.frames(each.id), expected)
    assert [each.reason for each in store.unusable] == ["has no segment from 3 s to 9 s; it is 4 s long"]
    rest = extract(path, config, channel=0, start=3.0)  # Kaldi forgives segments that end half a second late
    np.testing.assert_array_equal(store.frames("nearly"), rest)
    digests = features.metadata["inputs"]["utterances"]
    assert len({tuple(each[1:]) for each in digests}) == 5
    assert digests[2][2:] == [None, None, "mean"]
    plain = role_features("features", [Utterance("u", "a", str(path))], config, runner).features
    assert len(plain.metadata["inputs"]["utterances"][0]) == 2


@pytest.mark.slow
def test_the_shipped_recipe_beats_an_untuned_system(speech_data, tmp_path):
    # 8.95 % is what mixtures of 64 components got that scikit-learn trained on these features, adapted by MAP.
    done = run(ROOT / "recipes" / "an4_feat.yaml", results=tmp_path)
    assert done.metrics["trials"]["trials"]["eer"] <= 0.089
    assert not done.metrics["trials"]["trials"]["n_unscored"]
