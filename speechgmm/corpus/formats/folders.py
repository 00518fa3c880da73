"""Corpora whose folders and file names say who speaks: a folder for each speaker, and the layouts of known corpora."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import Corpus, Role, Utterance, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.trials import trial_lists
from speechgmm.errors import CorpusError
from speechgmm.files import files_below, is_audio, printable_name, read_text


class LayoutConfig(Configuration):
    """A corpus whose paths say who speaks.

    Parameters
    ----------
    kind : str
        The layout.
    root : str
        The folder that the layout begins in or somewhere below. In a recipe it is relative to the recipe, and
        ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    background : list of str
        Folders below the root: sets, or speakers' own. Whoever speaks in them is background.
    evaluation : list of str
        Likewise of those who are enrolled and tested; what lies in neither is left out. All others when not given.
    channel : "mean", optional
        The mean of a recording's channels is read; when not given, one of several channels is not read.
    trials : list of str
        Trial lists, whose paths start at the root, as `speechgmm.corpus.trials.parse_trials` reads them. They say who
        is enrolled and tested.
    protocol : section, optional
        Says so where there are no lists.
    """

    kind: str
    root: str
    background: Annotated[tuple[str, ...], Field(strict=False)] = ()
    evaluation: Annotated[tuple[str, ...], Field(strict=False)] = ()
    channel: Literal["mean"] | None = None
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ()
    protocol: ProtocolConfig | None = None


class FolderConfig(LayoutConfig):
    """A folder for each speaker: ``SPEAKER/*.wav``, at any depth; a folder in a speaker's is a session."""

    kind: Literal["folder"] = "folder"


class LibriSpeechConfig(LayoutConfig):
    """LibriSpeech: ``SET/READER/CHAPTER/*.flac``; a session is a chapter, and ``SPEAKERS.TXT`` tells the sex."""

    kind: Literal["librispeech"] = "librispeech"


class VoxForgeConfig(LayoutConfig):
    """VoxForge: ``SPEAKER-DATE-XYZ/wav/*.wav``; a submission is a session, and each anonymous one a speaker."""

    kind: Literal["voxforge"] = "voxforge"


class AudioMnistConfig(LayoutConfig):
    """AudioMNIST: ``SPEAKER/DIGIT_SPEAKER_TAKE.wav``; ``audioMNIST_meta.txt`` tells the sex."""

    kind: Literal["audiomnist"] = "audiomnist"


class FsddConfig(LayoutConfig):
    """The Free Spoken Digit Dataset, or any files named ``DIGIT_SPEAKER_TAKE.wav``, in whatever folders."""

    kind: Literal["fsdd"] = "fsdd"


class TimitConfig(LayoutConfig):
    """TIMIT: ``TRAIN/DR1/SPEAKER/*.WAV``, in capitals or not; the first letter of a speaker tells the sex."""

    kind: Literal["timit"] = "timit"


class VoxCelebConfig(LayoutConfig):
    """VoxCeleb: ``ID/VIDEO/*.wav``, wherever the folders of speakers lie; a video is a session."""

    kind: Literal["voxceleb"] = "voxceleb"


class Layout(NamedTuple):
    """How paths and tables of a corpus tell who speaks.

    Attributes
    ----------
    expected : str
        The path of an utterance, for people.
    pattern : re.Pattern
        The whole path from the root on, without the suffix, in capitals or not. Its groups are ``id`` and ``speaker``,
        and perhaps ``session`` and ``sex``.
    table : str
        A file below the root that may tell the sex.
    row : re.Pattern or None
        What in that file does, with the groups ``speaker`` and ``sex``.
    """

    expected: str
    pattern: re.Pattern[str]
    table: str = ""
    row: re.Pattern[str] | None = None


def _path(pattern: str) -> re.Pattern[str]:
    """Let the folders of interest lie anywhere below the root."""
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
"""The layouts, by the kind of corpus."""


def read_folders(config: LayoutConfig) -> Corpus:
    """Read a corpus from the names of its files.

    Parameters
    ----------
    config : LayoutConfig
        Where it is, and its kind.

    Returns
    -------
    Corpus
        Of the audio whose path is as the layout says; how much lies elsewhere is in its notes.

    Raises
    ------
    CorpusError
        If the folder is missing, or without audio that lies so, or too little for the protocol; or a trial list
        cannot be read or names what is not there.
    """
    root = Path(config.root)
    found, others = find_utterances(root, config.kind)
    problems = Problems()
    pool: dict[Role | None, list[Utterance]] = {"background": [], None: []}
    n_left = 0
    in_background = _below(root, config.background, "background", problems)
    in_evaluation = _below(root, config.evaluation, "evaluation", problems)
    for each in found:
        heard = replace(each, channel=config.channel)
        if in_background(each):
            pool["background"].append(heard)
        elif in_evaluation(each) or not config.evaluation:
            pool[None].append(heard)
        else:
            n_left += 1
    corpus = assemble(pool, trial_lists(root, config.trials, problems), config.protocol, problems)
    left = (f"{n_left:,} recordings in neither background nor evaluation; left out",) if n_left else ()
    return replace(corpus, notes=(*corpus.notes, *left, *other_layouts(others, config.kind)))


def _below(root: Path, names: Sequence[str], key: str, problems: Problems) -> Callable[[Utterance], bool]:
    """Give a test whether a recording lies in one of some folders, which must be there."""
    folders = [Path(root, name) for name in names]
    for folder in folders:
        if not folder.is_dir():
            problems.add(f"{folder}: no such folder; corpus.{key} names it")
    return lambda utterance: any(Path(utterance.path).is_relative_to(folder) for folder in folders)


def find_utterances(root: Path, kind: str) -> tuple[tuple[Utterance, ...], tuple[str, ...]]:
    """Find the recordings below a folder that lie as a layout says.

    Parameters
    ----------
    root : Path
        The folder.
    kind : str
        A key of `LAYOUTS`.

    Returns
    -------
    found : tuple of Utterance
        In the order of their paths.
    others : tuple of str
        Audio files that lie otherwise: their paths from the folder on.

    Raises
    ------
    CorpusError
        If nothing is found.
    """
    layout = LAYOUTS[kind]
    audio = [name for name in files_below(root) if is_audio(name)]
    sexes = _sexes(root / layout.table, layout.row) if layout.row else {}
    found, others = [], []
    for name in audio:
        shown = printable_name(name)
        match = layout.pattern.fullmatch(str(Path(shown).with_suffix("").as_posix()))
        if match is None:
            others.append(shown)
            continue
        groups = match.groupdict()
        speaker = groups["speaker"]
        sex = (groups.get("sex") or sexes.get(speaker) or "").lower()[:1] or None
        found.append(Utterance(groups["id"], speaker, str(root / name), sex, session=groups.get("session")))
    if not found:
        raise CorpusError(f"{root}: {len(audio)} audio files, and none is a {layout.expected}{_for_one(others)}")
    return tuple(found), tuple(others)


def other_layouts(others: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Say which audio is left out because of where it lies.

    Parameters
    ----------
    others : tuple of str
        Its paths.
    kind : str
        A key of `LAYOUTS`.

    Returns
    -------
    tuple of str
        A sentence, or none.
    """
    return (f"{first_few(others)}: not a {LAYOUTS[kind].expected}; left out",) if others else ()


def _for_one(names: list[str]) -> str:
    """Give an example."""
    return f": {names[0]}, for one" if names else ""


def _sexes(path: Path, row: re.Pattern[str]) -> dict[str, str]:
    """Read the sex of each speaker, if there is a table of it."""
    if not path.is_file():
        return {}
    return {match["speaker"]: match["sex"] for match in row.finditer(read_text(path))}
