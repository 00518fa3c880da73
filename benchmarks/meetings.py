"""Make meetings of known speakers from single-speaker recordings, and score who spoke when.

Usage: python benchmarks/meetings.py make DATA --out FOLDER [--meetings 20] [--seed 0] [--half 0|1]
       python benchmarks/meetings.py score FOLDER ANSWERS [--collar 0.25]

DATA holds the corpora libri and so762. FOLDER gets for each meeting NAME.wav, NAME.rttm (the reference) and the folder
NAME/ with a recording of 15 s of each enrolled speaker, from other utterances than the meeting's; meetings.json lists
all. No recording occurs twice in a meeting. With --half, the speakers are one half of each corpus's, so that models can
be trained on the other.

ANSWERS holds a NAME.rttm for each meeting, made by any system. Speakers are matched one to one as suits the answer
best, whatever their names are. Speech in which two speak counts for both.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from draws import read_pairs
from scipy.signal import lfilter

RATE = 16000
CORPORA = ("libri", "so762")

ENROLMENT_SECONDS = 15.0
LEAST_IN_MEETING = 20.0
"""Seconds that an enrolled speaker has for the meeting, beside the enrolment."""

TURN_SECONDS = (1.0, 20.0)
"""The length of a turn is drawn from these, each octave as often."""

PAUSE_SECONDS = (0.1, 1.5)
OVERLAP_SHARE = 0.05
"""Share of the turns that begin before the last one ends."""

OVERLAP_SECONDS = (0.3, 1.5)
LEVEL_DB, SPEAKER_DB, NOISE_DB = -26.0, 4.0, (-35.0, -25.0)
"""Mean level of speech (full scale at 0), how far a speaker's is from it at most, and the noise relative to it."""

STRANGER_SHARE = 0.3
"""Share of the meetings with a speaker who is not enrolled."""

LONGEST_PAUSE = 0.5
"""Pauses of one speaker up to this length, in seconds, are speech in the reference."""


class Segment(NamedTuple):
    """One speaker's speech, from `start` to `stop` in seconds."""

    start: float
    stop: float
    speaker: str


class Piece(NamedTuple):
    """Samples of one speaker, and which of them are speech."""

    samples: np.ndarray
    speech: np.ndarray


@dataclass(frozen=True)
class Meeting:
    """What is in a meeting."""

    name: str
    corpus: str
    speakers: tuple[str, ...]
    stranger: str | None  # the one who is not enrolled
    seconds: float
    n_turns: int
    overlap: float  # share of the speech during which two speak


def recordings(data: Path, corpus: str) -> dict[str, list[Path]]:
    """Return the files of each speaker of a corpus."""
    found: dict[str, list[Path]] = {}
    for role in ("background", "enrol", "test"):
        folder = data / corpus / "lists" / role
        places = read_pairs(folder / "wav.scp")
        for name, speaker in sorted(read_pairs(folder / "utt2spk").items()):
            found.setdefault(speaker, []).append(data / corpus / places[name])
    return dict(sorted(found.items()))


def half_of(files: dict[str, list[Path]], half: int | None) -> list[str]:
    """Return every other speaker of several recordings and of one, from the first (0) or second (1); all without."""
    first, step = (0, 1) if half is None else (half, 2)
    several = sorted(speaker for speaker, own in files.items() if len(own) > 1)
    return sorted(several[first::step] + sorted({*files} - {*several})[first::step])


