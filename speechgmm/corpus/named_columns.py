"""Tables of any kind: rows of named columns, separated by tabs, semicolons or commas, as any program writes them."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import read_text

SEPARATORS = "\t;,"
"""What may separate columns; of two that fit equally well, the first."""

SEPARATOR_LINE = re.compile(r'"?sep=(\\t|[\t;,|])"?[ \t;,|]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
"""A first line that names the separator, as Excel reads and writes it."""

ROWS_TRIED = 20
"""Rows that show which separator fits."""

LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
TAB_FIELD = re.compile(r'("(?:[^"]++|"")*+"(?=[\t\r\n]|\Z)|[^\t\r\n]*+)(\t|\r\n|\r|\n|\Z)')
"""A field of a table with tabs and what ends it: wrapped in quotation marks, with those within doubled, or as it is."""

WRAPPED = re.compile(r'"(?:[^"]++|"")*+"')

Rows = Iterator[tuple[int, list[str]]]
"""Rows with the number of the line where each ends."""


class Header(NamedTuple):
    """The line that names the columns."""

    line: int  # its number
    names: list[str]  # stripped; empty for a column without a name


class _Table(NamedTuple):
    """The text of a table, and how it is divided."""

    path: Path
    text: str  # from the header on
    first_line: int  # number of the first line of the text
    separator: str

    def rows(self) -> Rows:
        """Read the rows that are not blank, the header among them."""
        lines = _tab_rows(self.text) if self.separator == "\t" else self._quoted_rows()
        for number, row in lines:
            if any(map(str.strip, row)):
                yield self.first_line - 1 + number, row

    def header(self) -> Header:
        """Read the header; a table without any text has no columns."""
        line, names = next(self.rows(), (self.first_line, []))
        return Header(line, [name.strip() for name in names])

    def _quoted_rows(self) -> Rows:
        """Read rows whose fields may be quoted; an unfinished quotation raises a `CorpusError`."""
        reader = csv.reader(_lines(self.text), delimiter=self.separator, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise CorpusError(f"{self.path}:{self.first_line - 1 + reader.line_num}: {error}") from error


def read_column_names(path: Path) -> list[str]:
    """Read the names of a table's columns, without those that have none; `CorpusError` if it cannot be read."""
    return [name for name in read_header(path).names if name]


def read_header(path: Path) -> Header:
    """Read the line that names a table's columns: the first that is not blank, nor names the separator (``sep=;``).

    Raises `CorpusError` if the table cannot be read.
    """
    return _open(path).header()


def named_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of any table with column names: the line number where a row ends, and its fields by name.

    Fields are stripped of white space, and columns without a name are left out; `problems` collects rows with more or
    fewer fields than the header. Raises `CorpusError` if the table cannot be read, or a column name is repeated.
    """
    table = _open(path)
    line, names = table.header()
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        raise CorpusError(f"{path}:{line}: {names.count(repeated[0])} columns are called {repeated[0]!r}; expected one")
    if _ends_in_separator(table, len(names)):
        names = [*names, ""]
    for number, row in islice(table.rows(), 1, None):
        if not _fits(row, names):
            where = "the first line" if line == 1 else f"line {line}"
            problems.add(f"{path}:{number}: {len(row)} fields; expected {len(names)}, as in {where}")
            continue
        yield number, {name: field.strip() for name, field in zip(names, row, strict=False) if name}


def without_comments(lines: Sequence[str]) -> Sequence[str]:
    """Drop the comments before the first line of data: lines with ``#`` that do not have as many fields as it has."""
    n_comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    if n_comments and _are_alike(lines[n_comments - 1].lstrip("#"), lines[n_comments]):
        n_comments -= 1
    return lines[n_comments:]


def _are_alike(line: str, other: str) -> bool:
    """Check whether two lines have the same number of fields."""
    counts = [(line.count(mark), other.count(mark)) for mark in SEPARATORS]
    if any(there for counted in counts for there in counted):
        return any(one == two > 0 for one, two in counts)
    return len(line.split()) == len(other.split())


