"""Corpora listed in a table: one row per utterance, named columns, separated by commas, semicolons or tabs."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from speechgmm.audio.reading import Channel
from speechgmm.configuration import Configuration
from speechgmm.corpus.linked_paths import audio_path, list_path
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.corpus.named_columns import named_rows, read_column_names, read_header
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.shared_recordings import SharedRecordingsConfig
from speechgmm.corpus.trials import trial_lists, write_trials
from speechgmm.corpus.vocabulary import DECIMAL_COMMA
from speechgmm.errors import CorpusError
from speechgmm.files import read_number, write_csv

NEEDED = ("path", "speaker")
CHANNEL = re.compile(r"([0-9]{1,4})(?:\.0)?")
"""A channel; with a decimal zero as pandas writes it where others are missing."""

MISSING = frozenset(("", "NA", "N/A", "<NA>", "NaN", "nan", "None", "null", "NULL"))
"""What programs write where a value is missing, in columns that hold no names."""

ROLE_NAMES: dict[str, Role] = {**{role: role for role in ROLES}, "enroll": "enrol"}

WITHOUT_NAMES = ("role", "sex", "start", "end", "channel")
"""Columns that hold no names, so that what stands for a missing value in them cannot be one."""


class ColumnsConfig(Configuration):
    """Names of a table's columns.

    Parameters
    ----------
    id : str
        Column of the utterance ids. Without it, an id is the path without the suffix. Where rows of a role have the
        same path, their channels and times follow, with start and end in milliseconds: ``a-ch0-00000500-00001250``.
    path, speaker : str
        Columns of the audio file and the speaker; both are required.
    role : str
        Column of the role: ``background``, ``enrol`` or ``test``. If it is empty or missing, the protocol or the trial
        lists decide.
    sex, session : str
        Columns of the speaker's sex and of the recording session.
    start, end : str
        Columns of the segment in seconds; empty for the start or end of the file.
    channel : str
        Column of the channel to read: a number from 0, or ``mean``.
    model : str
        Column of the model that an enrolment utterance is for; empty if the model has the speaker's name.
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


class CsvConfig(SharedRecordingsConfig):
    """A corpus listed in a table.

    Parameters
    ----------
    kind : "csv"
        The kind of corpus.
    root : str
        Folder that the other paths, and those in the table, are relative to. In a recipe it is relative to the
        recipe, and ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    table : str
        The table, in UTF-8. Its first line names the columns, separated by tabs, semicolons or commas; a line as
        ``sep=;`` may come before. Columns with other names than those in `columns`, or without a name, are ignored.
    columns : section
        Names of the columns.
    trials : list of str
        Trial lists, in the formats of `speechgmm.corpus.trials.parse_trials`. They decide who is enrolled and tested if
        the table has no roles.
    protocol : section, optional
        Decides the roles if neither the table nor trial lists do, and makes the trials if there are no lists.
    """

    kind: Literal["csv"] = "csv"
    root: str
    table: str = "utterances.csv"
    columns: ColumnsConfig = ColumnsConfig()
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ()
    protocol: ProtocolConfig | None = None


def read_table(config: CsvConfig) -> Corpus:
    """Read a corpus from a table. No audio file is opened.

    Raises `CorpusError` if lists are missing, malformed or contradictory, with file and line of every error.
    """
    root = Path(config.root)
    problems = Problems()
    try:
        by_role = read_utterances(list_path(root, config.table), root, config.columns, problems)
    except CorpusError as error:
        problems.add(str(error))
        by_role = {}
    return assemble(by_role, trial_lists(root, config.trials, problems), config.protocol, problems)


def read_utterances(
    path: Path, root: Path, columns: ColumnsConfig, problems: Problems
) -> dict[Role | None, list[Utterance]]:
    """Read the utterances of a table by role, in its order; the key None has those without a role.

    Relative paths in the table start at `root`; `problems` collects malformed rows. Raises `CorpusError` if the table
    cannot be read or lacks a required column.
    """
    by_role: dict[Role | None, list[Utterance]] = {}
    first_lines: dict[tuple[Role | None, str], int] = {}
    cut = _cut_files(path, columns)
    for number, row in read_rows(path, columns, problems):
        where = f"{path}:{number}"
        role = _role(row["role"], where, problems)
        utterance = _utterance(row, root, cut, where, problems)
        if utterance is None:
            continue
        first_line = first_lines.setdefault((role, utterance.id), number)
        if first_line != number:
            problems.add(f"{where}: id {utterance.id} is on line {first_line} as well; expected different ids")
            continue
        by_role.setdefault(role, []).append(utterance)
    if not first_lines and not problems.lines:
        problems.add(f"{path}: no utterances")
    return by_role


