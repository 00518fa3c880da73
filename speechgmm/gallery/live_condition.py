"""How audio that has not ended sounds so far, and in what it is unlike the recordings of the models."""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio.clipping import FlatTops
from speechgmm.audio.condition import Condition, ConditionMeter
from speechgmm.gallery.audio import compare_condition, is_measured
from speechgmm.gallery.config import RecogniserConfig
from speechgmm.gallery.timeline import LEAST_SPEECH

EVERY: Final = 1.0
"""Seconds of audio from one measurement to the next."""

FIRST: Final = 10.0
"""Seconds of audio before the first. Of 80 clean recordings, 4 seem far after 1 s, 1 after 5 s, and none after 7 s."""


class LiveCondition:
    """Compares the condition of audio that comes in blocks with what the models know; its memory does not grow.

    The condition is that of all audio so far. Audio of which less than `LEAST_SPEECH` is speech is not measured, as its
    level and noise would be those of the pauses: what was found before stays.
    """

    def __init__(self, config: RecogniserConfig, used_rate: int) -> None:
        """Prepare for audio that is measured at a sample rate, that of the first front end."""
        self._config, self._rate = config, used_rate
        self._meter, self._tops = ConditionMeter(used_rate), FlatTops()
        self._waiting: list[Float32Array] = []  # a second at a time takes less time than block by block
        self._n_samples = self._n_measured = 0
        self.condition: Condition | None = None  # None before it was measured
        self.distance = 0.0  # from anything that the models were trained on; more than 1 is far
        self.unlike: dict[str, str] = {}  # what was found first in each aspect

    def push(self, samples: Float32Array, used: Float32Array, speech_seconds: float) -> None:
        """Add the next samples, and those at the front end's rate; `speech_seconds` is the speech in all audio so far.

        Where nothing needs the condition, nothing is measured.
        """
        if not is_measured(self._config):
            return
        self._tops.push(samples)
        self._waiting.append(used)
        self._n_samples += len(used)
        if self._n_samples - self._n_measured >= EVERY * self._rate:
            self._measure(speech_seconds, at_least=FIRST)

    def finish(self, used: Float32Array, speech_seconds: float) -> None:
        """Add the last samples at the front end's rate, and measure all audio, however short it is."""
        if not is_measured(self._config):
            return
        self._waiting.append(used)
        self._n_samples += len(used)
        self._measure(speech_seconds, at_least=0.0)

    def _measure(self, speech_seconds: float, at_least: float) -> None:
        """Measure what has come, and compare all audio if it is long enough, and enough of it is speech."""
        self._meter.push(np.concatenate(self._waiting))
        self._waiting, self._n_measured = [], self._n_samples
        seconds = self._n_samples / self._rate
        if seconds < at_least or speech_seconds <= 0 or speech_seconds < LEAST_SPEECH * seconds:
            return
        self.condition = self._meter.finish(clipped=self._tops.share())
        unlike, self.distance = compare_condition(self.condition, self._config)
        for aspect, sentence in unlike.items():
            self.unlike.setdefault(aspect, sentence)
