"""Speech activity from outside."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgmm.errors import CorpusError
from speechgmm.features.frames.labels import labels_to_frames, read_rttm, read_segments


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


def test_rttm_is_read_whoever_speaks(tmp_path):
    path = tmp_path / "a.rttm"
    path.write_text(
        ";; a comment\n"
        "SPKR-INFO meeting 1 <NA> <NA> <NA> unknown ann <NA>\n"
        "SPEAKER meeting 1 5.0 1.5 <NA> <NA> bob <NA> <NA>\n"
        "\n"
        "SPEAKER meeting 1 0.5 2.0 <NA> <NA> ann <NA> <NA>\r\n"
        "SPEAKER other 1 0 0.25 <NA> <NA> ann <NA>\n"
        "SPEAKER meeting 1 2.0 1.0 <NA> <NA> bob <NA> <NA>\n"
        "SPEAKER meeting 1 1.0 0.5 <NA> <NA> bob <NA> <NA>\n"
    )
    assert read_rttm(path) == {"meeting": ((0.5, 3.0), (5.0, 6.5)), "other": ((0.0, 0.25),)}
    assert read_rttm(str(path)) == read_rttm(path)


def test_kaldi_segments_keep_their_utterances(tmp_path):
    path = tmp_path / "segments"
    path.write_text("\ufeffu2 long 4.5 6\nu1 long 0.25 5\n\nu3 short 1 -1\n", encoding="utf-8")
    segments = read_segments(path)
    assert segments == {"long": {"u2": (4.5, 6.0), "u1": (0.25, 5.0)}, "short": {"u3": (1.0, math.inf)}}
    assert np.flatnonzero(labels_to_frames(segments["long"].values(), 800)).tolist() == list(range(25, 600))
    assert labels_to_frames(segments["short"].values(), 800).sum() == 700


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (read_rttm, "SPEAKER a 1 x 1.0 <NA> <NA> s <NA> <NA>", r"expected SPEAKER, recording, channel, start"),
        (read_rttm, "SPEAKER a 1 0.0 -1.0 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        (read_rttm, "SPEAKER a 1 -1.0 1.0 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        (read_rttm, "SPEAKER a 1 0.0 inf <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        (read_rttm, "SPEAKER a 1 0.0", "expected SPEAKER"),
        (read_rttm, "SPEAKER a 1 0.0 1.0 <NA> <NA> s <NA> <NA> more", "expected SPEAKER"),
        (read_rttm, "TALKER a 1 0.0 1.0 <NA> <NA> s <NA> <NA>", "'TALKER a 1 .*expected SPEAKER"),
        (read_segments, "u r 1.0", "expected utterance, recording, start and a later stop"),
        (read_segments, "u r 1.0 1.0", "expected utterance"),
        (read_segments, "u r -1.0 1.0", "expected utterance"),
        (read_segments, "u r 1.0 nan", "expected utterance"),
        (read_segments, "u r 1.0 2.0 0 0", "expected utterance"),
        (read_segments, "first r 1.0 2.0", "first stands on line 1 already"),
    ],
)
def test_malformed_lines_are_named(tmp_path, read, line, message):
    good = {read_rttm: "SPEAKER a 1 0 1 <NA> <NA> s <NA> <NA>", read_segments: "first r 0 1"}[read]
    path = tmp_path / "list"
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(CorpusError, match=rf"list:3: .*{message}"):
        read(path)


@pytest.mark.parametrize("read", [read_rttm, read_segments])
def test_unreadable_lists_are_named(tmp_path, read):
    with pytest.raises(CorpusError, match=r"gone: not readable \(No such file"):
        read(tmp_path / "gone")
    (tmp_path / "latin").write_bytes(b";;\n\xe9\n")
    with pytest.raises(CorpusError, match="latin:2: not UTF-8 text"):
        read(tmp_path / "latin")
