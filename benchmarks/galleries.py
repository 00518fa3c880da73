"""Galleries of four speakers by models of other speakers: right answers in windows of 2 s, and strangers unknown.

Usage: python benchmarks/galleries.py DATA --models HALF-0 HALF-1 [--galleries 10] [--seed 0] [--from RESULTS]

DATA holds the corpora libri and so762. HALF-0 and HALF-1 are folders that ``pretrained.py build speech16k --half 0|1
--out FOLDER`` wrote: models of one half of the speakers each; galleries are of speakers of the other half. Each
gallery has four speakers, enrolled with about 15 s, and four strangers. Tests are windows of 2 s, files of their own:
as recorded, through MP3 at 24 kb/s, a band of 300 to 3,400 Hz at 8 kHz, noise of 10 dB and a room of 0.6 s. With
``--from``, galleries are made of the results of a run instead.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from meetings import CORPORA, half_of, recordings

from speechgmm import add_noise, band_limit, coloured_noise, encode_and_decode, enrol, reverberate, room_response
from speechgmm.arrays import Float32Array
from speechgmm.audio.samples import resample
from speechgmm.gallery.building import build_gallery
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.pretrained import pretrained_source
from speechgmm.gallery.recognition import identify_recordings
from speechgmm.recipe.results.gallery import gallery_of_results

RATE = 16000
ENROLMENT, WINDOW = 15.0, 2.0
N_ENROLLED, N_STRANGERS = 4, 4
LEAST_LOUD = 0.1
"""Least share of a window's samples above a tenth of the recording's level: windows of silence are left out."""

Change = Callable[[Float32Array, np.random.Generator], tuple[Float32Array, int]]

CONDITIONS: dict[str, Change] = {
    "as recorded": lambda samples, _: (samples, RATE),
    "MP3, 24 kb/s": lambda samples, _: (encode_and_decode(samples, RATE, "mp3"), RATE),
    "300-3,400 Hz, 8 kHz": lambda samples, _: (resample(band_limit(samples, RATE, 300, 3400), RATE, 8000), 8000),
    "noise, 10 dB": lambda samples, rng: (
        add_noise(samples, coloured_noise(len(samples), RATE, rng.uniform(0, 2), rng), 10),
        RATE,
    ),
    "room, 0.6 s": lambda samples, rng: (reverberate(samples, room_response(0.6, 3, RATE, rng)), RATE),
}


def main() -> None:
    """Make galleries, test them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs=2)
    parser.add_argument("--from", dest="results", type=Path)
    parser.add_argument("--galleries", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    counts = {name: Counter[str]() for name in CONDITIONS}
    for number in range(chosen.galleries):
        rng = np.random.default_rng([chosen.seed, number])
        half = number % 2
        corpus = CORPORA[number // 2 % len(CORPORA)]
        with tempfile.TemporaryDirectory() as folder:
            if chosen.results is None:
                source = pretrained_source("speech16k", chosen.models[1 - half])
                gallery = build_gallery(Path(folder) / "team", {"speech16k": source})
            else:
                gallery = gallery_of_results(chosen.results, Path(folder) / "team")
            test_gallery(gallery, chosen.data, corpus, half, rng, counts)
        print(f"{number + 1} of {chosen.galleries}: {corpus}", flush=True)
    show(counts)


def test_gallery(
    gallery: Gallery, data: Path, corpus: str, half: int, rng: np.random.Generator, counts: dict[str, Counter[str]]
) -> None:
    """Enrol four speakers of a half, and count the answers to windows of theirs and of strangers."""
    files = recordings(data, corpus)
    known = [name for name in half_of(files, half) if len(files[name]) > 2]
    drawn = [known[number] for number in rng.permutation(len(known))]
    enrolled, strangers = drawn[:N_ENROLLED], drawn[N_ENROLLED : N_ENROLLED + N_STRANGERS]
    if not strangers:  # LibriSpeech has five of several recordings in a half, and many of one
        strangers = [name for name in half_of(files, half) if len(files[name]) == 1][:N_STRANGERS]
    folder = gallery.folder.parent
    windows: dict[str, list[Path]] = {name: [] for name in CONDITIONS}
    for name in [*enrolled, *strangers]:
        paths = [files[name][place] for place in rng.permutation(len(files[name]))]
        if name in enrolled:
            first, paths = enough(paths)
            enrol(gallery, name, [gallery.record(path) for path in first])
        for path in paths:
            samples = soundfile.read(path, dtype="float32")[0]
            for condition, change in CONDITIONS.items():
                changed, rate = change(samples, rng)
                written = folder / f"{name}-{path.stem}"
                windows[condition] += write_windows(written, changed, rate, condition)
    for condition, paths in windows.items():
        found = identify_recordings(gallery, paths)
        for answer in found.answers:
            who = Path(answer.file).name.split("-")[0]
            kind = "own" if who in enrolled else "stranger"
            right = answer.name == who if kind == "own" else answer.name is None
            counts[condition].update([kind, *([f"{kind} right"] if right else [])])
            counts[condition].update([f"{kind} warned"] if answer.warnings else [])


def enough(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split recordings into those for enrolment, about 15 s, and the others, at least one."""
    seconds, n = 0.0, 0
    while n < len(paths) - 1 and seconds < ENROLMENT:
        seconds += soundfile.info(paths[n]).duration
        n += 1
    return list(paths[:n]), list(paths[n:])


def write_windows(start: Path, samples: Float32Array, rate: int, condition: str) -> list[Path]:
    """Write the windows of a recording that have speech."""
    written = []
    level = np.sqrt(np.mean(np.square(samples)))
    n = round(WINDOW * rate)
    for number in range(len(samples) // n):
        window = samples[number * n : (number + 1) * n]
        if np.mean(np.abs(window) > 0.1 * level) >= LEAST_LOUD and np.sqrt(np.mean(np.square(window))) > 0.5 * level:
            path = start.with_name(f"{start.name}-{condition.split(',')[0].replace(' ', '_')}-{number}.wav")
            soundfile.write(path, window, rate)
            written.append(path)
    return written


def show(counts: dict[str, Counter[str]]) -> None:
    """Print the shares of right answers and of warnings."""
    print(f"{'condition':22}{'windows':>9}{'right':>8}{'warned':>8}{'strangers':>11}{'unknown':>9}{'warned':>8}")
    for name, found in counts.items():
        shares = [
            100 * found[f"{kind} {what}"] / max(1, found[kind])
            for kind in ("own", "stranger")
            for what in ("right", "warned")
        ]
        print(
            f"{name:22}{found['own']:9}{shares[0]:7.1f}%{shares[1]:7.1f}%{found['stranger']:11}{shares[2]:8.1f}%{shares[3]:7.1f}%"
        )


if __name__ == "__main__":
    main()
