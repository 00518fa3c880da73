"""Kaldi data directories: wav.scp or feats.scp, segments, utt2spk and so on, read and written."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from speechgmm.audio.reading import Channel
from speechgmm.corpus.formats.commands import is_command, split_command
from speechgmm.corpus.linked_paths import audio_path, list_path
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import ProtocolConfig, assemble
from speechgmm.corpus.shared_recordings import SharedRecordingsConfig
from speechgmm.corpus.trials import check_names, trial_lists, write_trials
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines, read_number, replacing

CHANNELS: dict[str, Channel] = {"A": 0, "B": 1, "a": 0, "b": 1, "0": 0, "1": 1}
"""Names of the two channels of a call: letters, or numbers as Kaldi's programs write them."""

CHANNEL_NAMES = "AB"
"""Names of the channels that are written."""


DEFAULT_BACKGROUND = "lists/background"
"""Where the background is looked for; it need not be there."""


class KaldiConfig(SharedRecordingsConfig):
    """A corpus of Kaldi data directories and trial lists.

    Parameters
    ----------
    kind : "kaldi"
        The kind of corpus.
    root : str
        Folder that the other paths, and those in ``wav.scp`` and ``feats.scp``, are relative to. In a recipe it is
        relative to the recipe, and ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    background, enrol, test : str, or null
        Data directories with ``utt2spk`` or ``spk2utt``, ``wav.scp`` or ``feats.scp``, and optionally ``segments``,
        ``spk2gender`` and ``reco2file_and_channel``. There need not be a ``lists/background``. Without a background,
        models that need one take the enrolment in its place.
    data : str, optional
        One data directory instead of these; `protocol` or the trial lists divide its utterances into roles.
    trials : list of str
        Trial lists, in the formats of `speechgmm.corpus.trials.parse_trials`. The name of a list is its file name
        without ``.txt``, and without ``.csv`` or ``.tsv`` if it is a table with column names.
    protocol : section, optional
        Divides `data` into roles, and makes the trials if there are no lists.
    input : "audio" or "features"
        Whether to read audio from ``wav.scp``, or ready-made features from ``feats.scp``.
    allow_commands : bool
        Whether ``wav.scp`` may hold commands, whose output is the audio. Commands can do everything that you can: allow
        them only in lists that you trust like a program. They run in the root, without a shell: programs with their
        arguments, and pipes. Their output is stored, and a command runs again when it or a file that it names changes.
    """

    kind: Literal["kaldi"] = "kaldi"
    root: str
    background: str | None = DEFAULT_BACKGROUND
    enrol: str | None = "lists/enrol"
    test: str | None = "lists/test"
    data: str | None = None
    trials: Annotated[tuple[str, ...], Field(strict=False)] = ("trials.txt",)
    protocol: ProtocolConfig | None = None
    input: Literal["audio", "features"] = "audio"
    allow_commands: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_default_lists(cls, data: Any) -> Any:
        """Drop the default directories if `data` is given, and the default trial list if there is a protocol."""
        if isinstance(data, Mapping):
            if data.get("data") is not None:
                data = {"background": None, "enrol": None, "test": None, **data}
            if data.get("protocol") is not None:
                data = {"trials": (), **data}
        return data


class _Recording(NamedTuple):
    """A line of ``wav.scp`` or ``feats.scp``; the channel if it is one side of a call."""

    line: int
    path: str
    channel: Channel = None


def read_kaldi(config: KaldiConfig) -> Corpus:
    """Read a corpus from Kaldi data directories. No audio file is opened.

    Raises `CorpusError` if lists are missing, malformed or contradictory, with file and line of every error.
    """
    root = Path(config.root)
    problems = Problems()
    names: dict[Role | None, str | None] = {role: getattr(config, role) for role in ROLES} | {None: config.data}
    if config.background == DEFAULT_BACKGROUND and not (root / DEFAULT_BACKGROUND).exists():
        names["background"] = None  # the default is for those who have one
    by_role = {
        role: read_data_directory(list_path(root, name), root, problems, config=config)
        for role, name in names.items()
        if name is not None
    }
    return assemble(by_role, trial_lists(root, config.trials, problems), config.protocol, problems)


