"""``speechgmm features``: features of recordings, in files or a store; or a plot of them.

Features are first written to a store beside the output and then, once complete, converted to a file or moved into
place: if the command ends early, existing output is unchanged.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from speechgmm.cli.common import JobsOption, exit_on_error
from speechgmm.errors import CorpusError

if TYPE_CHECKING:
    from speechgmm.audio.reading import Channel
    from speechgmm.features.extract import FeatureConfig
    from speechgmm.features.store.store import FeatureStore, UnusableUtterance
    from speechgmm.features.store.writing import Source

STORE_FILES = re.compile(r"index\.json|shard-\d+\.npy")


def features(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Audio files, folders of them, or Kaldi data directories.", show_default=False
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="Output. The suffix selects the format: .ark (and .scp), .h5, .npz; .npy, .htk, .mfc for one "
            "recording; no suffix, or a / at the end, for a folder: a feature store. With --plot: .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|PRESET",
            help="A YAML file with the keys of a recipe's features section; or kaldi, htk, librosa or psf.",
            show_default="this package's own front end, for 16 kHz",
        ),
    ] = None,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as n_cepstra=20. Repeatable."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="N|mean", help="Of several channels, the one to read (from 0), or their mean.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of speech, in place of the VAD: RTTM (.rttm) or Kaldi segments.", metavar="FILE"),
    ] = None,
    jobs: JobsOption = None,
    plot: Annotated[bool, typer.Option("--plot", help="Plot one recording and its features, to NAME.png.")] = False,
) -> None:
    """Extract features of recordings to a Kaldi, HDF5, numpy or HTK file or to a feature store; or plot them.

    Ids are file names without suffix, in folders with the folders below them (a/b). Exit status 3: some recordings
    could not be used; they are listed with the reasons, and the others are written.
    """
    with exit_on_error("interrupted; nothing is written"):
        from speechgmm.recipe.reading.loader import load_features

        front_end = load_features(config, set_ or ())
        if plot:
            if labels is not None or len(paths) != 1:
                raise typer.BadParameter("plots one file, and without labels", param_hint="--plot")
            _plot(Path(paths[0]), front_end, out, _channel(channel))
        elif out is None:
            raise typer.BadParameter("missing; expected where to write", param_hint="--out")
        else:
            _extract(paths, front_end, out, _channel(channel), labels, jobs)


def _extract(
    paths: Sequence[str],
    config: "FeatureConfig",
    out: str,
    channel: "Channel",
    labels: Path | None,
    jobs: int | None,
) -> None:
    """Extract the features of recordings, write them, and print a summary."""
    from speechgmm.features.sources import find_sources, label_sources, without_spaces

    if not out:
        raise typer.BadParameter("empty; expected where to write", param_hint="--out")
    started = time.perf_counter()
    path, is_store = Path(out), _is_store(out)
    _refuse_segments(paths, labels)
    sources = find_sources(paths, channel=channel)
    files = {source.utterance: source.path for source in sources}
    if path.suffix.lower() == ".ark" and not is_store:
        original, sources = sources, without_spaces(sources)
        files = {source.utterance: source.path for source in sources}
        if sources != original:
            typer.echo("white space in ids is written as _")
    labelled, unusable = label_sources(sources, labels, channel=channel) if labels else (sources, ())
    with _scratch(path) as scratch:
        if not is_store:
            _check_format_accepts(scratch / path.name, path, sources, config)
        store = _filled_store(scratch / "store", labelled, config, jobs)
        unusable += store.unusable
        if store.utterances and is_store:
            _move_into_place(store.folder, path.resolve(), scratch / "old")
        elif store.utterances:
            _write_file(path, store, config)
    if store.utterances:
        typer.echo(_summary(store, out, time.perf_counter() - started))
        _warn(config, {stored.utterance: stored.clipped for stored in store.utterances})
    if unusable:
        _exit_with_unusable(unusable, files, len(sources))


def _channel(text: str | None) -> "Channel":
    """Parse the choice of a channel."""
    if text is None:
        return None
    if text == "mean":
        return "mean"
    if not re.fullmatch(r"[0-9]+", text):
        raise typer.BadParameter(f"{text!r}; expected a number from 0, or mean", param_hint="--channel")
    return int(text)


def _is_store(out: str) -> bool:
    """Check whether the output is a folder rather than a file, and refuse what can be neither."""
    from speechgmm.features.formats.common import WRITABLE

    path = Path(out)
    if not path.is_dir() and path.suffix and not out.endswith("/"):
        if path.suffix.lower() not in WRITABLE:
            raise CorpusError(
                f"{out}: suffix {path.suffix!r}; features are written to {', '.join(WRITABLE)}, or into a folder, "
                "whose name has no suffix or ends with /"
            )
        return False
    names = [entry.name for entry in path.iterdir()] if path.exists() else []
    if names and not ("index.json" in names and all(STORE_FILES.fullmatch(name) for name in names)):
        raise CorpusError(f"{out}: holds other files than a feature store's; expected an empty or a new folder")
    return True


def _refuse_segments(paths: Sequence[str], labels: Path | None) -> None:
    """Refuse a data directory with segments, which are not utterances here, unless there are labels."""
    for path in map(Path, paths):
        segments = path / "segments"
        if labels is None and (path / "wav.scp").exists() and segments.exists():
            raise CorpusError(
                f"{segments}: segments are not utterances here; --labels {segments} uses them as the speech of "
                "their recordings"
            )


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Create a temporary folder beside the output, and remove it in the end."""
    parent = out.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    # Interrupted workers may still write.
    with TemporaryDirectory(prefix=".writing-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _check_format_accepts(trial: Path, out: Path, sources: Sequence["Source"], config: "FeatureConfig") -> None:
    """Write the file without any frames, so that the format's refusals come before the work is done."""
    import numpy as np

    from speechgmm.errors import SpeechGMMError
    from speechgmm.features.formats.common import Matrix
    from speechgmm.features.formats.writing import write_features

    no_frames = np.empty((0, config.n_features), np.float32)
    try:
        write_features(
            trial,
            (Matrix.from_array(source.utterance, no_frames) for source in sources),
            frame_shift=config.shift_seconds,
        )
    except SpeechGMMError as error:
        raise type(error)(str(error).replace(str(trial), str(out))) from error


def _filled_store(
    folder: Path, sources: Sequence["Source"], config: "FeatureConfig", jobs: int | None
) -> "FeatureStore":
    """Extract the features of recordings into a store, and show progress."""
    from rich.console import Console
    from rich.progress import Progress

    from speechgmm.features.store.store import open_store
    from speechgmm.features.store.writing import write_store
    from speechgmm.parallel.engine import Engine, available_cores

    engine = Engine("processes", max(1, min(jobs or available_cores(), len(sources))))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("extracting", total=len(sources))
        for n_done in write_store(folder, sources, config, engine):
            progress.update(task, completed=n_done)
    return open_store(folder)


def _move_into_place(new_folder: Path, out: Path, old_folder: Path) -> None:
    """Move the new folder to the output, and an existing output to `old_folder`."""
    if not out.exists():
        new_folder.rename(out)
        return
    out.rename(old_folder)
    with ExitStack() as stack:
        stack.callback(old_folder.rename, out)
        new_folder.rename(out)
        stack.pop_all()


def _write_file(out: Path, store: "FeatureStore", config: "FeatureConfig") -> None:
    """Write the frames of a store to a file, a block at a time."""
    from speechgmm.features.formats.common import Matrix
    from speechgmm.features.formats.writing import write_features

    matrices = (
        Matrix(stored.utterance, stored.stop - stored.start, store.n_features, partial(store.blocks, stored.utterance))
        for stored in store.utterances
    )
    write_features(out, matrices, frame_shift=config.shift_seconds)


def _summary(store: "FeatureStore", out: str, wall: float) -> str:
    """Format a summary: how much was extracted, and how fast."""
    seconds = sum(stored.seconds for stored in store.utterances)
    speech = sum(stored.speech_seconds for stored in store.utterances)
    n = len(store.utterances)
    return (
        f"{out}: {n:,} utterance{'s' * (n > 1)}, {seconds / 3600:.3g} h of audio, {speech:,.1f} s of speech kept: "
        f"{store.n_frames:,} frames of {store.n_features} features; in {wall:.3g} s, {seconds / 3600 / wall:.3g} h of "
        f"audio a second, {seconds / wall:,.0f} times real time"
    )


def _warn(config: "FeatureConfig", clipped: Mapping[str, float]) -> None:
    """Print warnings for clipped recordings and for filters without a bin."""
    from speechgmm.features.spectral.config import empty_filters
    from speechgmm.features.store.store import clipped_warnings

    for warning in (*clipped_warnings(clipped), *empty_filters(config)):
        typer.secho(f"warning: {warning}", fg="yellow")


def _exit_with_unusable(unusable: Sequence["UnusableUtterance"], files: Mapping[str, str], n: int) -> NoReturn:
    """List the unusable recordings, and exit with status 3."""
    if len(unusable) == n:
        title = f"none of {n:,} recordings could be used; nothing is written:" if n > 1 else "nothing is written:"
    else:
        title = f"{len(unusable):,} of {n:,} recordings could not be used:"
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(title, err=True)
    for utterance in unusable:
        typer.echo(f"  {files[utterance.utterance]}: {utterance.reason}", err=True)
    raise typer.Exit(3)


def _plot(path: Path, config: "FeatureConfig", out: str | None, channel: "Channel") -> None:
    """Plot a recording and its features."""
    from speechgmm.features.plot import plot_features

    plot_path = Path(out or f"{path.stem}.png")
    extraction = plot_features(path, config, plot_path, channel=channel)
    n_frames, n_features = extraction.frames.shape
    typer.echo(
        f"{plot_path}: {extraction.seconds:,.2f} s of audio, {extraction.speech_seconds:,.2f} s of speech: "
        f"{n_frames:,} frames of {n_features} features"
    )
    _warn(config, {path.name: extraction.clipped})
