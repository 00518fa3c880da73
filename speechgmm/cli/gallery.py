"""``speechgmm gallery``: enrol speakers in a folder, and recognise them in recordings."""

import math
from collections.abc import Mapping, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli import gallery_audio as audio
from speechgmm.cli import gallery_documents as documents
from speechgmm.cli import gallery_output as output
from speechgmm.cli.common import exit_on_error, results_folder
from speechgmm.errors import GalleryError
from speechgmm.gallery.lengths import HOP

if TYPE_CHECKING:
    from speechgmm.gallery.gallery import Gallery
    from speechgmm.gallery.speakers import Recording
    from speechgmm.scoring.identification import IdentificationConfig

gallery = typer.Typer(
    help="Enrol speakers in a folder, and recognise them in recordings.\n\n"
    "Exit status: 0 for success; 2 for an error that the user can correct, and nothing is done; 3 if some recordings "
    "or speakers' files were unusable: they are listed, and the rest were processed.\n\n"
    "Recordings of another sample rate are resampled, and of several channels the mean is taken; "
    "channel and resample in DIR/gallery.json change that.",
    no_args_is_help=True,
)


def finite(value: float | None) -> float | None:
    """Refuse infinity and NaN."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value}; expected a finite number")
    return value


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The gallery's folder.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the speaker.", show_default=False)]
File = Annotated[Path, typer.Argument(metavar="FILE", help="An audio file.", show_default=False)]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Audio files, or folders of them.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        help="Least score that accepts a speaker, in the unit that create prints.",
        show_default="the gallery's own; if it has none and is calibrated, what costs least",
    ),
]
AtLeast = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        metavar="SECONDS",
        help="Refuse recordings with less speech than this; short tests give small ratios, so that most are unknown.",
    ),
]
ClosedSet = Annotated[
    bool,
    typer.Option("--closed-set", help="Answer the best enrolled speaker; 'unknown' only if two score equally."),
]

FromTimeline = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Take only what this file, RTTM or a table of timeline, gives to the speaker in the one recording.",
        show_default=False,
    ),
]
SpeakerLabel = Annotated[
    str | None,
    typer.Option("--speaker", metavar="LABEL", help="The speaker's name in that file.", show_default="NAME"),
]

Window = Annotated[float, typer.Option(callback=finite, help="Length of a window, in seconds.")]
Hop = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        help="From one window to the next, in seconds.",
        show_default=f"{HOP}, or the window's length if that is less",
    ),
]
Turn = Annotated[
    float,
    typer.Option(
        min=0.01,
        callback=finite,
        help="Mean length of a turn, in seconds: longer ones make fewer changes. Used if scores are calibrated.",
    ),
]
Pause = Annotated[
    float,
    typer.Option(min=0.01, callback=finite, help="Longest pause within a segment, in seconds; a longer one ends it."),
]


@gallery.command()
def create(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The gallery's folder, new or empty.", show_default=False)],
    min_speech: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="Flag speakers and tests with less speech than this, in seconds; they are used all the same.",
        ),
    ] = 2.0,
    of_results: Annotated[
        Path | None,
        typer.Argument(metavar="RESULTS", help="The same as --from.", show_default=False, hidden=True),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RESULTS", help="The results folder of a run.", show_default="pretrained models"
        ),
    ] = None,
) -> None:
    """Create a gallery of the pretrained models, or of the models and the calibration of a run.

    The gallery has no speakers yet. Edit priors and costs in DIR/gallery.json, under decisions.
    """
    with exit_on_error("interrupted; no gallery was created"):
        from speechgmm.gallery.pretrained import pretrained_gallery
        from speechgmm.recipe.results.gallery import gallery_of_results

        if results is not None and of_results is not None:
            raise typer.BadParameter("expected one results folder", param_hint="--from")
        results = results or of_results
        if results is None:
            created = pretrained_gallery(out, min_speech=min_speech)
        else:
            created = gallery_of_results(results_folder(results), out, min_speech=min_speech)
        typer.echo(f"{out}: {output.described(created)}; scores in {created.config.score_unit}")
        output.show_rule(created)
        output.warn_of_synthetic(created)
        for doubt in () if results is None else _doubts_about_calibration(results):
            typer.secho(f"warning: {doubt}", fg="yellow", err=True)


@gallery.command()
def enrol(
    folder: Folder,
    name: Name,
    files: Files,
    from_timeline: FromTimeline = None,
    speaker_label: SpeakerLabel = None,
) -> None:
    """Enrol a new speaker from recordings.

    With --from-timeline, one recording of several speakers will do: where others speak at the same time is left out.

    Exit status 3: some recordings were unusable (listed); the speaker is enrolled with the rest.
    """
    with exit_on_error("interrupted; the speaker is not enrolled"):
        from speechgmm.gallery.enrolment import check_free
        from speechgmm.gallery.enrolment import enrol as enrol_speaker
        from speechgmm.gallery.speakers import safe_name

        opened = open_gallery(folder)
        check_free(opened, safe_name(name))
        recordings, unusable = _record(opened, name, files, from_timeline, speaker_label)
        speaker = enrol_speaker(opened, name, recordings)
        typer.echo(f"{speaker.name}: enrolled with {output.extent(speaker)}")
        output.warn_of_recordings(opened, speaker, recordings)
        output.exit_if_unusable(unusable)


@gallery.command()
def extend(
    folder: Folder,
    name: Name,
    files: Files,
    from_timeline: FromTimeline = None,
    speaker_label: SpeakerLabel = None,
) -> None:
    """Add recordings to an enrolled speaker.

    With --from-timeline, one recording of several speakers will do: where others speak at the same time is left out.

    Exit status 3: some recordings were unusable or enrolled already (listed); the rest were added.
    """
    with exit_on_error("interrupted; no recording was added"):
        from speechgmm.gallery.enrolment import extend as extend_speaker

        opened = open_gallery(folder)
        enrolled = opened.speaker(name).recordings
        recordings, unusable = _record(opened, name, files, from_timeline, speaker_label, enrolled)
        speaker = extend_speaker(opened, name, recordings)
        typer.echo(f"{speaker.name}: {len(recordings)} added, now {output.extent(speaker)}")
        output.warn_of_recordings(opened, speaker, recordings)
        output.exit_if_unusable(unusable)


@gallery.command()
def forget(
    folder: Folder,
    name: Name,
    recording: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIGEST",
            help="Remove only this recording: the name of its file, or the digest that list DIR NAME prints.",
            show_default="the whole speaker",
        ),
    ] = None,
) -> None:
    """Remove a speaker, or one recording of a speaker, from the gallery."""
    with exit_on_error("interrupted; list prints who is enrolled"):
        from speechgmm.gallery.enrolment import forget as forget_speaker
        from speechgmm.gallery.enrolment import forget_recording

        opened = open_gallery(folder)
        if recording is None:
            forget_speaker(opened, name)
            typer.echo(f"{name}: forgotten")
        else:
            speaker = forget_recording(opened, name, recording)
            typer.echo(f"{speaker.name}: {recording} forgotten, now {output.extent(speaker)}")


@gallery.command("list")
def list_(
    folder: Folder,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="List the recordings of this speaker.", show_default=False)
    ] = None,
    json_: AsJson = False,
) -> None:
    """List the enrolled speakers, or the recordings of one.

    Exit status 3: some speakers' files are damaged; they are named, and the rest are listed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import Roster

        opened = open_gallery(folder)
        roster = opened.roster() if name is None else Roster((opened.speaker(name),), {})
        if json_:
            documents.print_json(documents.roster_data(opened, roster))
        elif name is not None:
            output.show_recordings(roster.speakers[0])
        else:
            output.show_speakers(opened, roster.speakers)
        output.warn_of_shared(opened)
        output.exit_if_unusable(damaged=roster.damaged)


