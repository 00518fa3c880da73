"""Detection of tables of recordings: the columns that name files and speakers, and where the files are."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.formats.discovered import (
    DiscoveredCorpus,
    KeyValue,
    find_root,
    likely_roots,
    relative_path,
    root_below,
    unlisted_audio,
)
from speechgmm.corpus.formats.tables import ColumnsConfig, read_rows, read_utterances
from speechgmm.corpus.named_columns import read_column_names
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import RECIPE_SUFFIXES, TABLE_SUFFIXES, is_file
from speechgmm.wording import first_few

WRITTEN = "-usable.csv"
"""How the names of tables end that `init` writes beside its recipes, after those of the recipes."""

MAX_DEPTH = 2
"""Folders between the given one and a table, at most."""

SYNONYMS = {
    "id": ("utterance", "utt", "uttid", "utteranceid", "uid", "segmentid"),
    "path": (
        *("file", "filename", "filepath", "fname", "audio", "audiopath", "audiofile", "audiofilepath", "audiofilename"),
        *("wav", "wavpath", "wavfile", "wavfilename", "pathtowav", "pathtoaudio", "pathtofile", "recording", "clip"),
    ),
    "speaker": (
        *("speakerid", "speakername", "spk", "spkid", "spkr", "spkrid", "clientid", "reader", "readerid", "talker"),
        *("talkerid", "subject", "subjectid", "participant", "participantid", "person", "personid", "userid", "name"),
    ),
    "sex": ("gender", "speakersex", "speakergender"),
    "session": ("sessionid",),
    "start": ("begin", "starttime", "onset"),
    "end": ("stop", "endtime", "offset"),
}
"""Other usual names of the columns of `ColumnsConfig`, in small letters and without what separates words."""


TIMES = ("start", "begin", "onset", "offset", "end", "stop", "duration")
"""Beginnings of the names of columns that may hold times."""


class _Table(NamedTuple):
    """A table with columns for files and speakers."""

    path: Path
    header: list[str]
    columns: dict[str, str]  # names of the table's columns that differ from the usual ones


def discover_table(path: Path) -> DiscoveredCorpus:
    """Return the recordings of a table; raise `CorpusError` if it lacks columns for files and speakers."""
    table = _open_table(path)
    if table is None:
        raise CorpusError(
            f"{path}: columns {', '.join(read_column_names(path))}; expected columns path and speaker, or usual names "
            "for them"
        )
    return _corpus(table, _find_root(table) or path.parent)


def discover_tables(place: Path, files: Sequence[str]) -> tuple[DiscoveredCorpus | None, tuple[str, ...]]:
    """Return the recordings of the largest table in a folder, if one names files that exist and their speakers.

    Also returned is a sentence for each table above that names files that do not exist.
    """
    useless: list[str] = []
    names = [name for name in files if Path(name).suffix.lower() in TABLE_SUFFIXES and name.count("/") <= MAX_DEPTH]
    for depth in range(MAX_DEPTH + 1):
        tables = [_open_table(place / name) for name in names if name.count("/") == depth]
        rooted = [(table, root) for table in tables if table and (root := _find_root(table))]
        if rooted:
            largest = max((_corpus(*each) for each in rooted), key=lambda corpus: len(corpus.all_utterances))
            listed = [each.path for each in largest.all_utterances]
            unlisted = unlisted_audio(listed, place, files, "the table does not name")
            return replace(largest, ignored=(*largest.ignored, *unlisted)), ()
        useless += [f"the table {_why_useless(table, place)}" for table in tables if table]
        useless += _unreadable(place, [name for name in names if name.count("/") == depth])
    return None, tuple(useless)


def written_by_init(files: Sequence[str]) -> dict[str, str]:
    """Find the tables that `init` wrote, each with its recipe: later recordings of the folder are not in them."""
    tables = [name for name in files if name.endswith(WRITTEN)]
    recipes = {(name, name.removesuffix(WRITTEN) + suffix) for name in tables for suffix in RECIPE_SUFFIXES}
    there = {*files}
    return {table: recipe for table, recipe in sorted(recipes) if recipe in there}


def _why_useless(table: _Table, place: Path) -> str:
    """Name a table whose files are not found, with the reason."""
    name, problems = table.path.relative_to(place).as_posix(), Problems()
    rows = list(read_rows(table.path, ColumnsConfig.model_validate(table.columns), problems))
    if problems.lines and not rows:
        return problems.lines[0].removeprefix(f"{place}/")
    return f"{name}, because its files do not exist"


def _unreadable(place: Path, names: Sequence[str]) -> list[str]:
    """Name the tables that cannot be read, with the reason."""
    reasons = []
    for name in names:
        try:
            read_column_names(place / name)
        except CorpusError as error:
            reasons.append(f"the table {str(error).removeprefix(f'{place}/')}")
    return reasons


def _open_table(path: Path) -> _Table | None:
    """Return a table, if it has columns for files and speakers."""
    try:
        header = read_column_names(path)
    except CorpusError:
        return None
    columns = _rename_columns(header)
    names = ColumnsConfig.model_validate(columns)
    return _Table(path, header, columns) if names.path in header and names.speaker in header else None


def _rename_columns(header: list[str]) -> dict[str, str]:
    """Find the table's names of our columns, where they differ."""
    plain = {re.sub(r"[\W_]+", "", name.lower()): name for name in reversed(header)}
    if "duration" in plain and "onset" not in plain:
        plain.pop("offset", None)  # it is a start then, as in manifests of NeMo
    renamed = {}
    for ours in ColumnsConfig.model_fields:
        theirs = next((plain[name] for name in (ours, *SYNONYMS.get(ours, ())) if name in plain), ours)
        if theirs != ours and ours not in header:
            renamed[ours] = theirs
    return renamed


