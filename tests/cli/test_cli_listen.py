"""``speechgmm gallery listen``: standard input, files, a microphone that is made up, and interruptions."""

import json
import shutil
import sys
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.colours import COLOURS, LOCAL, noise
from helpers.commands import message_of
from speechgmm import FeatureConfig, TrainingConfig, create_gallery, enrol, extract, save_gmm, train
from speechgmm.cli import app
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.listening import Listener
from speechgmm.gallery.segment_files import read_segments
from speechgmm.gallery.segments import find_segments
from speechgmm.gallery.timeline import make_timeline
from speechgmm.scoring.identification import IdentificationConfig

CLOSED = IdentificationConfig(p_unknown=0.0)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Two galleries of two colours: of a front end that needs no whole recording, and of the default one."""
    folder, rng = tmp_path_factory.mktemp("listen"), np.random.default_rng(7)
    for name, colour in COLOURS.items():
        soundfile.write(folder / f"{name}.wav", noise(rng, colour, 4), 16000)
    for kind, front_end in (("local", LOCAL), ("default", FeatureConfig())):
        speech = [extract(folder / f"{name}.wav", front_end) for name in COLOURS]
        ubm = train(speech, TrainingConfig(n_components=2, n_iterations=2)).gmm
        save_gmm(folder / f"{kind}.safetensors", ubm, front_end=front_end.model_dump(mode="json"))
        gallery = create_gallery(folder / kind, folder / f"{kind}.safetensors")
        for name in COLOURS:
            enrol(gallery, name, [gallery.record(folder / f"{name}.wav")])
    turns = [noise(rng, COLOURS[name], 3) for name in ("ann", "bo", "ann", "bo")]
    silence = np.zeros(32000)
    samples = np.concatenate([*turns[:2], silence, *turns[2:]])
    soundfile.write(folder / "meeting.wav", samples, 16000, subtype="PCM_16")
    return folder


def listen(*arguments, samples=None):
    data = None if samples is None else np.round(np.asarray(samples) * 32768).astype("<i2").tobytes()
    words = ["gallery", "listen", *map(str, arguments)]
    return CliRunner().invoke(app, words, input=data, catch_exceptions=False, env={"COLUMNS": "200"})


def test_standard_input_gives_the_answers_of_a_timeline(room, tmp_path):
    """Where the front end needs no whole recording, windows, answers and segments are those of the timeline."""
    samples, _ = soundfile.read(room / "meeting.wav")
    out = tmp_path / "live.json"
    done = listen(room / "local", "-", "--json", "--out", out, samples=samples)
    assert done.exit_code == 0
    gallery = Gallery(room / "local")
    timeline = make_timeline(gallery, gallery.read(room / "meeting.wav"), 1.5, CLOSED, hop=0.5)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["speaker"] for line in lines] == list(timeline.answers)
    assert None in timeline.answers
    assert {"ann", "bo"} < set(timeline.answers)
    np.testing.assert_allclose([(line["start"], line["end"]) for line in lines], list(pairwise(timeline.edges)))
    best = np.nanmax(timeline.scores, axis=1, initial=-np.inf, where=np.isfinite(timeline.scores))
    for line, score in zip(lines, best, strict=True):
        assert line["score"] == (None if line["speaker"] is None else pytest.approx(score, abs=1e-6))
    found = json.loads(out.read_text())["segments"]
    expected = find_segments(timeline)
    assert [each["speaker"] for each in found] == [each.speaker for each in expected]
    np.testing.assert_allclose(
        [(each["start"], each["end"]) for each in found], [each[:2] for each in expected], atol=1e-3
    )


def test_lines_name_each_change(room):
    done = listen(room / "default", "--file", room / "meeting.wav")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[-1] for line in lines] == ["ann", "bo", "ann", "bo"]
    for line, start in zip(lines, (0, 3, 8, 11), strict=True):
        hours, minutes, seconds = line[0].split(":")
        assert (hours, minutes) == ("0", "00")
        assert float(seconds) == pytest.approx(start, abs=1.0)
    assert "heard: 0:00:14.0, " in done.stderr


def test_other_rates_and_channels_are_converted(room, tmp_path):
    samples, _ = soundfile.read(room / "meeting.wav")
    stereo = np.column_stack((samples, samples))
    usual = listen(room / "local", "-", samples=samples).stdout
    assert listen(room / "local", "-", "--raw", "16000,2,s16le", samples=stereo.ravel()).stdout == usual
    soundfile.write(tmp_path / "stereo.wav", stereo, 16000, subtype="PCM_16")
    assert listen(room / "local", "--file", tmp_path / "stereo.wav").stdout == usual
    doubled = np.interp(np.arange(2 * len(samples)) / 2, np.arange(len(samples)), samples)
    named = [
        line.split()[-1] for line in listen(room / "local", "-", "--raw", 32000, samples=doubled).stdout.splitlines()
    ]
    assert named[:2] == ["ann", "bo"]


def test_several_channels_are_refused_where_the_gallery_says_so(room, tmp_path):
    config = json.loads((room / "local" / "gallery.json").read_text())
    folder = shutil.copytree(room / "local", tmp_path / "copy")
    (folder / "gallery.json").write_text(json.dumps(config | {"channel": None}))
    done = listen(folder, "-", "--raw", "16000,2,s16le", samples=np.zeros(3200))
    assert done.exit_code == 2
    assert 'standard input: 2 channels; expected mono audio, or "channel": "mean" in' in message_of(done)


def test_a_pipe_that_ends_within_a_sample(room):
    samples, _ = soundfile.read(room / "meeting.wav")
    data = np.round(samples[:64000] * 32768).astype("<i2").tobytes()
    words = ["gallery", "listen", str(room / "local"), "-"]
    cut = CliRunner().invoke(app, words, input=data + b"\1", catch_exceptions=False)
    assert (cut.exit_code, cut.stdout) == (0, CliRunner().invoke(app, words, input=data).stdout)
    assert "heard: 0:00:04.0, " in cut.stderr


@pytest.mark.parametrize("level", [0.0, 1e-4])
@pytest.mark.parametrize("kind", ["local", "default"])
def test_silence_has_no_answers(room, tmp_path, rng, level, kind):
    out = tmp_path / "none.csv"
    samples = level * rng.normal(size=48000)
    done = listen(room / "local", "-", "--out", out, samples=samples)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"heard: 0:00:03.0, no speech; segments: {out}" in done.stderr
    assert out.read_text() == "start,end,speaker,score,posterior\n"
    assert listen(room / kind, "-", samples=[]).exit_code == 0


def test_what_cannot_be_done_is_refused(room, tmp_path, monkeypatch):
    for arguments, message in (
        (("--file", tmp_path / "none.wav"), "none.wav: no such audio file"),
        (("--file", room / "ann.wav", "--out", "x.wav"), "x.wav: suffix '.wav'; segments are written to"),
        (("-", "--file", room / "ann.wav"), "expected -, or --file FILE, or neither"),
        (("somewhere",), "expected -, or --file FILE, or neither"),
        (("--file", room / "ann.wav", "--hop", 2), "hop of 2 s; expected at least"),
    ):
        done = listen(room / "local", *arguments)
        assert done.exit_code == 2
        assert message in message_of(done)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    done = listen(room / "local")
    assert done.exit_code == 2
    assert "pip install 'speechgmm[live]'" in message_of(done)


class Microphone:
    """A microphone that records the meeting, and is interrupted after 6 s."""

    def __init__(self, samplerate, channels, dtype):
        assert (samplerate, channels, dtype) == (16000, 1, "float32")
        self.samples, self.position = Microphone.recording, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, size):
        if self.position >= 96000:
            raise KeyboardInterrupt
        self.position += size
        return self.samples[self.position - size : self.position, np.newaxis].astype(np.float32), self.position == size


def test_an_interrupted_microphone_leaves_what_was_heard(room, tmp_path, monkeypatch):
    Microphone.recording, _ = soundfile.read(room / "meeting.wav")
    device = SimpleNamespace(
        query_devices=lambda kind: {"default_samplerate": 16000.0 if kind == "input" else 1.0},
        InputStream=Microphone,
        PortAudioError=type("PortAudioError", (Exception,), {}),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    out = tmp_path / "heard.rttm"
    done = listen(room / "local", "--out", out)
    assert done.exit_code == 130
    assert "the microphone was not read in time" in message_of(done)
    assert "interrupted" in message_of(done)
    (segments,) = read_segments(out).values()
    assert [each.speaker for each in segments] == ["ann", "bo"]
    assert segments[-1].stop == pytest.approx(6, abs=0.3)


def test_memory_does_not_grow(room, rng):
    """Nothing but segments is kept: after minutes, as much is held as after seconds."""
    listener = Listener(Gallery(room / "default"), 16000, CLOSED)
    samples = noise(rng, 0.5, 20).astype(np.float32)
    tracemalloc.start()
    try:
        held = []
        for _ in range(4):
            for block in np.split(samples, 20):
                listener.push(block)
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[3] - held[1] < 100_000
