"""What ``speechgmm gallery`` prints: tables for people, one JSON document for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from speechgmm.arrays import Float64Array
    from speechgmm.features.extract import Extraction
    from speechgmm.gallery.gallery import Gallery, Roster
    from speechgmm.gallery.recognition import Verification
    from speechgmm.gallery.speakers import EnrolledSpeaker
    from speechgmm.gallery.timeline import Timeline
    from speechgmm.scoring.identification import Candidate, IdentificationConfig

DIGITS = 12
"""Digits of a digest that are shown."""

NO_ANSWER = (
    "no answers, as the gallery is not calibrated: --threshold says from which score on a speaker is accepted, "
    "--closed-set takes the best"
)


@dataclass(frozen=True)
class Answer:
    """The answer for one recording.

    Parameters
    ----------
    file : str
        As it was given.
    seconds, speech_seconds : float, seconds
        Length of the audio, and what of it is speech.
    short : bool
        Whether that is less than the gallery asks for.
    decided : bool
        Whether there is an answer.
    name : str or None
        Who it is; None for nobody who is enrolled, or without an answer.
    candidates : tuple of Candidate
        The speakers, the best first.
    p_unknown : float or None
        Posterior probability that it is none of them, where scores are calibrated.
    """

    file: str
    seconds: float
    speech_seconds: float
    short: bool
    decided: bool
    name: str | None
    candidates: "tuple[Candidate, ...]"
    p_unknown: float | None

    @classmethod
    def of(
        cls,
        gallery: "Gallery",
        path: Path,
        read: "Extraction",
        names: Sequence[str],
        scores: "Float64Array",
        config: "IdentificationConfig",
        *,
        raw: "Float64Array",
    ) -> "Answer":
        """Answer by the scores (M,) of one recording, and what they were before calibration."""
        from speechgmm.gallery.recognition import is_decidable
        from speechgmm.scoring.identification import identify

        decided = is_decidable(gallery, config)
        found = identify(scores, names, config, ranks=raw)
        return cls(
            file=str(path),
            seconds=read.seconds,
            speech_seconds=read.speech_seconds,
            short=gallery.is_short(read.speech_seconds),
            decided=decided,
            name=found.answer if decided else None,
            candidates=found.candidates,
            p_unknown=found.p_unknown if gallery.calibrated else None,
        )


def extent(speaker: "EnrolledSpeaker") -> str:
    """Say how much there is of a speaker."""
    n = len(speaker.recordings)
    return f"{n} recording{'s' * (n > 1)}, {speaker.speech_seconds:.1f} s of speech"


def warn_of_short(gallery: "Gallery", speech_seconds: Mapping[str, float]) -> None:
    """Warn of little speech, on the stream for errors, which leaves the other to programs."""
    least = gallery.config.decisions.min_speech
    for name, seconds in speech_seconds.items():
        if gallery.is_short(seconds):
            found = _below(seconds, least)
            typer.secho(
                f"warning: {name}: {found} s of speech, less than the {least:g} s that this gallery asks for",
                fg="yellow",
                err=True,
            )


def exit_if_unusable(unusable: Mapping[str, str] | None = None, damaged: Mapping[str, str] | None = None) -> None:
    """Name what could not be used, and leave with status 3 if there is anything."""
    for what, items in (("recording", unusable), ("speaker", damaged)):
        if items:
            plural = "s" * (len(items) > 1)
            typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(f"{len(items)} {what}{plural} could not be used:", err=True)
            for path, reason in items.items():
                typer.echo(f"  {path}: {reason}", err=True)
    if unusable or damaged:
        raise typer.Exit(3)


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON document; a NaN in it would be a bug."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def roster_data(gallery: "Gallery", roster: "Roster") -> dict[str, Any]:
    """Put in plain data who is enrolled."""
    speakers = [
        {
            "name": speaker.name,
            "speech_seconds": speaker.speech_seconds,
            "short": gallery.is_short(speaker.speech_seconds),
            "recordings": [
                {key: getattr(each, key) for key in ("file", "digest", "seconds", "speech_seconds")}
                for each in speaker.recordings
            ],
        }
        for speaker in roster.speakers
    ]
    return _document(gallery) | {"speakers": speakers, "damaged": _named(roster.damaged)}


def answers_data(
    gallery: "Gallery",
    config: "IdentificationConfig",
    answers: Sequence[Answer],
    top: int,
    unusable: Mapping[str, str],
    damaged: Mapping[str, str],
) -> dict[str, Any]:
    """Put answers in plain data."""
    recordings = [
        {
            "file": each.file,
            "seconds": each.seconds,
            "speech_seconds": each.speech_seconds,
            "short": each.short,
            "decided": each.decided,
            "answer": each.name,
            "p_unknown": each.p_unknown,
            "candidates": [
                {"name": one.name, "score": one.llr, "posterior": one.posterior if gallery.calibrated else None}
                for one in each.candidates[:top]
            ],
        }
        for each in answers
    ]
    return _document(gallery) | {
        "threshold": config.threshold,
        "prior_unknown": config.p_unknown,
        "recordings": recordings,
        "unusable": _named(unusable),
        "damaged": _named(damaged),
    }


def verification_data(
    gallery: "Gallery", name: str, file: Path, read: "Extraction", found: "Verification"
) -> dict[str, Any]:
    """Put a verification in plain data."""
    return _document(gallery) | {
        "speaker": name,
        "file": str(file),
        "seconds": read.seconds,
        "speech_seconds": read.speech_seconds,
        "short": gallery.is_short(read.speech_seconds),
        "score": found.score,
        "threshold": found.threshold,
        "accepted": found.accepted,
    }


def timeline_data(
    gallery: "Gallery", config: "IdentificationConfig", file: Path, timeline: "Timeline"
) -> dict[str, Any]:
    """Put a timeline in plain data."""
    rows = zip(
        timeline.starts.tolist(), timeline.stops.tolist(), timeline.answers, timeline.scores.tolist(), strict=True
    )
    return _document(gallery) | {
        "file": str(file),
        "threshold": config.threshold,
        "prior_unknown": config.p_unknown,
        "seconds": timeline.seconds(),
        "windows": [
            {
                "start": start,
                "end": stop,
                "best": answer,
                "scores": None if answer is None else dict(zip(timeline.names, scores, strict=True)),
            }
            for start, stop, answer, scores in rows
        ],
        "damaged": _named(timeline.damaged),
    }


def show_speakers(gallery: "Gallery", speakers: Sequence["EnrolledSpeaker"]) -> None:
    """Print who is enrolled."""
    if not speakers:
        typer.echo(f"{gallery.folder}: nobody is enrolled")
        return
    table = _table("speaker", ">recordings", ">speech", "")
    least = gallery.config.decisions.min_speech
    for each in speakers:
        short = gallery.is_short(each.speech_seconds)
        seconds = _below(each.speech_seconds, least) if short else f"{each.speech_seconds:.1f}"
        table.add_row(each.name, str(len(each.recordings)), f"{seconds} s", f"less than {least:g} s" if short else "")
    _print(table)


def show_recordings(speaker: "EnrolledSpeaker") -> None:
    """Print what there is of a speaker."""
    table = _table("recording", ">length", ">speech", "digest")
    for each in speaker.recordings:
        table.add_row(each.file, f"{each.seconds:.1f} s", f"{each.speech_seconds:.1f} s", each.digest[:DIGITS])
    _print(table)


def show_answers(gallery: "Gallery", config: "IdentificationConfig", answers: Sequence[Answer], top: int) -> None:
    """Print answers, each with its best candidates."""
    from speechgmm.gallery.speakers import UNKNOWN

    table = _table("recording", "answer", ">", "candidate", ">score", *([">posterior"] if gallery.calibrated else []))
    for each in answers:
        answer = (each.name or UNKNOWN) if each.decided else "-"
        first = [f"{each.file}{' (short)' * each.short}", answer]
        for number, one in enumerate(each.candidates[:top], 1):
            posterior = [f"{one.posterior:.1%}"] if gallery.calibrated else []
            table.add_row(*first, str(number), one.name, f"{one.llr:+.2f}", *posterior)
            first = ["", ""]
        if each.p_unknown is not None:
            table.add_row("", "", "", UNKNOWN, "", f"{each.p_unknown:.1%}")
    _print(table)
    quantity = "" if gallery.quantity == "score" else f"{gallery.quantity}, "
    typer.echo(f"score: {quantity}{gallery.unit}")
    if config.threshold is not None:
        typer.echo(f"answer: the best candidate from a score of {config.threshold:+.2f} on")
    if gallery.calibrated:
        typer.echo(f"posterior: with a prior of {config.p_unknown:.0%} for {UNKNOWN}, the rest shared by all speakers")
    if not answers[0].decided:
        typer.echo(NO_ANSWER)


def show_verification(gallery: "Gallery", name: str, file: Path, found: "Verification") -> None:
    """Print a verification."""
    verdict = {True: f"accepted as {name}", False: f"rejected as {name}", None: f"no decision on {name}"}[
        found.accepted
    ]
    bound = "no threshold" if found.threshold is None else f"threshold {found.threshold:+.2f}"
    typer.echo(f"{file}: {verdict}: {gallery.quantity} {found.score:+.2f}, {bound}; {gallery.unit}")


def show_timeline(config: "IdentificationConfig", file: Path, timeline: "Timeline", table: Path, picture: Path) -> None:
    """Print how long each speaks, and where the rest is."""
    silent = sum(answer is None for answer in timeline.answers)
    rows = _table("speaker", ">time")
    for name, seconds in timeline.seconds().items():
        rows.add_row(name, f"{seconds:.1f} s")
    _print(rows)
    n = len(timeline.answers)
    typer.echo(f"{file}: {n} window{'s' * (n > 1)}, {silent} of them with too little speech")
    if config.p_unknown == 0:
        typer.echo("a closed set: somebody who is enrolled is always the answer; --threshold tells them from others")
    typer.echo(f"scores, {timeline.unit}: {table}; picture: {picture}")


def _below(seconds: float, least: float) -> str:
    """Write seconds with as many digits as show that they are less than others."""
    written = (f"{seconds:.{n_digits}f}" for n_digits in count(1))
    return next(text for text in written if float(text) < least)


def _document(gallery: "Gallery") -> dict[str, Any]:
    """Begin a document: which gallery, and what its scores are."""
    return {"gallery": str(gallery.folder), "calibrated": gallery.calibrated, "score_unit": gallery.unit}


def _named(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    """Put reasons in plain data."""
    return [{"file": path, "reason": reason} for path, reason in reasons.items()]


def _table(*titles: str) -> "Table":
    """Begin a table; a > before a title puts its column to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title[:1] == ">" else "left", overflow="fold")
    return table


def _print(table: "Table") -> None:
    """Print a table; names are text, whatever is in them."""
    from rich.console import Console

    Console(markup=False, emoji=False, highlight=False).print(table)
