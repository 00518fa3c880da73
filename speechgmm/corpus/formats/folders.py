"""Corpora whose paths name the speakers: a folder for each speaker, and the layouts of known corpora."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from speechgmm.corpus.manifest import Corpus, Role, Utterance, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.shared_recordings import SharedRecordingsConfig
from speechgmm.corpus.trials import trial_lists
from speechgmm.errors import CorpusError
from speechgmm.files import files_below, is_audio, printable_name, read_text


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
        Folders of the speakers who are enrolled and tested; by default all others. Recordings in neither are left out.
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
    channel: Literal["mean"] | None = None
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ()
    protocol: ProtocolConfig | None = None


class FolderConfig(LayoutConfig):
    """A folder for each speaker: ``SPEAKER/*.wav``, at any depth; a folder in a speaker's is a session."""

    kind: Literal["folder"] = "folder"


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
    utterances, others = find_utterances(root, config.kind)
    problems = Problems()
    by_role: dict[Role | None, list[Utterance]] = {"background": [], None: []}
    n_left_out = 0
    in_background = _below(root, config.background, "background", problems)
    in_evaluation = _below(root, config.evaluation, "evaluation", problems)
    for utterance in (replace(utterance, channel=config.channel) for utterance in utterances):
        if in_background(utterance):
            by_role["background"].append(utterance)
        elif in_evaluation(utterance) or not config.evaluation:
            by_role[None].append(utterance)
        else:
            n_left_out += 1
    corpus = assemble(by_role, trial_lists(root, config.trials, problems), config.protocol, problems)
    left_out = (f"{n_left_out:,} recordings in neither background nor evaluation; left out",) if n_left_out else ()
    return replace(corpus, notes=(*corpus.notes, *left_out, *other_layouts(others, config.kind)))


def _below(root: Path, names: Sequence[str], key: str, problems: Problems) -> Callable[[Utterance], bool]:
    """Return a check whether a recording is in one of the folders `names`; `problems` collects missing folders."""
    folders = [Path(root, name) for name in names]
    for folder in folders:
        if not folder.is_dir():
            problems.add(f"{folder}: no such folder; corpus.{key} names it")
    return lambda utterance: any(Path(utterance.path).is_relative_to(folder) for folder in folders)


def find_utterances(root: Path, kind: str) -> tuple[tuple[Utterance, ...], tuple[str, ...]]:
    """Find the recordings below a folder that match a layout, and the audio files that do not.

    `kind` is a key of `LAYOUTS`. Utterances are in the order of their paths; the other paths are relative to the
    folder. Raises `CorpusError` if no recording matches.
    """
    layout = LAYOUTS[kind]
    audio = [name for name in files_below(root) if is_audio(name)]
    sexes = _sexes(root / layout.table, layout.row) if layout.row else {}
    utterances, others = [], []
    for name in audio:
        shown = printable_name(name)
        match = layout.pattern.fullmatch(str(Path(shown).with_suffix("").as_posix()))
        if match is None:
            others.append(shown)
            continue
        groups = match.groupdict()
        speaker = groups["speaker"]
        sex = (groups.get("sex") or sexes.get(speaker) or "").lower()[:1] or None
        utterances.append(Utterance(groups["id"], speaker, str(root / name), sex, session=groups.get("session")))
    if not utterances:
        example = f": {others[0]}, for example" if others else ""
        raise CorpusError(f"{root}: {len(audio)} audio files, and none is a {layout.expected}{example}")
    return tuple(utterances), tuple(others)


def other_layouts(others: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """List the audio that is left out because its path does not match the layout, as one sentence or none."""
    return (f"{first_few(others)}: not a {LAYOUTS[kind].expected}; left out",) if others else ()


def _sexes(path: Path, row: re.Pattern[str]) -> dict[str, str]:
    """Read the sex of each speaker, if the corpus has a table of it."""
    if not path.is_file():
        return {}
    return {match["speaker"]: match["sex"] for match in row.finditer(read_text(path))}
