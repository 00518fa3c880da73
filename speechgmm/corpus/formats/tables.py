"""Corpora listed in a table: a row for each utterance, with named columns, separated by commas, semicolons or tabs."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from speechgmm.audio.reading import Channel
from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.trials import trial_lists, write_trials
from speechgmm.errors import CorpusError
from speechgmm.files import read_text, write_csv

NEEDED = ("path", "speaker")
CHANNEL = re.compile(r"[0-9]{1,4}")


class ColumnsConfig(Configuration):
    """What the columns of a table are called.

    Parameters
    ----------
    id : str
        Name of the utterance; its path without the suffix where there is no such column.
    path, speaker : str
        The audio file, and who speaks: every table has these.
    role : str
        ``background``, ``enrol`` or ``test``; where it is empty, or there is no such column, the protocol or the trial
        lists say.
    sex, session : str
        Of the speaker, and the occasion of the recording.
    start, end : str
        The segment of the file, in seconds; empty for the file's own ends.
    channel : str
        Of a file of several channels, the one to read, from 0, or ``mean``.
    model : str
        Which model an enrolment utterance is for, if that does not go by its speaker's name.
    """

    id: str = "id"
    path: str = "path"
    speaker: str = "speaker"
    role: str = "role"
    sex: str = "sex"
    session: str = "session"
    start: str = "start"
    end: str = "end"
    channel: str = "channel"
    model: str = "model"


class CsvConfig(Configuration):
    """A corpus listed in a table.

    Parameters
    ----------
    kind : "csv"
        Tells this kind of corpus from others.
    root : str
        Folder that the other paths, and those in the table, are relative to. In a recipe it is relative to the
        recipe, and ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    table : str
        The table, in UTF-8. Its first line names the columns and shows what separates them: a tab, a semicolon or a
        comma. Columns of other names are not read.
    columns : section
        What the columns are called.
    trials : list of str
        Trial lists, as `speechgmm.corpus.trials.parse_trials` reads them. They say who is enrolled and tested where
        the table doesn't.
    protocol : section, optional
        Says so where neither does, and makes trials where there are no lists.
    """

    kind: Literal["csv"] = "csv"
    root: str
    table: str = "utterances.csv"
    columns: ColumnsConfig = ColumnsConfig()
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ()
    protocol: ProtocolConfig | None = None


def read_table(config: CsvConfig) -> Corpus:
    """Read a corpus from a table.

    Parameters
    ----------
    config : CsvConfig
        Where it is, and what its columns are called.

    Returns
    -------
    Corpus
        The utterances, with paths of audio files that are not opened here, and the trials.

    Raises
    ------
    CorpusError
        If lists are missing, malformed or contradictory; the message names file and line, of all that is wrong.
    """
    root = Path(config.root)
    problems = Problems()
    try:
        pool = read_utterances(root / config.table, root, config.columns, problems)
    except CorpusError as error:
        problems.add(str(error))
        pool = {}
    return assemble(pool, trial_lists(root, config.trials, problems), config.protocol, problems)


def read_utterances(
    path: Path, root: Path, columns: ColumnsConfig, problems: Problems
) -> dict[Role | None, list[Utterance]]:
    """Read a table's utterances.

    Parameters
    ----------
    path : Path
        The table.
    root : Path
        What relative paths in it are relative to.
    columns : ColumnsConfig
        What its columns are called.
    problems : Problems
        Takes the rows that are malformed.

    Returns
    -------
    dict from Role or None to list of Utterance
        In the order of the table; under None those without a role.

    Raises
    ------
    CorpusError
        If the table cannot be read, or has no column for what is needed.
    """
    pool: dict[Role | None, list[Utterance]] = {}
    lines: dict[tuple[Role | None, str], int] = {}
    for number, row in read_rows(path, columns, problems):
        where = f"{path}:{number}"
        role = _role(row["role"], where, problems)
        utterance = _utterance(row, root, where, problems)
        if utterance is None:
            continue
        before = lines.setdefault((role, utterance.id), number)
        if before != number:
            problems.add(f"{where}: {utterance.id} stands on line {before} already")
            continue
        pool.setdefault(role, []).append(utterance)
    if not lines and not problems.lines:
        problems.add(f"{path}: no utterances")
    return pool


def read_rows(path: Path, columns: ColumnsConfig, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table's rows.

    Parameters
    ----------
    path : Path
        The table.
    columns : ColumnsConfig
        What its columns are called.
    problems : Problems
        Takes the rows that have more or fewer fields than the first line.

    Yields
    ------
    number : int
        Of the line that the row ends on.
    row : dict of str to str
        By the names that the columns have here; empty where there is no such column.

    Raises
    ------
    CorpusError
        If the table cannot be read, a name is there twice, or what is needed is not.
    """
    names = columns.model_dump()
    header = read_column_names(path)
    for needed in NEEDED:
        if names[needed] not in header:
            raise CorpusError(
                f"{path}:1: no column {names[needed]!r} among {', '.join(header) or 'none'}; it has the "
                f"{needed}; corpus.columns.{needed} gives it another name"
            )
    for number, row in named_rows(path, problems):
        yield number, {ours: row.get(theirs, "") for ours, theirs in names.items()}


