"""Files that say where speech is: RTTM, CTM, Kaldi's segments, and the labels of ALIZE, HTK, Audacity and Praat."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.labels import Label, merge_overlapping
from speechgmm.features.frames.textgrids import is_textgrid, read_tiers
from speechgmm.files import numbered_lines, read_number

Stretches = tuple[tuple[float, float], ...]
"""Stretches of speech (start, stop) in seconds: sorted and apart."""

OTHER_RTTM_TYPES = frozenset(
    {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU", "CB"}
    | {"A/P", "SPKR-INFO"}
)
"""Types of lines in NIST's format that hold no speech activity."""

SILENCE_MARKS = frozenset(
    {"sil", "sp", "spn", "nsn", "pau", "epi", "h#", "#h", "#", "eps", "epsilon", "enter", "exit", "noenergy", ""}
)
"""Labels of aligners for what is no speech, without brackets, case, hyphens and spaces."""

OTHER_SOUNDS = frozenset(
    {"silence", "silent", "nonspeech", "nospeech", "notspeech", "noise", "backgroundnoise", "background", "music"}
    | {"pause", "breath", "breathing", "laugh", "laughter", "cough", "applause", "ring", "click"}
)
"""Labels of stretches without speech; among words they are words, unless they stand in brackets."""

TIER_OF_SPEAKER = re.compile(r".+ - words", re.IGNORECASE)
"""The tier of a speaker's words, as the Montreal Forced Aligner calls it: ``ann - words``."""

SPEECH_TIERS = ("speech", "vad", "sad", "words", "word")
"""Names of the tier to take where several tiers of a TextGrid hold labels."""

HTK_UNIT = 1e-7
"""Seconds in HTK's unit of time."""

MLF_MARK = "#!MLF!#"
"""The first line of HTK's master label files."""

MIN_HTK_STOP = 10**6
"""Whole numbers up to here are seconds, and HTK's units from here on: a tenth of a second, or eleven days."""


@dataclass(frozen=True)
class LabelFile:
    """Where speech is in recordings, as a file of labels says."""

    format: str  # its name, as users know it
    speech: Mapping[str, Stretches]  # by recording; that of "" is the one recording of a file that does not name it
    spoken: Counter[str]  # labels that stand for speech, where the format has labels
    silent: Counter[str]  # and the others


@dataclass(frozen=True)
class _Format:
    """A format whose lines hold a label each."""

    name: str
    expected: str  # what a line of it holds
    parse: Callable[[int, str], Label | None]  # None for a line to skip; ValueError for a malformed one
    first_channel: int = 1  # the number of the first channel


def read_labels(path: Path, *, channel: Channel = None) -> LabelFile:
    """Read where speech is from a file in any of the formats, recognised by its content, or else by its name.

    In RTTM, lines of type SPEAKER count, whoever speaks; in Kaldi's segments all lines. In the other formats labels of
    silence and other sounds do not count. `channel` selects the lines of one channel, or of all ("mean").

    Raises CorpusError, with file and line, for an unreadable file, a malformed line, or a recording with lines of
    several channels where none was chosen; and SpeechGMMError if the package that reads TextGrids is not installed.

    References
    ----------
    NIST (2009), The 2009 (RT-09) rich transcription meeting recognition evaluation plan, appendix A; Young et al.
    (2006), The HTK book 3.4, section 6.2; Praat's manual, "TextGrid file formats".
    """
    if is_textgrid(path):
        return _read_textgrid(path)
    lines = [(number, line) for number, line in numbered_lines(path) if not line.startswith(";;")]
    if lines and lines[0][1] == MLF_MARK:
        return _read_master_labels(path, lines[1:])
    format_ = _recognise(path, lines)
    labels = _chosen(path, list(_parse_lines(path, format_, lines)), format_, channel)
    if format_ in (RTTM, SEGMENTS):
        return _label_file(format_.name, labels, lambda _: True, shown=False)
    if format_ is CTM:
        return _label_file(format_.name, labels, lambda text: is_speech(text, among_words=True))
    return _read_timed(path, lines, labels)


def read_segments(path: Path) -> tuple[Label, ...]:
    """Read the ``segments`` file of a Kaldi data directory: the utterances, in the order of the file.

    They may overlap. A stop of -1, the end of the recording, becomes infinity. Raises CorpusError, with file and line,
    for an unreadable file, a malformed line, or a repeated utterance.
    """
    return tuple(_parse_lines(path, SEGMENTS, list(numbered_lines(path))))