def make_meetings(data: Path, out: Path, n_meetings: int, seed: int, half: int | None) -> list[Meeting]:
    """Write meetings of 2, 3, 4, 5, 2, ... speakers, by turns from each corpus."""
    meetings = []
    for number in range(n_meetings):
        corpus, n_speakers = CORPORA[number // 4 % len(CORPORA)], 2 + number % 4
        rng = np.random.default_rng([seed, number])
        name = f"{corpus}-{seed}-{number:02d}-{n_speakers}"
        meetings.append(make_meeting(recordings(data, corpus), half, corpus, name, n_speakers, out, rng))
        print(meetings[-1].name, f"{meetings[-1].seconds:.0f} s", flush=True)
    text = json.dumps([asdict(meeting) for meeting in meetings], indent=1)
    (out / "meetings.json").write_text(text, encoding="utf-8")
    return meetings


def make_meeting(
    files: dict[str, list[Path]],
    half: int | None,
    corpus: str,
    name: str,
    n_speakers: int,
    out: Path,
    rng: np.random.Generator,
) -> Meeting:
    """Draw speakers, and write their enrolments, the meeting and its reference."""
    names = half_of(files, half)
    many = [speaker for speaker in names if len(files[speaker]) > 1]
    speakers: list[str] = []
    stranger: str | None = None
    voices: dict[str, list[Piece]] = {}
    if rng.random() < STRANGER_SHARE:
        others = [each for each in names if each not in many] or many
        stranger = str(rng.choice(others))
        speakers.append(stranger)
        voices[stranger] = _pieces(files[stranger], rng)
    for speaker in map(str, rng.permutation([each for each in many if each != stranger])):
        if len(speakers) == n_speakers:
            break
        pieces = _pieces(files[speaker], rng)
        enrolment, rest = _split(pieces)
        if _seconds(rest) < LEAST_IN_MEETING:
            continue
        speakers.append(speaker)
        voices[speaker] = rest
        _write(out / name / f"{speaker}.wav", np.concatenate([piece.samples for piece in enrolment]))
    samples, segments, n_turns = _mix(voices, rng)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / f"{name}.wav", samples)
    write_rttm(out / f"{name}.rttm", name, segments)
    return Meeting(name, corpus, tuple(sorted(speakers)), stranger, len(samples) / RATE, n_turns, _overlap(segments))


def _pieces(files: Sequence[Path], rng: np.random.Generator) -> list[Piece]:
    """Read recordings in random order, without the silence at their ends."""
    pieces = []
    for number in rng.permutation(len(files)):
        samples, rate = soundfile.read(files[number])
        assert rate == RATE, files[number]
        speech = _speech(samples)
        places = np.flatnonzero(speech)
        if len(places):
            inner = slice(places[0], places[-1] + 1)
            pieces.append(Piece(samples[inner], speech[inner]))
    return pieces


def _speech(samples: np.ndarray) -> np.ndarray:
    """Mark the samples of speech in a clean recording: within 35 dB of the loud and 6 dB above the quiet ones."""
    hop = RATE // 100
    power = np.convolve(np.square(samples), np.ones(4 * hop) / (4 * hop), "same")[hop // 2 :: hop]
    level = 10 * np.log10(power + 1e-10)
    quiet, loud = np.percentile(level, [5, 95])
    active = level > max(loud - 35, quiet + 6)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]])))
    for stop, start in pairwise(edges[1:-1]):
        if not active[stop] and start - stop < LONGEST_PAUSE * 100:
            active[stop:start] = True
    return np.repeat(active, hop)[: len(samples)]


