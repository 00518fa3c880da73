"""Segments found from scores that are made up, so that it is known who speaks when."""

from itertools import pairwise

import numpy as np
import pytest

from helpers.timelines import some_timeline
from speechgmm.errors import GalleryError
from speechgmm.gallery.segments import Segment, clock, find_segments, seconds_by_speaker
from speechgmm.gallery.timeline import cut_windows, place_windows, stretches
from speechgmm.scoring.identification import IdentificationConfig

CLOSED = IdentificationConfig(p_unknown=0.0)


def spans(segments):
    return [(round(each.start, 6), round(each.stop, 6), each.speaker) for each in segments]


def ratios(*rows):
    """Scores of hops: a word for each row, A and B for speakers, u for unknown, - for too little speech."""
    known = {"A": (4.0, -4.0), "B": (-4.0, 4.0), "u": (-4.0, -4.0), "a": (0.5, -4.0), "-": (np.nan, np.nan)}
    return np.array([known[each] for each in "".join(rows)])


def test_turns_become_segments():
    timeline = some_timeline(ratios("AAAA", "BBBB", "uuuu"), hop=1.0)
    found = find_segments(timeline)
    assert spans(found) == [(0, 4, "Ann"), (4, 8, "Bo"), (8, 12, "unknown")]
    assert [each.score for each in found] == [4.0, 4.0, None]
    assert all(each.posterior > 0.9 for each in found)


def test_a_short_doubt_is_smoothed_and_the_window_s_own_answer_is_not():
    doubtful = ratios("AAA", "u", "AAA")
    doubtful[3] = -0.5, -4.0
    smooth = find_segments(some_timeline(doubtful, hop=1.0), turn=10.0)
    assert spans(smooth) == [(0, 7, "Ann")]
    assert smooth[0].score == pytest.approx((6 * 4.0 - 0.5) / 7)
    answers = ("Ann",) * 3 + ("unknown",) + ("Ann",) * 3
    plain = find_segments(some_timeline(doubtful, hop=1.0, calibrated=False, answers=answers), turn=10.0)
    assert spans(plain) == [(0, 3, "Ann"), (3, 4, "unknown"), (4, 7, "Ann")]
    assert [each.posterior for each in plain] == [None] * 3


def test_ratios_of_overlapping_windows_count_once():
    """Two hops of +-0.8 in windows of four hops weigh as much as 0.4, less than what two switches cost."""
    scores = ratios("AAAAAA")
    scores[2:4] = -0.8, 0.8
    overlapping = some_timeline(scores, hop=0.5, window=2.0)
    assert spans(find_segments(overlapping, turn=0.5)) == [(0, 3, "Ann")]
    scores[2:4] = -8.0, 8.0
    assert [each.speaker for each in find_segments(overlapping, turn=0.5)] == ["Ann", "Bo", "Ann"]


def test_the_prior_and_the_threshold_of_the_gallery_decide():
    weak = ratios("aaa")
    assert spans(find_segments(some_timeline(weak, hop=1.0))) == [(0, 3, "Ann")]
    for config in (IdentificationConfig(p_unknown=0.99), IdentificationConfig(threshold=0.6)):
        assert spans(find_segments(some_timeline(weak, hop=1.0, config=config))) == [(0, 3, "unknown")]
    assert spans(find_segments(some_timeline(ratios("uuu") - [0, 1], hop=1.0, config=CLOSED))) == [(0, 3, "Ann")]
    sure = IdentificationConfig(p_unknown=0.99, threshold=0.4)
    assert spans(find_segments(some_timeline(weak, hop=1.0, config=sure))) == [(0, 3, "Ann")]


def test_names_with_the_same_scores_are_unknown_unless_uncalibrated_scores_differ():
    scores = np.full((3, 2), 4.0)
    for config in (IdentificationConfig(), CLOSED):
        assert spans(find_segments(some_timeline(scores, hop=1.0, config=config))) == [(0, 3, "unknown")]
    ranks = np.tile([1.0, 2.0], (3, 1))
    assert spans(find_segments(some_timeline(scores, hop=1.0, ranks=ranks))) == [(0, 3, "Bo")]


def test_segments_end_at_long_pauses_and_cover_short_ones():
    speech = np.array([[0.25, 1.0], [1.4, 2.5], [3.1, 3.75]])
    timeline = some_timeline(ratios("AAAA"), hop=1.0, speech=speech)
    assert spans(find_segments(timeline)) == [(0.25, 2.5, "Ann"), (3.1, 3.75, "Ann")]
    assert spans(find_segments(timeline, pause=0.6)) == [(0.25, 3.75, "Ann")]
    assert spans(find_segments(timeline, pause=0.3)) == [(0.25, 1.0, "Ann"), (1.4, 2.5, "Ann"), (3.1, 3.75, "Ann")]


