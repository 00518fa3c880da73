"""Who speaks in audio that has not ended: the answers of a timeline, about a second behind."""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.errors import GalleryError
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.lengths import HOP, LAG, PAUSE, TURN, WINDOW
from speechgmm.gallery.live_segments import DecidedHop, SegmentCollector
from speechgmm.gallery.live_windows import LiveWindow, LiveWindows
from speechgmm.gallery.recognition import HeardTest, check_decidable, score_models
from speechgmm.gallery.segments import Segment, StateModel, check_lengths, untied
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.gallery.timeline import check_window
from speechgmm.scoring.identification import IdentificationConfig, identify
from speechgmm.scoring.switching import LaggedStates

SETTLED: Final = 20.0
"""Time by which the states of segments wait, in seconds: later windows change hardly any."""


class Moment(NamedTuple):
    """The answer on one hop of the audio."""

    start: float  # seconds
    end: float  # seconds
    speaker: str | None  # a name or `UNKNOWN`; None with too little speech
    score: float | None  # of the speaker in the window; None for `UNKNOWN`
    posterior: float | None  # probability of this answer; None without a calibration


class Listener:
    """Names the speaker in audio that comes in blocks, in constant memory.

    Windows and their scores are those of `make_timeline`, and segments those of `find_segments`, with two differences.
    What comes from a whole recording there comes from the audio so far: levels and means of front ends (`LiveWindows`)
    and how unlike the audio is to what the models know (`LiveCondition`). And a hop's answer follows from the hops up
    to `lag` seconds after it, not from all (`LaggedStates`); for segments, from those up to `SETTLED` seconds after it.
    The speakers are those enrolled at the beginning.
    """

    def __init__(
        self,
        gallery: Gallery,
        sample_rate: int,
        config: IdentificationConfig | None = None,
        *,
        window: float = WINDOW,
        hop: float = HOP,
        turn: float = TURN,
        pause: float = PAUSE,
        lag: float = LAG,
    ) -> None:
        shift = gallery.front_end.shift_seconds
        check_window(window, hop, shift)
        check_lengths(turn=turn, pause=pause)
        if not (np.isfinite(lag) and lag >= 0):
            raise GalleryError(f"lag of {lag:g} s; expected 0 or more")
        self.config = gallery.config.decisions.identification if config is None else config
        check_decidable(gallery, self.config)
        self.window, self.hop = window, hop
        self.calibrated = gallery.config.calibrated
        self._gallery = gallery
        self._models, self.damaged = gallery.models()
        self.names = tuple(self._models)
        self._windows = LiveWindows(gallery, sample_rate, window, hop)
        self._model = StateModel.of(self.config, len(self.names), turn, hop)
        self._share = hop / window
        self._states = LaggedStates(self._model.prior, self._model.p_switch, round(lag / hop))
        self._undecided: deque[DecidedHop] = deque()
        self._settled = LaggedStates(self._model.prior, self._model.p_switch, round(SETTLED / hop))
        self._unsettled: deque[DecidedHop] = deque()
        self._collector = SegmentCollector(self.names, hop, shift, pause, calibrated=self.calibrated)

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return self._windows.seconds

    @property
    def warnings(self) -> tuple[str, ...]:
        """In what the audio so far is unlike the recordings of the models, once an aspect; new ones are at the end."""
        return self._windows.unlike

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that no later audio changes; all, after `finish`."""
        return tuple(self._collector.segments)

    def push(self, samples: Float32Array) -> list[Moment]:
        """Process the next samples (n,), full scale at 1, and return the answers that they complete."""
        return self._process(list(self._windows.push(samples)))

    def finish(self) -> list[Moment]:
        """End the audio, and return the last answers."""
        moments = self._process(list(self._windows.finish()))
        moments.extend(self._decided(self._states.finish()))
        self._settle(self._settled.finish())
        self._collector.flush()
        return moments

    def _process(self, windows: list[LiveWindow]) -> list[Moment]:
        """Answer windows, as far as later ones cannot change it."""
        self._collector.add_speech(self._windows.new_speech())
        tests = [
            HeardTest(each.pieces, each.bandwidth, each.distance, each.condition) for each in windows if each.is_spoken
        ]
        columns: Iterator[tuple[Float64Array, Float64Array]] = iter(())
        if tests:
            scored = score_models(self._gallery, self._models, tests)
            columns = zip(scored.matrix.T, scored.raw.T, strict=True)
        return [moment for each in windows for moment in self._answers(each, columns)]

    def _answers(self, window: LiveWindow, columns: Iterator[tuple[Float64Array, Float64Array]]) -> Iterator[Moment]:
        """Answer the hops that a window decides: usually an earlier one."""
        if not window.is_spoken:
            yield from self._decided(self._states.finish())
            self._settle(self._settled.finish())
            nothing = np.full(len(self.names), np.nan)
            hop = DecidedHop(window.begin, window.end, nothing, nothing, -1, np.nan)
            self._collector.add(hop, self._windows.known_to)
            yield self._moment(hop)
            return
        scores, ranks = next(columns)
        hop = DecidedHop(window.begin, window.end, scores, ranks, -1, np.nan)
        if self.calibrated:
            emissions = self._model.emissions(scores[np.newaxis], self._share)[0]
            self._undecided.append(hop)
            yield from self._decided(self._states.push(emissions))
            self._unsettled.append(hop)
            self._settle(self._settled.push(emissions))
        else:
            answer = identify(scores, self.names, self.config, ranks=ranks).answer
            hop = hop._replace(state=len(self.names) if answer is None else self.names.index(answer))
            self._collector.add(hop, self._windows.known_to)
            yield self._moment(hop)

    def _decided(self, found: Iterator[tuple[int, float]]) -> Iterator[Moment]:
        """Answer the hops that have waited for their states."""
        for state, posterior in found:
            yield self._moment(self._undecided.popleft()._replace(state=state, posterior=posterior))

    def _settle(self, found: Iterator[tuple[int, float]]) -> None:
        """Hand on hops, whose states no later hop will change, to the segments."""
        for state, posterior in found:
            hop = self._unsettled.popleft()._replace(state=state, posterior=posterior)
            self._collector.add(hop, self._windows.known_to)

    def _moment(self, hop: DecidedHop) -> Moment:
        """Return the answer on a hop."""
        if hop.state < 0:
            return Moment(hop.begin, hop.end, None, None, None)
        number = untied(hop.scores[np.newaxis], hop.ranks[np.newaxis], hop.state)
        posterior = hop.posterior if self.calibrated else None
        if number == len(self.names):
            return Moment(hop.begin, hop.end, UNKNOWN, None, posterior)
        return Moment(hop.begin, hop.end, self.names[number], float(hop.scores[number]), posterior)
