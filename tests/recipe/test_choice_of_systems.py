"""Which systems a first recipe has: by what is asked for, and by how much background speech there is."""

import re
import struct

import numpy as np
import pytest
from typer.testing import CliRunner

from speechgmm.cli import app
from speechgmm.cli.init import Systems
from speechgmm.corpus.formats.discovery import discover
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError
from speechgmm.gallery.pretrained import about_pretrained
from speechgmm.recipe.preparing.choice_of_systems import (
    BEST,
    BEST_PRETRAINED,
    ENOUGH_COHORT,
    PRETRAINED,
    Speech,
    SystemsName,
    background_components,
    choose_systems,
    independent_components,
)
from speechgmm.recipe.preparing.first_recipe import choose_settings
from speechgmm.recipe.preparing.survey import survey
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.stages.pretrained import shipped_source
from speechgmm.recipe.stages.rates import at_rates

NONE = Speech()
MANY = Speech(65, 2214.0, 20.0)


def init(place, out, *options):
    done = CliRunner().invoke(app, ["init", str(place), "--out", str(out), "--jobs", "1", *options])
    assert done.exit_code == 0, done.output
    return load_recipe(out), done.stdout


@pytest.fixture
def lists(tmp_path, rng):
    """Kaldi lists of 24 background speakers and 2 others, whose recordings of 8 s at 16 kHz are noise."""
    return write_lists(tmp_path, rng, 16000)


@pytest.fixture
def narrow_lists(tmp_path, rng):
    """The same at 8 kHz."""
    return write_lists(tmp_path, rng, 8000)


def write_lists(tmp_path, rng, rate):
    import soundfile

    speakers = {"train": [f"b{number:02}" for number in range(24)], "test": ["ann", "bob"]}
    for folder, names in speakers.items():
        utterances = [f"{name}-{number}" for name in names for number in range(2)]
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in utterances:
            soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.normal(size=8 * rate), rate)
        (tmp_path / "data" / folder / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in utterances))
        (tmp_path / "data" / folder / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in utterances))
    return tmp_path / "data"


def test_the_amount_of_speech_decides_the_number_of_gaussians():
    assert [background_components(60 * minutes) for minutes in (36.9, 20, 19.9, 3, 2.9, 0.1)] == [
        256,
        256,
        64,
        64,
        16,
        8,
    ]
    assert [independent_components(frames) for frames in (0, 79, 80, 1279, 1280, 1e6)] == [1, 1, 2, 16, 32, 32]


@pytest.mark.parametrize(
    ("wanted", "background", "expected"),
    [
        ("default", MANY, (256, (), False, True, False)),
        ("default", Speech(ENOUGH_COHORT - 1, 2214.0, 20.0), (256, (), False, False, False)),
        ("default", NONE, (32, (), True, False, False)),
        ("fast", MANY, (64, (), False, True, True)),
        ("fast", Speech(12, 100.0, 5.0), (16, (), False, True, True)),
        ("fast", NONE, (32, (), True, False, False)),
        ("best", MANY, (256, tuple(BEST), False, True, False)),
        ("best", Speech(24, 800.0, 20.0), (64, tuple(BEST), False, True, False)),
        ("best", Speech(ENOUGH_COHORT - 1, 800.0, 20.0), (64, tuple(BEST), False, False, False)),
        ("best", NONE, (64, tuple(BEST), False, False, False)),
    ],
)
def test_systems_are_chosen_by_the_background(wanted, background, expected):
    chosen = choose_systems(wanted, background, Speech(6, 262.0, 40.0))
    assert (
        chosen.n_components,
        chosen.members,
        chosen.is_independent,
        chosen.is_normalised,
        chosen.is_linear,
    ) == expected


def test_the_command_has_the_names_of_the_choice():
    assert [each.value for each in Systems] == [*SystemsName.__args__]


def test_default_and_fast_are_the_shipped_systems_of_fewer_gaussians(lists, tmp_path):
    shipped = {
        name: load_recipe(name, overrides=["corpus.kind=folder", f"corpus.root={lists}"])
        for name in ("default", "fast")
    }
    for name, recipe in shipped.items():
        written, said = init(lists, tmp_path / f"{name}.yaml", "--systems", name)
        assert written.ubm.n_components == 64
        assert "of 64 Gaussians" in said
        assert "chosen for 24 background speakers with 6.4 minutes, enough for a model of their own\n" in said
        for section in ("speakers", "scoring", "normalisation", "calibration"):
            assert getattr(written, section) == getattr(recipe, section), section
        differing = {"high_frequency"}
        assert written.features.model_dump(exclude=differing) == recipe.features.model_dump(exclude=differing)


