"""The plot of who speaks when: what is drawn, read off its axes."""

import tracemalloc
from itertools import repeat

import numpy as np
import pytest
import soundfile

from speechgmm.errors import GalleryError
from speechgmm.gallery import timeline_plot
from speechgmm.gallery.segments import Segment
from speechgmm.gallery.timeline_plot import Envelope, draw_timeline, read_envelope, timeline_figure

RATE = 16000
WAVEFORM = Envelope(np.float32([-0.5, -0.25]), np.float32([0.4, 0.3]), 6.0)


SEGMENTS = (Segment(0, 2, "Ann"), Segment(2.5, 4, "unknown"), Segment(5, 6, "Bo"), Segment(4, 4.5, "Ann"))


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


def bars(axes):
    """The bars by the label of their row, as (start, stop)."""
    labels = [text.get_text() for text in axes.get_yticklabels()]
    found = {}
    for collection in axes.collections:
        for path in collection.get_paths():
            (left, low), (right, high) = path.get_extents().get_points()
            found.setdefault(labels[round((low + high) / 2)], []).append((left, right))
    return found


def test_a_timeline_has_the_waveform_over_the_segments_and_the_time_of_each_speaker():
    above, below = timeline_figure(SEGMENTS, ("Ann", "Bo", "Cat"), WAVEFORM, "meeting").axes
    steps = above.patches[0].get_data()
    assert steps.edges.tolist() == [0, 3, 6]
    np.testing.assert_array_equal(steps.values, WAVEFORM.highs)
    np.testing.assert_array_equal(steps.baseline, WAVEFORM.lows)
    assert above.get_title(loc="left") == "meeting"
    assert above.get_xlim() == below.get_xlim() == (0, 6)
    assert [text.get_text() for text in below.get_yticklabels()] == ["Ann", "Bo", "Cat", "unknown"]
    assert bars(below) == {"Ann": [(0, 2), (4, 4.5)], "unknown": [(2.5, 4)], "Bo": [(5, 6)]}
    (times,) = below.child_axes
    assert [text.get_text() for text in times.get_yticklabels()] == ["0:00:02", "0:00:01", "0:00:00", "0:00:02"]


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (10, ["0:00:00", "0:00:02", "0:00:04", "0:00:06", "0:00:08", "0:00:10"]),
        (1500, ["0:00:00", "0:05:00", "0:10:00", "0:15:00", "0:20:00", "0:25:00"]),
        (10800, ["0:00:00", "0:30:00", "1:00:00", "1:30:00", "2:00:00", "2:30:00", "3:00:00"]),
    ],
)
def test_times_are_hours_minutes_and_seconds(seconds, marks):
    figure = timeline_figure([], ("Ann",), WAVEFORM._replace(seconds=float(seconds)), "long")
    below = figure.axes[1]
    shown = [at for at in below.get_xticks() if 0 <= at <= seconds]
    assert [below.xaxis.get_major_formatter()(at) for at in shown] == marks


def test_a_short_segment_of_three_hours_is_still_seen():
    short = [Segment(5000, 5001, "Ann")]
    below = timeline_figure(short, ("Ann",), WAVEFORM._replace(seconds=10800.0), "long").axes[1]
    assert bars(below) == {"Ann": [(5000, 5010.8)]}


def test_silence_is_drawn_as_a_line():
    silence = Envelope(np.zeros(2, np.float32), np.zeros(2, np.float32), 6.0)
    assert timeline_figure(SEGMENTS, ("Ann", "Bo"), silence, "silence").axes[0].get_ylim() == (-1.0, 1.0)


def test_of_many_speakers_those_are_drawn_who_speak_longest():
    names = tuple(f"{number:02d} someone with a long name" for number in range(30))
    above, below = timeline_figure([Segment(0, 1, names[29]), Segment(1, 3, names[28])], names, WAVEFORM, "many").axes
    assert above.get_title(loc="left") == "many; 20 of 30 speakers"
    shown = [text.get_text() for text in below.get_yticklabels()]
    assert len(shown) == 20
    assert shown[-2:] == [f"{number} someone with a long …" for number in (28, 29)]


def test_speakers_who_are_not_in_the_list_have_rows_too():
    below = timeline_figure(SEGMENTS, (), WAVEFORM, "others").axes[1]
    assert [text.get_text() for text in below.get_yticklabels()] == ["Ann", "Bo", "unknown"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_timeline_is_drawn_in_the_same_bytes(tmp_path, suffix):
    for name in ("a", "b"):
        draw_timeline(tmp_path / (name + suffix), SEGMENTS, ("Ann", "Bo"), WAVEFORM, "a $meeting$ 王")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    if suffix == ".svg":
        text = (tmp_path / "a.svg").read_text(encoding="utf-8")
        for label in ("a $meeting$ 王", "Ann", "0:00:02"):
            assert label in text
    with pytest.raises(GalleryError, match=r"suffix '.txt'; plots are written to .png, .svg, .pdf"):
        draw_timeline(tmp_path / "a.txt", SEGMENTS, ("Ann", "Bo"), WAVEFORM, "")
