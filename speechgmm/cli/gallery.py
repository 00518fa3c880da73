"""``speechgmm gallery``: enrol speakers in a folder, and say whose voice a recording is."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from speechgmm.cli import gallery_output as output
from speechgmm.cli.common import exit_on_error
from speechgmm.errors import AudioError, GalleryError

if TYPE_CHECKING:
    from speechgmm.gallery.gallery import Gallery
    from speechgmm.gallery.speakers import Recording
    from speechgmm.scoring.identification import IdentificationConfig

gallery = typer.Typer(
    help="Enrol speakers in a folder, and say whose voice a recording is.\n\n"
    "Exit status: 0 for success; 2 for what the user can mend, and nothing is done; 3 where some recordings or "
    "speakers' files could not be used: they are named, and the others are.",
    no_args_is_help=True,
)

Usable = TypeVar("Usable")


def _finite(value: float | None) -> float | None:
    """Refuse what is no number."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value}; expected a finite number")
    return value


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The gallery.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the speaker.", show_default=False)]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        callback=_finite,
        help="Accept the speaker from this score on, in the unit of the scores, which create shows.",
        show_default="the gallery's own, or what costs least, where it is calibrated",
    ),
]
ClosedSet = Annotated[bool, typer.Option("--closed-set", help="It is one of the enrolled speakers, whoever is best.")]


@gallery.command()
def create(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="What a run has left.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder, the gallery.", show_default=False)],
    min_speech: Annotated[
        float,
        typer.Option(
            min=0, callback=_finite, help="Flag what has less speech than this, in seconds; it is used all the same."
        ),
    ] = 2.0,
) -> None:
    """Make a gallery from the results of a run: its front end, background model, settings, calibration.

    Nobody is enrolled in it yet. Priors and costs are in DIR/gallery.json, under decisions, and may be changed there.
    """
    with exit_on_error("interrupted; nothing is made"):
        from speechgmm.recipe.results.gallery import gallery_of_results

        made = gallery_of_results(results, out, min_speech=min_speech)
        n_components, n_features = made.ubm.means.shape
        typer.echo(
            f"{out}: gallery of {n_components} components over {n_features} features, audio at "
            f"{made.front_end.sample_rate} Hz; scores in {made.unit}"
        )


@gallery.command()
def enrol(folder: Folder, name: Name, files: Files) -> None:
    """Enrol a speaker by recordings of the voice.

    Exit status 3: some recordings could not be used; they are named, and the speaker is enrolled with the others.
    """
    with exit_on_error("interrupted; nobody is enrolled"):
        from speechgmm.gallery.enrolment import check_free
        from speechgmm.gallery.enrolment import enrol as enrol_speaker
        from speechgmm.gallery.gallery import Gallery
        from speechgmm.gallery.speakers import safe_name

        opened = Gallery(folder)
        check_free(opened, safe_name(name))
        recordings, unusable = _recordings(opened, files, ())
        speaker = enrol_speaker(opened, name, recordings)
        typer.echo(f"{speaker.name}: enrolled with {output.extent(speaker)}")
        output.warn_of_short(opened, {speaker.name: speaker.speech_seconds})
        output.exit_if_unusable(unusable)


@gallery.command()
def extend(folder: Folder, name: Name, files: Files) -> None:
    """Add recordings to a speaker.

    Exit status 3: some recordings could not be used, or are there already; they are named, and the others are added.
    """
    with exit_on_error("interrupted; nothing is added"):
        from speechgmm.gallery.enrolment import extend as extend_speaker
        from speechgmm.gallery.gallery import Gallery

        opened = Gallery(folder)
        recordings, unusable = _recordings(opened, files, opened.speaker(name).recordings)
        speaker = extend_speaker(opened, name, recordings)
        typer.echo(f"{speaker.name}: {len(recordings)} added, now {output.extent(speaker)}")
        output.warn_of_short(opened, {speaker.name: speaker.speech_seconds})
        output.exit_if_unusable(unusable)


@gallery.command()
def forget(
    folder: Folder,
    name: Name,
    recording: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIGEST",
            help="Forget only this recording: the name of its file, or the digest that list DIR NAME shows.",
            show_default="the whole speaker",
        ),
    ] = None,
) -> None:
    """Remove a speaker, or one recording of a speaker."""
    with exit_on_error("interrupted; list shows who is enrolled"):
        from speechgmm.gallery.enrolment import forget as forget_speaker
        from speechgmm.gallery.enrolment import forget_recording
        from speechgmm.gallery.gallery import Gallery

        opened = Gallery(folder)
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

    Exit status 3: some speakers' files are damaged; they are named, and the others are listed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import Gallery, Roster

        opened = Gallery(folder)
        roster = opened.roster() if name is None else Roster((opened.speaker(name),), {})
        if json_:
            output.print_json(output.roster_data(opened, roster))
        elif name is not None:
            output.show_recordings(roster.speakers[0])
        else:
            output.show_speakers(opened, roster.speakers)
        output.exit_if_unusable(damaged=roster.damaged)


