"""The front end for audio in pieces: the frames of `extract`, bit for bit, as soon as they are determined."""

from collections.abc import Iterator

import numpy as np

from speechgmm.arrays import Float32Array, FloatArray, IntArray
from speechgmm.audio.samples import check_samples, peak_amplitude, silence_error
from speechgmm.errors import AudioError
from speechgmm.features.extract import FeatureConfig, check_speech
from speechgmm.features.spectral.cepstra import CepstraStream
from speechgmm.features.streaming.steps import (
    Rows,
    activity_steps,
    concat_rows,
    frame_steps,
    has_deltas,
    latency,
    normalises_over_speech,
    push_through,
    standardises,
)


class FeatureStream:
    """The front end for one utterance whose samples come in blocks of any size.

    All frames together are those of `extract` for all samples together, bit for bit. Memory, and the time for a second
    of audio, do not grow with the utterance. A push takes at least as long as 128 frames: pushes of 10 ms run 30 times
    as fast as real time, those of a second almost as fast as the whole at once.

    Parameters
    ----------
    config : FeatureConfig
        The front end, without steps that need the whole utterance: `vad` is "none" or "energy" with ``mean_scale`` 0;
        mean and variance are computed over a sliding window, or not at all; there is no ``top_db``. Where windows count
        speech frames only (``over: speech``), the selection follows the normalisation with no deltas in between.
        ``resample`` has no effect.
    running : bool
        Whether to take levels and means from the audio so far where `config` takes them from the whole utterance: `vad`
        may then be "percentile" or any "energy", and mean and variance need no window. The level of speech is derived
        every 0.1 s from all frames so far, and first after 1 s; a frame's mean and variance are those of all frames
        so far (speech frames with ``over: speech``), and for the first 100 frames those of the first 100. Frames are
        those of `extract` no more, but come closer to them the longer the audio is.

    Raises
    ------
    ValueError
        If the front end has steps that need the whole utterance; the message names the keys and the alternatives.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import FeatureConfig, FeatureStream, extract
    >>> samples = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    >>> config = FeatureConfig(vad={"method": "none"}, normalisation={"mean": 0.0})
    >>> stream = FeatureStream(config)
    >>> blocks = [stream.push(block) for block in np.split(samples, 4)] + [stream.finish()]
    >>> np.array_equal(np.concatenate(blocks), extract(samples, config))
    True
    >>> round(stream.delay, 3)
    0.06
    """

    def __init__(self, config: FeatureConfig, *, running: bool = False) -> None:
        obstacles = list(_obstacles(config, running))
        if obstacles:
            raise ValueError(f"these features need the whole utterance: {'; '.join(obstacles)}")
        self._config = config
        self._cepstra = CepstraStream(config)
        self._activity = activity_steps(config.vad, config.shift_seconds)
        self._before, self._after = frame_steps(config)
        self._frames: Rows = np.empty((0, config.n_static), np.float32)
        self._speech: Rows = np.empty(0, np.bool_)
        self._waiting: IntArray = np.empty(0, np.intp)  # numbers of speech frames that have not been returned
        self._n_decided = 0
        self._numbers = self._waiting
        self._first: float | None = None
        self._varies = False
        self._n_samples = 0
        self._n_frames = 0
        self._n_speech = 0
        self._finished = False

    @property
    def delay(self) -> float:
        """Delay that the steps after the cepstra add, in seconds.

        A frame is returned once this much audio after the frame's own last sample has been pushed. It is the longest
        that any frame waits: the first ones wait longest where a sliding window has to fill, and with `close_gaps` and
        `min_speech` most wait less. Where windows count speech frames only, the delay counts seconds of speech.
        (Frames whose mirrored edge needs more audio than their own wait for that in addition.)
        """
        frames, speech = latency(self._before), latency(self._activity)
        both = max(frames[0], speech[0]), max(frames[1], speech[1])
        return max(latency(self._after, *both)) * self._config.shift_seconds

    @property
    def numbers(self) -> IntArray:
        """Numbers (T,) of the frames that the last call returned, among all frames of the utterance, from 0."""
        return self._numbers

    @property
    def n_determined(self) -> int:
        """How many frames of the utterance are past: each has been returned, or is no speech."""
        return int(self._waiting[0]) if len(self._waiting) else self._n_decided

    def push(self, samples: FloatArray) -> Float32Array:
        """Process the next samples, and return the frames that they determine.

        Parameters
        ----------
        samples : np.ndarray, shape (n,), n >= 0, full scale at 1
            A mono waveform at ``config.sample_rate``; it is not used after the call.

        Returns
        -------
        np.ndarray, shape (T, D), float32
            The next frames; T may be 0.

        Raises
        ------
        AudioError
            If the samples are not a mono floating-point waveform, are not finite, or exceed ``config.max_amplitude``;
            positions in the message count from the start of the waveform. The stream is then as if they had not been
            pushed.
        ValueError
            After `finish`.
        """
        self._check_open()
        samples = np.asarray(samples)
        if samples.shape == (0,):
            self._numbers = self._numbers[:0]
            return np.empty((0, self._config.n_features), np.float32)
        checked = check_samples(samples, first=self._n_samples).copy()
        peak = peak_amplitude(checked)
        if peak > self._config.max_amplitude:
            raise AudioError(f"samples up to {peak:g}; expected full scale at 1")
        if self._first is None:
            self._first = float(checked[0])
        self._varies = self._varies or bool((checked != self._first).any())
        self._n_samples += len(checked)
        return self._advance(checked, final=False)

    def finish(self) -> Float32Array:
        """End the utterance, and return its last frames.

        Returns
        -------
        np.ndarray, shape (T, D), float32
            The frames not returned before; T may be 0.

        Raises
        ------
        AudioError
            If there were no samples, all were the same, they were shorter than a frame, or without speech; the messages
            are those of `extract`.
        ValueError
            After `finish`.
        """
        self._check_open()
        self._finished = True
        if self._first is None:
            raise AudioError("holds no samples")
        if not self._varies:
            raise silence_error(self._n_samples, self._first)
        return self._advance(np.empty(0, np.float32), final=True)

    def _check_open(self) -> None:
        """Refuse calls after `finish`."""
        if self._finished:
            raise ValueError("this stream has been finished: make a new one for the next utterance")

    def _advance(self, samples: Float32Array, final: bool) -> Float32Array:
        """Apply the steps to the samples, as far as they determine frames."""
        frames, log_energy = self._cepstra.push(samples, final=final)
        self._n_frames += len(frames)
        speech: Rows = np.ones(len(frames), np.bool_)
        if self._activity:
            speech = push_through(self._activity, log_energy, final)
        self._n_speech += int(np.count_nonzero(speech))
        if final:
            seconds = self._n_samples / self._config.sample_rate
            check_speech(self._n_speech, self._n_frames, seconds, self._config)
        result = self._select(push_through(self._before, frames, final), speech)
        result = push_through(self._after, result, final)
        self._numbers, self._waiting = self._waiting[: len(result)], self._waiting[len(result) :]
        # A copy: a view would keep the whole neighbourhood in memory as long as the frames are in use.
        return result.copy() if len(result) else np.empty((0, self._config.n_features), np.float32)

    def _select(self, frames: Rows, speech: Rows) -> Rows:
        """Select the speech frames, as far as both the frames and the decisions about them are known."""
        frames, speech = concat_rows(self._frames, frames), concat_rows(self._speech, speech)
        n = min(len(frames), len(speech))
        self._frames, self._speech = frames[n:].copy(), speech[n:].copy()
        self._waiting = np.concatenate([self._waiting, self._n_decided + np.flatnonzero(speech[:n])])
        self._n_decided += n
        return frames[:n][speech[:n]]


def _obstacles(config: FeatureConfig, running: bool) -> Iterator[str]:
    """Describe each step that a stream cannot run, and the alternative."""
    vad, normalisation = config.vad, config.normalisation
    if config.top_db is not None:
        yield f"top_db {config.top_db:g} is relative to its loudest frame: leave it out"
    if vad.method == "gaussians" or (vad.method == "percentile" and not running):
        yield f"vad.method {vad.method} derives its level from it: use energy with mean_scale 0, or none"
    if vad.method == "energy" and vad.mean_scale and not running:
        yield f"vad.mean_scale {vad.mean_scale:g} derives the level from its mean: set it to 0, and threshold to match"
    if normalisation.window is None and standardises(normalisation) and not running:
        keys = [key for key in ("mean", "c0_mean", "variance") if getattr(normalisation, key)]
        yield f"normalisation.{' and '.join(keys)} over all of it: give a window, or set to 0 or false"
    deltas_between = config.order[1] == "deltas" and has_deltas(config.deltas)
    if normalises_over_speech(config) and deltas_between:
        yield (
            "normalisation.over speech, with deltas after it and selection last, lets frames without speech wait for "
            "the next speech: set it to all, or put selection before deltas"
        )
