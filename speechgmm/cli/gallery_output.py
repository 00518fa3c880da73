"""The output of ``speechgmm gallery`` for people: tables and warnings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechgmm.cli.gallery_audio import grouped, listed, show_heard, warn
from speechgmm.cli.gallery_documents import decision_document, print_json
from speechgmm.wording import join_names

if TYPE_CHECKING:
    from rich.table import Table

    from speechgmm.gallery.gallery import Gallery
    from speechgmm.gallery.recognition import Answer, Decision
    from speechgmm.gallery.segments import Segment
    from speechgmm.gallery.speakers import EnrolledSpeaker, Recording
    from speechgmm.gallery.timeline import Timeline
    from speechgmm.scoring.identification import IdentificationConfig

DIGITS = 12
"""Number of digits of a digest that are printed."""

NO_ANSWER = (
    "no answers, because the gallery is not calibrated: give the least score that accepts a speaker with --threshold, "
    "or answer the best speaker with --closed-set"
)


SYNTHETIC = "the background model is of synthetic talkers; for real voices, run an experiment on real speech"


def extent(speaker: "EnrolledSpeaker") -> str:
    """Format the number of recordings of a speaker, and their seconds of speech."""
    n = len(speaker.recordings)
    return f"{n} recording{'s' * (n > 1)}, {speaker.speech_seconds:.1f} s of speech"


def warn_of_short(gallery: "Gallery", speech_seconds: Mapping[str, float]) -> None:
    """Warn of little speech on standard error, which leaves standard output to programs."""
    decisions = gallery.config.decisions
    for name, seconds in speech_seconds.items():
        if decisions.is_short(seconds):
            written = _below(seconds, decisions.min_speech)
            warn(f"{name}: {written} s of speech, less than the {decisions.min_speech:g} s that this gallery asks for")


def warn_of_recordings(gallery: "Gallery", speaker: "EnrolledSpeaker", added: Sequence["Recording"]) -> None:
    """Warn of what is odd about recordings that were added to a speaker, and of others who are enrolled with them."""
    from speechgmm.gallery.enrolled_recordings import enrolled_recordings

    show_heard(gallery, {recording.file: recording.audio for recording in added if recording.audio is not None})
    enrolled = enrolled_recordings(gallery)
    for other in dict.fromkeys(name for recording in added for name in enrolled.speakers_of(recording.digest)):
        files = [recording.file for recording in added if other in enrolled.speakers_of(recording.digest)]
        if other != speaker.name:
            warn(f"{speaker.name}: enrolled with {_same(len(files))} as {other}: {listed(files)}")
    warn_of_short(gallery, {speaker.name: speaker.speech_seconds})


def warn_of_shared(gallery: "Gallery") -> None:
    """Warn of speakers who are enrolled with the same recordings."""
    from speechgmm.gallery.enrolled_recordings import enrolled_recordings

    shared = Counter(names for names in enrolled_recordings(gallery).speakers.values() if len(names) > 1)
    for names, n in shared.items():
        warn(f"{join_names(names)} are enrolled with {_same(n)}; forget removes a name, or a recording from one")


def _same(n: int) -> str:
    """Format a number of recordings that speakers share."""
    return "the same recording" if n == 1 else f"{n} of the same recordings"


def warn_of_enrolled(gallery: "Gallery", files: Sequence[str]) -> None:
    """Warn of tests that are recordings of an enrolled speaker, whose scores say nothing about others."""
    from speechgmm.gallery.audio import audio_digest
    from speechgmm.gallery.enrolled_recordings import enrolled_recordings

    enrolled = enrolled_recordings(gallery)
    tests: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        if names := enrolled.speakers_of(audio_digest(Path(file))):
            tests.setdefault(names, []).append(file)
    for names, same in tests.items():
        these = "this very recording" if len(same) == 1 else f"{len(same)} of these very recordings"
        warn(f"{join_names(names)} {'is' if len(names) == 1 else 'are'} enrolled with {these}: {listed(same)}")


def warn_of_ties(tied: Mapping[str, Sequence[str]]) -> None:
    """Warn of recordings, by their names, whose answer is unknown because several speakers are best."""
    recordings: dict[str, list[str]] = {}
    for name, speakers in tied.items():
        if speakers:
            recordings.setdefault(join_names(speakers), []).append(name)
    for equal, names in recordings.items():
        warn(f"unknown, because {equal} score equally: {listed(names)}")


def warn_of_tied_windows(timeline: "Timeline") -> None:
    """Warn of windows whose answer is unknown because several speakers are best."""
    for speakers, n in Counter(names for names in timeline.tied if names).items():
        warn(f"{n} window{'s' * (n > 1)} unknown, because {join_names(speakers)} score equally")


def exit_if_unusable(unusable: Mapping[str, str] | None = None, damaged: Mapping[str, str] | None = None) -> None:
    """List the recordings and speakers that could not be used, and exit with status 3 if there are any."""
    for noun, items in (("recording", unusable), ("speaker", damaged)):
        if items:
            plural = "s" * (len(items) > 1)
            typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(f"{len(items):,} {noun}{plural} could not be used:", err=True)
            for line in grouped(items):
                typer.echo(f"  {line}", err=True)
    if unusable or damaged:
        raise typer.Exit(3)


def show_speakers(gallery: "Gallery", speakers: Sequence["EnrolledSpeaker"]) -> None:
    """Print a table of the enrolled speakers."""
    if not speakers:
        typer.echo(f"{gallery.folder}: no speaker is enrolled")
        return
    table = _table("speaker", ">recordings", ">speech", "")
    decisions = gallery.config.decisions
    least = decisions.min_speech
    for speaker in speakers:
        short = decisions.is_short(speaker.speech_seconds)
        seconds = _below(speaker.speech_seconds, least) if short else f"{speaker.speech_seconds:.1f}"
        note = f"less than {least:g} s" if short else ""
        table.add_row(speaker.name, str(len(speaker.recordings)), f"{seconds} s", note)
    _print(table)


def show_recordings(speaker: "EnrolledSpeaker") -> None:
    """Print a table of a speaker's recordings."""
    table = _table("recording", ">length", ">speech", "digest")
    for recording in speaker.recordings:
        seconds, speech_seconds = f"{recording.seconds:.1f} s", f"{recording.speech_seconds:.1f} s"
        table.add_row(recording.file, seconds, speech_seconds, recording.digest[:DIGITS])
    _print(table)


