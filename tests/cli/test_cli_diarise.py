"""``speechgmm diarise``: who speaks when, by the models of a run."""

import pytest

from helpers.commands import message_of, speechgmm
from helpers.recipes import synthetic_corpus
from speechgmm.gallery.segment_files import read_segments

CORPUS = synthetic_corpus(n_background=10, n_background_utterances=3)
SYSTEM = "ubm: {n_components: 4, n_iterations: 3}\ncalibration: {method: none}\n"
IVECTORS = "vectors: {kind: ivector, rank: 4, n_iterations: 3}\nbackend: [center, length, plda]\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The results folders of a run with i-vectors and of one without, and a recording."""
    folder = tmp_path_factory.mktemp("diarise")
    for name, sections in {"small": IVECTORS, "adapted": ""}.items():
        (folder / f"{name}.yaml").write_text(f"{CORPUS}\n{SYSTEM}{sections}")
        run = ("run", folder / f"{name}.yaml", "--results", folder / "results", "--engine", "serial")
        done = speechgmm(*run, "--until", "evaluation")
        assert done.exit_code == 0, done.output
    recording = next((folder / "results" / ".cache" / "corpus").rglob("*.flac"))
    return folder / "results", recording


def test_segments_and_seconds_are_printed(trained):
    results, recording = trained
    done = speechgmm("diarise", recording, "--models", results / "small", "--speakers", 1)
    assert done.exit_code == 0, done.output
    *segments, totals = done.stdout.splitlines()
    lengths = [float(stop) - float(start) for start, stop, speaker in map(str.split, segments) if speaker == "speaker1"]
    assert len(lengths) == len(segments) > 0
    assert float(totals.removeprefix("speaker1 ").removesuffix(" s")) == pytest.approx(sum(lengths), abs=0.1)


def test_segments_are_written_as_printed(trained, tmp_path):
    results, recording = trained
    given = ("diarise", recording, "--models", results / "small", "--speakers", 1)
    printed = [line.split() for line in speechgmm(*given).stdout.splitlines()[:-1]]
    files = [tmp_path / f"who.{suffix}" for suffix in ("rttm", "csv", "png")]
    done = speechgmm(*given, *(part for file in files for part in ("--out", file)), "--html", tmp_path / "who.html")
    assert done.exit_code == 0, done.output
    assert all(file.stat().st_size for file in (*files, tmp_path / "who.html"))
    segments = [(each.start, each.stop, each.speaker) for each in read_segments(files[0])[recording.stem]]
    assert [(f"{start:.2f}", speaker) for start, _, speaker in segments] == [(each[0], each[2]) for each in printed]


def test_what_cannot_be_used_is_named(trained, tmp_path):
    results, recording = trained
    done = speechgmm("diarise", recording, "--models", results / "adapted")
    assert done.exit_code == 2
    assert "expected a run of one system of i-vectors" in message_of(done)
    done = speechgmm("diarise", recording, "--models", tmp_path)
    assert done.exit_code == 2
    assert str(tmp_path) in message_of(done)
    done = speechgmm("diarise", tmp_path / "missing.wav", "--models", results / "small")
    assert done.exit_code == 2
    assert "no such audio file" in message_of(done)


@pytest.mark.parametrize("speakers", ["0", "two", "-1"])
def test_other_numbers_of_speakers_are_refused(trained, speakers):
    results, recording = trained
    done = speechgmm("diarise", recording, "--models", results / "small", "--speakers", speakers)
    assert done.exit_code == 2
    assert "expected auto, or a number from 1" in message_of(done)
