"""``speechgmm gallery listen``: who speaks, while audio comes."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import exit_on_error, printable
from speechgmm.cli.gallery import (
    ClosedSet,
    Folder,
    Hop,
    Pause,
    Threshold,
    Turn,
    Window,
    decidable_answers,
    finite,
    gallery,
    open_gallery,
)
from speechgmm.cli.gallery_audio import warn
from speechgmm.cli.gallery_documents import segment_facts
from speechgmm.cli.gallery_output import exit_if_unusable, warn_of_shared, warn_of_synthetic
from speechgmm.errors import AudioError, ChannelError, GalleryError
from speechgmm.gallery.lengths import LAG, PAUSE, TURN, WINDOW, usual_hop

if TYPE_CHECKING:
    from speechgmm.audio.live import LiveAudio
    from speechgmm.audio.opening import RawFormat
    from speechgmm.gallery.gallery import Gallery
    from speechgmm.gallery.listening import Listener, Moment

BLOCK_SECONDS = 0.1
"""Length of the blocks in which audio is read."""

STDIN = "-"


@gallery.command()
def listen(
    folder: Folder,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[-]", help="- for standard input: samples without a header.", show_default="the microphone"
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Listen to an audio file, as fast as it goes.")
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="RATE,CHANNELS,FORMAT",
            help="Format of standard input, or of a file without a header: 16000, or 8000,1,mulaw.",
            show_default="the gallery's rate, one channel, s16le",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file to write the segments to in the end, also after Ctrl-C: .rttm, .csv, .txt or .json.",
        ),
    ] = None,
    window: Window = WINDOW,
    hop: Hop = None,
    turn: Turn = TURN,
    pause: Pause = PAUSE,
    lag: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="Wait this many seconds for later windows, so that fewer changes are wrong."
        ),
    ] = LAG,
    threshold: Threshold = None,
    closed_set: ClosedSet = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each hop.")] = False,
) -> None:
    """Print who speaks while audio comes from the microphone, with time, score and posterior.

    A line is printed when the speaker changes, about a second later. Listening ends with the audio, or with Ctrl-C.
    Windows and smoothing are those of timeline; docs/gallery.md says where answers may differ.

    Exit status 3: some speakers' files were unusable (listed); the rest were processed.
    """
    with exit_on_error("interrupted"):
        from speechgmm.cli.features import parse_raw_format
        from speechgmm.gallery.listening import Listener

        if source not in (None, "-") or (source and file):
            raise typer.BadParameter("expected -, or --file FILE, or neither for the microphone", param_hint="SOURCE")
        opened = open_gallery(folder)
        place = source if file is None else str(file)
        check_out(out, place, opened.names)
        config = decidable_answers(opened, threshold, closed_set)
        audio = open_source(opened, place, parse_raw_format(raw))
        hop = usual_hop(window) if hop is None else hop
        listener = Listener(opened, audio.sample_rate, config, window=window, hop=hop, turn=turn, pause=pause, lag=lag)
        warn_of_synthetic(opened)
        warn_of_shared(opened)
        listen_to(opened, listener, audio, out, place or "microphone", json_=json_)
        exit_if_unusable(damaged=listener.damaged)


def open_source(opened: "Gallery", source: str | None, raw: "RawFormat | None") -> "LiveAudio":
    """Open a file, standard input (-), or without either the microphone."""
    from speechgmm.audio.live import microphone_audio, raw_audio
    from speechgmm.audio.opening import RawFormat

    mean = opened.config.channel == "mean"
    try:
        if source is None:
            return microphone_audio(
                BLOCK_SECONDS, lambda: warn("the microphone was not read in time; samples are lost")
            )
        if source == STDIN:
            raw = RawFormat(opened.front_end.sample_rate) if raw is None else raw
            return raw_audio(sys.stdin.buffer, "standard input", raw, BLOCK_SECONDS, mean=mean)
        return _open_file(Path(source), raw, mean=mean)
    except ChannelError as error:
        raise AudioError(
            f'{str(error).split(";")[0]}; expected mono audio, or "channel": "mean" in {opened.folder}/gallery.json '
            "(the loudest is known only in the end)"
        ) from error


def _open_file(path: Path, raw: "RawFormat | None", *, mean: bool) -> "LiveAudio":
    """Open a file, with the mean of several channels if that is wanted."""
    from speechgmm.audio.live import LiveAudio
    from speechgmm.audio.reading import audio_blocks

    try:
        return LiveAudio(*audio_blocks(path, block_seconds=BLOCK_SECONDS, raw=raw))
    except ChannelError:
        if not mean:
            raise
        return LiveAudio(*audio_blocks(path, block_seconds=BLOCK_SECONDS, channel="mean", raw=raw))


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Let Ctrl-C and requests to end wait until a block is processed, so that what was heard stays whole."""
    came: list[int] = []
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), lambda number, _: came.append(number)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
    if came:
        raise KeyboardInterrupt


