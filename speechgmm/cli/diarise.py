"""``speechgmm diarise``: who speaks when in a recording of unknown speakers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import exit_on_error, printable, results_folder, shorten_paths
from speechgmm.cli.features import parse_channel
from speechgmm.cli.timeline_files import choose_files

if TYPE_CHECKING:
    from speechgmm.audio.reading import Channel
    from speechgmm.cli.timeline_files import TimelineFiles
    from speechgmm.diarisation.diarise import Diarisation

RecordingArgument = Annotated[Path, typer.Argument(help="The audio file.", show_default=False)]
ModelsOption = Annotated[
    Path | None,
    typer.Option(
        help="The results folder of a run with i-vectors and PLDA.",
        show_default="the models that come with speechgmm",
    ),
]
OutOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Write segments (.rttm, .csv, .txt for Audacity, .json) or a plot (.png, .svg, .pdf); may be repeated.",
        show_default=False,
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="PAGE.html", help="Write a page with a player.", show_default=False),
]
SpeakersOption = Annotated[
    str, typer.Option(metavar="auto|N", help="How many speakers there are; auto estimates their number.")
]
ChannelOption = Annotated[
    str | None, typer.Option(metavar="N|mean", help="Of several channels, the one to read (from 0), or their mean.")
]


def diarise(
    recording: RecordingArgument,
    *,
    models: ModelsOption = None,
    speakers: SpeakersOption = "auto",
    channel: ChannelOption = None,
    out: OutOption = None,
    html: HtmlOption = None,
) -> None:
    """Find who speaks when in a recording of unknown speakers.

    Speakers are called speaker1, speaker2, ... in the order in which they first speak. Without --out and --html, the
    segments are printed. With a file of --out, `gallery enrol --from-timeline FILE --speaker speaker1` enrols one.
    """
    n_speakers = _parse_speakers(speakers)
    with exit_on_error():
        from speechgmm.diarisation import diarise as room
        from speechgmm.recipe.results.diarisation import diarisation_models_of_results, pretrained_diarisation_models

        files = choose_files(recording, out or (), html, None) if out or html else None
        if files is not None:
            files.check(recording, ())
        if models is None:
            loaded = pretrained_diarisation_models()
        else:
            loaded = diarisation_models_of_results(results_folder(models))
        found = room.diarise(recording, loaded, n_speakers=n_speakers, channel=parse_channel(channel))
        for warning in found.warnings:
            typer.secho(f"warning: {shorten_paths(printable(warning))}", fg="yellow", err=True)
        if files is not None:
            _write(files, recording, found, parse_channel(channel))
        _show(found, n_speakers, listed=files is None)


def _parse_speakers(text: str) -> int | None:
    """Return the number of speakers, or None to estimate it."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise typer.BadParameter(f"{text}; expected auto, or a number from 1", param_hint="--speakers")
    return int(text)


def _write(files: "TimelineFiles", recording: Path, found: "Diarisation", channel: "Channel") -> None:
    """Write the segments into files, and print their names."""
    from speechgmm.gallery.segments import Segment

    segments = [Segment(start, stop, speaker) for start, stop, speaker in found.segments]
    files.write_segments(recording, segments, found.seconds, tuple(found.speakers), {}, channel)
    typer.echo(f"written: {', '.join(map(str, files.all_paths))}")


def _show(found: "Diarisation", n_speakers: int | None, *, listed: bool) -> None:
    """Print how long each speaker speaks and, if they are not in a file, the segments."""
    for start, stop, speaker in found.segments if listed else ():
        typer.echo(f"{start:9.2f} {stop:9.2f}  {speaker}")
    totals = found.speakers
    typer.echo(", ".join(f"{speaker} {seconds:.1f} s" for speaker, seconds in totals.items()))
    if n_speakers is not None and len(totals) < n_speakers:
        typer.secho(f"warning: only {len(totals)} of {n_speakers} speakers found", fg="yellow", err=True)
