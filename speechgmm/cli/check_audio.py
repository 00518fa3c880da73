"""The part of ``speechgmm check`` that reports on audio files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechgmm.cli.common import printable
from speechgmm.cli.gallery_audio import find_audio, grouped, reading
from speechgmm.cli.gallery_documents import print_json

if TYPE_CHECKING:
    from speechgmm.audio.recordings import RecordingReport, UnreadableRecording
    from speechgmm.audio.seen import SeenConditions

TITLES = ("recording", "Hz", "s", "speech", "band, Hz", "dB", "SNR", "clipped", "fade, s", "holes", "remarks")


def holds_audio(path: Path) -> bool:
    """Check whether a path is an audio file, by its suffix or its first bytes, or a folder with one at any depth."""
    from speechgmm.audio.following import RECORDING
    from speechgmm.files import files_below, is_audio, is_file

    if path.is_dir():
        return any(map(is_audio, files_below(path)))
    if is_audio(path.name) or not is_file(path):
        return is_audio(path.name)
    with path.open("rb") as file:
        return RECORDING.match(file.read(64)) is not None


def check_audio(paths: Sequence[Path], *, gallery: Path | None, json: bool) -> None:
    """Print a report on audio files and folders of them; exit with 3 if some were unusable, with 2 if all were.

    With a gallery, recordings are compared with those that its models were made from.
    """
    from speechgmm.audio.recordings import UnreadableRecording, report

    seen = None if gallery is None else _seen_by(gallery)
    files = find_audio(paths)
    with reading(files) as tracked:
        found = list(report(tracked, seen))
    unusable = [each for each in found if isinstance(each, UnreadableRecording)]
    usable = [each for each in found if not isinstance(each, UnreadableRecording)]
    if json:
        _print_json(usable, unusable)
    else:
        _print_table(usable, unusable)
    if unusable:
        raise typer.Exit(3 if usable else 2)


def _seen_by(folder: Path) -> "SeenConditions":
    """Return the conditions of the recordings that a gallery's models were made from."""
    from speechgmm.audio.seen import SeenConditions
    from speechgmm.cli.gallery import open_gallery
    from speechgmm.errors import GalleryError

    recorded = open_gallery(folder).config.first_recogniser.recorded
    if recorded is None:
        raise GalleryError(
            f"{folder}: the recordings of its models were not measured; expected a gallery of the pretrained models"
        )
    return SeenConditions.from_json(recorded)


def _print_json(usable: "Sequence[RecordingReport]", unusable: "Sequence[UnreadableRecording]") -> None:
    """Print the report as one JSON document."""
    from dataclasses import asdict

    print_json({"recordings": [asdict(each) for each in usable], "unusable": [asdict(each) for each in unusable]})


def _print_table(usable: "Sequence[RecordingReport]", unusable: "Sequence[UnreadableRecording]") -> None:
    """Print a line for each recording, and a summary."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    first, *numbers, last = TITLES
    columns = [Column(first, overflow="fold"), *(Column(title, justify="right") for title in numbers)]
    table = Table(*columns, Column(last, overflow="fold"), box=box.SIMPLE_HEAD, pad_edge=False)
    for each in usable:
        table.add_row(*(Text(printable(cell)) for cell in _cells(each)))
    if usable:
        Console().print(table)
    seconds, speech = sum(each.seconds for each in usable), sum(each.speech_seconds for each in usable)
    n_odd = sum(bool(each.remarks or each.unlike) for each in usable)
    typer.echo(
        f"recordings: {len(usable):,}, {seconds:,.1f} s with {speech:,.1f} s of speech; "
        f"with remarks: {n_odd:,}; unusable: {len(unusable):,}"
    )
    for line in grouped({each.path: each.reason for each in unusable}):
        typer.secho(f"unusable: {printable(line)}", fg="yellow", err=True)


def _cells(found: "RecordingReport") -> tuple[str, ...]:
    """Format the cells of a recording's line."""
    condition = found.condition
    channels = f" x {found.n_channels}" if found.n_channels > 1 else ""
    return (
        found.path,
        f"{found.sample_rate}{channels}",
        f"{found.seconds:.1f}",
        f"{found.speech_seconds:.1f}",
        f"{condition.low:.0f}-{condition.high:.0f}",
        f"{condition.level:.0f}",
        f"{condition.snr:.0f}",
        f"{condition.clipped or 0:.1%}",
        "-" if condition.decay is None else f"{condition.decay:.2f}",
        f"{condition.holes or 0:.1%}",
        "\n".join((*found.remarks, *found.unlike)),
    )
