"""Tiers of Praat's TextGrids, read with praatio."""

import re
from pathlib import Path

from speechgmm.errors import CorpusError
from speechgmm.features.formats.common import missing_package
from speechgmm.features.frames.labels import Label

TEXTGRID_SUFFIX = ".textgrid"

NEGATIVE_TIME = re.compile(r"^ *(?:(?:xmin|xmax|number) ?= ?)?-[0-9.]*[1-9][0-9.]* *$", re.MULTILINE)
"""A time of which praatio drops the sign."""

PRAAT_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""Errors that praatio raises over files with unexpected contents, beside its own."""


def is_textgrid(path: Path) -> bool:
    """Check by its first bytes, or by its name, whether a file is a TextGrid; refuse Praat's binary form."""
    try:
        with path.open("rb") as stream:
            head = stream.read(256).replace(b"\0", b"")  # of two bytes a character, perhaps
    except (OSError, ValueError):
        return False  # whose reason the reader of lines gives
    if head.startswith(b"ooBinaryFile"):
        raise CorpusError(f"{path}: a binary file of Praat; expected text: save it as a text file")
    return (b"ooTextFile" in head and b"TextGrid" in head) or path.suffix.lower() == TEXTGRID_SUFFIX


def read_tiers(path: Path) -> dict[str, list[Label]]:
    """Read the tiers of intervals of a TextGrid, by their names."""
    try:
        from praatio import textgrid
        from praatio.utilities.errors import PraatioException
    except ImportError as error:
        raise missing_package("praatio", "praat") from error
    try:
        grid = textgrid.openTextgrid(str(path), True, reportingMode="silence", duplicateNamesMode="rename")
        text = _decode_textgrid(path.read_bytes())
        tiers = {tier.name: [(*map(float, entry[:-1]), entry[-1]) for entry in tier.entries] for tier in grid.tiers}
    except OSError as error:
        raise CorpusError(f"{path}: not readable ({error.strerror})") from error
    except (*PRAAT_DAMAGE, PraatioException) as error:
        raise CorpusError(
            f"{path}: damaged, or no TextGrid ({error}); expected Praat's text form in UTF-8 or UTF-16"
        ) from error
    announced, found = _announced_sizes(text), [len(tiers), *map(len, tiers.values())]
    if found != announced:
        raise CorpusError(
            f"{path}: cut short or damaged: numbers of tiers and of their entries {found}; {announced} are announced"
        )
    if NEGATIVE_TIME.search(text):
        raise CorpusError(f"{path}: holds a time below 0; expected seconds from the beginning of the recording")
    return {
        tier.name: [Label(0, "", "", start, stop, text) for start, stop, text in tiers[tier.name]]
        for tier in grid.tiers
        if isinstance(tier, textgrid.IntervalTier)
    }


def _decode_textgrid(data: bytes) -> str:
    """Decode a TextGrid as praatio does."""
    return (
        data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )


def _announced_sizes(text: str) -> list[int]:
    """Read how many tiers a TextGrid announces, and how many entries each of them, in its long or short form.

    praatio takes what is there, even from a file that is cut short.
    """
    tiers = re.findall(r"<exists> *\n(?:size ?= ?)?([0-9]{1,9})\b", text)
    long = re.findall(r"^ *(?:intervals|points): ?size ?= ?([0-9]{1,9}) *$", text, re.MULTILINE)
    name_and_times = r'"(?:[^"]|"")*" *\n\S+ *\n\S+ *\n'
    short = re.findall(rf'^"(?:IntervalTier|TextTier)" *\n{name_and_times}([0-9]{{1,9}}) *$', text, re.MULTILINE)
    return [int(size) for size in (*tiers, *(long or short))]