def read_data_directory(folder: Path, root: Path, problems: Problems, *, config: KaldiConfig) -> tuple[Utterance, ...]:
    """Read one Kaldi data directory, in the order of ``segments``, or else of ``wav.scp`` or ``feats.scp``.

    The folder holds ``utt2spk`` or ``spk2utt``, ``wav.scp`` or ``feats.scp``, and optionally ``spk2gender`` and
    ``segments`` (lines of utterance, recording, start and end in seconds, -1 for the recording's end, and maybe a
    channel: A or B, or 0 or 1). Two recordings of one file are the channels that ``reco2file_and_channel`` says.
    Relative paths start at `root`; `problems` collects what is missing or malformed.
    """
    audio = config.input == "audio"
    scp = folder / ("wav.scp" if audio else "feats.scp")
    recordings = {
        name: _Recording(line, _resolve(path, f"{scp}:{line}: {name}", root, config, problems))
        for name, (line, path) in _read_pairs(scp, problems).items()
    }
    if audio and (folder / "reco2file_and_channel").exists():
        recordings = _with_channels(recordings, folder / "reco2file_and_channel", problems)
    speakers = read_speakers(folder, problems)
    sexes = _read_pairs(folder / "spk2gender", problems) if (folder / "spk2gender").exists() else {}
    utterances = []
    listed = folder / "segments" if audio and (folder / "segments").exists() else scp
    if listed == scp:
        segments = {name: _Segment(recording.line, name) for name, recording in recordings.items()}
    else:
        segments = _read_segments(listed, recordings, problems)
    for id_, segment in segments.items():
        if id_ not in speakers:
            problems.add(f"{listed}:{segment.line}: {id_} is not in {speakers_list(folder)}")
            continue
        speaker = speakers.pop(id_)[1]
        sex = sexes[speaker][1] if speaker in sexes else None
        recording = recordings[segment.recording]
        channel = recording.channel if segment.channel is None else segment.channel
        utterances.append(Utterance(id_, speaker, recording.path, sex, segment.start, segment.end, channel))
    for id_, (line, _) in speakers.items():
        problems.add(f"{speakers_list(folder)}:{line}: {id_} has no line in {listed}")
    return tuple(utterances)


def speakers_list(folder: Path) -> Path:
    """Return the file of a data directory that says who speaks: ``utt2spk``, or ``spk2utt`` if only that is there."""
    utt2spk, spk2utt = folder / "utt2spk", folder / "spk2utt"
    return spk2utt if spk2utt.exists() and not utt2spk.exists() else utt2spk


def read_speakers(folder: Path, problems: Problems) -> dict[str, tuple[int, str]]:
    """Read who speaks in a data directory: line number and speaker of each utterance."""
    path = speakers_list(folder)
    if path.name == "utt2spk":
        return _read_pairs(path, problems)
    speakers: dict[str, tuple[int, str]] = {}
    for speaker, (line, utterances) in _read_pairs(path, problems).items():
        for utterance in utterances.split():
            first_line, _ = speakers.setdefault(utterance, (line, speaker))
            if speakers[utterance] != (line, speaker):
                problems.add(f"{path}:{line}: {utterance} is on line {first_line} as well; expected it once")
    return speakers


class _Segment(NamedTuple):
    """A line of ``segments``, or a whole recording of a corpus without that file."""

    line: int
    recording: str
    start: float | None = None
    end: float | None = None
    channel: Channel = None


def _with_channels(recordings: Mapping[str, _Recording], path: Path, problems: Problems) -> dict[str, _Recording]:
    """Add the channels of ``reco2file_and_channel`` (lines of recording, call and channel) to recordings of one file.

    The only recording of a file stays as it is: its audio, or its command, mostly gives that channel alone.
    """
    counts = Counter(recording.path for recording in recordings.values() if not is_command(recording.path))
    sides: dict[str, Channel] = {}
    for number, line in _read_lines(path, problems) if max(counts.values(), default=0) > 1 else ():
        fields = line.split()
        if len(fields) != 3 or fields[2] not in CHANNELS:
            problems.add(f"{path}:{number}: {line!r}; expected recording, call and channel: A or B, or 0 or 1")
        elif fields[0] in recordings and counts[recordings[fields[0]].path] > 1:
            sides[fields[0]] = CHANNELS[fields[2]]
    shared = Counter((recordings[name].path, channel) for name, channel in sides.items())
    alone = {name: channel for name, channel in sides.items() if shared[recordings[name].path, channel] == 1}
    return {name: recording._replace(channel=alone.get(name)) for name, recording in recordings.items()}


def _read_segments(path: Path, recordings: Mapping[str, _Recording], problems: Problems) -> dict[str, _Segment]:
    """Read lines of utterance, recording, start, end and perhaps a channel."""
    segments: dict[str, _Segment] = {}
    for number, line in _read_lines(path, problems):
        fields = line.split()
        start, end = _read_times(fields[2:4])
        channel = CHANNELS.get(fields[4]) if len(fields) == 5 else None
        well_formed = len(fields) == 4 or (len(fields) == 5 and channel is not None)
        if not (well_formed and 0 <= start < (math.inf if end == -1 else end)):
            times = "start and a later end (or -1) in seconds"
            expected = f"utterance, recording, {times}, and perhaps channel A or B, or 0 or 1"
            problems.add(f"{path}:{number}: {line!r}; expected {expected}")
        elif fields[0] in segments:
            first_line = segments[fields[0]].line
            problems.add(f"{path}:{number}: {fields[0]} is on line {first_line} as well; expected it once")
        elif fields[1] not in recordings:
            problems.add(
                f"{path}:{number}: {fields[0]}: recording {fields[1]} has no line in {path.parent / 'wav.scp'}"
            )
        else:
            segments[fields[0]] = _Segment(number, fields[1], start, None if end == -1 else end, channel)
    return segments