def read_rttm(path: Path) -> tuple[Label, ...]:
    """Read the lines of type SPEAKER of NIST's RTTM, in the order of the file; the text is the speaker's name.

    Raises CorpusError, with file and line, for an unreadable file or a malformed line.
    """
    lines = [(number, line) for number, line in numbered_lines(path) if not line.startswith(";;")]
    return tuple(_parse_lines(path, RTTM, lines))


def channel_index(name: str, first: int = 0) -> int | None:
    """Return the index of a channel from 0, by its letter or by its number, which counts from `first`; or None."""
    if name.upper() in ("A", "B"):
        return "AB".index(name.upper())
    return int(name) - first if re.fullmatch(r"[0-9]{1,9}", name) else None


def is_speech(text: str, *, among_words: bool = False) -> bool:
    """Check whether a label stands for speech, and not for silence or another sound; one without text does.

    Among words, a bare ``music`` is a word that is spoken, and ``[music]`` is not.
    """
    word = re.sub(r"[\s_-]", "", text.lower())
    bare = word.strip("<>[](){}!*")
    is_sound = bare in OTHER_SOUNDS and not (among_words and bare == word)
    return not text or not (bare in SILENCE_MARKS or is_sound)


def _parse_rttm(number: int, line: str) -> Label | None:
    """Read a line of type, recording, channel, start, duration and 3 to 5 more fields; names may hold spaces."""
    fields = line.split()
    if fields[0] in OTHER_RTTM_TYPES:
        return None
    at = next((i for i in range(3, len(fields) - 3) if fields[i + 2 : i + 4] == ["<NA>", "<NA>"]), 3)
    start, duration = _two_numbers(fields[at : at + 2])
    rest = fields[at + 4 :]
    if fields[0] != "SPEAKER" or not (start >= 0 and duration >= 0) or not rest:
        raise ValueError
    while len(rest) > 3 and (rest[-1] == "<NA>" or not math.isnan(read_number(rest[-1]))):
        rest.pop()
    if len(rest) > 3 and "<NA>" in rest:
        raise ValueError
    return Label(number, " ".join(fields[1 : at - 1]), fields[at - 1], start, start + duration, rest[0])


def _parse_segment(number: int, line: str) -> Label:
    """Read a line of utterance, recording, start, stop and perhaps a channel."""
    fields = line.split()
    start, stop = _two_numbers(fields[2:4])
    stop = math.inf if stop == -1 else stop
    channel = "".join(fields[4:5])
    if len(fields) not in (4, 5) or not 0 <= start < stop or (channel and channel_index(channel) is None):
        raise ValueError
    return Label(number, fields[1], channel, start, stop, fields[0])


def _parse_ctm(number: int, line: str) -> Label | None:
    """Read a line of recording, channel, start, duration, word and perhaps more."""
    fields = line.split()
    if fields[2:4] == ["*", "*"]:  # marks of alternatives
        return None
    start, duration = _two_numbers(fields[2:4])
    if len(fields) < 5 or channel_index(fields[1]) is None or not (start >= 0 and duration >= 0):
        raise ValueError
    return Label(number, fields[0], fields[1], start, start + duration, fields[4])


def _parse_timed(number: int, line: str) -> Label | None:
    """Read a line of start, stop and perhaps a label; a backslash starts Audacity's lines of frequencies."""
    if line.startswith("\\"):
        return None
    first, second, text = (*line.split(maxsplit=2), "", "")[:3]
    start, stop = _two_numbers([first, second])
    if not 0 <= start <= stop:
        raise ValueError
    return Label(number, "", "", start, stop, text)


RTTM = _Format(
    "NIST RTTM",
    "SPEAKER, recording, channel, start, duration, and 3 to 5 fields more, times in seconds",
    _parse_rttm,
)
SEGMENTS = _Format(
    "Kaldi segments",
    "utterance, recording, start and a later stop (or -1), in seconds, and perhaps a channel (A, B or its number)",
    _parse_segment,
    first_channel=0,
)
CTM = _Format("CTM", "recording, channel, start, duration, in seconds, and a word", _parse_ctm)
TIMED = _Format("labels", "start, stop and a label", _parse_timed)
FORMATS = (RTTM, SEGMENTS, CTM, TIMED)
"""Where several fit, the first whose form all lines have."""

