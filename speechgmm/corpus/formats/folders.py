"""Corpora whose paths name the speakers: a folder for each speaker, and the layouts of known corpora."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from speechgmm.corpus.formats.sets import sex_of_set
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.shared_recordings import SharedRecordingsConfig
from speechgmm.corpus.trials import trial_lists
from speechgmm.errors import CorpusError
from speechgmm.files import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    files_below,
    is_audio,
    kinds_of_files,
    printable_name,
    read_text,
)
from speechgmm.wording import first_few


class LayoutConfig(SharedRecordingsConfig):
    """A corpus whose paths name the speakers.

    Parameters
    ----------
    kind : str
        The layout.
    root : str
        The folder that holds the layout, at any depth. In a recipe it is relative to the recipe, and ``${NAME}`` or
        ``${NAME:-default}`` in it stands for an environment variable.
    background : list of str
        Folders below the root, of sets or speakers. Their speakers are background.
    evaluation : list of str
        Folders of the speakers who are enrolled and tested; by default all others, unless `enrol` or `test` is given.
        Recordings in none of these folders are left out.
    enrol, test : list of str
        Folders of recordings that enrol their speakers, and of those that are tests.
    channel : "mean", optional
        Read the mean of a recording's channels. By default, recordings with several channels are refused.
    trials : list of str
        Trial lists, relative to the root, in the formats of `speechgmm.corpus.trials.parse_trials`. They decide who is
        enrolled and tested.
    protocol : section, optional
        Decides it if there are no trial lists.
    """

    kind: str
    root: str
    background: Annotated[tuple[str, ...], Field(strict=False)] = ()
    evaluation: Annotated[tuple[str, ...], Field(strict=False)] = ()
    enrol: Annotated[tuple[str, ...], Field(strict=False)] = ()
    test: Annotated[tuple[str, ...], Field(strict=False)] = ()
    channel: Literal["mean"] | None = None
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ()
    protocol: ProtocolConfig | None = None


class FolderConfig(LayoutConfig):
    """A folder for each speaker: ``SPEAKER/*.wav``, at any depth; a folder in a speaker's is a session.

    Parameters
    ----------
    sets : list of str
        Folders below the root that hold the speakers' folders, such as ``train`` and ``test``, or ``female`` and
        ``male``, which give the sex. Speakers of one name in several sets are one, unless their sexes differ. By
        default, the root holds the speakers' folders.
    """

    kind: Literal["folder"] = "folder"
    sets: Annotated[tuple[str, ...], Field(strict=False)] = ()


class LibriSpeechConfig(LayoutConfig):
    """LibriSpeech: ``SET/READER/CHAPTER/*.flac``; a session is a chapter, and ``SPEAKERS.TXT`` gives the sex."""

    kind: Literal["librispeech"] = "librispeech"


class VoxForgeConfig(LayoutConfig):
    """VoxForge: ``SPEAKER-DATE-XYZ/wav/*.wav``; a submission is a session, and each anonymous one a speaker."""

    kind: Literal["voxforge"] = "voxforge"


class AudioMnistConfig(LayoutConfig):
    """AudioMNIST: ``SPEAKER/DIGIT_SPEAKER_TAKE.wav``; ``audioMNIST_meta.txt`` gives the sex."""

    kind: Literal["audiomnist"] = "audiomnist"


class FsddConfig(LayoutConfig):
    """The Free Spoken Digit Dataset, or any files named ``DIGIT_SPEAKER_TAKE.wav``, in any folders."""

    kind: Literal["fsdd"] = "fsdd"


class TimitConfig(LayoutConfig):
    """TIMIT: ``TRAIN/DR1/SPEAKER/*.WAV``, in capitals or not; the first letter of a speaker gives the sex."""

    kind: Literal["timit"] = "timit"


class VoxCelebConfig(LayoutConfig):
    """VoxCeleb: ``ID/VIDEO/*.wav``, wherever the folders of speakers lie; a video is a session."""

    kind: Literal["voxceleb"] = "voxceleb"


MAYBE_AUDIO = re.compile(
    rf"^(?!.*\.)(?=.*(?-i:[a-z0-9]))|\.(?:raw|pcm)$|(?:{'|'.join(map(re.escape, (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES)))})"
    r"(?:~|[._-]?(?:bak|backup|part|partial|te?mp|old|orig|original|copy|(?:cr)?download|gz|bz2|xz|zip|\d+))$",
    re.IGNORECASE,
)
"""Names of files that may be audio: without a suffix, without a header, or with another suffix after that of audio."""


class Layout(NamedTuple):
    """How the paths and tables of a corpus name speakers, sessions and sexes."""

    expected: str  # the path of an utterance, as messages show it
    # Matches the whole path from the root on, without the suffix: groups id and speaker, and maybe session and sex.
    pattern: re.Pattern[str]
    table: str = ""  # a file below the root that may list the sex of the speakers
    row: re.Pattern[str] | None = None  # its lines, with groups speaker and sex


def _path(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of paths that match at any depth below the root, in capitals or not."""
    return re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)


LAYOUTS = {
    "folder": Layout("SPEAKER/NAME.wav", re.compile(r"(?P<id>(?P<speaker>[^/]+)/(?:(?P<session>[^/]+)/)?.+)")),
    "librispeech": Layout(
        "READER/CHAPTER/READER-CHAPTER-NUMBER.flac",
        _path(r"(?P<speaker>\d+)/(?P<session>\d+)/(?P<id>(?P=speaker)-(?P=session)-\d+)"),
        "SPEAKERS.TXT",
        re.compile(r"^(?P<speaker>\d+)\s*\|\s*(?P<sex>[FM])\s*\|", re.MULTILINE),
    ),
    "voxforge": Layout(
        "SPEAKER-DATE-XYZ/wav/NAME.wav",
        _path(r"(?P<id>(?P<session>(?P<speaker>anonymous-\d{8}[^/]*|[^/]+?(?=-\d{8}))[^/]*)/(?:wav|flac)/[^/]+)"),
    ),
    "audiomnist": Layout(
        "SPEAKER/DIGIT_SPEAKER_TAKE.wav",
        _path(r"(?P<speaker>\d+)/(?P<id>\d_(?P=speaker)_\d+)"),
        "audioMNIST_meta.txt",
        re.compile(r'"(?P<speaker>\d+)":\s*\{[^}]*"gender":\s*"(?P<sex>\w+)"'),
    ),
    "fsdd": Layout("DIGIT_SPEAKER_TAKE.wav", _path(r"(?P<id>\d_(?P<speaker>[^/]+)_\d+)")),
    "timit": Layout(
        "SET/REGION/SPEAKER/SENTENCE.wav",
        _path(r"dr\d/(?P<id>(?P<speaker>(?P<sex>[fm])\w{3}\d)/s[aix]\d+)"),
    ),
    "voxceleb": Layout(
        "ID/VIDEO/NUMBER.wav",
        _path(r"(?P<id>(?P<speaker>id\d{5})/(?P<session>[^/]+)/[^/]+)"),
        "vox1_meta.csv",
        re.compile(r"^(?P<speaker>id\d{5})\t[^\t]*\t(?P<sex>[fm])\t", re.MULTILINE),
    ),
}
"""The layouts by kind of corpus."""


def read_folders(config: LayoutConfig) -> Corpus:
    """Read a corpus from the names of its files; its notes count the audio that does not match the layout.

    Raises `CorpusError` if the folder is missing, no audio matches the layout, a trial list has errors, or there are
    too few speakers or utterances for the protocol.
    """
    root = Path(config.root)
    problems = Problems()
    sets = config.sets if isinstance(config, FolderConfig) else ()
    _check_folders(root, sets, "sets", problems)
    problems.check()
    found = find_utterances(root, config.kind, sets)
    folders: dict[Role | None, Sequence[str]] = {role: getattr(config, role) for role in ROLES}
    folders[None] = config.evaluation
    for role, names in folders.items():
        _check_folders(root, names, role or "evaluation", problems)
    utterances = [replace(utterance, channel=config.channel) for utterance in found.utterances]
    by_role, n_left_out = divide_by_folder(utterances, root, folders)
    corpus = assemble(by_role, trial_lists(root, config.trials, problems), config.protocol, problems)
    where = "no folder with a role" if config.enrol or config.test else "neither background nor evaluation"
    left_out = (f"{n_left_out:,} recordings in {where}; left out",) if n_left_out else ()
    return replace(corpus, notes=(*corpus.notes, *left_out, *found.left_out(expected_path(config.kind, sets))))


def _check_folders(root: Path, names: Sequence[str], key: str, problems: Problems) -> None:
    """Report folders that a key of the corpus section names and that do not exist."""
    for folder in (Path(root, name) for name in names):
        if not folder.is_dir():
            problems.add(f"{folder}: no such folder; corpus.{key} names it")


def divide_by_folder(
    utterances: Iterable[Utterance], root: Path, folders: Mapping[Role | None, Sequence[str]]
) -> tuple[dict[Role | None, list[Utterance]], int]:
    """Divide recordings into the roles of the folders that they are in; return them by role, and count the others.

    The key None has the recordings without a role: those in its folders or, if no folders but those of the background
    are given, all others.
    """
    is_in = {role: _below(root, names) for role, names in folders.items()}
    takes_others = not any(names for role, names in folders.items() if role != "background")
    by_role: dict[Role | None, list[Utterance]] = {role: [] for role, names in folders.items() if names}
    if takes_others:
        by_role[None] = []
    n_left_out = 0
    for utterance in utterances:
        role = next((role for role, holds in is_in.items() if holds(utterance)), None)
        if role is not None or takes_others or (None in is_in and is_in[None](utterance)):
            by_role[role].append(utterance)
        else:
            n_left_out += 1
    return by_role, n_left_out


def _below(root: Path, names: Sequence[str]) -> Callable[[Utterance], bool]:
    """Return a check whether a recording is in one of the folders `names`."""
    folders = tuple(f"{Path(root, name)}/" for name in names)
    return lambda utterance: utterance.path.startswith(folders)


class FoundFiles(NamedTuple):
    """The files below the root of a corpus."""

    utterances: tuple[Utterance, ...]  # the recordings that match the layout, in the order of their paths
    others: tuple[str, ...]  # the other audio files, relative to the root
    copies: tuple[str, ...]  # and those beside a recording that differ from it in the suffix alone
    rest: tuple[str, ...]  # files that are not audio by their names, relative to the root
    like_audio: tuple[str, ...]  # those of them beside the recordings that may be audio after all

    def left_out(self, expected: str) -> tuple[str, ...]:
        """List what a run leaves out and a user may miss, one sentence each; `expected` is the path of a recording."""
        notes = []
        if self.others:
            notes.append(f"{first_few(self.others)}: not a {expected}; left out")
        if self.copies:
            notes.append(f"{first_few(self.copies)}: beside a recording of the same name; left out")
        if self.like_audio:
            notes.append(f"{kinds_of_files(self.like_audio)}: not audio by their names; left out")
        return tuple(notes)


def expected_path(kind: str, sets: Sequence[str] = ()) -> str:
    """Return the path of a recording as messages show it, below the root of a corpus."""
    return f"SET/{LAYOUTS[kind].expected}" if sets else LAYOUTS[kind].expected


def find_utterances(root: Path, kind: str, sets: Sequence[str] = (), files: Sequence[str] | None = None) -> FoundFiles:
    """Find the recordings below a folder that match a layout, and the files that do not.

    `kind` is a key of `LAYOUTS`; `sets` are the folders below the root that hold the layout, or none for the root
    itself. `files` are those below the root, if they are known. Raises `CorpusError` if no recording matches.
    """
    layout = LAYOUTS[kind]
    files = files_below(root) if files is None else files
    audio, copies = _without_copies([name for name in files if is_audio(name)])
    sexes = _sexes(root / layout.table, layout.row) if layout.row else {}
    utterances, others, folders, among = [], [], set(), frozenset(sets)
    for name in audio:
        shown = printable_name(name)
        inside = _set_of(name, among)
        stem = Path(shown).with_suffix("").as_posix()
        within = Path(printable_name(name.removeprefix(f"{inside}/"))).with_suffix("").as_posix() if inside else stem
        match = None if sets and inside is None else layout.pattern.fullmatch(within)
        if match is None:
            others.append(shown)
            continue
        folders.add(name.rpartition("/")[0])
        groups = match.groupdict()
        speaker = groups["speaker"]
        sex = (groups.get("sex") or sexes.get(speaker) or _sex_of_sets(inside) or "").lower()[:1] or None
        id_ = stem if inside else groups["id"]
        utterances.append(Utterance(id_, speaker, str(root / name), sex, session=groups.get("session")))
    if not utterances:
        example = f": {others[0]}, for example" if others else ""
        raise CorpusError(f"{root}: {len(audio)} audio files, and none is a {expected_path(kind, sets)}{example}")
    rest = [name for name in files if not is_audio(name)]
    beside = [name for name in rest if name.rpartition("/")[0] in folders]
    like_audio = [name for name in beside if MAYBE_AUDIO.search(name.rpartition("/")[2])]
    return FoundFiles(
        _tell_sexes_apart(utterances) if sets else tuple(utterances),
        tuple(others),
        tuple(map(printable_name, copies)),
        tuple(map(printable_name, rest)),
        tuple(map(printable_name, like_audio)),
    )


def _without_copies(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide audio files into recordings and copies of them in other formats, which differ in the suffix alone.

    A format that libsndfile reads comes before others, and then the first by name.
    """
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(Path(name).with_suffix("").as_posix(), []).append(name)
    copies: set[str] = set()
    for those in by_stem.values():
        kept = min(those, key=lambda name: (not name.lower().endswith(AUDIO_SUFFIXES), name))
        copies.update(name for name in those if name != kept)
    return [name for name in names if name not in copies], sorted(copies)


def _set_of(name: str, sets: Collection[str]) -> str | None:
    """Return the innermost of the sets that a file is in."""
    folder = name.rpartition("/")[0]
    while folder and folder not in sets:
        folder = folder.rpartition("/")[0]
    return folder or None


def _sex_of_sets(name: str | None) -> str | None:
    """Return the sex that one of the folders in a set's path states."""
    return next((sex for part in (name or "").split("/") if (sex := sex_of_set(part))), None)


def _tell_sexes_apart(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Add the sex to the names that speakers of both sexes have, such as numbers."""
    sexes: dict[str, set[str | None]] = {}
    for utterance in utterances:
        sexes.setdefault(utterance.speaker, set()).add(utterance.sex)
    shared = {speaker for speaker, those in sexes.items() if {"f", "m"} <= those}
    return tuple(
        replace(each, speaker=f"{each.sex}-{each.speaker}") if each.speaker in shared else each for each in utterances
    )


def _sexes(path: Path, row: re.Pattern[str]) -> dict[str, str]:
    """Read the sex of each speaker, if the corpus has a table of it."""
    if not path.is_file():
        return {}
    return {match["speaker"]: match["sex"] for match in row.finditer(read_text(path))}
