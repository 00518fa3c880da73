"""What is wrong with the data of a recipe, found from lists and headers before anything is computed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from speechgmm.audio.reading import audio_blocks, duration
from speechgmm.corpus.formats.commands import is_command
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import AudioError, CorpusError
from speechgmm.features.extract import FeatureConfig, check_rate
from speechgmm.features.formats.reading import file_of_place
from speechgmm.features.spectral.config import empty_filters
from speechgmm.features.store.writing import segment_stop
from speechgmm.files import is_file
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.graph.calibration import check_list
from speechgmm.recipe.schema.recipe import Recipe

SHORT_SECONDS = 0.5
"""Utterances shorter than this are warned of."""

FILES_AT_ONCE = 200
"""Headers that a worker reads at a time."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something wrong, of one kind.

    Parameters
    ----------
    severity : "error" or "warning"
        Whether the experiment cannot be what the recipe says, or may not be what one thinks.
    what : str
        The kind, in a few words.
    items : tuple of str
        Each case, with its place; paths start at the root of the corpus.
    """

    severity: Severity
    what: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class RoleData:
    """What there is in one role.

    Parameters
    ----------
    n_speakers, n_utterances : int
        As listed.
    hours : float
        Of audio, as headers say.
    sample_rates : tuple of int, Hz
        Of the files, the most frequent first.
    """

    n_speakers: int
    n_utterances: int
    hours: float
    sample_rates: tuple[int, ...]


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Parameters
    ----------
    findings : tuple of Finding
        Errors first.
    roles : dict of str to RoleData
        Empty if the lists cannot be read, or the voices are yet to be made.
    n_trials : dict of str to int
        Trials of each list.
    """

    findings: tuple[Finding, ...]
    roles: dict[str, RoleData]
    n_trials: dict[str, int]

    def count(self, severity: Severity) -> int:
        """Count the cases of a severity.

        Parameters
        ----------
        severity : "error" or "warning"
            Which.

        Returns
        -------
        int
            Of all kinds together.
        """
        return sum(len(each.items) for each in self.findings if each.severity == severity)


class AudioHeader(NamedTuple):
    """What the header of a recording says of an utterance.

    Attributes
    ----------
    seconds : float, seconds
        Its length; 0 where it is not known.
    sample_rate : int or None, Hz
        None if the recording cannot be used.
    missing : bool
        Whether there is no such file.
    error : str or None
        Why it cannot be used.
    """

    seconds: float = 0.0
    sample_rate: int | None = None
    missing: bool = False
    error: str | None = None


Audio = tuple[str, float | None, float | None, Any]
"""A file, a segment of it, and a channel: `Utterance.audio`."""


def check_recipe(recipe: Recipe, engine: Engine | None = None) -> CheckReport:
    """Look for what is wrong with the lists, the recordings and the kernels of a recipe; only headers are read.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    engine : Engine, optional
        Where to read headers.

    Returns
    -------
    CheckReport
        What was found, and what there is.
    """
    findings = [
        _filters(member.features) for member in recipe.systems_or_self if isinstance(member.features, FeatureConfig)
    ]
    findings.append(Finding("error", "kernel", recipe.missing_kernels()))
    if isinstance(recipe.corpus, SyntheticConfig):
        return CheckReport(_told(findings), {}, {})
    try:
        corpus = read_corpus(recipe.corpus)
    except CorpusError as error:
        findings.append(Finding("error", "in the lists", tuple(str(error).splitlines())))
        return CheckReport(_told(findings, recipe.corpus.root), {}, {})
    findings += _of_lists(recipe, corpus)
    if any(isinstance(member.features, FeatureConfig) for member in recipe.systems_or_self):
        headers = read_headers((each for _, each in _utterances(corpus)), engine)
        findings += _of_audio(recipe, corpus, headers)
    else:
        headers = {}
        findings.append(_missing_features(corpus))
    roles: dict[str, RoleData] = {role: _role_data(corpus.role(role), headers) for role in ROLES}
    return CheckReport(
        _told(findings, recipe.corpus.root), roles, {name: len(trials) for name, trials in corpus.trials.items()}
    )


def _told(findings: Iterable[Finding], root: str = "") -> tuple[Finding, ...]:
    """Leave out kinds without a case, put errors first, and let paths start at the root of the corpus."""
    told = (
        replace(each, items=tuple(item.replace(f"{root}/", "") for item in each.items) if root else each.items)
        for each in findings
        if each.items
    )
    return tuple(sorted(told, key=lambda each: each.severity != "error"))


def _filters(config: FeatureConfig) -> Finding:
    """Find filters that do nothing."""
    return Finding("warning", "empty filters", empty_filters(config))


