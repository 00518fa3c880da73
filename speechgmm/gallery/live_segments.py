"""Segments of audio that has not ended: hops are gathered until a pause, and then made into segments."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.gallery.segments import NEARBY, Segment, States, segments_of
from speechgmm.gallery.timeline import stretches

LONGEST: Final = 600.0
"""Without a pause, segments are made after this many seconds, so that memory is bounded."""


class DecidedHop(NamedTuple):
    """A hop whose state is known."""

    begin: float  # seconds
    end: float  # seconds
    scores: Float64Array  # (M,), NaN with too little speech
    ranks: Float64Array  # (M,) the same before calibration
    state: int  # number of a speaker, M for an unknown one, -1 for too little speech
    posterior: float  # of the state; NaN without a calibration


@dataclass(frozen=True, eq=False)
class _Hops:
    """The hops since the last segments were made: see `ScoredHops`."""

    names: tuple[str, ...]
    hop: float
    edges: Float64Array
    speech: Float64Array
    scores: Float64Array
    ranks: Float64Array


class SegmentCollector:
    """Makes the segments of `segments_of` of hops that come one by one, in bounded memory.

    Segments are made at every pause that ends one: no later hop can change those before.
    """

    def __init__(self, names: tuple[str, ...], hop: float, shift: float, pause: float, *, calibrated: bool) -> None:
        self._names, self._hop, self._shift, self._pause = names, hop, shift, pause
        self._calibrated = calibrated
        self._centres: Float64Array = np.empty(0)
        self._hops: list[DecidedHop] = []
        self.segments: list[Segment] = []

    def add_speech(self, centres: Float64Array) -> None:
        """Add speech frames by their centres (T,), in seconds."""
        if len(centres):
            self._centres = np.concatenate((self._centres, centres))

    def add(self, hop: DecidedHop, known_to: float) -> None:
        """Add the next hop; speech is known up to `known_to`, in seconds."""
        self._hops.append(hop)
        if self._is_in_pause(hop.end, known_to):
            self.flush(known_to)
        elif len(self._hops) * self._hop >= LONGEST:
            self.flush()

    def flush(self, pause_to: float | None = None) -> None:
        """Make segments of the hops so far; a pause at their end lasts to `pause_to` at least, in seconds."""
        if not self._hops:
            return
        end = self._hops[-1].end
        if len(self._centres) and any(hop.state >= 0 for hop in self._hops):
            speech = stretches(self._centres, self._shift, np.inf)
            if pause_to is not None and pause_to > speech[-1, 1]:  # an empty stretch ends the pause
                speech = np.vstack((speech, [pause_to, pause_to]))
            hops = _Hops(
                self._names,
                self._hop,
                np.array([*(hop.begin for hop in self._hops), end]),
                speech,
                np.array([hop.scores for hop in self._hops]),
                np.array([hop.ranks for hop in self._hops]),
            )
            posteriors = np.array([hop.posterior for hop in self._hops]) if self._calibrated else None
            states = np.array([hop.state for hop in self._hops], np.intp)
            self.segments.extend(segments_of(hops, States(states, posteriors), self._pause))
        self._hops = []
        self._centres = self._centres[max(int(np.searchsorted(self._centres, end)) - 1, 0) :]

    def _is_in_pause(self, time: float, known_to: float) -> bool:
        """Check whether a time lies in a pause that ends a segment, and is too long for a nearer one to matter."""
        after = int(np.searchsorted(self._centres, time))
        start = self._centres[after - 1] + self._shift / 2 if after else -np.inf
        stop = self._centres[after] - self._shift / 2 if after < len(self._centres) else known_to
        return bool(start <= time <= stop and stop - start > max(self._pause, 2 * NEARBY) + self._shift)
