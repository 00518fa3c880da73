"""Kaldi data directories: wav.scp or feats.scp, segments, utt2spk, spk2gender, read and written."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from speechgmm.audio.reading import Channel
from speechgmm.configuration import Configuration
from speechgmm.corpus.formats.commands import is_command, programs
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.trials import check_names, trial_lists, write_trials
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines, replacing

CHANNELS: dict[str, Channel] = {"A": 0, "B": 1}
"""Kaldi's names of the sides of a call."""


class KaldiConfig(Configuration):
    """A corpus of Kaldi data directories and trial lists.

    Parameters
    ----------
    kind : "kaldi"
        Tells this kind of corpus from others.
    root : str
        Folder that the other paths, and those in ``wav.scp`` and ``feats.scp``, are relative to. In a recipe it is
        relative to the recipe, and ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    background, enrol, test : str, or null
        Data directories with ``utt2spk``, ``wav.scp`` or ``feats.scp``, and perhaps ``segments`` and ``spk2gender``.
        Without a background there can only be models that need none.
    data : str, optional
        One data directory in their place, whose utterances get their roles from `protocol` or the trial lists.
    trials : list of str
        Trial lists, as `speechgmm.corpus.trials.parse_trials` reads them. A list goes by its file name without
        ``.txt``.
    protocol : section, optional
        Makes the roles of `data`, and the trials where there are no lists.
    input : "audio" or "features"
        Whether ``wav.scp`` is read or ``feats.scp``, whose features are taken as they are.
    allow_commands : bool
        Whether ``wav.scp`` may hold commands, whose output is the audio. They may do all that you may: allow them in
        lists that you trust as you trust a program. They run in the root, without a shell: programs, their arguments,
        and pipes. Their output is kept, and made again when a command changes or a file that it names.
    """

    kind: Literal["kaldi"] = "kaldi"
    root: str
    background: str | None = "lists/background"
    enrol: str | None = "lists/enrol"
    test: str | None = "lists/test"
    data: str | None = None
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ("trials.txt",)
    protocol: ProtocolConfig | None = None
    input: Literal["audio", "features"] = "audio"
    allow_commands: bool = False

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_asked_for(cls, data: Any) -> Any:
        """Expect no other directories beside `data`, and no trial list beside a protocol, unless they are given."""
        if isinstance(data, Mapping):
            if data.get("data") is not None:
                data = {"background": None, "enrol": None, "test": None, **data}
            if data.get("protocol") is not None:
                data = {"trials": (), **data}
        return data


class _Recording(NamedTuple):
    """Where a recording, or features, are listed, and what is said of them."""

    line: int
    path: str


def read_kaldi(config: KaldiConfig) -> Corpus:
    """Read a corpus from Kaldi data directories.

    Parameters
    ----------
    config : KaldiConfig
        Where things are.

    Returns
    -------
    Corpus
        The utterances, with paths of files that are not opened here, and the trials.

    Raises
    ------
    CorpusError
        If lists are missing, malformed or contradictory; the message names file and line, of all that is wrong.
    """
    root = Path(config.root)
    problems = Problems()
    names: dict[Role | None, str | None] = {role: getattr(config, role) for role in ROLES} | {None: config.data}
    pool = {
        role: read_data_directory(root / name, root, problems, config=config)
        for role, name in names.items()
        if name is not None
    }
    return assemble(pool, trial_lists(root, config.trials, problems), config.protocol, problems)


