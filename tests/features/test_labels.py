"""Labelled stretches of speech, and the frames that they mark."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgmm.features.frames.labels import labels_to_frames, merge_overlapping


def test_a_frame_is_labelled_by_its_centre():
    # Centres at 5, 15, 25, ... ms; with snipped edges at 12.5, 22.5, 32.5, ... ms.
    assert np.flatnonzero(labels_to_frames([(0.015, 0.035)], 6)).tolist() == [1, 2]
    assert np.flatnonzero(labels_to_frames([(0.0151, 0.0351)], 6)).tolist() == [2, 3]
    assert np.flatnonzero(labels_to_frames([(0.015, 0.035)], 6, first_centre=0.0125)).tolist() == [1, 2]
    assert np.flatnonzero(labels_to_frames([(0.0125, 0.0225)], 6, first_centre=0.0125)).tolist() == [0]
    # (1.115 - 0.005) / 0.01 is 111.00000000000001 in double precision, but the frame is centred on the boundary.
    assert labels_to_frames([(0.0, 1.115)], 200).sum() == 111
    both = labels_to_frames([(0.03, math.inf), (-1.0, 0.012)], 6)
    assert both.tolist() == [True, False, False, True, True, True]
    assert not labels_to_frames([(0.015, 0.015), (7.0, 9.0)], 6).any()
    assert labels_to_frames([], 0).shape == (0,)


@given(
    segments=st.lists(st.tuples(st.integers(-50, 700), st.integers(0, 300)), max_size=6),
    n_frames=st.integers(0, 60),
    snip_edges=st.booleans(),
)
def test_labels_mark_the_frames_that_whole_milliseconds_say(segments, n_frames, snip_edges):
    pairs = [(start, start + length) for start, length in segments]
    half = 25 if snip_edges else 10  # twice the centre of the first frame, in milliseconds
    expected = [any(2 * a <= half + 20 * t < 2 * b for a, b in pairs) for t in range(n_frames)]
    seconds = [(start / 1000, stop / 1000) for start, stop in pairs]
    assert labels_to_frames(seconds, n_frames, first_centre=half / 2000).tolist() == expected
    assert labels_to_frames(seconds[::-1], n_frames, first_centre=half / 2000).tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([(2.0, 1.0)], 3), r"segment from 2\.0 to 1\.0 s"),
        (([(math.nan, 1.0)], 3), "segment from nan"),
        (([(1.0, math.nan)], 3), "to nan s"),
        (([(-math.inf, 1.0)], 3), "segment from -inf"),
        (([], -1), "n_frames -1"),
    ],
)
def test_impossible_segments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        labels_to_frames(*arguments)
    with pytest.raises(ValueError, match="first_centre nan"):
        labels_to_frames([], 3, first_centre=float("nan"))
    for frame_shift in (0.0, -0.01, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"frame_shift .*: expected seconds above 0"):
            labels_to_frames([], 3, frame_shift=frame_shift)


def test_stretches_that_overlap_or_touch_are_merged():
    assert merge_overlapping([(5, 6.5), (0.5, 2.5), (2, 3), (1, 1.5), (6.5, 7)]) == ((0.5, 3), (5, 7))
    assert merge_overlapping([]) == ()