def read_rows(path: Path, columns: ColumnsConfig, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a table: the line number where a row ends, and its fields by our names of the columns.

    Fields of missing columns are empty; `problems` collects rows with more or fewer fields than the first line. Raises
    `CorpusError` if the table cannot be read, a column name is repeated, or a required column is missing.
    """
    names = columns.model_dump()
    line, header = read_header(path)
    for needed in NEEDED:
        if names[needed] not in header:
            among = ", ".join(filter(None, header)) or "none"
            raise CorpusError(
                f"{path}:{line}: no column {names[needed]!r} among {among}; it has the {needed}; "
                f"set corpus.columns.{needed} if it has another name"
            )
    for number, row in named_rows(path, problems):
        values = {ours: row.get(theirs, "") for ours, theirs in names.items()}
        yield number, values | {ours: "" for ours in WITHOUT_NAMES if values[ours] in MISSING}


def _role(text: str, where: str, problems: Problems) -> Role | None:
    """Read a role, or None if it is empty or unknown."""
    role = ROLE_NAMES.get(text.lower())
    if text and role is None:
        problems.add(f"{where}: role {text!r}; expected {', '.join(ROLES)}, or nothing")
    return role


def _cut_files(path: Path, columns: ColumnsConfig) -> set[tuple[str, str]]:
    """Find the roles and paths with several rows without an id, if the table has columns for the parts of a file."""
    if not {columns.start, columns.end, columns.channel} & {*read_column_names(path)}:
        return set()
    counts = Counter((row["role"], row["path"]) for _, row in read_rows(path, columns, Problems()) if not row["id"])
    return {row for row, count in counts.items() if count > 1}


def _utterance(
    row: Mapping[str, str], root: Path, cut: Collection[tuple[str, str]], where: str, problems: Problems
) -> Utterance | None:
    """Read the utterance of a row, or None without a path or speaker; `problems` collects bad fields.

    `cut` has the roles and paths whose parts are utterances.
    """
    if empty := [name for name in NEEDED if not row[name]]:
        problems.add(f"{where}: no {' and no '.join(empty)}")
        return None
    start, end = _seconds(row["start"]), _seconds(row["end"])
    if commas := [text for text in (row["start"], row["end"]) if DECIMAL_COMMA.fullmatch(text)]:
        problems.add(f"{where}: {' and '.join(commas)}: a decimal comma; expected a decimal point, as in 1.5")
    elif not (start or 0.0) < (math.inf if end is None else end) or (start or 0.0) < 0:
        problems.add(
            f"{where}: start {row['start']!r}, end {row['end']!r}; expected seconds, 0 or more, and a later end"
        )
    number = CHANNEL.fullmatch(row["channel"])
    channel: Channel = int(number[1]) if number else None
    if row["channel"] == "mean":
        channel = "mean"
    if row["channel"] and channel is None:
        problems.add(f"{where}: channel {row['channel']!r}; expected a number from 0 on, or mean")
    part = id_of_part(start, end, channel) if (row["role"], row["path"]) in cut else ""
    return Utterance(
        row["id"] or id_of_path(row["path"]) + part,
        row["speaker"],
        audio_path(root, row["path"]),
        row["sex"] or None,
        start,
        end,
        channel,
        row["session"] or None,
        row["model"] or None,
    )


def id_of_path(path: str) -> str:
    """Return the id of an utterance without one: its path without the suffix."""
    pure = PurePosixPath(path)
    return (pure.with_suffix("") if pure.name else pure).as_posix()


def id_of_part(start: float | None, end: float | None, channel: Channel) -> str:
    """Return what follows the id of a file in the id of a part of it: ``-ch0-00000500-00001250``, in milliseconds."""
    name = "" if channel is None else f"-{channel if channel == 'mean' else f'ch{channel}'}"
    if start is None and end is None:
        return name
    return f"{name}-{1000 * (start or 0.0):08.0f}-{'end' if end is None else f'{1000 * end:08.0f}'}"


def _seconds(text: str) -> float | None:
    """Read a time: None if it is empty, NaN if it is not a finite number."""
    value = read_number(text)
    return (value if math.isfinite(value) else math.nan) if text else None


def write_table(corpus: Corpus, root: Path) -> None:
    """Write a corpus as ``utterances.csv`` and a ``NAME.txt`` per trial list, for `read_table` with its default names.

    Raises `ValueError` if an audio file is not below `root`, or a name in a trial list holds white space.
    """
    by_role: dict[Role | None, list[Utterance]] = {
        role: [
            replace(utterance, path=Path(utterance.path).relative_to(root).as_posix())
            for utterance in corpus.role(role)
        ]
        for role in ROLES
    }
    write_utterances(root / CsvConfig.model_fields["table"].default, by_role)
    for name, trials in corpus.trials.items():
        write_trials(root / f"{name}.txt", trials)


def write_utterances(path: Path, by_role: Mapping[Role | None, Sequence[Utterance]]) -> None:
    """Write utterances by role as a table for `read_utterances` with its default names.

    Columns without values are left out; paths are written unchanged.
    """
    attributes = [field.name for field in fields(Utterance)]
    rows = [
        dict(zip(attributes, astuple(utterance), strict=True)) | {"role": role}
        for role, utterances in by_role.items()
        for utterance in utterances
    ]
    names = ("id", "path", "speaker", "role", *attributes[3:])
    header = [name for name in names if any(row[name] is not None for row in rows)]
    write_csv(path, header, ([_text(row[name]) for name in header] for row in rows))


def _text(value: str | float | None) -> str:
    """Format a value of a table, with all digits of a number."""
    return "" if value is None else str(value)