def read_data_directory(folder: Path, root: Path, problems: Problems, *, config: KaldiConfig) -> tuple[Utterance, ...]:
    """Read one Kaldi data directory.

    Parameters
    ----------
    folder : Path
        Holds ``utt2spk``, ``wav.scp`` or ``feats.scp``, and perhaps ``segments`` (of utterance, recording, start, end
        in seconds, -1 for the recording's own, and perhaps a channel, A or B) and ``spk2gender``.
    root : Path
        What relative paths are relative to.
    problems : Problems
        Takes what is missing or malformed.
    config : KaldiConfig
        What the paths are of, and whether commands may be among them.

    Returns
    -------
    tuple of Utterance
        In the order of ``segments``, or else of ``wav.scp`` or ``feats.scp``.
    """
    audio = config.input == "audio"
    scp = folder / ("wav.scp" if audio else "feats.scp")
    recordings = {
        name: _Recording(line, _located(path, f"{scp}:{line}: {name}", root, config, problems))
        for name, (line, path) in _read_pairs(scp, problems).items()
    }
    speakers = _read_pairs(folder / "utt2spk", problems)
    sexes = _read_pairs(folder / "spk2gender", problems) if (folder / "spk2gender").exists() else {}
    utterances = []
    listed = folder / "segments" if audio and (folder / "segments").exists() else scp
    if listed == scp:
        segments = {name: _Segment(each.line, name) for name, each in recordings.items()}
    else:
        segments = _read_segments(listed, recordings, problems)
    for id_, segment in segments.items():
        if id_ not in speakers:
            problems.add(f"{listed}:{segment.line}: {id_} has no line in {folder / 'utt2spk'}")
            continue
        speaker = speakers.pop(id_)[1]
        sex = sexes[speaker][1] if speaker in sexes else None
        path = recordings[segment.recording].path
        utterances.append(Utterance(id_, speaker, path, sex, segment.start, segment.end, segment.channel))
    for id_, (line, _) in speakers.items():
        problems.add(f"{folder / 'utt2spk'}:{line}: {id_} has no line in {listed}")
    return tuple(utterances)


class _Segment(NamedTuple):
    """A line of ``segments``, or what stands for one."""

    line: int
    recording: str
    start: float | None = None
    end: float | None = None
    channel: Channel = None


def _read_segments(path: Path, recordings: Mapping[str, _Recording], problems: Problems) -> dict[str, _Segment]:
    """Read lines of utterance, recording, start, end and perhaps a channel."""
    segments: dict[str, _Segment] = {}
    for number, line in _lines(path, problems):
        fields = line.split()
        start, end = seconds(fields[2:4])
        channel = CHANNELS.get(fields[4]) if len(fields) == 5 else None
        right = len(fields) == 4 or (len(fields) == 5 and channel is not None)
        if not (right and 0 <= start < (math.inf if end == -1 else end)):
            expected = "utterance, recording, start and a later end (or -1) in seconds, and perhaps channel A or B"
            problems.add(f"{path}:{number}: {line!r}; expected {expected}")
        elif fields[0] in segments:
            problems.add(f"{path}:{number}: {fields[0]} stands on line {segments[fields[0]].line} already")
        elif fields[1] not in recordings:
            problems.add(
                f"{path}:{number}: {fields[0]}: recording {fields[1]} has no line in {path.parent / 'wav.scp'}"
            )
        else:
            segments[fields[0]] = _Segment(number, fields[1], start, None if end == -1 else end, channel)
    return segments


def seconds(fields: Sequence[str]) -> tuple[float, float]:
    """Read two times.

    Parameters
    ----------
    fields : sequence of str
        As they stand in a list.

    Returns
    -------
    tuple of two float, seconds
        NaN, which no comparison accepts, for what is no finite number, or not two of them.
    """
    try:
        first, second = (float(field) for field in fields)
    except ValueError:
        return math.nan, math.nan
    return (first, second) if math.isfinite(first) and math.isfinite(second) else (math.nan, math.nan)


def _located(path: str, where: str, root: Path, config: KaldiConfig, problems: Problems) -> str:
    """Make a path absolute; leave a command, which is one by its end, as it is."""
    if not is_command(path):
        return str(root / path)
    if config.input == "features":
        problems.add(f"{where} is the output of a command; only files are read")
    elif not config.allow_commands:
        problems.add(f"{where} is the output of a command; corpus.allow_commands lets it be run, if you trust it")
    else:
        _note_shell(path, where, problems)
    return path


