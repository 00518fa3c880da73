"""Live answers against those of a timeline: hops that differ, latency, CPU share and memory.

python benchmarks/listen.py GALLERY RECORDING          hops that differ, by the lag of the smoothing
python benchmarks/listen.py GALLERY --hours 10         noise with speech-like bursts, as fast as it goes
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speechgmm.audio.reading import audio_blocks
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.lengths import HOP, TURN, WINDOW
from speechgmm.gallery.listening import Listener
from speechgmm.gallery.segments import StateModel
from speechgmm.gallery.timeline import make_timeline
from speechgmm.scoring.switching import most_probable_states


def compare(gallery: Gallery, path: Path) -> None:
    """Print how many hops differ from those of a timeline, and how far behind the answers come."""
    timeline = make_timeline(gallery, gallery.read(path), WINDOW, hop=HOP)
    model = StateModel.of(timeline.config, len(timeline.names), TURN, HOP)
    names = (*timeline.names, "unknown")
    expected: list[str | None] = [None] * len(timeline.answers)
    start = 0
    spoken = np.isfinite(timeline.scores[:, 0])
    while start < len(spoken):
        stop = start + 1
        while stop < len(spoken) and spoken[stop] == spoken[start]:
            stop += 1
        if spoken[start]:
            states = most_probable_states(
                model.emissions(timeline.scores[start:stop], HOP / WINDOW), model.prior, model.p_switch
            )
            expected[start:stop] = [names[state] for state in states]
        start = stop
    for lag in (0.0, 0.5, 1.0, 2.0, 1e4):
        blocks, rate = audio_blocks(path, block_seconds=0.1)
        listener = Listener(gallery, rate, lag=lag)
        moments, late, began = [], [], time.process_time()
        for block in blocks:
            found = listener.push(block)
            late += [listener.seconds - moment.end for moment in found if moment.speaker is not None]
            moments += found
        moments += listener.finish()
        used = (time.process_time() - began) / listener.seconds
        differ = sum(a.speaker != b for a, b in zip(moments, expected, strict=True))
        behind = np.median(late) if late else np.nan
        print(
            f"lag {lag:g} s: {differ} of {len(moments)} hops differ; answers {behind:.2f} s after the hop (median), "
            f"CPU share {used:.1%}",
            flush=True,
        )


def made_blocks(hours: float, rate: int) -> Iterator[np.ndarray]:
    """Yield blocks of a second: noise whose colour and level change, with pauses."""
    rng = np.random.default_rng(0)
    for number in range(round(hours * 3600)):
        level = 0.001 if number % 7 == 0 else 0.1
        yield (level * np.convolve(rng.normal(size=rate), [1, np.sin(number / 5)], "same")).astype(np.float32)


def endure(gallery: Gallery, hours: float) -> None:
    """Print memory while hours of noise are listened to."""
    rate = gallery.front_end.sample_rate
    listener = Listener(gallery, rate)
    began = time.process_time()
    for number, block in enumerate(made_blocks(hours, rate), start=1):
        listener.push(block)
        if number % max(1, round(180 * hours)) == 0:
            used = (time.process_time() - began) / number
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{number / 3600:.1f} h: peak {peak:.1f} MiB, {len(listener.segments)} segments, CPU {used:.2%}",
                flush=True,
            )
    listener.finish()


def main() -> None:
    """Compare, or endure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("recording", type=Path, nargs="?")
    parser.add_argument("--hours", type=float, default=10.0)
    args = parser.parse_args()
    if args.recording is None:
        endure(Gallery(args.gallery), args.hours)
    else:
        compare(Gallery(args.gallery), args.recording)


if __name__ == "__main__":
    main()