@gallery.command()
def identify(
    folder: Folder,
    files: Files,
    top: Annotated[int, typer.Option(min=1, help="Speakers to list for each recording.")] = 5,
    threshold: Threshold = None,
    closed_set: ClosedSet = False,
    at_least: AtLeast = 0.0,
    json_: AsJson = False,
) -> None:
    """Name the speaker of each recording, or answer 'unknown'.

    Without a calibration, --threshold or --closed-set, the speakers are ranked and there is no answer.

    Exit status 3: some recordings or speakers' files were unusable (listed); the rest were processed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.recognition import identify_recordings

        opened = open_gallery(folder)
        config = _identification(opened, threshold, closed_set)
        found = audio.find_audio(files)
        with audio.reading(found) as paths:
            identified = identify_recordings(opened, paths, config, at_least=at_least)
        if json_:
            damaged = identified.damaged if identified.answers else opened.roster().damaged
            documents.print_json(documents.answers_data(opened, config, identified, top, damaged))
        _check_any(identified.answers, identified.unusable)
        if not json_:
            output.show_answers(opened, config, identified.answers, top)
        audio.show_heard(opened, {answer.file: answer.audio for answer in identified.answers})
        output.warn_of_synthetic(opened)
        output.warn_of_ties({answer.file: answer.tied for answer in identified.answers if answer.decided})
        output.warn_of_shared(opened)
        output.warn_of_enrolled(opened, [answer.file for answer in identified.answers])
        output.warn_of_short(opened, {answer.file: answer.speech_seconds for answer in identified.answers})
        output.exit_if_unusable(identified.unusable, identified.damaged)


@gallery.command()
def verify(
    folder: Folder,
    name: Name,
    files: Files,
    threshold: Threshold = None,
    at_least: AtLeast = 0.0,
    json_: AsJson = False,
) -> None:
    """Decide whether each recording is of one enrolled speaker.

    Without a calibration or --threshold, scores are printed and there is no decision. The exit status does not depend
    on the decisions.

    Exit status 3: some recordings were unusable (listed); the rest were processed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.recognition import verify_recordings

        opened = open_gallery(folder)
        opened.model(name)  # a name that is not enrolled is refused before any recording is read
        found = audio.find_audio(files)
        with audio.reading(found) as paths:
            verified = verify_recordings(opened, name, paths, threshold, at_least=at_least)
        one_file = found == files and len(files) == 1
        if json_ and not one_file:
            documents.print_json(documents.decisions_data(opened, name, verified))
        _check_any(verified.decisions, verified.unusable)
        if one_file:
            output.show_decision(opened, name, verified.decisions[0], json_=json_)
        elif not json_:
            output.show_decisions(opened, name, verified.decisions)
        if not json_:
            output.show_expected_errors(opened, threshold)
        audio.show_heard(opened, {decision.file: decision.audio for decision in verified.decisions})
        output.warn_of_synthetic(opened)
        output.warn_of_enrolled(opened, [decision.file for decision in verified.decisions])
        output.warn_of_short(opened, {decision.file: decision.speech_seconds for decision in verified.decisions})
        output.exit_if_unusable(verified.unusable)


