"""What the commands of ``speechgmm gallery`` share about audio: finding files, progress, and what is odd about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechgmm.cli.common import printable, progress_bars
from speechgmm.errors import GalleryError
from speechgmm.wording import names_by_reason

if TYPE_CHECKING:
    from speechgmm.features.extract import FeatureConfig
    from speechgmm.gallery.audio import HeardAudio
    from speechgmm.gallery.gallery import Gallery

MOST_NAMED = 5
"""Files that a line names."""


def find_audio(paths: Sequence[Path]) -> list[Path]:
    """Find the audio files in folders at any depth, in the order of their names; files are taken as they are.

    What is left out is counted on standard error.
    """
    from speechgmm.files import files_below, is_audio, kinds_of_files

    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        names = files_below(path)
        audio, others = ([name for name in names if is_audio(name) is wanted] for wanted in (True, False))
        if not audio:
            held = f" ({kinds_of_files(others)})" if others else ""
            raise GalleryError(f"{path}: no audio files in this folder{held}; expected names such as a.wav or b.flac")
        if others:
            typer.echo(f"{path}: left out: {kinds_of_files(others)}", err=True)
        files += [path / name for name in audio]
    return files


@contextmanager
def reading(files: Sequence[Path]) -> Iterator[Iterator[Path]]:
    """Yield files, and show how many of them have been read."""
    with progress_bars() as bars:
        yield iter(bars.track(files, description="reading", total=len(files)))


@contextmanager
def scoring(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show that a recording is read, and then how much of it is scored, as the function is called that this yields."""
    with progress_bars() as bars:
        task = bars.add_task("reading", total=None)

        def report(n_scored: int, n: int) -> None:
            """Show how many windows are scored."""
            bars.update(task, description=what, completed=n_scored, total=n)

        yield report


def show_heard(gallery: "Gallery", heard: Mapping[str, "HeardAudio"]) -> None:
    """Print on standard error what was made of recordings, by their names, and warn of what they lack or is odd."""
    front_end = gallery.front_end
    resampled = [audio.sample_rate for audio in heard.values() if audio.sample_rate != front_end.sample_rate]
    several = [audio for audio in heard.values() if audio.channel is not None]
    made = [
        f"{_recordings(resampled.count(rate))} resampled from {rate} Hz to {front_end.sample_rate} Hz"
        for rate in sorted(set(resampled))
    ]
    if several:
        taken = "their mean" if several[0].channel == "mean" else "the loudest of them"
        made.append(f"{_recordings(len(several))} of several channels: {taken}")
    if made:
        typer.echo("; ".join(made), err=True)
    if not gallery.config.knows_conditions:
        _warn_of_narrow(front_end, {name: audio for name, audio in heard.items() if audio.is_narrow(front_end)})
    remarks = ((name, remark) for name, audio in heard.items() for remark in audio.warnings)
    for remark, names in names_by_reason(remarks).items():
        warn(f"{names[0]}: {remark}" if len(names) == 1 else f"{_recordings(len(names))}: {remark}: {listed(names)}")


def _warn_of_narrow(front_end: "FeatureConfig", narrow: Mapping[str, "HeardAudio"]) -> None:
    """Warn of recordings that lack frequencies of the front end."""
    if not narrow:
        return
    bounds = sorted({f"{audio.bandwidth / 1000:.1f}" for audio in narrow.values()}, key=float)
    span = bounds[0] if len(bounds) == 1 else f"{bounds[0]} to {bounds[-1]}"
    verb, these = ("hold", "them") if len(narrow) > 1 else ("holds", "it")
    warn(
        f"{_recordings(len(narrow))} {verb} sound up to {span} kHz only, and the features of this gallery reach "
        f"{front_end.top_frequency / 1000:.1f} kHz; scores between {these} and recordings with more are unreliable: "
        f"{listed(narrow)}"
    )


def warn(message: str) -> None:
    """Print a warning on standard error, which leaves standard output to programs."""
    typer.secho(f"warning: {printable(message)}", fg="yellow", err=True)


def grouped(reasons: Mapping[str, str]) -> list[str]:
    """Format the reasons of unusable files, by their paths, as lines; files with the same reason share a line."""
    return [
        f"{names[0]}: {reason}" if len(names) == 1 else f"{len(names):,} files: {reason}: {listed(names)}"
        for reason, names in names_by_reason(reasons.items()).items()
    ]


def listed(names: "Mapping[str, object] | Sequence[str]") -> str:
    """List names, `MOST_NAMED` at most."""
    shown = list(names)[:MOST_NAMED]
    return ", ".join(shown) + (f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else "")


def _recordings(n: int) -> str:
    """Format a number of recordings."""
    return f"{n:,} recording{'s' * (n > 1)}"
