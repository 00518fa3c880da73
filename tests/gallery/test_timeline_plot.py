"""The plot of a timeline: what is drawn, read off its axes."""

import tracemalloc
from itertools import repeat

import numpy as np
import pytest
import soundfile

from speechgmm.errors import GalleryError
from speechgmm.gallery import timeline_plot
from speechgmm.gallery.timeline import Timeline
from speechgmm.gallery.timeline_plot import Envelope, draw_timeline, read_envelope, timeline_figure

RATE = 16000
WAVEFORM = Envelope(np.float32([-0.5, -0.25]), np.float32([0.4, 0.3]), 6.0)


def some_timeline(names=("Ann", "Bo"), **changes):
    scores = np.full((4, len(names)), -1.0)
    scores[0, 0], scores[1, 0], scores[3, 1] = 2.0, 0.5, 3.0
    scores[2] = np.nan
    starts = np.array([0.0, 2.0, 4.0, 5.0])
    values = {"answers": (names[0], names[0], None, names[1]), "quantity": "score", "unit": "nats", "damaged": {}}
    values["tied"] = ((),) * 4
    return Timeline(names, starts, np.array([2.0, 4.0, 5.0, 6.0]), scores, **(values | changes))


@pytest.mark.parametrize("n_samples", [1, 700, 2000, 2001, 130_000])
def test_an_envelope_holds_the_extremes_of_each_stretch(tmp_path, rng, n_samples):
    samples = (rng.uniform(-1, 1, n_samples) * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    found = read_envelope(tmp_path / "a.wav", n_samples / RATE)
    n_columns = min(n_samples, 2000)
    columns = [[] for _ in range(n_columns)]
    for number, sample in enumerate(samples / 32768):
        columns[number * n_columns // n_samples].append(sample)
    np.testing.assert_array_equal(found.lows, [min(column) for column in columns])
    np.testing.assert_array_equal(found.highs, [max(column) for column in columns])
    assert found.seconds == n_samples / RATE


def test_an_envelope_is_the_same_in_blocks(tmp_path, rng, monkeypatch):
    samples = rng.uniform(-1, 1, 50_000).astype(np.float32)
    monkeypatch.setattr(timeline_plot, "audio_blocks", lambda *_, **__: ([samples], RATE))
    whole = read_envelope(tmp_path, 50_000 / RATE)
    blocks = np.split(samples, [1, 7, 9_000, 9_013, 40_000])
    monkeypatch.setattr(timeline_plot, "audio_blocks", lambda *_, **__: (blocks, RATE))
    for first, second in zip(whole, read_envelope(tmp_path, 50_000 / RATE), strict=True):
        np.testing.assert_array_equal(first, second)


def test_an_envelope_of_an_hour_takes_no_more_memory_than_one_of_minutes(tmp_path, monkeypatch):
    block = np.sin(np.arange(60 * RATE, dtype=np.float32))
    peaks = []
    for minutes in (2, 60):
        monkeypatch.setattr(timeline_plot, "audio_blocks", lambda *_, n=minutes, **__: (repeat(block, n), RATE))
        tracemalloc.start()
        read_envelope(tmp_path, 60.0 * minutes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] < 60e6


def test_a_timeline_has_the_waveform_over_the_scores():
    above, below, scale = timeline_figure(some_timeline(), WAVEFORM, "meeting").axes
    steps = above.patches[0].get_data()
    assert steps.edges.tolist() == [0, 3, 6]
    np.testing.assert_array_equal(steps.values, WAVEFORM.highs)
    np.testing.assert_array_equal(steps.baseline, WAVEFORM.lows)
    assert above.get_title(loc="left") == "meeting; bars: who speaks"
    assert above.get_xlim() == below.get_xlim() == (0, 6)
    (mesh,) = [each for each in below.collections if each.get_array() is not None]
    scores = mesh.get_array()
    assert scores.mask.tolist() == [[False, False, True, False]] * 2
    np.testing.assert_array_equal(scores[:, [0, 1, 3]], [[2.0, 0.5, -1.0], [-1.0, -1.0, 3.0]])
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 2, 4, 5, 6]
    assert [text.get_text() for text in below.get_yticklabels()] == ["Ann", "Bo"]
    assert scale.get_ylabel() == "score,\nnats"


def test_silence_is_drawn_as_a_line():
    silence = Envelope(np.zeros(2, np.float32), np.zeros(2, np.float32), 6.0)
    assert timeline_figure(some_timeline(), silence, "silence").axes[0].get_ylim() == (-1.0, 1.0)


def test_bars_lie_in_the_row_and_over_the_time_of_whoever_speaks():
    timeline = some_timeline(answers=("Ann", "unknown", None, "Bo"))
    below = timeline_figure(timeline, WAVEFORM, "meeting").axes[1]
    labels = [text.get_text() for text in below.get_yticklabels()]
    bars = {}
    for collection in below.collections:
        for path in collection.get_paths() if collection.get_array() is None else []:
            (left, low), (right, high) = path.get_extents().get_points()
            bars[labels[round((low + high) / 2 - 0.35)]] = (left, right)
    assert bars == {"Ann": (0, 2), "unknown": (2, 4), "Bo": (5, 6)}


def test_of_many_speakers_those_are_drawn_who_speak_or_come_near():
    names = tuple(f"{number:02d} someone with a long name" for number in range(30))
    timeline = some_timeline(names, answers=(names[29], names[28], None, names[28]))
    timeline.scores[0, 27] = 9.0
    above, below, _ = timeline_figure(timeline, WAVEFORM, "many").axes
    assert above.get_title(loc="left") == "many; 20 of 30 speakers; bars: who speaks"
    shown = [text.get_text() for text in below.get_yticklabels()]
    assert len(shown) == 20
    assert shown[-3:] == [f"{number} someone with a long …" for number in (27, 28, 29)]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_timeline_is_drawn_in_the_same_bytes(tmp_path, suffix):
    for name in ("a", "b"):
        draw_timeline(tmp_path / (name + suffix), some_timeline(), WAVEFORM, "a $meeting$ 王")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    if suffix == ".svg":
        text = (tmp_path / "a.svg").read_text(encoding="utf-8")
        for label in ("a $meeting$ 王; bars: who speaks", "Ann", "nats"):
            assert label in text
    with pytest.raises(GalleryError, match=r"suffix '.txt'; plots are written to .png, .svg, .pdf"):
        draw_timeline(tmp_path / "a.txt", some_timeline(), WAVEFORM, "")