def _read_times(fields: Sequence[str]) -> tuple[float, float]:
    """Read two times in seconds; NaN, which no comparison accepts, if they are not two finite numbers."""
    times = [read_number(field) for field in fields]
    return (times[0], times[1]) if len(times) == 2 and all(map(math.isfinite, times)) else (math.nan, math.nan)


def _resolve(path: str, where: str, root: Path, config: KaldiConfig, problems: Problems) -> str:
    """Return the absolute path; return a command unchanged, and report it if it is not allowed."""
    if not is_command(path):
        return audio_path(root, path) if config.input == "audio" else str(root / path)
    if config.input == "features":
        problems.add(f"{where} is the output of a command; only files are read")
    elif not config.allow_commands:
        problems.add(f"{where} is the output of a command; corpus.allow_commands runs it, if you trust the list")
    else:
        _check_command(path, where, problems)
    return path


def _check_command(command: str, where: str, problems: Problems) -> None:
    """Report a command that only a shell could run."""
    try:
        split_command(command)
    except CorpusError as error:
        problems.add(f"{where}: {error}")


def _read_lines(path: Path, problems: Problems) -> list[tuple[int, str]]:
    """Read the lines of a list, or report why it cannot be read."""
    try:
        return list(numbered_lines(path))
    except CorpusError as error:
        problems.add(str(error))
        return []


def _read_pairs(path: Path, problems: Problems) -> dict[str, tuple[int, str]]:
    """Read lines of a key and a value; return line number and value by key."""
    pairs: dict[str, tuple[int, str]] = {}
    for number, line in _read_lines(path, problems):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            problems.add(f"{path}:{number}: {line!r}; expected two fields")
        elif fields[0] in pairs:
            problems.add(f"{path}:{number}: {fields[0]} is on line {pairs[fields[0]][0]} as well; expected it once")
        else:
            pairs[fields[0]] = number, fields[1]
    return pairs


def write_kaldi(corpus: Corpus, root: Path) -> None:
    """Write a corpus as ``lists/ROLE/`` and one ``NAME.txt`` per trial list, for `read_kaldi` with its default paths.

    Kaldi's lists have no sessions, and name a model after its speaker: if the names differ, the model's is written.
    Raises `ValueError` if an audio file is not below `root`, a name holds white space, or an utterance is of the mean
    of channels or of any but the first two.
    """
    for role in ROLES:
        utterances = corpus.role(role)
        if utterances:
            _write_data_directory(utterances, root / "lists" / role, root)
    for name, trials in corpus.trials.items():
        write_trials(root / f"{name}.txt", trials)


def _write_data_directory(utterances: Sequence[Utterance], folder: Path, root: Path) -> None:
    """Write the lists of one role."""
    check_names(name for utterance in utterances for name in (utterance.id, utterance.enrols))
    paths = {utterance.id: Path(utterance.path).relative_to(root).as_posix() for utterance in utterances}
    if any(utterance.audio[1:] != (None, None, None) for utterance in utterances):
        numbers = {path: f"recording-{number:06d}" for number, path in enumerate(sorted({*paths.values()}), 1)}
        _write_pairs(folder / "wav.scp", {number: path for path, number in numbers.items()})
        segments = {utterance.id: _format_segment(utterance, numbers[paths[utterance.id]]) for utterance in utterances}
        _write_pairs(folder / "segments", segments)
    else:
        _write_pairs(folder / "wav.scp", paths)
        (folder / "segments").unlink(missing_ok=True)
    _write_pairs(folder / "utt2spk", {utterance.id: utterance.enrols for utterance in utterances})
    sexes = {utterance.enrols: utterance.sex for utterance in utterances if utterance.sex}
    if sexes:
        _write_pairs(folder / "spk2gender", sexes)


def _format_segment(utterance: Utterance, recording: str) -> str:
    """Format what follows an utterance's id in ``segments``."""
    text = f"{recording} {utterance.start or 0.0!r} {-1 if utterance.end is None else repr(utterance.end)}"
    if utterance.channel is None:
        return text
    if utterance.channel not in (0, 1):
        raise ValueError(f"{utterance.id}: channel {utterance.channel!r}; Kaldi's segments have 0 and 1")
    return f"{text} {CHANNEL_NAMES[utterance.channel]}"


def _write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write lines of a key and its value, sorted by key as Kaldi requires."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{key} {pairs[key]}\n" for key in sorted(pairs)), encoding="utf-8")