def test_best_lists_shipped_systems_and_lowers_their_gaussians(lists, tmp_path):
    recipe, said = init(lists, tmp_path / "b.yaml", "--systems", "best")
    assert [system.name for system in recipe.systems] == [*BEST]
    assert {system.ubm.n_components for system in recipe.systems} == {64}
    assert (
        "plan: systems mfcc_raw, mfcc_full, lfcc_raw and lfcc, fused, of 64 Gaussians each; chosen for 24 background "
        "speakers with 6.4 minutes, enough for models of their own\n" in said
    )
    text = (tmp_path / "b.yaml").read_text()
    assert (
        "\n# Systems mfcc_raw, mfcc_full, lfcc_raw and lfcc, fused, of 64 Gaussians each; chosen for 24 background"
        in text
    )
    assert "{base: lfcc, ubm: {n_components: 64}} # linear cepstra" in text


def test_fast_says_that_it_is_default_where_no_others_are(narrow_lists, tmp_path):
    place, names = narrow_lists / "test", ("default", "fast")
    written = {name: init(place, tmp_path / f"{name}.yaml", "--systems", name) for name in names}
    assert written["default"][0].model_dump(exclude={"name"}) == written["fast"][0].model_dump(exclude={"name"})
    assert "Gaussians for each speaker; too few speakers" in written["default"][1]
    assert "Gaussians for each speaker, as with systems default; too few speakers" in written["fast"][1]
    assert "Gaussians for each speaker, as with systems default; too few" in (tmp_path / "fast.yaml").read_text()


def test_best_takes_the_enrolled_speakers_where_no_others_are(narrow_lists):
    found = survey(discover(narrow_lists / "test"))
    settings = choose_settings(found, "best")
    assert not settings.has_background
    assert settings.systems.members == tuple(BEST)
    assert settings.why.endswith(
        "without normalisation; chosen for 2 enrolled speakers with 0.3 minutes; too few speakers for a background "
        "model of others"
    )


def test_best_leaves_the_scores_of_few_background_speakers_as_they_are(narrow_lists, tmp_path):
    keep_background(narrow_lists, 4)
    recipe, said = init(narrow_lists, tmp_path / "b.yaml", "--systems", "best")
    assert [system.normalisation.method for system in recipe.systems] == ["none"] * 4
    assert "of 16 Gaussians each, without normalisation; chosen for 2 background speakers with 0.5 minutes\n" in said
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "b.yaml"), "--jobs", "1"])
    assert (checked.exit_code, "cohort" in checked.stdout) == (0, False)


# Pretrained models, where the background is too small


def keep_background(lists, n_recordings):
    """Leave the first recordings of the background in its lists."""
    for role in ("wav.scp", "utt2spk"):
        path = lists / "train" / role
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:n_recordings]))


@pytest.mark.parametrize("wanted", SystemsName.__args__)
@pytest.mark.parametrize(
    ("background", "is_adapted", "is_normalised"),
    [
        (NONE, False, False),
        (Speech(5, 100.0, 20.0), False, False),
        (Speech(9, 2214.0, 20.0), False, False),
        (Speech(10, 179.0, 5.0), False, True),
        (Speech(10, 180.0, 5.0), True, True),
        (Speech(19, 2214.0, 20.0), True, True),
        (Speech(20, 179.0, 5.0), False, True),
    ],
)
def test_pretrained_models_take_the_place_of_a_small_background(wanted, background, is_adapted, is_normalised):
    chosen = choose_systems(wanted, background, Speech(6, 262.0, 40.0), pretrained="speech16k")
    assert chosen.pretrained == "speech16k"
    assert (chosen.is_adapted, chosen.is_normalised) == (is_adapted, is_normalised)
    assert chosen.members == (tuple(BEST_PRETRAINED) if wanted == "best" else ())
    assert (chosen.is_independent, chosen.is_linear) == (False, False)
    assert ("as with systems default" in chosen.why) == (wanted == "fast")


@pytest.mark.parametrize("wanted", SystemsName.__args__)
def test_a_background_of_its_own_is_trained_whatever_the_band(wanted):
    for background in (MANY, Speech(20, 180.0, 5.0), Speech(24, 600.0, 20.0)):
        choices = [choose_systems(wanted, background, NONE, pretrained=name) for name in ("speech16k", None)]
        assert choices[0] == choices[1]
        assert choices[0].pretrained is None
        assert "enough for" in choices[0].why


AS_SHIPPED, TO_ADAPT = "as (it comes|they come)", "where adapting to them takes 10 speakers and 3 minutes"


