"""Detection of how recordings are laid out: a table, a known layout, or a folder for each speaker."""

from dataclasses import dataclass
from pathlib import Path

from speechgmm.corpus.formats.folders import LAYOUTS, find_utterances, other_layouts
from speechgmm.corpus.formats.tables import ColumnsConfig, read_column_names, read_utterances
from speechgmm.corpus.manifest import Role, Utterance, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import files_below, is_audio

TABLE_SUFFIXES = (".csv", ".tsv")

MIN_LAYOUT_SHARE = 0.9
"""Least share of the audio files that match a known layout."""

SYNONYMS = {
    "id": ("utterance", "utterance_id", "utt", "utt_id", "uttid"),
    "path": ("file", "filename", "file_name", "filepath", "file_path", "audio", "audio_path", "wav"),
    "speaker": ("speaker_id", "speakerid", "spk", "spk_id", "client_id", "reader", "reader_id", "name"),
    "sex": ("gender",),
    "session": ("session_id",),
    "start": ("begin", "start_time", "onset"),
    "end": ("stop", "end_time", "offset"),
}
"""Other usual names of the columns of `ColumnsConfig`."""


@dataclass(frozen=True)
class DiscoveredCorpus:
    """Recordings, and the values of a recipe's corpus section that describe them."""

    kind: str  # kind of corpus, a key of the recipe
    root: Path
    utterances: dict[Role | None, tuple[Utterance, ...]]  # by role; the key None has those without a role
    how: str  # what was recognised, in words
    table: str | None = None  # path of the table, relative to the root
    columns: dict[str, str] | None = None  # names of the table's columns that differ from the usual ones
    ignored: tuple[str, ...] = ()  # what else is in the folder, one sentence each


def discover(place: Path) -> DiscoveredCorpus:
    """Detect how the recordings in a folder, or in a table of recordings, are laid out.

    A table with columns for files and speakers comes first; then the known layout that nearly all audio files match;
    then folders, one for each speaker. Raises `CorpusError` if nothing matches, or a table has errors.
    """
    place = place.absolute()
    if place.is_file():
        by_table = _by_table(place)
        if by_table is None:
            names = ", ".join(read_column_names(place))
            raise CorpusError(f"{place}: columns {names}; expected columns path and speaker, or usual names for them")
        return by_table
    if not place.is_dir():
        raise CorpusError(f"{place}: no such folder or table")
    files = files_below(place)
    audio = [name for name in files if is_audio(name)]
    tables = [place / name for name in files if Path(name).suffix.lower() in TABLE_SUFFIXES and "/" not in name]
    by_tables = [corpus for table in tables if (corpus := _by_table(table))]
    if by_tables:
        return max(by_tables, key=lambda corpus: sum(map(len, corpus.utterances.values())))
    if not audio:
        raise CorpusError(f"{place}: no audio among {len(files)} files; expected names that end as in .wav or .flac")
    n_others = len(files) - len(audio)
    ignored = (f"files without an audio suffix: {n_others:,}",) if n_others else ()
    return _by_layout(place, len(audio), ignored) or _by_folders(place, audio, ignored)


def _by_layout(root: Path, n_audio: int, ignored: tuple[str, ...]) -> DiscoveredCorpus | None:
    """Return the recordings by the first known layout that matches nearly all of them, if there is one."""
    for kind in LAYOUTS:
        if kind == "folder":
            continue
        try:
            utterances, others = find_utterances(root, kind)
        except CorpusError:
            continue
        if len(utterances) >= MIN_LAYOUT_SHARE * n_audio and len({utterance.speaker for utterance in utterances}) > 1:
            how = f"files named as in {kind}: {LAYOUTS[kind].expected}"
            return DiscoveredCorpus(
                kind, root, {None: utterances}, how, ignored=(*other_layouts(others, kind), *ignored)
            )
    return None


def _by_folders(place: Path, audio: list[str], ignored: tuple[str, ...]) -> DiscoveredCorpus:
    """Return the recordings with a folder for each speaker; folders that hold all others are skipped."""
    root, rest = place, audio
    while len(tops := {name.partition("/")[0] for name in rest}) == 1 and all(name.count("/") > 1 for name in rest):
        (top,) = tops
        root, rest = root / top, [name.partition("/")[2] for name in rest]
    if not any("/" in name for name in rest):
        raise CorpusError(
            f"{root}: {first_few(rest)} are in one folder, and nothing names the speakers; expected a folder for each "
            "speaker, a table (.csv or .tsv) with columns path and speaker, or names as DIGIT_SPEAKER_TAKE.wav"
        )
    utterances, others = find_utterances(root, "folder")
    how = f"a folder for each speaker: {LAYOUTS['folder'].expected}"
    return DiscoveredCorpus(
        "folder", root, {None: utterances}, how, ignored=(*other_layouts(others, "folder"), *ignored)
    )


def _by_table(path: Path) -> DiscoveredCorpus | None:
    """Return the recordings of a table, if it has columns for files and speakers."""
    try:
        header = read_column_names(path)
    except CorpusError:
        return None
    columns = _rename_columns(header)
    names = ColumnsConfig.model_validate(columns)
    if names.path not in header or names.speaker not in header:
        return None
    problems = Problems()
    by_role = read_utterances(path, path.parent, names, problems)
    problems.check()
    root = _find_root(path.parent, next(iter(next(iter(by_role.values())))))
    table = Path("../" * len(root.relative_to(path.parent).parts), path.name).as_posix()
    if root != path.parent:
        by_role = read_utterances(path, root, names, problems)
    used = {*names.model_dump().values()}
    unused = [name for name in header if name not in used]
    ignored = (f"columns {', '.join(unused)}",) if unused else ()
    utterances = {role: tuple(listed) for role, listed in by_role.items()}
    return DiscoveredCorpus("csv", root, utterances, f"the table {path.name}", table, columns, ignored)


def _rename_columns(header: list[str]) -> dict[str, str]:
    """Find the table's names of our columns, where they differ."""
    lower = {name.lower(): name for name in reversed(header)}
    renamed = {}
    for ours in ColumnsConfig.model_fields:
        theirs = next((lower[name] for name in (ours, *SYNONYMS.get(ours, ())) if name in lower), ours)
        if theirs != ours:
            renamed[ours] = theirs
    return renamed


def _find_root(folder: Path, first: Utterance) -> Path:
    """Find the folder that the paths of a table are relative to: the table's own, or one below it."""
    if Path(first.path).exists() or not Path(first.path).is_relative_to(folder):
        return folder
    wanted = Path(first.path).relative_to(folder).as_posix()
    below = [name for name in files_below(folder) if name.endswith(f"/{wanted}")]
    return folder / below[0].removesuffix(f"/{wanted}") if below else folder