def separator_of(lines: Iterable[str]) -> str | None:
    """Find what separates the fields of lines that no line names: a semicolon, a comma, or None for white space."""
    first = next((line for line in lines if not line.startswith("#")), "")
    words = {mark: len(re.sub(rf"{mark}\s+", mark, first).split()) for mark in ";,"}
    return next((mark for mark in words if first.count(mark) >= max(2, words[mark])), None)


def _open(path: Path) -> _Table:
    """Read the text of a table without comments before it, and find what separates its columns."""
    text = read_text(path)
    if stated := SEPARATOR_LINE.match(text):
        return _Table(path, text[stated.end() :], 2, stated[1].replace("\\t", "\t"))
    line = 1
    if text.startswith("#"):
        lines = [each[0] for each in LINE.finditer(text) if each[0]]
        kept = without_comments(lines)
        text, line = "".join(kept), 1 + len(lines) - len(kept)
    tables = {separator: _Table(path, text, line, separator) for separator in SEPARATORS}
    evidence = {separator: _evidence(table) for separator, table in tables.items()}
    return tables[max(evidence, key=evidence.__getitem__) if any(evidence.values()) else ","]


def _evidence(table: _Table) -> tuple[float, ...]:
    """Rank a separator: does it make several columns with names, which share of the first rows fits, how many columns.

    Empty if it makes one column only.
    """
    rows: list[list[str]] = []
    with suppress(CorpusError):  # which comes after the rows before it
        rows += (row for _, row in islice(table.rows(), ROWS_TRIED + 1))
    if not rows or len(rows[0]) < 2:
        return ()
    names = [name.strip() for name in rows[0]]
    n_named = sum(map(bool, names))
    return int(n_named > 1), sum(_fits(row, names) for row in rows[1:]) / max(1, len(rows) - 1), n_named


def _fits(row: list[str], names: list[str]) -> bool:
    """Check whether a row has a field for each column; those at the end without a name may be missing."""
    n_named = max((number for number, name in enumerate(names, 1) if name), default=0)
    return n_named <= len(row) <= len(names)


def _ends_in_separator(table: _Table, n_columns: int) -> bool:
    """Check whether every row ends in a separator, and the header does not."""
    rows = islice(table.rows(), 1, None)
    return all(len(row) == n_columns + 1 and not row[-1].strip() for _, row in rows)


def _lines(text: str) -> Iterator[str]:
    """Split a text into lines with what ends them: LF, CR LF or CR."""
    return (line[0] for line in LINE.finditer(text) if line[0])


def _tab_rows(text: str) -> Rows:
    """Read rows of a table with tabs, where a quotation mark is text, unless it wraps a whole field.

    Only wrapped fields may hold tabs and line ends. A row is read so if that gives it as many fields as the header has,
    unless its lines are rows by themselves: one between the first and the last, or those two.
    """
    n_columns, done = 0, 0
    for number, line in enumerate(LINE.finditer(text), 1):
        if line.start() < done or not line[0]:
            continue
        row, more = line[1].split("\t"), 0
        if '"' in line[1]:
            row = [_unwrapped(field) for field in row]
            wrapped, end = _wrapped_row(text, line.start())
            if len(wrapped) == n_columns or (not n_columns and end == line.end()):
                fits = [1 + each.count("\t") == n_columns for each in _lines(text[line.start() : end])]
                if len(fits) == 1 or not (any(fits[1:-1]) or (fits[0] and fits[-1])):
                    row, more, done = wrapped, len(fits) - 1, end
        if not n_columns and any(map(str.strip, row)):
            n_columns = len(row)
        yield number + more, row


def _wrapped_row(text: str, start: int) -> tuple[list[str], int]:
    """Read one row in which wrapped fields may hold tabs and line ends; return it and where it ends."""
    row, end = [], start
    for field in TAB_FIELD.finditer(text, start):
        row.append(_unwrapped(field[1]))
        end = field.end()
        if field[2] != "\t":
            break
    return row, end


def _unwrapped(field: str) -> str:
    """Return the text of a field, without the quotation marks that wrap all of it."""
    return field[1:-1].replace('""', '"') if field.startswith('"') and WRAPPED.fullmatch(field) else field
