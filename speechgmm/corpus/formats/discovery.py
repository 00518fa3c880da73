"""Finding out how somebody's recordings are laid out: a table, a known layout, or a folder for each speaker."""

from dataclasses import dataclass
from pathlib import Path

from speechgmm.corpus.formats.folders import LAYOUTS, find_utterances, other_layouts
from speechgmm.corpus.formats.tables import ColumnsConfig, read_column_names, read_utterances
from speechgmm.corpus.manifest import Role, Utterance, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import files_below, is_audio

TABLES = (".csv", ".tsv")

ENOUGH = 0.9
"""Share of the audio that must lie as a known layout says."""

SYNONYMS = {
    "id": ("utterance", "utterance_id", "utt", "utt_id", "uttid"),
    "path": ("file", "filename", "file_name", "filepath", "file_path", "audio", "audio_path", "wav"),
    "speaker": ("speaker_id", "speakerid", "spk", "spk_id", "client_id", "reader", "reader_id", "name"),
    "sex": ("gender",),
    "session": ("session_id",),
    "start": ("begin", "start_time", "onset"),
    "end": ("stop", "end_time", "offset"),
}
"""What people call the columns of `ColumnsConfig`."""


@dataclass(frozen=True)
class DiscoveredCorpus:
    """Recordings, and how a recipe's corpus section names them.

    Parameters
    ----------
    kind : str
        The kind of corpus.
    root : Path
        Its root.
    utterances : dict of Role or None to tuple of Utterance
        By the roles that they have; under None those that have none yet.
    how : str
        What was recognised, in words.
    table : str or None
        The table, from the root on.
    columns : dict of str to str
        Columns of the table that have other names than usual.
    ignored : tuple of str
        What else is there, a sentence each.
    """

    kind: str
    root: Path
    utterances: dict[Role | None, tuple[Utterance, ...]]
    how: str
    table: str | None = None
    columns: dict[str, str] | None = None
    ignored: tuple[str, ...] = ()


def discover(place: Path) -> DiscoveredCorpus:
    """Find out how recordings are laid out.

    Parameters
    ----------
    place : Path
        A folder, or a table of recordings.

    Returns
    -------
    DiscoveredCorpus
        By a table with columns for files and speakers, if there is one; else by the known layout that nearly all of
        the audio follows; else by folders, one for each speaker.

    Raises
    ------
    CorpusError
        If there is none of these, or a table has errors; the message says what is there, and what was expected.
    """
    place = place.absolute()
    if place.is_file():
        found = _by_table(place)
        if found is None:
            names = ", ".join(read_column_names(place))
            raise CorpusError(f"{place}: columns {names}; expected one of paths and one of speakers, by these names")
        return found
    if not place.is_dir():
        raise CorpusError(f"{place}: no such folder or table")
    files = files_below(place)
    audio = [name for name in files if is_audio(name)]
    tables = [place / name for name in files if Path(name).suffix.lower() in TABLES and "/" not in name]
    by_tables = [found for table in tables if (found := _by_table(table))]
    if by_tables:
        return max(by_tables, key=lambda found: sum(map(len, found.utterances.values())))
    if not audio:
        raise CorpusError(f"{place}: no audio among {len(files)} files; expected names that end as in .wav or .flac")
    silent = len(files) - len(audio)
    ignored = (f"files that are no audio, by their names: {silent:,}",) if silent else ()
    return _by_layout(place, len(audio), ignored) or _by_folders(place, audio, ignored)


def _by_layout(root: Path, n_audio: int, ignored: tuple[str, ...]) -> DiscoveredCorpus | None:
    """Try the layouts of known corpora."""
    for kind in LAYOUTS:
        if kind == "folder":
            continue
        try:
            utterances, others = find_utterances(root, kind)
        except CorpusError:
            continue
        if len(utterances) >= ENOUGH * n_audio and len({each.speaker for each in utterances}) > 1:
            how = f"files named as in {kind}: {LAYOUTS[kind].expected}"
            return DiscoveredCorpus(
                kind, root, {None: utterances}, how, ignored=(*other_layouts(others, kind), *ignored)
            )
    return None


def _by_folders(place: Path, audio: list[str], ignored: tuple[str, ...]) -> DiscoveredCorpus:
    """Take each folder for a speaker; a folder that holds all others is passed through."""
    root, rest = place, audio
    while len(tops := {name.partition("/")[0] for name in rest}) == 1 and all(name.count("/") > 1 for name in rest):
        (top,) = tops
        root, rest = root / top, [name.partition("/")[2] for name in rest]
    if not any("/" in name for name in rest):
        raise CorpusError(
            f"{root}: {first_few(rest)} lie side by side, and nothing says who speaks; expected a folder for each "
            "speaker, a table (.csv or .tsv) with columns path and speaker, or names as DIGIT_SPEAKER_TAKE.wav"
        )
    utterances, others = find_utterances(root, "folder")
    how = f"a folder for each speaker: {LAYOUTS['folder'].expected}"
    return DiscoveredCorpus(
        "folder", root, {None: utterances}, how, ignored=(*other_layouts(others, "folder"), *ignored)
    )


def _by_table(path: Path) -> DiscoveredCorpus | None:
    """Read a table, if it has columns for files and speakers."""
    try:
        header = read_column_names(path)
    except CorpusError:
        return None
    columns = _columns(header)
    names = ColumnsConfig.model_validate(columns)
    if names.path not in header or names.speaker not in header:
        return None
    problems = Problems()
    pool = read_utterances(path, path.parent, names, problems)
    problems.check()
    root = _root_of(path.parent, next(iter(next(iter(pool.values())))))
    table = Path("../" * len(root.relative_to(path.parent).parts), path.name).as_posix()
    if root != path.parent:
        pool = read_utterances(path, root, names, problems)
    used = {*names.model_dump().values()}
    idle = [name for name in header if name not in used]
    ignored = (f"columns {', '.join(idle)}",) if idle else ()
    utterances = {role: tuple(own) for role, own in pool.items()}
    return DiscoveredCorpus("csv", root, utterances, f"the table {path.name}", table, columns, ignored)


def _columns(header: list[str]) -> dict[str, str]:
    """Map our names of columns to those of a table, where they differ."""
    lower = {name.lower(): name for name in reversed(header)}
    found = {}
    for ours in ColumnsConfig.model_fields:
        theirs = next((lower[each] for each in (ours, *SYNONYMS.get(ours, ())) if each in lower), ours)
        if theirs != ours:
            found[ours] = theirs
    return found


def _root_of(folder: Path, first: Utterance) -> Path:
    """Find the folder that the paths of a table start at: the table's own, or one below it."""
    if Path(first.path).exists() or not Path(first.path).is_relative_to(folder):
        return folder
    wanted = Path(first.path).relative_to(folder).as_posix()
    below = [name for name in files_below(folder) if name.endswith(f"/{wanted}")]
    return folder / below[0].removesuffix(f"/{wanted}") if below else folder