class Printer:
    """Prints answers: a line for each change of the speaker, or one of JSON for each hop; and new warnings."""

    def __init__(self, source: str, *, json_: bool) -> None:
        self._source = source
        self._json = json_
        self._speaker: str | None = None
        self._n_warnings = 0

    def show(self, moments: "list[Moment]", warnings: Sequence[str]) -> None:
        """Print answers as soon as they are there, also into a pipe, and the warnings after those known before."""
        for remark in warnings[self._n_warnings :]:
            warn(f"{self._source}: {remark}")
        self._n_warnings = len(warnings)
        for moment in moments:
            if self._json:
                typer.echo(json.dumps(moment._asdict(), ensure_ascii=False, allow_nan=False))
            elif moment.speaker is not None and moment.speaker != self._speaker:
                typer.echo(_line(moment))
            self._speaker = moment.speaker
        sys.stdout.flush()


def _line(moment: "Moment") -> str:
    """Format a change of the speaker."""
    from speechgmm.gallery.segments import clock

    score = "" if moment.score is None else f"{moment.score:+.2f}"
    posterior = "" if moment.posterior is None else f"{moment.posterior:.1%}"
    return printable(f"{clock(moment.start, 1)}  {score:>7} {posterior:>7}  {moment.speaker}")


def check_out(out: Path | None, source: str | None, names: tuple[str, ...]) -> None:
    """Refuse, before anything is heard, a file that could not be written in the end."""
    from speechgmm.gallery.segment_files import check_segment_file, rttm_names

    if out is None:
        return
    check_segment_file(out)
    if out.suffix.lower() == ".rttm":
        rttm_names(names)
    if source is not None and out.absolute() == Path(source).absolute():
        raise GalleryError(f"{out}: the recording itself; expected another file to write")


def listen_to(
    opened: "Gallery", listener: "Listener", audio: "LiveAudio", out: Path | None, name: str, *, json_: bool
) -> None:
    """Print answers while audio comes, and write the segments in the end, however it comes."""
    printer = Printer("standard input" if name == STDIN else name, json_=json_)
    try:
        for block in audio.blocks:
            with held_interrupts():
                printer.show(listener.push(block), listener.warnings)
    except (KeyboardInterrupt, AudioError, BrokenPipeError):
        listener.finish()
        _write(opened, listener, out, name)
        raise
    printer.show(listener.finish(), listener.warnings)
    _write(opened, listener, out, name)


def _write(opened: "Gallery", listener: "Listener", out: Path | None, name: str) -> None:
    """Write the segments, and say on standard error how much was heard."""
    from speechgmm.gallery.segment_files import write_segments
    from speechgmm.gallery.segments import clock

    n = len(listener.segments)
    found = f"{n:,} segment{'s' * (n != 1)}" if n else "no speech"
    written = "" if out is None else f"; segments: {out}"
    if out is not None:
        facts = segment_facts(
            opened,
            listener.config,
            seconds=listener.seconds,
            window=listener.window,
            hop=listener.hop,
            warnings=listener.warnings,
        )
        write_segments(out, listener.segments, Path(name), facts)
    typer.echo(printable(f"heard: {clock(listener.seconds, 1)}, {found}{written}"), err=True)
