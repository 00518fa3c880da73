"""``speechgmm gallery timeline``: who speaks when in a long recording."""

from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli import gallery_audio as audio
from speechgmm.cli import gallery_documents as documents
from speechgmm.cli import gallery_output as output
from speechgmm.cli.common import exit_on_error
from speechgmm.cli.gallery import (
    AsJson,
    ClosedSet,
    File,
    Folder,
    Hop,
    Pause,
    Threshold,
    Turn,
    Window,
    decidable_answers,
    gallery,
    open_gallery,
)
from speechgmm.cli.timeline_files import choose_files
from speechgmm.errors import GalleryError
from speechgmm.gallery.lengths import PAUSE, TURN, WINDOW, usual_hop


@gallery.command()
def timeline(
    folder: Folder,
    file: File,
    *,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A file to write, by its suffix: the segments as .rttm, .csv, .txt (Audacity's labels) or .json, or a "
            "plot as .png, .svg or .pdf. Give --out several times for several files.",
            show_default="the recording's name, with .timeline.csv and .timeline.png",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="A page to write, which plays the recording from where it lies."),
    ] = None,
    windows: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="A table to write of all windows and the scores of all speakers."),
    ] = None,
    window: Window = WINDOW,
    hop: Hop = None,
    turn: Turn = TURN,
    pause: Pause = PAUSE,
    threshold: Threshold = None,
    closed_set: ClosedSet = False,
    json_: AsJson = False,
) -> None:
    """Show who speaks when in a long recording: find segments of one speaker each, and write them to files.

    Overlapping windows are scored. If scores are calibrated, a hidden Markov model finds the segments from all of them;
    otherwise each window is answered by itself, and without --threshold its answer is the best enrolled speaker.

    Exit status 3: some speakers' files were unusable (listed); the rest were processed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.gallery.gallery import hear
        from speechgmm.gallery.segments import find_segments
        from speechgmm.gallery.timeline import make_timeline

        if file.is_dir():
            raise GalleryError(f"{file}: a folder; expected one audio file, as a timeline is of one recording")
        opened = open_gallery(folder)
        files = choose_files(file, out or [], html, windows)
        files.check(file, opened.names)
        config = decidable_answers(opened, threshold, closed_set)
        with audio.scoring("scoring windows") as report:
            extraction = hear(opened, file)
            hop = usual_hop(window) if hop is None else hop
            answered = make_timeline(opened, extraction, window, config, hop=hop, on_scored=report)
        segments = find_segments(answered, turn=turn, pause=pause)
        facts = documents.timeline_facts(opened, answered, extraction.warnings)
        files.write(file, answered, segments, facts, extraction.audio.channel)
        if json_:
            documents.print_json(documents.timeline_data(facts, file, answered, segments))
        else:
            output.show_timeline(file, answered, segments, files.by_content)
        audio.show_heard(opened, {str(file): extraction.audio})
        output.warn_of_synthetic(opened)
        output.warn_of_tied_windows(answered)
        output.warn_of_shared(opened)
        output.exit_if_unusable(damaged=answered.damaged)