@gallery.command()
def identify(
    folder: Folder,
    files: Files,
    top: Annotated[int, typer.Option(min=1, help="Speakers to list for each recording.")] = 5,
    threshold: Threshold = None,
    closed_set: ClosedSet = False,
    json_: AsJson = False,
) -> None:
    """Say who of the enrolled speakers each recording is of, or that it is of none of them.

    Without a calibration, --threshold or --closed-set there is a ranking and no answer. Exit status 3: some recordings
    or speakers' files could not be used; they are named, and the others are.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import Gallery
        from speechgmm.gallery.recognition import score_tests

        opened = Gallery(folder)
        config = _identification(opened, threshold, closed_set)
        tests, unusable = _each(files, opened.read)
        if not tests:
            if json_:
                output.print_json(output.answers_data(opened, config, (), top, unusable, opened.roster().damaged))
            raise _none_usable(unusable)
        scores = score_tests(opened, [read.frames for _, read in tests])
        answers = [
            output.Answer.of(opened, path, read, scores.names, column, config, raw=raw)
            for (path, read), column, raw in zip(tests, scores.matrix.T, scores.raw.T, strict=True)
        ]
        if json_:
            output.print_json(output.answers_data(opened, config, answers, top, unusable, scores.damaged))
        else:
            output.show_answers(opened, config, answers, top)
        output.warn_of_short(opened, {str(path): read.speech_seconds for path, read in tests})
        output.exit_if_unusable(unusable, scores.damaged)


@gallery.command()
def verify(folder: Folder, name: Name, file: File, threshold: Threshold = None, json_: AsJson = False) -> None:
    """Say whether a recording is of an enrolled speaker.

    Without a calibration or --threshold there is a score and no decision. The exit status does not depend on the
    decision.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import Gallery
        from speechgmm.gallery.recognition import verify_speaker

        opened = Gallery(folder)
        opened.model(name)  # whoever is not enrolled need not be listened to
        read = opened.read(file)
        found = verify_speaker(opened, name, read.frames, threshold)
        if json_:
            output.print_json(output.verification_data(opened, name, file, read, found))
        else:
            output.show_verification(opened, name, file, found)
        output.warn_of_short(opened, {str(file): read.speech_seconds})


@gallery.command()
def timeline(
    folder: Folder,
    file: File,
    window: Annotated[float, typer.Option(callback=_finite, help="Length of a window, in seconds.")] = 2.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME.png",
            help="The picture: .png, .svg or .pdf; the table is beside it, in NAME.csv.",
            show_default="the recording's name, with .timeline.png",
        ),
    ] = None,
    threshold: Threshold = None,
    closed_set: ClosedSet = False,
    json_: AsJson = False,
) -> None:
    """Say who speaks when in a long recording, window by window, in a table and a picture.

    Windows that follow each other are answered one by one; those with less than a tenth of speech have no answer.
    Without a calibration or --threshold, somebody who is enrolled is always the answer. Exit status 3: some speakers'
    files could not be used; they are named, and the others are.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import Gallery
        from speechgmm.gallery.recognition import is_decidable
        from speechgmm.gallery.timeline import make_timeline, write_table
        from speechgmm.gallery.timeline_plot import check_picture, draw_timeline, read_envelope

        picture = out or Path(f"{file.stem}.timeline.png")
        check_picture(picture)
        opened = Gallery(folder)
        config = _identification(opened, threshold, closed_set)
        if not is_decidable(opened, config):
            config = _identification(opened, None, closed_set=True)
        read = opened.read(file)
        made = make_timeline(opened, read, window, config)
        table = picture.with_suffix(".csv")
        write_table(table, made)
        waveform = read_envelope(file, read.seconds, channel=opened.config.channel)
        draw_timeline(picture, made, waveform, f"{file.name}, windows of {window:g} s")
        if json_:
            output.print_json(output.timeline_data(opened, config, file, made))
        else:
            output.show_timeline(config, file, made, table, picture)
        output.exit_if_unusable(damaged=made.damaged)


def _identification(opened: "Gallery", threshold: float | None, closed_set: bool) -> "IdentificationConfig":
    """Configure the answers: the gallery's own way, unless options say another."""
    from speechgmm.scoring.identification import IdentificationConfig

    if threshold is not None and closed_set:
        raise typer.BadParameter("a closed set has no threshold", param_hint="--threshold")
    if closed_set:
        return IdentificationConfig(p_unknown=0.0)
    own = opened.config.decisions.identification
    return own if threshold is None else own.model_copy(update={"threshold": threshold})


def _recordings(
    opened: "Gallery", files: Sequence[Path], known: Collection["Recording"]
) -> tuple[list["Recording"], dict[str, str]]:
    """Take from files what a speaker's model is made of; a file that is there already is none to be used."""
    names = {each.digest: each.file for each in known}

    def record(path: Path) -> "Recording":
        """Take it from one that is new."""
        recording = opened.record(path)
        if recording.digest in names:
            raise AudioError(f"{path}: the same recording as {names[recording.digest]}, which is there already")
        names[recording.digest] = recording.file
        return recording

    found, unusable = _each(files, record)
    if not found:
        raise _none_usable(unusable)
    return [recording for _, recording in found], unusable


def _each(files: Sequence[Path], use: Callable[[Path], Usable]) -> tuple[list[tuple[Path, Usable]], dict[str, str]]:
    """Use recordings one by one, and say why some cannot be used."""
    used, unusable = [], {}
    for path in files:
        try:
            used.append((path, use(path)))
        except AudioError as error:
            unusable[str(path)] = str(error).removeprefix(f"{path}: ")
    return used, unusable


def _none_usable(unusable: Mapping[str, str]) -> GalleryError:
    """Make the error of recordings of which none can be used."""
    return GalleryError("; ".join(f"{path}: {reason}" for path, reason in unusable.items()))
