"""A plot of a recording and its features: waveform, speech activity, spectrogram and features.

However long the recording is, every panel has at most `MAX_COLUMNS` columns. The same recording and configuration give
the same bytes.
"""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from speechgmm.arrays import BoolArray, Float32Array, Float64Array, IntArray
from speechgmm.audio.opening import RawFormat
from speechgmm.audio.reading import Channel, load_audio
from speechgmm.audio.samples import resample
from speechgmm.errors import AudioError, SpeechGMMError
from speechgmm.features.extract import Extraction, FeatureConfig, analyse
from speechgmm.features.spectral.cepstra import CepstraStream
from speechgmm.features.spectral.config import CepstraConfig, frame_count
from speechgmm.files import write_bytes

PLOT_SUFFIXES: Final = (".png", ".svg", ".pdf")
"""Suffixes of the files that `plot_features` writes."""

MAX_COLUMNS: Final = 1500
"""Columns of a panel; more frames are averaged."""

SPECTRUM_BLOCK_FRAMES: Final = 2048
"""Frames whose spectra are in memory at a time."""

SPECTRUM_FLOOR = 1e-20
"""Least power that is drawn."""

MAX_FRAME_SAMPLES: Final = 4096
"""Samples of the longest frame whose spectrum is drawn."""

DYNAMIC_RANGE: Final = 80.0
"""Decibels between black and white of the spectrogram."""

_NO_METADATA: Final = {
    ".png": {"Software": None},
    ".svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    ".pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}
_KIND_NAMES: Final = {"mfcc": "MFCC", "lfcc": "LFCC", "logmel": "log filters", "spectrogram": "log spectrum"}
_INK, _WAVE, _SPEECH, _NO_DATA = "#1c2023", "#1f6fa8", "#e69f00", "#d4d4d4"
_STYLE: Final = {
    "font.size": 9.5,
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib
    "text.parse_math": False,  # a name may contain dollars
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "speechgmm",  # identifiers would be random otherwise
}


def plot_features(
    path: str | Path,
    config: FeatureConfig,
    out: str | Path,
    *,
    channel: Channel = None,
    raw: RawFormat | None = None,
) -> Extraction:
    """Plot a recording, the speech found in it, its spectrum, and the features of the speech.

    `out` has one of the `PLOT_SUFFIXES`; an existing file is replaced. `raw` is the format of a file without a header.
    Returns the features. Raises AudioError as `extract` does, SpeechGMMError for another suffix, and OSError if the
    plot cannot be written.
    """
    path, out = Path(path), Path(out)
    if out.suffix.lower() not in PLOT_SUFFIXES:
        raise SpeechGMMError(f"{out}: suffix {out.suffix!r}; plots are written to {', '.join(PLOT_SUFFIXES)}")
    samples, file_rate, _ = load_audio(path, channel=channel, raw=raw)
    try:
        extraction = analyse(samples, config, sample_rate=file_rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    if file_rate != config.sample_rate:
        samples = resample(samples, file_rate, config.sample_rate)
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # in the file's name
        figure = Figure(figsize=(10.0, 7.6), layout="constrained")
        figure.suptitle(_title(path, file_rate, config, extraction), x=0.01, ha="left", fontsize=9.5)
        panels = figure.subplots(3, sharex=True, gridspec_kw={"height_ratios": [1.0, 1.5, 1.9]})
        _draw_waveform(panels[0], samples, extraction.speech, config)
        _draw_spectrogram(panels[1], samples, config)
        _draw_features(panels[2], extraction.frames, extraction.speech, config)
        panels[2].set(xlim=(0, len(samples) / config.sample_rate), xlabel="time, s")
        _save(figure, out)
    return extraction


def _title(path: Path, file_rate: int, config: FeatureConfig, extraction: Extraction) -> str:
    """Format the title: the recording and the front end."""
    name = path.name if len(path.name) <= 60 else f"{path.name[:40]}…{path.name[-19:]}"
    share = extraction.speech_seconds / extraction.seconds
    resampling = "" if file_rate == config.sample_rate else f", resampled to {config.sample_rate:,} Hz"
    groups = ", ".join(f"{size} {group}" for group, size in _feature_groups(config))
    filters = ""
    if config.kind != "spectrogram":
        filters = (
            f"; {config.n_filters} {config.filter_scale} filters, "
            f"{config.low_frequency:g} to {config.top_frequency:g} Hz"
        )
    return (
        f"{name}: {extraction.seconds:,.2f} s at {file_rate:,} Hz{resampling}; speech: "
        f"{extraction.speech_seconds:,.2f} s ({share:.0%}) by vad method {config.vad.method}\n"
        f"{config.n_features} features: {groups}{filters}; "
        f"frames of {1000 * config.frame_samples / config.sample_rate:.4g} ms "
        f"every {1000 * config.shift_seconds:.4g} ms"
    )


def _feature_groups(config: FeatureConfig) -> list[tuple[str, int]]:
    """List the groups of features in a frame, with their names and sizes."""
    n_static, deltas = config.n_static, config.deltas
    energy = " and energy" if config.kind == "logmel" and config.replaces_first else ""
    groups = [(_KIND_NAMES[config.kind] + energy, n_static)]
    if deltas.sdc is not None:
        groups.append(("shifted Δ", config.n_features - n_static))
    return groups + [("Δ" * order, n_static) for order in range(1, deltas.order + 1)]


def _draw_waveform(axes: Axes, samples: Float32Array, speech: BoolArray, config: FeatureConfig) -> None:
    """Draw the waveform over the stretches of speech; where there are too many samples, draw their extremes."""
    shares = _ColumnMeans(len(speech), 1)
    shares.add(speech[:, None], np.arange(len(speech)))
    marked = shares.means()[:, 0] >= 0.5
    bounds = np.flatnonzero(np.diff(marked, prepend=False, append=False))
    edges = _edges(config, len(speech), len(marked))[bounds].reshape(-1, 2)
    spans = [(start, stop - start) for start, stop in edges]
    if not speech.all():
        axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=_SPEECH, alpha=0.35, linewidth=0)
    n_columns = min(len(samples), 2 * MAX_COLUMNS)
    starts = np.arange(n_columns) * len(samples) // n_columns
    times = starts / config.sample_rate
    lows, highs = (extreme.reduceat(samples, starts) for extreme in (np.minimum, np.maximum))
    axes.fill_between(times, lows, highs, color=_WAVE, linewidth=0.6)
    peak = 1.05 * float(np.abs(samples).max())
    axes.set(ylim=(-peak, peak), ylabel="amplitude\n(full scale: 1)")
    axes.set_title("waveform" if speech.all() else "waveform; shaded: speech")
    axes.axhline(0.0, color=_INK, linewidth=0.3)


