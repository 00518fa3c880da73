"""Lines and tables of scores and trials, read by their columns."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from speechgmm.corpus.named_columns import named_rows
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.scored.columns import Columns
from speechgmm.files import numbered_lines

Row = tuple[int, str, str, str, str, Mapping[str, str]]
"""Line number, model, test, score and label, empty where there is none, and the fields by column name, if named."""

NO_COLUMN = "\n"
"""A name that no column has."""


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read the rows of a file; raises `CorpusError` at the end if some have more or fewer fields than `columns`."""
    return _table_rows(path, columns) if columns.header == "table" else _word_rows(path, columns)


def _word_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read lines of words, apart from comments and from lines that name the columns."""
    problems = Problems()
    width, expected = len(columns.names), ", ".join(columns.names)
    model, test, score, label, claimed, real = map(
        columns.roles.get, ("model", "test", "score", "label", "claimed", "real")
    )
    named: Mapping[str, str] = {}
    for number, line in numbered_lines(path):
        fields = columns.split(line)
        if columns.header and tuple(line.lstrip("#").split()) == columns.names:
            continue
        if line[0] == "#" and (len(fields) != width or not (columns.header or columns.fit(fields))):
            continue
        if len(fields) != width:
            problems.add(f"{path}:{number}: {line!r}; expected {expected}, as in the other lines")
            continue
        if columns.header:
            named = dict(zip(columns.names, fields, strict=True))
        if label is not None:
            marked = fields[label]
        elif claimed is not None and real is not None:
            marked = _label_of(fields[claimed], fields[real])
        else:
            marked = ""
        yield (
            number,
            "" if model is None else fields[model],
            "" if test is None else fields[test],
            "" if score is None else fields[score],
            marked,
            named,
        )
    problems.check()


def _table_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read the rows of a table."""
    problems = Problems()
    name_of = {role: columns.names[number] for role, number in columns.roles.items()}
    model, test, score, label = (name_of.get(role, NO_COLUMN) for role in ("model", "test", "score", "label"))
    by_speakers = "label" not in name_of and columns.has_labels
    for number, row in named_rows(path, problems):
        marked = _label_of(row[name_of["claimed"]], row[name_of["real"]]) if by_speakers else row.get(label, "")
        yield number, row.get(model, ""), row.get(test, ""), row.get(score, ""), marked, row
    problems.check()


def _label_of(claimed: str, real: str) -> str:
    """Label a trial by its claimed and its real speaker."""
    return "target" if claimed == real else "nontarget"
