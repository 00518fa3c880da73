"""``speechgmm gallery`` with folders, audio of any kind, and speakers who share recordings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.commands import message_of, remarks_of
from helpers.voices import enrolment, spoken
from speechgmm.audio.samples import resample
from speechgmm.cli import app
from speechgmm.cli.gallery_audio import grouped, listed


def gallery(*arguments):
    """Run the command in this process."""
    return CliRunner().invoke(app, ["gallery", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def filled(voices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-audio") / "team"
    gallery("create", voices / "results", "--out", folder)
    for name, speaker in (("Ann", "f001"), ("Bo", "m002")):
        assert gallery("enrol", folder, name, *enrolment(voices, speaker)).exit_code == 0
    return folder


@pytest.fixture
def team(filled, tmp_path, monkeypatch):
    """A gallery in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(filled, "team")


@pytest.fixture
def mixed(voices, tmp_path, team):
    """A folder with audio of several kinds, and other files."""
    folder = tmp_path / "mixed"
    (folder / "more").mkdir(parents=True)
    samples = soundfile.read(spoken(voices, "f001")[0], dtype="float32")[0]
    for name, rate, n_channels in (("a", 44100, 2), ("b", 44100, 1), ("c", 8000, 1), ("more/d", 16000, 3)):
        channels = np.stack([resample(samples, 16000, rate)] * n_channels, axis=1) * (0.9 if name == "b" else 1)
        soundfile.write(folder / f"{name}.wav", channels, rate)
    for name in ("text.txt", "table.csv", "more/other.txt"):
        (folder / name).write_text("no audio")


NOTE = (
    "1 recording resampled from 8000 Hz to 16000 Hz; 2 recordings resampled from 44100 Hz to 16000 Hz; "
    "2 recordings of several channels: their mean"
)
NARROW = (
    "warning: 1 recording holds sound up to 4.0 kHz only, and the features of this gallery reach 7.6 kHz; scores "
    "between it and recordings with more are unreliable: "
)


def test_folders_are_read_at_any_depth_and_what_was_made_of_audio_is_said_once(mixed):
    words = "--closed-set", "--top", 1
    done = gallery("identify", "team", "mixed", *words)
    assert done.exit_code == 0
    rows = [line.split()[:2] for line in done.stdout.splitlines()[2:6]]
    assert [row[0] for row in rows] == [f"mixed/{name}.wav" for name in ("a", "b", "c", "more/d")]
    assert [row[1] for row in rows if "c.wav" not in row[0]] == [
        "Ann"
    ] * 3  # speech up to 4 kHz is what the warning is of
    assert remarks_of(done).splitlines() == [
        "mixed: left out: 2 .txt, 1 .csv (table.csv)",
        NOTE,
        f"{NARROW}mixed/c.wav",
    ]
    done = gallery("identify", "team", "mixed", "--json", *words)
    recordings = json.loads(done.stdout)["recordings"]
    assert [each["file"] for each in recordings if "warnings" in each] == ["mixed/c.wav"]
    done = gallery("enrol", "team", "Cy", "mixed")
    assert done.stdout.startswith("Cy: enrolled with 4 recordings, ")
    assert remarks_of(done).splitlines()[1:] == [NOTE, f"{NARROW}c.wav"]
    assert gallery("forget", "team", "Cy").exit_code == 0
    assert gallery("extend", "team", "Ann", "mixed").stdout.startswith("Ann: 4 added, now 7 recordings")
    done = gallery("timeline", "team", "mixed/c.wav")
    assert remarks_of(done).splitlines() == [
        "1 recording resampled from 8000 Hz to 16000 Hz",
        f"{NARROW}mixed/c.wav",
    ]


def test_the_louder_channel_is_taken_where_the_gallery_says_so(mixed, tmp_path):
    own = tmp_path / "team" / "gallery.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {"channel": "loudest"}))
    done = gallery("verify", "team", "Ann", "mixed/a.wav")
    assert "1 recording of several channels: the loudest of them" in done.stderr
    assert gallery("timeline", "team", "mixed/a.wav").exit_code == 0


def test_several_recordings_are_verified_in_a_table(mixed, voices):
    good, other = spoken(voices, "f001")[1], spoken(voices, "m002")[0]
    done = gallery("verify", "team", "Ann", good, other, "mixed", "--threshold", 0.5)
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["recording", "Ann", "score"]
    assert [row[:2] for row in rows[2:4]] == [[str(good), "accepted"], [str(other), "rejected"]]
    assert done.stdout.endswith("score: log-likelihood ratio, nats per frame, not calibrated; threshold +0.50\n")
    single = json.loads(gallery("verify", "team", "Ann", good, "--json").stdout)
    several = json.loads(gallery("verify", "team", "Ann", good, other, "--json").stdout)
    assert several["recordings"][0]["score"] == single["score"]
    assert several["unusable"] == []
    Path("alone").mkdir()
    shutil.copy(good, "alone")
    alone = json.loads(gallery("verify", "team", "Ann", "alone", "--json").stdout)
    assert alone["recordings"][0]["score"] == single["score"]
    done = gallery("verify", "team", "Ann", good, "none.wav", "gone.wav")
    assert done.exit_code == 3
    assert "2 recordings could not be used: 2 files: no such audio file: none.wav, gone.wav" in message_of(done)
    done = gallery("verify", "team", "Ann", "none.wav", "gone.wav")
    assert (done.exit_code, done.stdout) == (2, "")
    done = gallery("verify", "team", "Ann", "none.wav", "gone.wav", "--json")
    data = json.loads(done.stdout)
    assert (done.exit_code, data["recordings"], len(data["unusable"])) == (2, [], 2)