def _note_shell(command: str, where: str, problems: Problems) -> None:
    """Note what a command asks of a shell, which there is not."""
    try:
        programs(command)
    except CorpusError as error:
        problems.add(f"{where}: {error}")


def _lines(path: Path, problems: Problems) -> list[tuple[int, str]]:
    """Read a list's lines, or note why they cannot be read."""
    try:
        return list(numbered_lines(path))
    except CorpusError as error:
        problems.add(str(error))
        return []


def _read_pairs(path: Path, problems: Problems) -> dict[str, tuple[int, str]]:
    """Read lines of a key and the rest; give for each key its line number and the rest."""
    pairs: dict[str, tuple[int, str]] = {}
    for number, line in _lines(path, problems):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            problems.add(f"{path}:{number}: {line!r}; expected two fields")
        elif fields[0] in pairs:
            problems.add(f"{path}:{number}: {fields[0]} stands on line {pairs[fields[0]][0]} already")
        else:
            pairs[fields[0]] = number, fields[1]
    return pairs


def write_kaldi(corpus: Corpus, root: Path) -> None:
    """Write a corpus as Kaldi data directories and trial lists, for `read_kaldi` with its default paths.

    Kaldi's lists have no sessions, and know a model by its speaker's name alone: where the two differ, the model's is
    written.

    Parameters
    ----------
    corpus : Corpus
        Its audio files lie below `root`.
    root : Path
        Where to write ``lists/ROLE/``, for roles with utterances, and one ``NAME.txt`` for each trial list.

    Raises
    ------
    ValueError
        If an audio file lies elsewhere, a name holds white space, or an utterance is the mean of channels, or any other
        than the first two.
    OSError
        If a file cannot be written.
    """
    for role in ROLES:
        utterances = corpus.role(role)
        if utterances:
            _write_data_directory(utterances, root / "lists" / role, root)
    for name, trials in corpus.trials.items():
        write_trials(root / f"{name}.txt", trials)


def _write_data_directory(utterances: Sequence[Utterance], folder: Path, root: Path) -> None:
    """Write the lists of one role."""
    check_names(name for each in utterances for name in (each.id, each.enrols))
    paths = {each.id: Path(each.path).relative_to(root).as_posix() for each in utterances}
    if any((each.start, each.end, each.channel) != (None, None, None) for each in utterances):
        numbers = {path: f"recording-{number:06d}" for number, path in enumerate(sorted({*paths.values()}), 1)}
        _write_pairs(folder / "wav.scp", {number: path for path, number in numbers.items()})
        _write_pairs(folder / "segments", {each.id: _segment(each, numbers[paths[each.id]]) for each in utterances})
    else:
        _write_pairs(folder / "wav.scp", paths)
        (folder / "segments").unlink(missing_ok=True)
    _write_pairs(folder / "utt2spk", {each.id: each.enrols for each in utterances})
    sexes = {each.enrols: each.sex for each in utterances if each.sex}
    if sexes:
        _write_pairs(folder / "spk2gender", sexes)


def _segment(utterance: Utterance, recording: str) -> str:
    """Write what follows an utterance's id in ``segments``."""
    text = f"{recording} {utterance.start or 0.0!r} {-1 if utterance.end is None else repr(utterance.end)}"
    if utterance.channel is None:
        return text
    names = {channel: name for name, channel in CHANNELS.items()}
    if utterance.channel not in names:
        raise ValueError(f"{utterance.id}: channel {utterance.channel!r}; Kaldi's segments have 0 and 1")
    return f"{text} {names[utterance.channel]}"


def _write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write lines of a key and its value, in the order of the keys, as Kaldi wants them."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{key} {pairs[key]}\n" for key in sorted(pairs)), encoding="utf-8")
