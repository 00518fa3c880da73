"""Timelines whose scores are made up."""

import numpy as np

from speechgmm.gallery.timeline import Timeline, place_windows
from speechgmm.scoring.identification import IdentificationConfig


def some_timeline(scores, *, hop, window=None, seconds=None, names=("Ann", "Bo"), **changes):
    """A timeline of hops with these scores; all of it is speech, where scores are known."""
    window = hop if window is None else window
    seconds = hop * len(scores) if seconds is None else seconds
    edges, starts, stops = place_windows(seconds, window, hop)
    assert len(starts) == len(scores)
    known = np.isfinite(scores[:, 0])
    values = {
        "names": names,
        "window": window,
        "hop": hop,
        "starts": starts,
        "stops": stops,
        "edges": edges,
        "speech": np.column_stack((edges[:-1], edges[1:]))[known],
        "scores": scores,
        "ranks": scores,
        "config": IdentificationConfig(),
        "calibrated": True,
        "answers": tuple("unknown" if each else None for each in known),
        "tied": ((),) * len(scores),
        "quantity": "log-likelihood ratio",
        "unit": "nats, calibrated",
        "damaged": {},
    }
    return Timeline(**(values | changes))