def show_answers(gallery: "Gallery", config: "IdentificationConfig", answers: Sequence["Answer"], top: int) -> None:
    """Print a table of answers with their best candidates, and what its columns mean."""
    from speechgmm.gallery.speakers import UNKNOWN

    calibrated = gallery.config.calibrated
    table = _table("recording", "answer", ">", "candidate", ">score", *([">posterior"] if calibrated else []))
    for answer in answers:
        name = (answer.name or UNKNOWN) if answer.decided else "-"
        first = [f"{answer.file}{' (short)' * answer.short}", name]
        for number, candidate in enumerate(answer.candidates[:top], 1):
            posterior = [f"{candidate.posterior:.1%}"] if calibrated else []
            table.add_row(*first, str(number), candidate.name, f"{candidate.llr:+.2f}", *posterior)
            first = ["", ""]
        if answer.p_unknown is not None:
            table.add_row("", "", "", UNKNOWN, "", f"{answer.p_unknown:.1%}")
    _print(table)
    quantity, unit = gallery.config.score_quantity, gallery.config.score_unit
    typer.echo(f"score: {unit}" if quantity == "score" else f"score: {quantity}, {unit}")
    if config.threshold is not None:
        typer.echo(f"answer: the best candidate from a score of {config.threshold:+.2f} on")
    if calibrated:
        typer.echo(f"posterior: with a prior of {config.p_unknown:.0%} for {UNKNOWN}, the rest shared by all speakers")
    if not answers[0].decided:
        typer.echo(NO_ANSWER)


def show_decision(gallery: "Gallery", name: str, decision: "Decision", *, json_: bool) -> None:
    """Print the decision on one recording, as a sentence or as one JSON document."""
    if json_:
        print_json(decision_document(gallery, name, decision))
        return
    verification = decision.verification
    said = {True: f"accepted as {name}", False: f"rejected as {name}", None: f"no decision on {name}"}
    quantity, unit = gallery.config.score_quantity, gallery.config.score_unit
    typer.echo(
        f"{decision.file}: {said[verification.accepted]}: {quantity} {verification.score:+.2f}, "
        f"{_bound(verification.threshold)}; {unit}"
    )


def show_decisions(gallery: "Gallery", name: str, decisions: Sequence["Decision"]) -> None:
    """Print a table of decisions, and what its columns mean."""
    table = _table("recording", name, ">score")
    said = {True: "accepted", False: "rejected", None: "-"}
    for decision in decisions:
        file = f"{decision.file}{' (short)' * decision.short}"
        table.add_row(file, said[decision.verification.accepted], f"{decision.verification.score:+.2f}")
    _print(table)
    quantity, unit = gallery.config.score_quantity, gallery.config.score_unit
    bound = _bound(decisions[0].verification.threshold)
    typer.echo(f"score: {unit}; {bound}" if quantity == "score" else f"score: {quantity}, {unit}; {bound}")