def _of_lists(recipe: Recipe, corpus: Corpus) -> Iterator[Finding]:
    """Find what lists alone show."""
    if not corpus.background and any(member.speakers.method == "map" for member in recipe.systems_or_self):
        needed = "the background model is trained on it; expected some, or speakers.method independent"
        yield Finding("error", "no background", (needed,))
    try:
        check_list(recipe, corpus)
    except CorpusError as error:
        yield Finding("error", "calibration", (str(error),))
    yield Finding("warning", "in the lists", corpus.warnings())
    repeated = []
    for role in ROLES:
        ids: defaultdict[Audio, list[str]] = defaultdict(list)
        for each in corpus.role(role):
            if each.model is None:
                ids[each.audio].append(each.id)
        repeated += [f"{role}: {', '.join(own)} are {path}" for (path, *_), own in ids.items() if len(own) > 1]
    yield Finding("warning", "one recording under several ids", tuple(repeated))


def read_headers(utterances: Iterable[Utterance], engine: Engine | None = None) -> dict[Audio, AudioHeader]:
    """Read the headers of recordings, once for each part of one that is used.

    Parameters
    ----------
    utterances : iterable of Utterance
        Those that are the output of commands have no header to read.
    engine : Engine, optional
        Where to read.

    Returns
    -------
    dict from Audio to AudioHeader
        By `Utterance.audio`.
    """
    wanted = list(dict.fromkeys(each.audio for each in utterances if not is_command(each.path)))
    blocks = [wanted[start : start + FILES_AT_ONCE] for start in range(0, len(wanted), FILES_AT_ONCE)]
    headers = (each for block in map_in_order(_read_headers, blocks, engine) for each in block)
    return dict(zip(wanted, headers, strict=True))


def _read_headers(block: Sequence[Audio]) -> list[AudioHeader]:
    """Read some headers, in a worker."""
    return [_read_header(each) for each in block]


def _read_header(audio: Audio) -> AudioHeader:
    """Read a header, and hold the segment and the channel against it."""
    path, start, end, channel = audio
    try:
        end = segment_stop(path, end)
        _, rate = audio_blocks(path, channel=channel, start=start, stop=end)
    except AudioError as error:
        return AudioHeader(missing=not is_file(Path(path)), error=str(error))
    stop = duration(path) if end is None else end
    return AudioHeader((stop or 0.0) - (start or 0.0), rate)


def _of_audio(recipe: Recipe, corpus: Corpus, headers: dict[Audio, AudioHeader]) -> Iterator[Finding]:
    """Find what headers show, of each utterance once."""
    cases: dict[str, list[str]] = {name: [] for name in ("missing", "unreadable", "unfit", "no frame", "short")}
    fronts = [member.features for member in recipe.systems_or_self if isinstance(member.features, FeatureConfig)]
    unfit_rate = {
        header.sample_rate: _why_unfit(header.sample_rate, fronts) for header in headers.values() if header.sample_rate
    }
    frame = max(front.frame_length for front in fronts)
    for name, utterance in _utterances(corpus):
        header = headers.get(utterance.audio)
        if header is None:
            continue
        if header.sample_rate is None:
            cases["missing" if header.missing else "unreadable"].append(f"{name}: {header.error}")
            continue
        if why := unfit_rate[header.sample_rate]:
            cases["unfit"].append(f"{name}: {why}")
        if header.seconds < SHORT_SECONDS:
            length = f"{name}: {utterance.path}: {header.seconds:.3f} s"
            cases["no frame" if header.seconds < frame else "short"].append(length)
    yield Finding("error", "missing file", tuple(cases["missing"]))
    yield Finding("error", "unreadable audio", tuple(cases["unreadable"]))
    yield Finding("error", "sample rate", tuple(cases["unfit"]))
    yield Finding("error", f"shorter than a frame of {frame:g} s", tuple(cases["no frame"]))
    yield Finding("warning", f"shorter than {SHORT_SECONDS:g} s", tuple(cases["short"]))
    rates = Counter(header.sample_rate for header in headers.values() if header.sample_rate)
    counts = ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
    yield Finding("warning", "mixed sample rates", (counts,) if len(rates) > 1 else ())


def _why_unfit(rate: int, fronts: Sequence[FeatureConfig]) -> str | None:
    """Say why a front end cannot take a sample rate, if one cannot."""
    try:
        for front in fronts:
            check_rate(rate, front)
    except AudioError as error:
        return str(error)
    return None


def _utterances(corpus: Corpus) -> Iterator[tuple[str, Utterance]]:
    """Give the utterances with their roles and names."""
    for role in ROLES:
        for utterance in corpus.role(role):
            yield f"{role} {utterance.id}", utterance


def _missing_features(corpus: Corpus) -> Finding:
    """Find archives of features that are not there."""
    there = {file: is_file(Path(file)) for file in {file_of_place(each.path) for _, each in _utterances(corpus)}}
    missing = [f"{name}: {each.path}" for name, each in _utterances(corpus) if not there[file_of_place(each.path)]]
    return Finding("error", "missing file", tuple(missing))


def _role_data(utterances: Sequence[Utterance], headers: dict[Audio, AudioHeader]) -> RoleData:
    """Count what there is in a role."""
    found = [headers[each.audio] for each in utterances if each.audio in headers]
    rates = Counter(header.sample_rate for header in found if header.sample_rate)
    return RoleData(
        len({each.speaker for each in utterances}),
        len(utterances),
        sum(header.seconds for header in found) / 3600,
        tuple(rate for rate, _ in rates.most_common()),
    )