def _draw_spectrogram(axes: Axes, samples: Float32Array, config: FeatureConfig) -> None:
    """Draw the spectrum of the frames, after pre-emphasis and window, before the filters."""
    spectrum = _spectrum_config(config)
    n_rows = frame_count(len(samples), spectrum)
    columns = _ColumnMeans(n_rows, spectrum.n_static)
    start = 0
    for power in _power_spectra(samples, spectrum):
        columns.add(power, start + np.arange(len(power)))
        start += len(power)
    means = np.maximum(columns.means(), SPECTRUM_FLOOR)
    decibels = 10 * np.log10(means / means.max())
    half_bin = spectrum.sample_rate / spectrum.fft_size / 2000
    edges = _edges(spectrum, n_rows, len(means))
    image = axes.imshow(
        decibels.T,
        cmap="magma",
        vmin=-DYNAMIC_RANGE,
        vmax=0,
        extent=(edges[0], edges[-1], -half_bin, spectrum.sample_rate / 2000 + half_bin),
        origin="lower",
        aspect="auto",
    )
    title = f"log spectrogram, frames of {1000 * spectrum.frame_samples / spectrum.sample_rate:.4g} ms"
    if config.kind != "spectrogram" and config.top_frequency < spectrum.sample_rate / 2:
        title += "; dashed: up to here there are filters"
        axes.axhline(config.top_frequency / 1000, color="white", linestyle="--", linewidth=0.7)
    axes.set(ylim=(0, spectrum.sample_rate / 2000), ylabel="frequency, kHz", title=title)
    _add_scale(axes, image, "power, dB\n(loudest: 0)")