def described(gallery: "Gallery") -> str:
    """Describe the systems of a gallery."""
    (first, *others) = [system for recogniser in gallery.recognisers for system in recogniser.systems]
    if others:
        names = ", ".join(name for each in gallery.config.recognisers.values() for name in each.systems)
        return f"gallery of {1 + len(others)} systems: {names}; audio at {gallery.front_end.sample_rate} Hz"
    n_components, n_features = first.ubm.means.shape
    return f"gallery of {n_components} components over {n_features} features, audio at {first.front_end.sample_rate} Hz"


def warn_of_synthetic(gallery: "Gallery") -> None:
    """Warn if the background is of synthetic talkers."""
    if gallery.config.synthetic:
        typer.secho(f"warning: {SYNTHETIC}", fg="yellow", err=True)


def show_rule(gallery: "Gallery") -> None:
    """Print from which score on `verify` accepts, and why."""
    from speechgmm.gallery.recognition import verification_threshold
    from speechgmm.scoring.thresholds import EQUAL_ERRORS

    threshold, decisions = verification_threshold(gallery.config), gallery.config.decisions
    if threshold is None:
        return
    why = "the threshold that the run has learnt"
    if decisions.threshold is None:
        equal = decisions.costs == EQUAL_ERRORS
        least = "where a miss and a false alarm count the same" if equal else "where decisions cost least"
        why = f"{least}: {decisions.costs.in_words}"
    typer.echo(f"verify accepts from {threshold:+.2f} nats on, {why} (decisions in gallery.json)")


def show_expected_errors(gallery: "Gallery", given: float | None) -> None:
    """Print how many decisions of `verify` are wrong, if the gallery's calibration knows; `given` is --threshold."""
    from speechgmm.gallery.recognition import verification_threshold
    from speechgmm.scoring.decision_errors import errors_in_words

    threshold = verification_threshold(gallery.config) if given is None else given
    known = gallery.recognisers[0].decision_errors
    shares = known.at(threshold) if known is not None and threshold is not None else None
    if shares is not None:
        decisions = gallery.config.decisions
        by_costs = given is None and decisions.threshold is None
        at = f"at {decisions.costs.in_words}" if by_costs else "at this threshold"
        typer.echo(f"decisions: {at}, {errors_in_words(*shares)} (on the trials of the calibration)")


def _bound(threshold: float | None) -> str:
    """Format a threshold."""
    return "no threshold" if threshold is None else f"threshold {threshold:+.2f}"


def show_timeline(
    file: Path, timeline: "Timeline", segments: Sequence["Segment"], written: Mapping[str, Sequence[Path]]
) -> None:
    """Print how long each speaker speaks, and which files were written, by what they hold."""
    from speechgmm.gallery.segments import seconds_by_speaker

    silent = sum(answer is None for answer in timeline.answers)
    rows = _table("speaker", ">time", ">segments")
    counts = Counter(segment.speaker for segment in segments)
    for name, seconds in seconds_by_speaker(segments).items():
        rows.add_row(name, f"{seconds:.1f} s", str(counts[name]))
    _print(rows)
    n = len(timeline.answers)
    typer.echo(f"{file}: {n} window{'s' * (n > 1)}, {silent} of them with too little speech")
    if timeline.config.p_unknown == 0:
        typer.echo("a closed set: the answer is the best enrolled speaker; with --threshold, others are 'unknown'")
    if not timeline.calibrated:
        typer.echo("not calibrated: each window has its own answer, and segments are not smoothed")
    typer.echo("; ".join(f"{what}: {', '.join(map(str, paths))}" for what, paths in written.items() if paths))


def _below(seconds: float, least: float) -> str:
    """Format seconds with as many digits as show that they are less than `least`."""
    written = (f"{seconds:.{n_digits}f}" for n_digits in count(1))
    return next(text for text in written if float(text) < least)


def _table(*titles: str) -> "Table":
    """Begin a table; a > before a title aligns its column to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if title[:1] == ">" else "left", overflow="fold")
    return table


def _print(table: "Table") -> None:
    """Print a table; what looks like markup in names is text."""
    from rich.console import Console

    Console(markup=False, emoji=False, highlight=False).print(table)