@pytest.mark.parametrize("wanted", SystemsName.__args__)
@pytest.mark.parametrize(
    ("n_speakers", "how", "why"),
    [
        (0, AS_SHIPPED, "2 enrolled speakers with 0.3 minutes; too few speakers for a background model"),
        (2, AS_SHIPPED, f"2 background speakers with 0.5 minutes, {TO_ADAPT}"),
        (9, AS_SHIPPED, f"9 background speakers with 2.4 minutes, {TO_ADAPT}"),
        (
            12,
            "adapted to the background",
            "12 background speakers with 3.2 minutes, where (a model|models) of their own takes? 20 speakers",
        ),
    ],
)
def test_a_recipe_says_which_pretrained_models_it_takes_and_why(lists, tmp_path, wanted, n_speakers, how, why):
    keep_background(lists, 2 * n_speakers)
    recipe, said = init(lists if n_speakers else lists / "test", tmp_path / "r.yaml", "--systems", wanted)
    for text in (said, (tmp_path / "r.yaml").read_text()):
        assert re.search(rf"he pretrained background models? speech16k,? {how}.*; chosen for {why}", text), text
    for system in recipe.systems_or_self:
        assert system.ubm.pretrained
        assert (system.ubm.adapt is not None) == (n_speakers == 12)
        assert system.normalisation.method == ("zt" if n_speakers == 12 else "none")
        if system.ubm.adapt is not None:
            adapted = {"method": "map", "relevance_factor": 16, "adapt": ["means", "weights", "variances"]}
            assert adapted.items() <= system.ubm.adapt.model_dump(mode="json").items()
    assert shipped_names_of(at_rates(recipe, {16000: 1}).recipe) <= {*about_pretrained("speech16k").recogniser.systems}


@pytest.mark.parametrize("rate", PRETRAINED)
def test_the_pretrained_models_are_of_the_rate_that_they_are_listed_for(rate):
    systems = about_pretrained(PRETRAINED[rate]).recogniser.systems
    assert {config.front_end["sample_rate"] for config in systems.values()} == {rate}


def shipped_names_of(recipe):
    """Name the pretrained systems whose models a recipe takes."""
    return {next(iter(shipped_source(system).files.values())).parent.name for system in recipe.systems_or_self}


def test_recordings_of_higher_rates_are_brought_to_that_of_the_models(tmp_path, rng):
    lists = write_lists(tmp_path, rng, 22050)
    for wanted in SystemsName.__args__:
        recipe, _ = init(lists / "test", tmp_path / f"{wanted}.yaml", "--systems", wanted)
        for system in recipe.systems_or_self:
            assert (system.features.sample_rate, system.features.resample) == (16000, True)
            assert system.ubm.pretrained
        assert shipped_names_of(recipe)


def test_one_recording_of_a_lower_rate_keeps_the_models_away(lists, tmp_path, rng):
    import soundfile

    soundfile.write(tmp_path / "ann-0.wav", 0.1 * rng.normal(size=64000), 8000)
    recipe, said = init(lists / "test", tmp_path / "r.yaml")
    assert recipe.speakers.method == "independent"
    assert "pretrained" not in said + (tmp_path / "r.yaml").read_text()


# Features of another program


def write_archive(folder, shapes):
    """Write a Kaldi archive of single-precision matrices of the shapes, and its index."""
    folder.mkdir(parents=True)
    index = ""
    with (folder / "feats.ark").open("wb") as stream:
        for name, shape in shapes.items():
            stream.write(f"{name} ".encode())
            index += f"{name} {folder.name}/feats.ark:{stream.tell()}\n"
            stream.write(b"\0BFM \4" + struct.pack("<i", shape[0]) + b"\4" + struct.pack("<i", shape[1]))
            stream.write(np.zeros(shape, "<f4").tobytes())
    (folder / "feats.scp").write_text(index)
    (folder / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in shapes))


@pytest.mark.parametrize(("width", "order"), [(13, 2), (60, 0)])
def test_the_dimension_of_features_is_found_in_the_archives(tmp_path, width, order):
    write_archive(tmp_path / "train", {f"b{number:02}-0": (1000, width) for number in range(24)})
    write_archive(tmp_path / "test", {f"{name}-{number}": (500, width) for name in ("ann", "bob") for number in (0, 1)})
    recipe, said = init(tmp_path, tmp_path / "r.yaml")
    assert (recipe.corpus.input, recipe.features.kind) == ("features", "given")
    assert (recipe.features.n_static, recipe.features.deltas.order) == (width, order)
    assert f"26 speakers, 4.3 minutes in recordings: {width} features a frame" in said
    assert len(read_corpus(recipe.corpus).background) == 24
    with pytest.raises(CorpusError, match="systems best read audio; expected default or fast"):
        choose_settings(survey(discover(tmp_path)), "best")


def test_features_that_cannot_be_used_are_listed(tmp_path):
    shapes = {f"{name}-{number}": (500, 13) for name in ("ann", "bob") for number in range(3)}
    write_archive(tmp_path / "data", shapes | {"ann-3": (500, 12), "ann-4": (0, 0)})
    place = (tmp_path / "data" / "feats.scp").read_text()
    (tmp_path / "data" / "feats.scp").write_text(re.sub(r"(?<=bob-2 )\S+", "data/gone.ark:5", place))
    found = survey(discover(tmp_path))
    assert (found.n_static, found.n_unusable) == (13, 3)
    assert {each.id for each in found.utterances} == {"ann-0", "ann-1", "ann-2", "bob-0", "bob-1"}
    assert choose_settings(found).systems.is_independent  # pretrained models are of features from audio
    assert sorted(reason.partition(": ")[2] for reason in found.unusable)[0] == "12 features; expected 13, as most have"
