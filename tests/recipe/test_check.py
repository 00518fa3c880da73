"""Looking over the data of a recipe before a run."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.paths import ROOT
from speechgmm.audio.reading import audio_facts
from speechgmm.cli import app
from speechgmm.corpus.reading import read_corpus
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.preparing.headers import read_headers
from speechgmm.recipe.reading.loader import load_recipe

RECIPE = """
corpus: {kind: csv, root: .}
features: {high_frequency: 3700}
ubm: {n_components: 8}
calibration: {method: none}
"""


@pytest.fixture
def recipe(tmp_path, rng):
    """A recipe of four speakers, with three seconds of noise from each in each role."""
    rows = ["path,speaker,role"]
    for speaker, role in [("x", "background"), ("y", "background"), *((s, r) for s in "ab" for r in ("enrol", "test"))]:
        rows.append(f"{speaker}-{role}.wav,{speaker},{role}")
        soundfile.write(tmp_path / f"{speaker}-{role}.wav", 0.1 * rng.normal(size=3 * 16000), 16000)
    (tmp_path / "utterances.csv").write_text("\n".join(rows))
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def add(recipe, *rows):
    path = recipe.parent / "utterances.csv"
    path.write_text("\n".join([path.read_text(), *rows]))


def found(recipe):
    checked = check_recipe(load_recipe(recipe), Engine("processes", 2))
    return {(each.severity, each.what): each.items for each in checked.findings}


def test_good_data_are_counted_and_nothing_is_found(recipe):
    checked = check_recipe(load_recipe(recipe))
    assert checked.findings == ()
    assert checked.n_trials == {"trials": 4}
    background = checked.roles["background"]
    assert (background.n_speakers, background.n_utterances, background.sample_rates) == (2, 2, (16000,))
    assert background.hours == pytest.approx(6 / 3600)


def test_each_kind_of_trouble_is_found(recipe, rng):
    folder = recipe.parent
    recipe.write_text(RECIPE.replace("{high", "{sample_rate: 16000, high"))
    soundfile.write(folder / "slow.wav", 0.1 * rng.normal(size=8000), 8000)
    soundfile.write(folder / "slower.wav", 0.1 * rng.normal(size=8000), 6000)
    soundfile.write(folder / "short.wav", 0.1 * rng.normal(size=1600), 16000)
    soundfile.write(folder / "click.wav", 0.1 * rng.normal(size=160), 16000)
    soundfile.write(folder / "two.wav", 0.1 * rng.normal(size=(16000, 2)), 16000)
    (folder / "text.wav").write_text("this is no audio")
    (folder / "cut.wav").write_bytes((folder / "x-background.wav").read_bytes()[:9000])
    names = ["gone", "slow", "slower", "short", "click", "two", "text", "cut"]
    add(recipe, *(f"{name}.wav,a,background" for name in names))
    items = found(recipe)
    assert items["error", "missing file"] == ("background gone: gone.wav: no such audio file",)
    assert [item.partition(":")[0] for item in items["error", "unreadable audio"]] == [
        "background two",
        "background text",
        "background cut",
    ]
    assert "cut short" in items["error", "unreadable audio"][2]
    slow, slower = items["error", "sample rate"]
    assert slow.startswith(
        "background slow: sample rate 8000 Hz, and the front end's is 16000 Hz; set the key resample to true"
    )
    assert slower.startswith("background slower: sample rate 6000 Hz is too low for filters up to 3700 Hz")
    assert items["error", "shorter than a frame of 0.025 s"] == ("background click: click.wav: 0.010 s",)
    assert items["warning", "shorter than 0.5 s"] == ("background short: short.wav: 0.100 s",)
    assert items["warning", "mixed sample rates"] == ("8 at 16000 Hz, 1 at 8000 Hz, 1 at 6000 Hz",)
    assert items["warning", "in the lists"] == (
        "a in both background and enrolment: their scores look better than they are",
    )
    assert len(items) == 7


def test_one_recording_under_two_names_is_found(recipe):
    path = recipe.parent / "utterances.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(["id," + rows[0], *(f"u{n},{row}" for n, row in enumerate(rows[1:]))]))
    add(recipe, "again,x-background.wav,x,background", "u9,a-enrol.wav,b,test")
    pair = "enrol u2 (a-enrol.wav), test u9 (a-enrol.wav)"
    assert found(recipe) == {
        ("error", "enrolled and tested on the same recording"): (f"model a: {pair}",),
        ("warning", "one recording under several ids"): (
            "background u0 (x-background.wav), background again (x-background.wav)",
        ),
        ("warning", "one recording of several speakers"): (f"a and b: {pair}",),
    }
    recipe.write_text(RECIPE.replace("root: .", "root: ., allow_shared_recordings: true"))
    assert ("warning", "enrolled and tested on the same recording") in found(recipe)


def test_parts_that_are_not_there_are_found(recipe):
    path = recipe.parent / "utterances.csv"
    rows = path.read_text().splitlines()
    cut = (f"u{n},0.5,1,,{row}" for n, row in enumerate(rows[1:]))
    path.write_text("\n".join([f"id,start,end,channel,{rows[0]}", *cut]))
    add(recipe, "nearly,2,3.4,0,y-background.wav,y,background")
    recipe.write_text(RECIPE.replace("components: 8", "components: 2"))
    add(recipe, "late,2,9,0,y-background.wav,y,background", "third,,,2,x-background.wav,x,background")
    assert found(recipe) == {
        ("error", "unreadable audio"): (
            "background late: y-background.wav: has no segment from 2 s to 9 s; it is 3 s long",
            "background third: x-background.wav: has no channel 2; it has 1, counted from 0, and their mean",
        )
    }


def test_errors_in_lists_are_told_with_their_lines(recipe):
    add(recipe, "z.wav,,test", "a-test.wav,a,test", "q.wav,q,nothing")
    items = found(recipe)
    assert items == {
        ("error", "in the lists"): (
            "utterances.csv:8: no speaker",
            "utterances.csv:9: id a-test is on line 5 as well; expected different ids",
            "utterances.csv:10: role 'nothing'; expected background, enrol, test, or nothing",
        )
    }


def test_trials_of_unknown_models_and_a_missing_background_are_found(recipe):
    recipe.write_text(RECIPE.replace("root: .", "root: ., trials: [t.txt]"))
    (recipe.parent / "t.txt").write_text("a a-test target\nc a-test nontarget\n")
    assert found(recipe)["error", "in the lists"][0].startswith("t.txt:2: unknown model 'c'")
    (recipe.parent / "t.txt").write_text("a a-test target\nb a-test nontarget\n")
    path = recipe.parent / "utterances.csv"
    path.write_text("\n".join(row for row in path.read_text().splitlines() if "background" not in row))
    assert found(recipe)["warning", "in the lists"][0].startswith("no background: the enrolment of the 2")
    recipe.write_text(RECIPE.replace("ubm: {n_components: 8}", "speakers: {method: independent}"))
    assert found(recipe) == {}


def test_the_command_prints_tables_or_json_and_leaves_with_a_status(recipe):
    done = CliRunner().invoke(app, ["check", str(recipe)])
    assert done.exit_code == 0
    assert "trials: 4 in the list trials\nchecked: the recipe, lists, trials, speakers, headers of 6" in done.stdout
    assert "nothing is wrong" in done.stdout
    assert done.stderr == ""  # a bar is for a terminal
    add(recipe, "gone.wav,b,background")
    done = CliRunner().invoke(app, ["check", str(recipe), "--jobs", "1"])
    assert done.exit_code == 2
    assert "missing file" in done.stdout
    assert "errors: 1, warnings: 1" in done.stdout
    done = CliRunner().invoke(app, ["check", str(recipe), "--json"])
    assert done.exit_code == 2
    data = json.loads(done.stdout)
    assert (data["errors"], data["warnings"]) == (1, 1)
    assert data["findings"][0]["items"] == ["background gone: gone.wav: no such audio file"]
    assert data["roles"]["test"]["n_utterances"] == 2
    done = CliRunner().invoke(app, ["check", str(recipe), "--set", "features.n_mfc=1"])
    assert done.exit_code == 2
    assert "n_mfc: unknown key" in done.stderr


def test_embedded_voices_have_no_files_to_look_at():
    assert check_recipe(load_recipe(ROOT / "recipes" / "quickstart.yaml")).findings == ()


def test_archives_that_are_missing_are_found(tmp_path):
    for role in ("background", "enrol", "test"):
        (tmp_path / "lists" / role).mkdir(parents=True)
        (tmp_path / "lists" / role / "feats.scp").write_text(f"a-{role} {role}.ark:5\n")
        (tmp_path / "lists" / role / "utt2spk").write_text(f"a-{role} a\n")
    np.save(tmp_path / "test.npy", np.zeros(3))
    (tmp_path / "test.npy").rename(tmp_path / "test.ark")
    (tmp_path / "r.yaml").write_text(
        "corpus: {kind: kaldi, root: ., input: features, protocol: {}}\nfeatures: {kind: given, n_static: 3}\n"
    )
    assert found(tmp_path / "r.yaml")["error", "missing file"] == (
        "background a-background: background.ark:5",
        "enrol a-enrol: enrol.ark:5",
    )


def test_identical_errors_are_one_line_with_their_number(recipe, rng):
    names = [f"stereo{number}" for number in range(12)]
    for name in names:
        soundfile.write(recipe.parent / f"{name}.wav", 0.1 * rng.normal(size=(9000, 2)), 16000)
    add(recipe, *(f"{name}.wav,x,background" for name in names), "gone.wav,y,background", "off.wav,y,background")
    done = CliRunner().invoke(app, ["check", str(recipe)], env={"COLUMNS": "250"})
    line = "12 recordings: 2 channels; expected a mono file, or a channel: 0 to 1, or mean; the first: background"
    assert f"{line} stereo0: stereo0.wav\n" in done.stdout.replace(" " * 10, "").replace(" \n", "\n")
    assert "2 recordings: no such audio file; the first: background gone: gone.wav" in done.stdout
    assert "errors: 14, warnings: 0" in done.stdout
    assert "for recordings of several channels, add a column channel to the table: a number from 0" in done.stdout
    data = json.loads(CliRunner().invoke(app, ["check", str(recipe), "--json"]).stdout)
    (unreadable,) = (each for each in data["findings"] if each["what"] == "unreadable audio")
    assert [item.split(":")[1].strip() for item in unreadable["items"]] == [f"{name}.wav" for name in names]
    (group,) = unreadable["groups"]
    assert (group["count"], group["first"]) == (12, "background stereo0: stereo0.wav")
    add(recipe, "a.wav,,test", "b.wav,,test")
    done = CliRunner().invoke(app, ["check", str(recipe)], env={"COLUMNS": "250"})
    assert "2 lines: no speaker; the first: utterances.csv:22" in done.stdout


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_16"])
def test_samples_in_other_units_are_found(recipe, rng, subtype):
    noise = rng.normal(size=16000) * (np.arange(16000) > 8000)
    samples = 0.1 * noise if subtype == "PCM_16" else 1e15 * noise
    soundfile.write(recipe.parent / "loud.wav", np.append(np.zeros(40000), samples), 16000, subtype=subtype)
    add(recipe, "loud.wav,x,background")
    items = found(recipe)
    expected = [] if subtype == "PCM_16" else [("error", "unreadable audio")]
    assert [*items] == expected
    assert all("expected full scale at 1" in item for each in items.values() for item in each)


def test_what_is_odd_about_a_file_is_a_warning_once_for_each_utterance(recipe, monkeypatch):
    asked = []

    def odd(path, channel):
        """Say what is odd, and note who was asked for."""
        asked.append(path.rpartition("/")[2])
        warnings = ("its header was never finished",) if "x-" in path else ()
        return audio_facts(path, channel)._replace(warnings=warnings)

    monkeypatch.setattr("speechgmm.recipe.preparing.headers.audio_facts", odd)
    path = recipe.parent / "utterances.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([f"id,start,end,{rows[0]}", *(f"u{n},,,{row}" for n, row in enumerate(rows[1:]))]))
    add(recipe, "part,1,2,x-background.wav,x,background")
    (finding,) = check_recipe(load_recipe(recipe)).findings
    assert (finding.severity, finding.what) == ("warning", "doubtful audio")
    assert [(each.message, each.count) for each in finding.groups] == [("its header was never finished", 2)]
    assert len(asked) == len({*asked}) == 6


def test_progress_is_reported_until_all_is_done(recipe):
    calls = []
    corpus = read_corpus(load_recipe(recipe).corpus)
    headers = read_headers(corpus.test, progress=lambda *call: calls.append(call))
    assert len(headers) == 2
    assert calls == [(2, 2)]