def _split(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Take what an enrolment needs from the first pieces; the utterance that it ends in is used for nothing else."""
    enrolment: list[Piece] = []
    for number, piece in enumerate(pieces):
        missing = int(RATE * (ENROLMENT_SECONDS - _seconds(enrolment)))
        if missing <= 0:
            return enrolment, list(pieces[number:])
        enrolment.append(Piece(piece.samples[:missing], piece.speech[:missing]))
    return enrolment, []


def _seconds(pieces: Iterable[Piece]) -> float:
    """Sum the lengths of pieces."""
    return sum(len(piece.samples) for piece in pieces) / RATE


def _mix(voices: dict[str, list[Piece]], rng: np.random.Generator) -> tuple[np.ndarray, list[Segment], int]:
    """Let speakers take turns until nothing is left; return samples, the reference and the number of turns."""
    gains = {speaker: _gain(pieces, rng) for speaker, pieces in voices.items()}
    length = int(RATE * (10 + sum(_seconds(pieces) + 3 * len(pieces) for pieces in voices.values())))
    samples, segments = np.zeros(length), []
    queues = {speaker: list(pieces) for speaker, pieces in voices.items()}
    end, last, last_length, n_turns = int(RATE * rng.uniform(*PAUSE_SECONDS)), "", 0, 0
    while left := [speaker for speaker, queue in queues.items() if queue and speaker != last]:
        shares = np.array([_seconds(queues[speaker]) for speaker in left])
        speaker = str(rng.choice(left, p=shares / shares.sum()))
        turn = _turn(queues[speaker], rng)
        if len(turn.samples) >= RATE * TURN_SECONDS[0]:
            start = end + int(RATE * rng.uniform(*PAUSE_SECONDS))
            if n_turns and rng.random() < OVERLAP_SHARE:
                shortest = min(last_length, len(turn.samples))
                start = end - min(int(RATE * rng.uniform(*OVERLAP_SECONDS)), shortest // 2)
            stop = start + len(turn.samples)
            samples[start:stop] += gains[speaker] * turn.samples
            segments += _segments(turn.speech, start, speaker)
            end, last, last_length, n_turns = stop, speaker, len(turn.samples), n_turns + 1
    samples = samples[: end + RATE]
    level = 10 ** ((LEVEL_DB + rng.uniform(*NOISE_DB)) / 20)
    noise = lfilter([1.0], [1.0, -0.7], rng.normal(size=len(samples)))
    return samples + level * noise / noise.std(), segments, n_turns


def _gain(pieces: Iterable[Piece], rng: np.random.Generator) -> float:
    """Return the factor that brings a speaker to the common level and a difference of their own."""
    power = np.mean(np.concatenate([np.square(piece.samples[piece.speech]) for piece in pieces]))
    return float(10 ** ((LEVEL_DB + rng.uniform(-SPEAKER_DB, SPEAKER_DB)) / 20) / np.sqrt(power))


def _turn(queue: list[Piece], rng: np.random.Generator) -> Piece:
    """Take a turn of one speaker from the front of a queue, with short pauses between the recordings."""
    wanted = int(RATE * np.exp(rng.uniform(*np.log(TURN_SECONDS))))
    parts: list[Piece] = []
    while queue and (missing := wanted - sum(len(part.samples) for part in parts)) > 0:
        if parts:
            pause = int(RATE * rng.uniform(0.1, 0.4))
            parts.append(Piece(np.zeros(pause), np.ones(pause, np.bool_)))
        piece = queue.pop(0)
        if len(piece.samples) - missing >= RATE * TURN_SECONDS[0]:
            queue.insert(0, Piece(piece.samples[missing:], piece.speech[missing:]))
            piece = Piece(piece.samples[:missing], piece.speech[:missing])
        parts.append(piece)
    return Piece(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _segments(speech: np.ndarray, offset: int, speaker: str) -> Iterator[Segment]:
    """Yield the stretches of speech of a turn that begins at a sample."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]])))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield Segment((offset + start) / RATE, (offset + stop) / RATE, speaker)


def _overlap(segments: Sequence[Segment]) -> float:
    """Return the share of the speech during which two speak."""
    marks = np.zeros(int(100 * max(each.stop for each in segments)) + 2, np.intp)
    for each in segments:
        marks[round(100 * each.start) : round(100 * each.stop)] += 1
    return float(np.mean(marks[marks > 0] > 1))


def _write(path: Path, samples: np.ndarray) -> None:
    """Write samples as 16-bit audio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")


def write_rttm(path: Path, name: str, segments: Iterable[tuple[float, float, str]]) -> None:
    """Write segments as a file in NIST's Rich Transcription Time Marked format."""
    lines = [
        f"SPEAKER {name} 1 {start:.3f} {stop - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for start, stop, speaker in sorted(segments)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


def read_rttm(path: Path) -> list[Segment]:
    """Read the segments of such a file."""
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [Segment(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows if row[:1] == ["SPEAKER"]]


@dataclass(frozen=True)
class Errors:
    """Seconds of each error of an answer, of the reference's speech, and numbers of speakers."""

    missed: float
    false_alarm: float
    confusion: float
    speech: float
    n_speakers: int
    n_found: int

    @property
    def rate(self) -> float:
        """The diarisation error rate, as a share of the reference's speech."""
        return (self.missed + self.false_alarm + self.confusion) / self.speech


def score(
    reference: Sequence[tuple[float, float, str]],
    answer: Sequence[tuple[float, float, str]],
    seconds: float,
    collar: float = 0.25,
    *,
    skip_overlap: bool = False,
) -> Errors:
    """Score an answer with pyannote.metrics: `collar` seconds around each boundary, half on each side, do not count."""
    from pyannote.core import Annotation, Timeline
    from pyannote.core import Segment as Stretch
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(segments: Iterable[tuple[float, float, str]]) -> Annotation:
        """Turn segments into pyannote's."""
        found = Annotation()
        for number, (start, stop, speaker) in enumerate(segments):
            found[Stretch(start, stop), number] = speaker
        return found.support()

    metric = DiarizationErrorRate(collar=collar, skip_overlap=skip_overlap)
    whole = Timeline([Stretch(0, seconds)])
    parts = metric(annotation(reference), annotation(answer), uem=whole, detailed=True)
    return Errors(
        parts["missed detection"],
        parts["false alarm"],
        parts["confusion"],
        parts["total"],
        len({each[2] for each in reference}),
        len({each[2] for each in answer}),
    )


def read_meetings(folder: Path) -> list[Meeting]:
    """Read what `make_meetings` listed."""
    listed: list[dict[str, Any]] = json.loads((folder / "meetings.json").read_text(encoding="utf-8"))
    return [Meeting(**{**each, "speakers": tuple(each["speakers"])}) for each in listed]


def score_folder(folder: Path, answers: Path, collar: float = 0.25, *, skip_overlap: bool = False) -> dict[str, Errors]:
    """Score the answers to all meetings of a folder, by the meetings' names."""
    return {
        each.name: score(
            read_rttm(folder / f"{each.name}.rttm"),
            read_rttm(answers / f"{each.name}.rttm"),
            each.seconds,
            collar,
            skip_overlap=skip_overlap,
        )
        for each in read_meetings(folder)
    }


def print_table(scored: dict[str, Errors]) -> None:
    """Print each meeting, and the means for each number of speakers, each corpus and all."""
    print(f"{'':20}  DER %  missed  false alarm  confusion  speakers  found")
    for name, errors in scored.items():
        print(f"{name:20} {_row([errors])} {errors.n_speakers:9} {errors.n_found:6}")
    for n_speakers in sorted({errors.n_speakers for errors in scored.values()}):
        chosen = [errors for errors in scored.values() if errors.n_speakers == n_speakers]
        print(f"{f'{n_speakers} speakers':20} {_row(chosen)}")
    for corpus in CORPORA:
        if chosen := [errors for name, errors in scored.items() if name.startswith(corpus)]:
            print(f"{corpus:20} {_row(chosen)}")
    everything = list(scored.values())
    off = [abs(errors.n_found - errors.n_speakers) for errors in everything]
    print(f"{'all':20} {_row(everything)}   number of speakers off by {np.mean(off):.2f}")


def _row(scored: Sequence[Errors]) -> str:
    """Return the rates of several meetings together, in %."""
    speech = sum(errors.speech for errors in scored)
    kinds = ("missed", "false_alarm", "confusion")
    missed, false_alarm, confusion = (100 * sum(getattr(each, kind) for each in scored) / speech for kind in kinds)
    return f"{missed + false_alarm + confusion:6.1f} {missed:7.1f} {false_alarm:12.1f} {confusion:10.1f}"


def main() -> None:
    """Make meetings, or score answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("data", type=Path)
    make.add_argument("--out", type=Path, required=True)
    make.add_argument("--meetings", type=int, default=20)
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--half", type=int, choices=(0, 1))
    answers = commands.add_parser("score")
    answers.add_argument("folder", type=Path)
    answers.add_argument("answers", type=Path)
    answers.add_argument("--collar", type=float, default=0.25)
    chosen = parser.parse_args()
    if chosen.command == "make":
        chosen.out.mkdir(parents=True, exist_ok=True)
        make_meetings(chosen.data, chosen.out, chosen.meetings, chosen.seed, chosen.half)
    else:
        print_table(score_folder(chosen.folder, chosen.answers, chosen.collar))


if __name__ == "__main__":
    main()