def test_a_change_of_speakers_falls_into_a_pause_nearby():
    for pause, change in (((1.8, 1.9), 1.85), ((2.15, 2.25), 2.2), ((2.3, 2.4), 2.0), ((1.4, 2.15), 1.95)):
        speech = np.array([[0.0, pause[0]], [pause[1], 4.0]])
        found = find_segments(some_timeline(ratios("AABB"), hop=1.0, speech=speech), pause=1.0)
        assert spans(found) == [(0, change, "Ann"), (change, 4, "Bo")]


def test_windows_with_too_little_speech_have_no_segment_and_start_the_model_again():
    scores = ratios("AA", "--", "a", "--", "BB")
    timeline = some_timeline(scores, hop=1.0)
    assert spans(find_segments(timeline)) == [(0, 2, "Ann"), (4, 5, "unknown"), (7, 9, "Bo")]


def test_recordings_of_one_short_window():
    timeline = some_timeline(ratios("A"), hop=0.5, window=2.0, seconds=0.3)
    assert spans(find_segments(timeline)) == [(0, 0.3, "Ann")]


@pytest.mark.parametrize("values", [{"turn": 0.0}, {"turn": np.nan}, {"pause": -1.0}, {"pause": np.inf}])
def test_lengths_that_are_none_are_refused(values):
    with pytest.raises(GalleryError, match=r"(turn|pause) of .* s; expected a positive number"):
        find_segments(some_timeline(ratios("A"), hop=1.0), **values)


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_in_order_apart_and_in_the_speech(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=5, size=(60, 2))
    scores[rng.random(60) < 0.1] = np.nan
    times = np.sort(rng.uniform(0, 30, 80))
    timeline = some_timeline(scores, hop=0.5, window=1.5, speech=times.reshape(-1, 2))
    found = find_segments(timeline, turn=1.0, pause=0.2)
    assert all(each.start < each.stop for each in found)
    assert all(first.stop <= second.start for first, second in pairwise(found))
    heard = [(start, stop) for start, stop in timeline.speech]
    for each in found:  # bridged over pauses of 0.2 s
        assert any(start - 1e-9 <= each.start <= stop + 0.2 for start, stop in heard)


def test_windows_lie_around_their_hops():
    edges, starts, stops = place_windows(5.2, 2.0, 1.0)
    assert edges.tolist() == [0, 1, 2, 3, 4, 5, 5.2]
    assert starts.tolist() == [0, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert stops.tolist() == [1.5, 2.5, 3.5, 4.5, 5.2, 5.2]
    edges, starts, stops = place_windows(4.0, 2.0, 2.0)
    assert (edges.tolist(), starts.tolist(), stops.tolist()) == ([0, 2, 4], [0, 2], [2, 4])


def test_each_frame_is_in_every_window_that_its_middle_lies_in():
    centres = np.array([0.05, 0.15, 0.25, 0.45, 0.55, 0.65])
    frames = np.arange(6.0)[:, None]
    _, starts, stops = place_windows(0.6, 0.2, 0.1)
    pieces = cut_windows(frames, centres, starts, stops)
    for piece, start, stop in zip(pieces, starts, stops, strict=True):
        inside = [n for n, at in enumerate(centres) if start <= at < stop or (stop == 0.6 and at >= start)]
        assert piece.ravel().tolist() == inside
        assert np.shares_memory(piece, frames)


def test_frames_become_stretches_of_speech():
    found = stretches(np.array([0.005, 0.015, 0.035, 0.095, 0.105]), 0.01, 0.105)
    np.testing.assert_allclose(found, [[0, 0.02], [0.03, 0.04], [0.09, 0.105]])


def test_seconds_are_summed_and_times_are_written():
    segments = [Segment(0, 1, "b"), Segment(1, 4, "a"), Segment(5, 7, "b")]
    assert list(seconds_by_speaker(segments).items()) == [("a", 3), ("b", 3)]
    assert [clock(each) for each in (0, 59.6, 3599.4, 10800, 90061)] == [
        *("0:00:00", "0:01:00", "0:59:59", "3:00:00", "25:01:01")
    ]
    assert [clock(each, 1) for each in (0.04, 59.96, 3661.25)] == ["0:00:00.0", "0:01:00.0", "1:01:01.2"]