def _doubts_about_calibration(results: Path) -> tuple[str, ...]:
    """Say what is doubtful about the calibration of a run: that it had few speakers, or none."""
    import json

    from speechgmm.recipe.layout import CALIBRATION_FILE, ON_OTHER_CORPORA
    from speechgmm.recipe.running.doubts import few_speakers

    file = results / CALIBRATION_FILE
    calibration = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    trained_on = calibration.get("trained_on", "")
    if trained_on == ON_OTHER_CORPORA:
        return (
            "calibrated by the map that comes with speechgmm alone, as the background gave no trials: scores may be "
            "far off, and how many decisions are wrong is not known; for that, make the gallery from a run with more "
            "background speakers",
        )
    return few_speakers(trained_on, calibration.get("n_speakers"))


def _identification(opened: "Gallery", threshold: float | None, closed_set: bool) -> "IdentificationConfig":
    """Build the configuration of the answers: the gallery's own, unless options replace it."""
    from speechgmm.scoring.identification import IdentificationConfig

    if threshold is not None and closed_set:
        raise typer.BadParameter("a closed set has no threshold", param_hint="--threshold")
    if closed_set:
        return IdentificationConfig(p_unknown=0.0)
    config = opened.config.decisions.identification
    return config if threshold is None else config.model_copy(update={"threshold": threshold})


def decidable_answers(opened: "Gallery", threshold: float | None, closed_set: bool) -> "IdentificationConfig":
    """Build the configuration of the answers as `_identification` does; where it has none, answer the best speaker."""
    from speechgmm.gallery.recognition import is_decidable

    config = _identification(opened, threshold, closed_set)
    return config if is_decidable(opened, config) else _identification(opened, None, closed_set=True)


def _record(
    opened: "Gallery",
    name: str,
    files: Sequence[Path],
    timeline: Path | None,
    label: str | None,
    enrolled: "Sequence[Recording]" = (),
) -> "tuple[list[Recording], dict[str, str]]":
    """Compute the statistics of recordings, or of what a timeline gives to a speaker in one; refuse if none is usable.

    Those that could not be used, or are `enrolled`, are returned with the reason for each.
    """
    from speechgmm.gallery.enrolment import record_each
    from speechgmm.gallery.pieces import record_speaker

    if timeline is None and label is not None:
        raise typer.BadParameter("expected --from-timeline, whose speakers have labels", param_hint="--speaker")
    if timeline is not None and (len(files) != 1 or files[0].is_dir()):
        raise typer.BadParameter("expected one recording, which the file is of", param_hint="--from-timeline")
    record = None if timeline is None else partial(record_speaker, opened, timeline=timeline, label=label or name)
    with audio.reading(audio.find_audio(files)) as paths:
        recordings, unusable = record_each(opened, paths, enrolled, record=record)
    _check_any(recordings, unusable)
    return recordings, unusable


def _check_any(usable: Sized, unusable: Mapping[str, str]) -> None:
    """Refuse to go on without any usable recording, with the reason for each."""
    if not usable:
        lines = audio.grouped(unusable)
        title = f"none of {len(unusable):,} recordings could be used:\n  " if len(unusable) > 1 else ""
        raise GalleryError(title + "\n  ".join(lines))


def open_gallery(folder: Path) -> "Gallery":
    """Open a gallery; what is none is described."""
    from speechgmm.gallery.gallery import Gallery
    from speechgmm.recipe.results.wrong_folders import not_gallery

    try:
        return Gallery(folder)
    except GalleryError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise GalleryError(not_gallery(folder)) from error
        raise