BY_SUFFIX = {".rttm": RTTM, ".segments": SEGMENTS, ".ctm": CTM, ".lbl": TIMED, ".lab": TIMED, ".mlf": TIMED}


def _recognise(path: Path, lines: Sequence[tuple[int, str]]) -> _Format:
    """Recognise the format by the first line, and by the name if several formats fit, or none does."""
    hinted = BY_SUFFIX.get(f".{path.name}" if path.name == "segments" else path.suffix.lower())
    if not lines:
        if hinted is None:
            raise CorpusError(f"{path}: empty; expected lines of labels")
        return hinted
    number, line = lines[0]
    if line.split()[0] == "SPEAKER":
        hinted = RTTM
    elif re.fullmatch(r"[^\t]+\t[^\t]+\t[^\t]*", line) and _fits(TIMED, number, line):
        hinted = TIMED
    fitting = [format_ for format_ in FORMATS if _fits(format_, number, line)]
    if hinted is not None and (hinted in fitting or not fitting):
        return hinted
    if not fitting:
        if re.match(r"-?[0-9]+,[0-9]+\s+-?[0-9]+,[0-9]", line):
            raise CorpusError(f"{path}:{number}: {line!r} has decimal commas; expected decimal points, as in 1.5")
        forms = "; ".join(f"{format_.name}: {format_.expected}" for format_ in FORMATS)
        raise CorpusError(f"{path}:{number}: {line!r}; expected a line of {forms}; or a Praat TextGrid")
    whole = (format_ for format_ in fitting if all(_fits(format_, *each) for each in lines))
    return next(whole, fitting[0])


def _fits(format_: _Format, number: int, line: str) -> bool:
    """Check whether a line has the form of a format."""
    try:
        format_.parse(number, line)
    except ValueError:
        return False
    return True


def _parse_lines(path: Path, format_: _Format, lines: Sequence[tuple[int, str]]) -> Iterator[Label]:
    """Read the lines of a file in a known format."""
    seen: dict[str, int] = {}
    for number, line in lines:
        try:
            label = format_.parse(number, line)
        except ValueError as error:
            raise CorpusError(f"{path}:{number}: {line!r}; expected {format_.expected}") from error
        if label is None:
            continue
        if format_ is SEGMENTS and seen.setdefault(label.text, number) != number:
            raise CorpusError(f"{path}:{number}: {label.text} is on line {seen[label.text]} as well; expected it once")
        yield label


def _chosen(path: Path, labels: Sequence[Label], format_: _Format, channel: Channel) -> list[Label]:
    """Choose the labels of one channel, or all; refuse several channels of a recording where none was chosen."""
    if channel == "mean":
        return list(labels)
    if channel is not None:
        first = format_.first_channel
        return [label for label in labels if not label.channel or channel_index(label.channel, first) == channel]
    channels: dict[str, str] = {}
    for label in labels:
        known = channels.setdefault(label.recording, label.channel) if label.channel else ""
        if label.channel != known:
            raise CorpusError(
                f"{path}:{label.line}: {label.recording} has channels {known} and {label.channel}; choose one with "
                "--channel, which counts from 0"
            )
    return list(labels)


def _label_file(name: str, labels: Sequence[Label], counts: Callable[[str], bool], *, shown: bool = True) -> LabelFile:
    """Collect the stretches of speech by recording, and the labels that say so."""
    stretches: dict[str, list[tuple[float, float]]] = {}
    for label in labels:
        pairs = stretches.setdefault(label.recording, [])
        if label.start < label.stop and counts(label.text):
            pairs.append((label.start, label.stop))
    return LabelFile(
        name,
        {recording: merge_overlapping(pairs) for recording, pairs in stretches.items()},
        Counter(label.text for label in labels if shown and counts(label.text)),
        Counter(label.text for label in labels if shown and not counts(label.text)),
    )