def test_a_timeline_of_a_folder_is_refused(mixed):
    done = gallery("timeline", "team", "mixed")
    expected = "error: mixed: a folder; expected one audio file, as a timeline is of one recording"
    assert (done.exit_code, message_of(done)) == (2, expected)


def test_a_folder_without_audio_is_refused_with_what_it_holds(team, tmp_path):
    (tmp_path / "texts").mkdir()
    for words in (("identify", "team"), ("verify", "team", "Ann"), ("enrol", "team", "Cy"), ("extend", "team", "Ann")):
        done = gallery(*words, "texts")
        expected = "error: texts: no audio files in this folder; expected names such as a.wav or b.flac"
        assert (done.exit_code, message_of(done)) == (2, expected)
    (tmp_path / "texts" / "a.txt").touch()
    assert "no audio files in this folder (1 .txt (a.txt)); expected" in message_of(
        gallery("identify", "team", "texts")
    )


def test_a_name_with_the_recordings_of_another_is_warned_of_and_ties(team, voices):
    first = enrolment(voices, "f001")
    done = gallery("enrol", "team", "Anna", *first)
    names = ", ".join(path.name for path in first)
    assert done.stderr == f"warning: Anna: enrolled with 3 of the same recordings as Ann: {names}\n"
    shared = (
        "warning: Ann and Anna are enrolled with 3 of the same recordings; forget removes a name, or a recording from"
    )
    assert shared in gallery("list", "team").stderr
    test = spoken(voices, "f001")[0]
    done = gallery("identify", "team", test, "--closed-set", "--top", 2)
    assert done.stdout.splitlines()[2].split()[1] == "unknown"
    assert f"warning: unknown, because Ann and Anna score equally: {test}\n{shared}" in done.stderr
    (recording,) = json.loads(gallery("identify", "team", test, "--threshold", 0, "--json").stdout)["recordings"]
    assert (recording["decided"], recording["answer"], recording["tied"]) == (True, None, ["Ann", "Anna"])
    done = gallery("timeline", "team", test, "--window", 60, "--hop", 60)
    assert "warning: 1 window unknown, because Ann and Anna score equally" in done.stderr
    assert "unknown" in done.stdout
    done = gallery("identify", "team", spoken(voices, "m002")[0], "--closed-set")
    assert done.stdout.splitlines()[2].split()[1] == "Bo"
    assert "score equally" not in done.stderr
    done = gallery("extend", "team", "Bo", first[0])
    assert f"Bo: enrolled with the same recording as Ann: {first[0].name}" in done.stderr
    assert f"Bo: enrolled with the same recording as Anna: {first[0].name}" in done.stderr


def test_the_same_samples_in_another_file_are_the_same_recording(team, voices, tmp_path):
    first, second, _ = enrolment(voices, "f001")
    copies = [tmp_path / "first.wav", tmp_path / "second.aiff"]
    for path, copy in zip((first, second), copies, strict=True):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(copy, samples, rate, subtype="PCM_24" if copy.suffix == ".aiff" else None)
    done = gallery("enrol", "team", "Anna", *copies)
    assert done.stderr == "warning: Anna: enrolled with 2 of the same recordings as Ann: first.wav, second.aiff\n"
    shared = "warning: Ann and Anna are enrolled with 2 of the same recordings; forget removes"
    assert shared in gallery("list", "team").stderr
    assert (
        f"warning: Ann and Anna are enrolled with this very recording: {first}\n"
        in gallery("verify", "team", "Ann", first).stderr
    )
    done = gallery("enrol", "team", "Ruth", first, copies[0], second)
    assert (done.exit_code, done.stdout.startswith("Ruth: enrolled with 2 recordings")) == (3, True)
    assert f"{copies[0]}: the same recording as {first.name}, which is there already" in done.stderr
    done = gallery("extend", "team", "Ann", copies[1])
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"the same recording as {second.name}, which is there already" in message_of(done)


def test_a_test_that_is_enrolled_is_warned_of(team, voices):
    path = enrolment(voices, "m002")[0]
    for words in (("identify", "team"), ("verify", "team", "Bo")):
        assert remarks_of(gallery(*words, path)) == f"warning: Bo is enrolled with this very recording: {path}\n"


def test_what_is_odd_about_a_file_is_a_warning(team, voices, tmp_path):
    """A recorder that crashed leaves a data size of 0 in the header."""
    samples = soundfile.read(spoken(voices, "f001")[0], dtype="int16")[0]
    soundfile.write(tmp_path / "whole.wav", samples, 16000)
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "crashed.wav").write_bytes(data[:40] + bytes(4) + data[44:])
    done = gallery("identify", "team", "crashed.wav", "whole.wav", "--closed-set")
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: crashed.wav: ")
    assert "header" in done.stderr


def test_progress_is_for_terminals_alone(mixed):
    for words in (("identify", "team", "mixed"), ("timeline", "team", "mixed/a.wav")):
        assert "reading" not in gallery(*words).stderr


def test_files_with_the_same_reason_share_a_line():
    reasons = {f"{number}.wav": "2 channels" for number in range(266)} | {"odd.wav": "no speech"}
    assert grouped(reasons) == [
        "266 files: 2 channels: 0.wav, 1.wav, 2.wav, 3.wav, 4.wav and 261 more",
        "odd.wav: no speech",
    ]
    assert listed(["a", "b"]) == "a, b"
