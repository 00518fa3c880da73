"""The style of all plots, and their conversion to SVG, PNG and PDF."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.evaluation.costs import PRESETS
from speechgmm.files import write_bytes

COLOURS: Final = ("#1f82c0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES: Final[tuple[LineStyleType, ...]] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
PRESET_MARKS: Final = dict(zip(PRESETS, ("D", "s", "^", "v"), strict=True))
INK: Final = "#1c2023"  # `svg_text` replaces it by the colour of the text; used for nothing else
WIDTH: Final = 4.6  # inches; the text stays readable when a phone shrinks this to its width
NO_METADATA: Final[dict[str, dict[str, str | None]]] = {  # no dates or versions, by format
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}

_DOTS_PER_INCH: Final = 200
_STYLE: Final = {
    "font.size": 9.5,
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],  # the first comes with matplotlib and sets the layout
    "text.parse_math": False,  # a name may contain dollars
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.08,
    "svg.fonttype": "none",  # text stays text: it can be searched, and browsers show any script
    "svg.hashsalt": "speechgmm",  # makes identifiers reproducible
}


def svg_text(figure: Figure) -> str:
    """Render a figure as an ``<svg>`` element for a page.

    The ground is transparent, and the ink has the colour of the surrounding text (`currentColor`). The same figure
    gives the same text.
    """
    return _svg(figure, "none").replace(INK, "currentColor")


def standalone_svg(element: str) -> str:
    """Convert an element from `svg_text` to the text of an SVG file: the same plot in dark ink on white."""
    start, _, rest = element.partition(">")
    ground = '<rect width="100%" height="100%" style="fill: #ffffff"/>'
    return f"{start}>\n {ground}{rest}".replace("currentColor", INK)


def save_figure(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("svg", "png")) -> tuple[Path, ...]:
    """Write a figure to standalone files, dark ink on white: NAME.svg and NAME.png (200 dots per inch).

    Missing folders are created, existing files replaced. Returns the files in the order of the formats. The same figure
    gives the same bytes. ValueError for another format, OSError if a file cannot be written.
    """
    for unknown in set(formats) - {"svg", "png"}:
        raise ValueError(f"figure {name!r}: format {unknown!r}, expected svg or png")
    paths = tuple(folder / f"{name}.{suffix}" for suffix in formats)
    for path, suffix in zip(paths, formats, strict=True):
        write_bytes(path, _svg(figure, "white").encode() if suffix == "svg" else rendered(figure, "png", "white"))
    return paths


def rendered(figure: Figure, suffix: str, ground: str) -> bytes:
    """Render a figure as the bytes of a file, without date or version: the same bytes for the same figure."""
    buffer = io.BytesIO()
    with plot_style(), warnings.catch_warnings():
        # in an SVG the text stays text, so browsers show scripts that this font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=suffix, dpi=_DOTS_PER_INCH, facecolor=ground, metadata=NO_METADATA[suffix])
    return buffer.getvalue()


@contextmanager
def plot_style() -> Iterator[None]:
    """Set matplotlib to the style of all plots, whatever the user's own settings."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def thin(line: Float64Array, cell: tuple[float, float]) -> Float64Array:
    """Remove points of a line, (2, n), that are too near to their neighbours to be seen.

    Keeps the first and the last point in each cell of this width and height.
    """
    moves = (np.diff(np.round(line / np.reshape(cell, (2, 1)))) != 0.0).any(axis=0)
    is_end: BoolArray = np.append(True, moves) | np.append(moves, True)
    return line[:, is_end]


def shorten(name: str) -> str:
    """Remove the middle of a name that does not fit into the width of a figure."""
    return name if len(name) <= 38 else f"{name[:24]}…{name[-13:]}"


def _svg(figure: Figure, ground: str) -> str:
    """Render a figure as an SVG element on a ground of this colour."""
    text = rendered(figure, "svg", ground).decode()
    return text[text.index("<svg") :]
