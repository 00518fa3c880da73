"""Segments of hops that come one by one, against those of all hops at once."""

import numpy as np
import pytest

from helpers.timelines import some_timeline
from speechgmm.gallery.live_segments import LONGEST, DecidedHop, SegmentCollector
from speechgmm.gallery.segments import States, segments_of
from speechgmm.gallery.timeline import stretches

SHIFT, HOP = 0.01, 0.5


def collected(timeline, found, centres, pause):
    """Hand on hops with the speech that is known two hops later."""
    collector = SegmentCollector(timeline.names, HOP, SHIFT, pause, calibrated=True)
    known = 0.0
    for number, state in enumerate(found.states.tolist()):
        begin, end = timeline.edges[number : number + 2].tolist()
        before, known = known, end + 2 * HOP
        collector.add_speech(centres[(centres >= before) & (centres < known)])
        row = timeline.scores[number], timeline.ranks[number]
        collector.add(DecidedHop(begin, end, *row, state, found.posteriors[number]), known)
    held = len(collector.segments)
    collector.flush()
    return collector.segments, held


@pytest.mark.parametrize("pause", [0.2, 0.5, 1.3])
def test_hops_one_by_one_make_the_same_segments(rng, pause):
    for _ in range(8):
        n_hops = 120
        lengths = rng.exponential(0.8, size=200)
        turns = np.cumsum(lengths)
        centres = SHIFT * (0.5 + np.arange(round(n_hops * HOP / SHIFT)))
        centres = centres[np.searchsorted(turns, centres) % 2 == 0]
        states = np.repeat(rng.integers(-1, 3, size=30), 4)
        scores = rng.normal(size=(n_hops, 2))
        timeline = some_timeline(scores, hop=HOP, speech=stretches(centres, SHIFT, n_hops * HOP))
        found = States(states.astype(np.intp), rng.uniform(size=n_hops))
        expected = segments_of(timeline, found, pause)
        result, _ = collected(timeline, found, centres, pause)
        assert [(each.speaker, *np.round(each[:2], 9)) for each in result] == [
            (each.speaker, *np.round(each[:2], 9)) for each in expected
        ]
        for ours, theirs in zip(result, expected, strict=True):
            assert ours.posterior == pytest.approx(theirs.posterior)
            assert ours.score == (None if theirs.score is None else pytest.approx(theirs.score))


def test_speech_without_a_pause_is_cut_in_the_end():
    n_hops = round(2.5 * LONGEST / HOP)
    centres = SHIFT * (0.5 + np.arange(round(n_hops * HOP / SHIFT)))
    timeline = some_timeline(np.tile([1.0, 0.0], (n_hops, 1)), hop=HOP)
    found = States(np.zeros(n_hops, np.intp), np.ones(n_hops))
    segments, held = collected(timeline, found, centres, 0.5)
    assert held == 2
    np.testing.assert_allclose([each[:2] for each in segments], [(0, 600), (600, 1200), (1200, 1500)], atol=1e-6)