def _draw_features(axes: Axes, frames: Float32Array, speech: BoolArray, config: FeatureConfig) -> None:
    """Draw the features of the speech frames at their times."""
    columns = _ColumnMeans(len(speech), config.n_features)
    columns.add(frames, np.flatnonzero(speech))
    values = columns.means()
    values -= np.nanmean(values, axis=0)
    deviations = np.nanstd(values, axis=0)
    values /= np.where(deviations > 0, deviations, 1.0)
    edges = _edges(config, len(speech), len(values))
    image = axes.imshow(
        values.T,
        cmap=matplotlib.colormaps["RdBu_r"].with_extremes(bad=_NO_DATA),
        vmin=-3,
        vmax=3,
        extent=(edges[0], edges[-1], 0, config.n_features),
        origin="lower",
        aspect="auto",
    )
    sizes = np.array([n_features for _, n_features in _feature_groups(config)])
    ends = np.cumsum(sizes)
    names = [
        f"{name}\n{end - size} to {end - 1}"
        for (name, size), end in zip(_feature_groups(config), ends.tolist(), strict=True)
    ]
    axes.set_yticks(ends - sizes / 2, names, rotation=90, va="center", multialignment="center")
    axes.tick_params(axis="y", length=0)
    for end in ends[:-1]:
        axes.axhline(end, color=_INK, linewidth=0.8)
    dropped = "" if speech.all() else "; grey: no speech, no features"
    axes.set(title=f"features {_normalisation(config)}{dropped}", ylabel="feature")
    _add_scale(axes, image, "standard deviations of a\nfeature from its mean")


def _normalisation(config: FeatureConfig) -> str:
    """Describe the normalisation of the features."""
    normalisation = config.normalisation
    steps = ["RASTA"] if normalisation.rasta else []
    if normalisation.mean:
        steps.append(f"{normalisation.mean:g} of the mean")
    if normalisation.c0_mean is not None:
        steps.append(f"{normalisation.c0_mean:g} of the mean of c0")
    if normalisation.variance:
        steps.append("variance")
    if normalisation.window is not None:
        steps.append(f"in a window of {normalisation.window} frames")
    if normalisation.warp is not None:
        steps.append(f"warping over {normalisation.warp} frames")
    return f"after normalisation ({', '.join(steps)})" if steps else "without normalisation"


def _add_scale(axes: Axes, image: AxesImage, label: str) -> None:
    """Draw a scale of colours beside a panel."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05, label=label)


def _spectrum_config(config: FeatureConfig) -> CepstraConfig:
    """Configure the spectrum to draw: the front end's frames, unless they are extremely long."""
    return CepstraConfig(
        sample_rate=config.sample_rate,
        frame_length=min(config.frame_length, MAX_FRAME_SAMPLES / config.sample_rate),
        frame_shift=config.frame_shift,
        snip_edges=config.snip_edges,
        padding=config.padding,
        remove_dc=config.remove_dc,
        preemphasis=config.preemphasis,
        preemphasis_over=config.preemphasis_over,
        window=config.window,
        periodic_window=config.periodic_window,
        low_frequency=0,
        high_frequency=config.sample_rate / 2,
        n_filters=1,
        n_cepstra=1,
        kind="spectrogram",
        log="none",
    )


def _power_spectra(samples: Float32Array, spectrum: CepstraConfig) -> Iterator[Float32Array]:
    """Yield the power spectra of all frames, in blocks."""
    stream = CepstraStream(spectrum)
    size = SPECTRUM_BLOCK_FRAMES * spectrum.shift_samples
    for start in range(0, len(samples), size):
        yield stream.push(samples[start : start + size], final=start + size >= len(samples))[0]


def _edges(config: CepstraConfig, n_rows: int, n_columns: int) -> Float64Array:
    """Compute the times between the columns in which frames are drawn, (columns + 1,), in seconds."""
    rows: Float64Array = np.ceil(np.arange(n_columns + 1) * n_rows / n_columns)
    return config.first_centre_seconds + (rows - 0.5) * config.shift_seconds


class _ColumnMeans:
    """Means over neighbouring frames, where there are more frames than columns to draw."""

    def __init__(self, n_rows: int, n_features: int) -> None:
        self._n_rows = n_rows
        self._sums = np.zeros((min(n_rows, MAX_COLUMNS), n_features))
        self._counts = np.zeros(len(self._sums))

    def add(self, rows: Float32Array | BoolArray, positions: IntArray) -> None:
        """Add frames at increasing positions."""
        if len(rows) == 0:
            return
        columns = positions * len(self._sums) // self._n_rows
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        self._sums[columns[starts]] += np.add.reduceat(rows, starts, axis=0, dtype=np.float64)
        self._counts[columns[starts]] += np.diff(starts, append=len(rows))

    def means(self) -> Float64Array:
        """Return the means, (columns, features); columns without frames are NaN."""
        counts = np.where(self._counts > 0, self._counts, np.nan)
        means: Float64Array = self._sums / counts[:, None]
        return means


def _save(figure: Figure, out: Path) -> None:
    """Write a plot without date or version."""
    buffer = io.BytesIO()
    suffix = out.suffix.lower()
    figure.savefig(buffer, format=suffix[1:], dpi=150, metadata=_NO_METADATA[suffix])
    write_bytes(out, buffer.getbuffer())
