"""``speechgmm check`` on audio files."""

import json

import numpy as np
import pytest
import soundfile

from helpers.commands import speechgmm
from helpers.recipes import SMALL


@pytest.fixture
def place(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls" / "ann").mkdir(parents=True)
    time = np.arange(5 * 16000) / 16000
    samples = np.where(time % 1 < 0.6, 0.1, 0.0005) * rng.normal(size=len(time)).clip(-3, 3)
    soundfile.write("calls/ann/1.wav", samples, 16000)
    soundfile.write("calls/2.flac", np.column_stack([samples, samples]), 44100)
    (tmp_path / "calls" / "notes.txt").write_text("x")
    return tmp_path


def test_a_folder_has_a_line_for_each_recording_and_a_summary(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = speechgmm("check", "calls")
    assert done.exit_code == 0
    assert done.stderr == "calls: left out: 1 .txt (notes.txt)\n"
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("calls/")]
    assert [line[0] for line in lines] == ["calls/2.flac", "calls/ann/1.wav"]
    assert lines[0][1:5] == ["44100", "x", "2", "1.8"]
    assert lines[1][1:3] == ["16000", "5.0"]
    assert done.stdout.splitlines()[-1].startswith("recordings: 2, 6.8 s with ")
    assert done.stdout.splitlines()[-1].endswith("; with remarks: 1; unusable: 0")


def test_json_has_every_measure(place):
    done = speechgmm("check", "--json", "calls/ann/1.wav", "gone.wav")
    assert done.exit_code == 3
    data = json.loads(done.stdout)
    (found,) = data["recordings"]
    assert found["condition"].keys() == {"low", "high", "level", "snr", "clipped", "decay", "holes"}
    assert (found["path"], found["sample_rate"], found["seconds"]) == ("calls/ann/1.wav", 16000, 5.0)
    assert data["unusable"] == [{"path": "gone.wav", "reason": "no such audio file"}]


def test_without_a_usable_recording_the_status_is_that_of_an_error(place):
    done = speechgmm("check", "gone.wav")
    assert done.exit_code == 2
    assert done.stderr == "unusable: gone.wav: no such audio file\n"


def test_audio_is_known_by_its_first_bytes_too(place):
    (place / "calls" / "ann" / "1.wav").rename("memo")
    assert "recordings: 1, 5.0 s" in speechgmm("check", "memo").stdout


def test_a_recipe_stands_alone(place):
    (place / "r.yaml").write_text(SMALL)
    done = speechgmm("check", "calls", "r.yaml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: r.yaml: neither an audio file nor the only argument; expected one recipe, or audio files and folders "
        "of them\n"
    )
    done = speechgmm("check", "calls/2.flac", "--set", "seed=1")
    assert done.exit_code == 2
    assert "calls/2.flac" in done.stderr


def test_a_folder_without_audio_is_taken_for_a_mistaken_recipe(place):
    (place / "empty").mkdir()
    done = speechgmm("check", "empty")
    assert (done.exit_code, done.stderr) == (2, "error: empty: a folder; expected a recipe, a YAML file\n")