def _find_root(table: _Table) -> Path | None:
    """Find the folder that the paths of a table are relative to, if the files exist anywhere likely."""
    folder, names = table.path.parent, ColumnsConfig.model_validate(table.columns)
    paths = [row["path"] for _, row in read_rows(table.path, names, Problems())]
    relative = [path for path in paths if path and not Path(path).is_absolute()]
    if not relative:
        return folder if any(is_file(audio_file(path)) for path in paths) else None
    own, *others = likely_roots(folder)
    return find_root(relative, [own]) or root_below(relative[0], folder) or find_root(relative, others)


def _corpus(table: _Table, root: Path) -> DiscoveredCorpus:
    """Read the recordings of a table."""
    names, problems = ColumnsConfig.model_validate(table.columns), Problems()
    place = relative_path(table.path, root)
    if Path(place).is_absolute():  # a link stands between the table and its files
        root = root.resolve()
        place = relative_path(table.path.resolve(), root)
    by_role = read_utterances(table.path, root, names, problems)
    problems.check()
    unused = [name for name in table.header if name and name not in names.model_dump().values()]
    utterances = {role: tuple(listed) for role, listed in by_role.items()}
    keys: dict[str, KeyValue] = {"table": place}
    if table.columns:
        keys["columns"] = table.columns
    ignored = (f"columns {', '.join(unused)}",) if unused else ()
    doubts = _unread_times(table, unused)
    return DiscoveredCorpus("csv", root, utterances, f"the table {table.path.name}", keys, ignored, doubts)


def _unread_times(table: _Table, unused: Sequence[str]) -> tuple[str, ...]:
    """Say that columns which may hold times are not read; one of durations alone may be those of whole files."""
    has_start, has_end = ({ours, table.columns.get(ours)} & {*table.header} for ours in ("start", "end"))
    times = [name for name in unused if re.sub(r"[\W_]+", "", name.lower()).startswith(TIMES)]
    if not times or has_end or (not has_start and all("duration" in name.lower() for name in times)):
        return ()
    from_start = "from start to the end of the file" if has_start else "whole"
    return (
        f"{first_few(times)} not read: recordings are taken {from_start}; for segments, give columns start and end "
        "in seconds",
    )