def read_column_names(path: Path) -> list[str]:
    """Read the names of a table's columns.

    Parameters
    ----------
    path : Path
        The table.

    Returns
    -------
    list of str
        As they stand in its first line.

    Raises
    ------
    CorpusError
        If the table cannot be read.
    """
    text = read_text(path)
    try:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True), [])
    except csv.Error as error:
        raise CorpusError(f"{path}:1: {error}") from error
    return [name.strip() for name in row]


def named_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of any table whose first line names the columns.

    Parameters
    ----------
    path : Path
        The table.
    problems : Problems
        Takes the rows that have more or fewer fields than the first line.

    Yields
    ------
    number : int
        Of the line that the row ends on.
    row : dict of str to str
        Its fields, without white space around them.

    Raises
    ------
    CorpusError
        If the table cannot be read, or a name is there twice.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if repeated := sorted({name for name in header if header.count(name) > 1}):
            raise CorpusError(f"{path}:1: column {repeated[0]!r} is there twice")
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if len(row) != len(header):
                problems.add(
                    f"{path}:{reader.line_num}: {len(row)} fields; expected {len(header)}, as in the first line"
                )
                continue
            yield reader.line_num, dict(zip(header, map(str.strip, row), strict=True))
    except csv.Error as error:
        raise CorpusError(f"{path}:{reader.line_num}: {error}") from error


def _separator(text: str) -> str:
    """Tell what separates the columns, by the first line."""
    first = text.partition("\n")[0]
    return next((each for each in "\t;" if each in first), ",")


def _role(text: str, where: str, problems: Problems) -> Role | None:
    """Read a role, or none."""
    role = next((each for each in ROLES if each == text), None)
    if text and role is None:
        problems.add(f"{where}: role {text!r}; expected {', '.join(ROLES)}, or nothing")
    return role


def _utterance(row: Mapping[str, str], root: Path, where: str, problems: Problems) -> Utterance | None:
    """Make an utterance of a row."""
    if empty := [name for name in NEEDED if not row[name]]:
        problems.add(f"{where}: no {' and no '.join(empty)}")
        return None
    start, end = _seconds(row["start"]), _seconds(row["end"])
    if not (start or 0.0) < (math.inf if end is None else end) or (start or 0.0) < 0:
        problems.add(
            f"{where}: start {row['start']!r}, end {row['end']!r}; expected seconds, 0 or more, and a later end"
        )
    channel: Channel = int(row["channel"]) if CHANNEL.fullmatch(row["channel"]) else None
    if row["channel"] == "mean":
        channel = "mean"
    if row["channel"] and channel is None:
        problems.add(f"{where}: channel {row['channel']!r}; expected a number from 0 on, or mean")
    return Utterance(
        row["id"] or id_of_path(row["path"]),
        row["speaker"],
        str(root / row["path"]),
        row["sex"] or None,
        start,
        end,
        channel,
        row["session"] or None,
        row["model"] or None,
    )


def id_of_path(path: str) -> str:
    """Name an utterance after its file.

    Parameters
    ----------
    path : str
        As a list has it.

    Returns
    -------
    str
        The path without the suffix.
    """
    pure = PurePosixPath(path)
    return (pure.with_suffix("") if pure.name else pure).as_posix()


def _seconds(text: str) -> float | None:
    """Read a time, which may be missing; NaN for what is none."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def write_table(corpus: Corpus, root: Path) -> None:
    """Write a corpus as a table and trial lists, for `read_table` with its default names.

    Parameters
    ----------
    corpus : Corpus
        Its audio files lie below `root`.
    root : Path
        Where to write ``utterances.csv``, which has the columns that the corpus has something for, and one
        ``NAME.txt`` for each trial list.

    Raises
    ------
    ValueError
        If an audio file lies elsewhere, or a name in a trial list holds white space.
    OSError
        If a file cannot be written.
    """
    pool: dict[Role | None, list[Utterance]] = {
        role: [replace(each, path=Path(each.path).relative_to(root).as_posix()) for each in corpus.role(role)]
        for role in ROLES
    }
    write_utterances(root / CsvConfig.model_fields["table"].default, pool)
    for name, trials in corpus.trials.items():
        write_trials(root / f"{name}.txt", trials)


def write_utterances(path: Path, pool: Mapping[Role | None, Sequence[Utterance]]) -> None:
    """Write utterances as a table, for `read_utterances` with its default names.

    Parameters
    ----------
    path : Path
        The table, with the columns that there is something for.
    pool : mapping from Role or None to sequence of Utterance
        By their roles; paths are written as they are.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    own = [name.name for name in fields(Utterance)]
    rows = [dict(zip(own, astuple(each), strict=True)) | {"role": role} for role, some in pool.items() for each in some]
    names = ("id", "path", "speaker", "role", *own[3:])
    header = [name for name in names if any(row[name] is not None for row in rows)]
    write_csv(path, header, ([_text(row[name]) for name in header] for row in rows))


def _text(value: str | float | None) -> str:
    """Write a value, all digits of a number."""
    return "" if value is None else str(value)
