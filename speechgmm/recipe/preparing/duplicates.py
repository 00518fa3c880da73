"""Recordings with the same samples, found without decoding more than is needed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from speechgmm.audio.probing import samples_digest
from speechgmm.errors import AudioError
from speechgmm.features.store.writing import segment_stop
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment
from speechgmm.recipe.stages.progress import ProgressBars, ProgressCallback
from speechgmm.recipe.stages.shared_frames import alike

RECORDINGS_AT_ONCE = 50
"""Recordings that a worker decodes in one task."""


def same_samples(
    headers: Mapping[AudioSegment, AudioHeader], engine: Engine | None, bars: ProgressBars
) -> dict[AudioSegment, str]:
    """Return the recordings whose samples others have too, each with the digest of its samples.

    Lengths are compared first, by the headers; then the first second of recordings of one length. Only recordings that
    agree in both are decoded to their end.
    """
    lengths = {
        audio: (header.sample_rate, round(header.seconds * header.sample_rate))
        for audio, header in headers.items()
        if header.sample_rate
    }
    first = _digests(alike(lengths), engine, bars.callback("comparing recordings of the same length"), first_only=True)
    begun = alike({audio: (lengths[audio], digest) for audio, digest in first.items()})
    return alike(_digests(begun, engine, bars.callback("comparing recordings that begin alike")))


def _digests(
    recordings: Iterable[AudioSegment], engine: Engine | None, progress: ProgressCallback, *, first_only: bool = False
) -> dict[AudioSegment, str]:
    """Compute the digests of the samples of recordings, without those that cannot be decoded."""
    wanted = list(recordings)
    blocks = [wanted[start : start + RECORDINGS_AT_ONCE] for start in range(0, len(wanted), RECORDINGS_AT_ONCE)]
    digests: list[str | None] = []
    for found in map_in_order(partial(_digest_all, first_only=first_only), blocks, engine):
        digests += found
        progress(len(digests), len(wanted))
    return {audio: digest for audio, digest in zip(wanted, digests, strict=True) if digest}


def _digest_all(recordings: Sequence[AudioSegment], first_only: bool) -> list[str | None]:
    """Compute the digests of a block of recordings, in a worker."""
    return [_digest(audio, first_only) for audio in recordings]


def _digest(audio: AudioSegment, first_only: bool) -> str | None:
    """Compute the digest of a recording's samples, or None if it cannot be decoded."""
    path, start, end, channel = audio
    try:
        stop = segment_stop(path, end)
        return samples_digest(path, channel=channel, start=start, stop=stop, first_only=first_only)
    except AudioError:
        return None
