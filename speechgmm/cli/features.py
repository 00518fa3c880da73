"""``speechgmm features``: features of recordings, in files or a store; or a plot of them.

Features are first written to a store beside the output and then, once complete, converted to a file or moved into
place: if the command ends early, existing output is unchanged.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from speechgmm.cli.common import JobsOption, exit_on_error, printable, progress_bars
from speechgmm.errors import CorpusError
from speechgmm.wording import names_by_reason

if TYPE_CHECKING:
    from speechgmm.audio.opening import RawFormat
    from speechgmm.audio.reading import Channel
    from speechgmm.features.extract import FeatureConfig
    from speechgmm.features.store.store import FeatureStore, StoredUtterance, UnusableUtterance
    from speechgmm.features.store.writing import Source

STORE_FILES = re.compile(r"index\.json|shard-\d+\.npy")

SAMPLE_FORMATS = {
    "u8": ("PCM_U8", "LITTLE"),
    "s8": ("PCM_S8", "LITTLE"),
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "s24le": ("PCM_24", "LITTLE"),
    "s24be": ("PCM_24", "BIG"),
    "s32le": ("PCM_32", "LITTLE"),
    "s32be": ("PCM_32", "BIG"),
    "f32le": ("FLOAT", "LITTLE"),
    "f32be": ("FLOAT", "BIG"),
    "f64le": ("DOUBLE", "LITTLE"),
    "f64be": ("DOUBLE", "BIG"),
    "mulaw": ("ULAW", "LITTLE"),
    "alaw": ("ALAW", "LITTLE"),
}
"""Formats of samples without a header: ffmpeg's names, and libsndfile's with the order of bytes."""

MAX_NAMED = 5
"""Recordings with the same warning or reason that are named; more are counted, with an example."""


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
        typer.Option(
            help="Labels of speech, in place of the VAD: RTTM, CTM, Kaldi segments, labels of ALIZE, HTK or Audacity, "
            "Praat TextGrid; or a folder of them, named after the recordings.",
            metavar="FILE|FOLDER",
        ),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="RATE,CHANNELS,FORMAT",
            help="Format of files without a header, such as 16000,1,s16le or 8000,1,mulaw; by default one channel, "
            "s16le.",
        ),
    ] = None,
    jobs: JobsOption = None,
    plot: Annotated[bool, typer.Option("--plot", help="Plot one recording and its features, to NAME.png.")] = False,
) -> None:
    """Extract features of recordings to a Kaldi, HDF5, numpy or HTK file or to a feature store; or plot them.

    Ids are file names without suffix, in folders with the folders below them (a/b); of Kaldi data directories, the
    segments or recordings. Exit status 3: some recordings could not be used; they are listed with the reasons, and the
    others are written.
    """
    with exit_on_error("interrupted; nothing is written"):
        from speechgmm.recipe.reading.loader import load_features

        front_end = load_features(config, set_ or ())
        if plot:
            if labels is not None or len(paths) != 1:
                raise typer.BadParameter("plots one file, and without labels", param_hint="--plot")
            _plot(Path(paths[0]), front_end, out, parse_channel(channel), parse_raw_format(raw))
        elif out is None:
            raise typer.BadParameter("missing; expected where to write", param_hint="--out")
        else:
            _extract(paths, front_end, out, parse_channel(channel), labels, parse_raw_format(raw), jobs)


def _extract(
    paths: Sequence[str],
    config: "FeatureConfig",
    out: str,
    channel: "Channel",
    labels: Path | None,
    raw: "RawFormat | None",
    jobs: int | None,
) -> None:
    """Extract the features of recordings, write them, and print a summary."""
    from speechgmm.features.labelling import LabelledSources, label_sources
    from speechgmm.features.sources import find_sources, without_spaces

    if not out:
        raise typer.BadParameter("empty; expected where to write", param_hint="--out")
    started = time.perf_counter()
    path, is_store = Path(out), _is_store(out)
    found = find_sources(paths, channel=channel, raw=raw, by_segment=labels is None)
    sources = found.sources
    if path.suffix.lower() == ".ark" and not is_store:
        sources = without_spaces(sources)
        if sources != found.sources:
            typer.echo("white space in ids is written as _")
    labelled = label_sources(sources, labels, channel=channel) if labels else LabelledSources(sources, (), "")
    with _scratch(path) as scratch:
        if not is_store:
            _check_format_accepts(scratch / path.name, path, sources, config)
        store = _filled_store(scratch / "store", labelled.sources, config, jobs)
        if store.utterances and is_store:
            _move_into_place(store.folder, path.resolve(), scratch / "old")
        elif store.utterances:
            _write_file(path, store, config)
    if store.utterances:
        typer.echo(_summary(store, out, time.perf_counter() - started))
        _warn(config, store.utterances)
    if labelled.summary:
        typer.echo(printable(f"labels: {labelled.summary}"))
    for note in found.notes:
        typer.echo(printable(f"note: {note}"))
    unusable = (*labelled.unusable, *store.unusable)
    if unusable:
        _exit_with_unusable(unusable, sources)


def parse_channel(text: str | None) -> "Channel":
    """Parse the choice of a channel."""
    if text is None:
        return None
    if text == "mean":
        return "mean"
    if not re.fullmatch(r"[0-9]+", text):
        raise typer.BadParameter(f"{text!r}; expected a number from 0, or mean", param_hint="--channel")
    return int(text)


def parse_raw_format(text: str | None) -> "RawFormat | None":
    """Parse the format of files without a header: rate, and perhaps channels and the format of samples."""
    if text is None:
        return None
    from speechgmm.audio.opening import RawFormat

    fields = [*text.split(","), *("1", "s16le")[text.count(",") :]]
    rate, channels, name = fields[:3]
    if len(fields) != 3 or not all(re.fullmatch("0*[1-9][0-9]{0,8}", number) for number in (rate, channels)):
        raise typer.BadParameter(
            f"{text!r}; expected RATE, or RATE,CHANNELS,FORMAT, as in 16000,1,s16le", param_hint="--raw"
        )
    if name not in SAMPLE_FORMATS:
        raise typer.BadParameter(
            f"{name!r} in {text!r}; expected one of {', '.join(SAMPLE_FORMATS)}", param_hint="--raw"
        )
    return RawFormat(int(rate), int(channels), *SAMPLE_FORMATS[name])


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
    from speechgmm.features.store.store import open_store
    from speechgmm.features.store.writing import write_store
    from speechgmm.parallel.engine import Engine, available_cores

    engine = Engine("processes", max(1, min(jobs or available_cores(), len(sources))))
    with progress_bars() as progress:
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


def _warn(config: "FeatureConfig", utterances: Sequence["StoredUtterance"]) -> None:
    """Print warnings for odd files, for clipped recordings and for filters without a bin."""
    from speechgmm.features.store.store import clipped_warnings

    odd = [(stored.utterance, warning) for stored in utterances for warning in stored.warnings]
    clipped = {stored.utterance: stored.clipped for stored in utterances}
    _print_warnings(config, [*_grouped(odd), *clipped_warnings(clipped)])


def _print_warnings(config: "FeatureConfig", warnings: Sequence[str]) -> None:
    """Print warnings, and those for filters without a bin."""
    from speechgmm.features.spectral.config import empty_filters

    for warning in (*warnings, *empty_filters(config)):
        typer.secho(f"warning: {warning}", fg="yellow")


def _grouped(reasons: Sequence[tuple[str, str]]) -> list[str]:
    """Format lines of names and reasons; a reason of more than five names is one line, with a count and an example."""
    lines: list[str] = []
    for reason, names in names_by_reason(reasons).items():
        if len(names) > MAX_NAMED:
            lines.append(f"{len(names):,} recordings, such as {names[0]}: {reason}")
        else:
            lines += [f"{name}: {reason}" for name in names]
    return lines


def _exit_with_unusable(unusable: Sequence["UnusableUtterance"], sources: Sequence["Source"]) -> NoReturn:
    """List the unusable recordings, and exit with status 3."""
    n = len(sources)
    if len(unusable) == n:
        title = f"none of {n:,} recordings could be used; nothing is written:" if n > 1 else "nothing is written:"
    else:
        title = f"{len(unusable):,} of {n:,} recordings could not be used:"
    names = {
        source.utterance: source.path if source.start is None else f"{source.utterance} of {source.path}"
        for source in sources
    }
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(title, err=True)
    for line in _grouped([(names[each.utterance], each.reason) for each in unusable]):
        typer.echo(f"  {line}", err=True)
    raise typer.Exit(3)


def _plot(path: Path, config: "FeatureConfig", out: str | None, channel: "Channel", raw: "RawFormat | None") -> None:
    """Plot a recording and its features."""
    from speechgmm.audio.reading import audio_warnings
    from speechgmm.features.plot import plot_features
    from speechgmm.features.sources import is_headerless
    from speechgmm.features.store.store import clipped_warnings

    plot_path = Path(out or f"{path.stem}.png")
    raw = raw if is_headerless(str(path)) else None
    extraction = plot_features(path, config, plot_path, channel=channel, raw=raw)
    n_frames, n_features = extraction.frames.shape
    typer.echo(
        f"{plot_path}: {extraction.seconds:,.2f} s of audio, {extraction.speech_seconds:,.2f} s of speech: "
        f"{n_frames:,} frames of {n_features} features"
    )
    odd = [f"{path.name}: {warning}" for warning in audio_warnings(path, raw=raw)]
    _print_warnings(config, [*odd, *clipped_warnings({path.name: extraction.clipped})])