def _read_timed(path: Path, lines: Sequence[tuple[int, str]], labels: Sequence[Label]) -> LabelFile:
    """Recognise HTK by its unit of time and Audacity by its tabs, and read start, stop and label of each line."""
    times = [time for label in labels for time in (label.start, label.stop)]
    if max(times, default=0) >= MIN_HTK_STOP and all(time.is_integer() for time in times):
        name, labels = "HTK labels", [_in_seconds(label) for label in labels]
    elif any("\t" in line for _, line in lines) and path.suffix.lower() not in BY_SUFFIX:
        name = "Audacity labels"
    else:
        name = "ALIZE labels"
    texts = {label.text for label in labels}
    if "0" in texts and texts <= {"0", "1"}:
        raise CorpusError(
            f"{path}: labels 0 and 1 may be speakers, or no speech and speech; expected names, such as silence and "
            "speech"
        )
    found = _label_file(name, labels, is_speech)
    return replace(found, speech={"": found.speech.get("", ())})


def _read_master_labels(path: Path, lines: Sequence[tuple[int, str]]) -> LabelFile:
    """Read HTK's labels of many recordings, each after a line of its name in quotation marks and ended by a point.

    The name may start with a folder or ``*``, and ends in ``.lab`` or ``.rec``.
    """
    labels: list[Label] = []
    recordings: dict[str, int] = {}
    recording = ""
    for number, line in lines:
        if name := re.fullmatch(r'"(?:.*[/\\])?(?:\*|([^/\\]+?))(?:\.[A-Za-z]+)?"', line):
            recording = name[1] or ""
            if not recording or recordings.setdefault(recording, number) != number:
                raise CorpusError(
                    f"{path}:{number}: {line}; expected the name of one recording, which has no labels yet"
                )
        elif line == ".":
            recording = ""
        elif not recording:
            raise CorpusError(f'{path}:{number}: {line!r}; expected a name as in "*/NAME.lab"')
        elif label := next(_parse_lines(path, TIMED, [(number, line)]), None):
            labels.append(_in_seconds(label)._replace(recording=recording))
    found = _label_file("HTK master labels", labels, is_speech)
    return replace(found, speech={name: found.speech.get(name, ()) for name in recordings})


def _in_seconds(label: Label) -> Label:
    """Convert HTK's times, and drop what may follow a label, such as scores, and the neighbours of a phone in it."""
    text = re.sub(r"^[^-]*-([^+-]+)\+.*", r"\1", "".join(label.text.split()[:1]))
    return label._replace(start=label.start * HTK_UNIT, stop=label.stop * HTK_UNIT, text=text)


def _two_numbers(fields: Sequence[str]) -> tuple[float, float]:
    """Read two finite numbers; anything else gives NaN, which no comparison accepts."""
    numbers = [read_number(field) for field in fields]
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        return math.nan, math.nan
    return numbers[0], numbers[1]


def _read_textgrid(path: Path) -> LabelFile:
    """Read the tier of a TextGrid that holds speech."""
    files = {name: _read_tier(name, intervals) for name, intervals in read_tiers(path).items()}
    spoken = [name for name, file in files.items() if file.speech.get("")]
    preferred = [name for name in spoken if name.strip().lower() in SPEECH_TIERS]
    if words := [name for name in spoken if TIER_OF_SPEAKER.fullmatch(name)]:
        return _joined([files[name] for name in words])
    if not spoken:
        return LabelFile(
            "Praat TextGrid", {"": ()}, Counter(), sum((each.silent for each in files.values()), Counter())
        )
    if len(preferred) != 1 and len({files[name].speech[""] for name in spoken}) > 1:
        raise CorpusError(
            f"{path}: tiers {', '.join(spoken)} mark different stretches; expected one tier with labels, or one called "
            "speech"
        )
    return files[preferred[0] if len(preferred) == 1 else spoken[0]]


def _joined(tiers: Sequence[LabelFile]) -> LabelFile:
    """Join the speech of several speakers' tiers."""
    return LabelFile(
        ", ".join(dict.fromkeys(tier.format for tier in tiers)),
        {"": merge_overlapping(pair for tier in tiers for pair in tier.speech[""])},
        sum((tier.spoken for tier in tiers), Counter()),
        sum((tier.silent for tier in tiers), Counter()),
    )


def _read_tier(name: str, intervals: Sequence[Label]) -> LabelFile:
    """Collect the speech of a tier of a TextGrid; what has no label is silence."""
    among_words = re.search("word|phon", name.lower()) is not None
    labels = [label for label in intervals if label.text]
    return _label_file(f"Praat TextGrid, tier {name}", labels, partial(is_speech, among_words=among_words))
