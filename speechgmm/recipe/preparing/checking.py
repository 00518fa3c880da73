"""Checking the data of a recipe from its lists and the headers of its recordings, before anything is computed."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speechgmm.corpus.formats.folders import LayoutConfig
from speechgmm.corpus.formats.tables import CsvConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance, shared_audio
from speechgmm.corpus.reading import CorpusConfig, read_corpus
from speechgmm.corpus.shared_recordings import SharedRecordings, find_shared, name_shared, speakers_of
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import AudioError, CorpusError, ModelError
from speechgmm.features.extract import FeatureConfig, check_rate
from speechgmm.features.formats.reading import file_of_place
from speechgmm.features.spectral.config import empty_filters
from speechgmm.files import is_file
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.duplicates import same_samples
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment, read_headers
from speechgmm.recipe.preparing.plausibility import implausible_speakers, small_backgrounds
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.calibration import check_list
from speechgmm.recipe.stages.copies import check_copies
from speechgmm.recipe.stages.corpus import shared_files, with_sound
from speechgmm.recipe.stages.missing_background import with_background
from speechgmm.recipe.stages.pretrained import check_pretrained, known_recordings
from speechgmm.recipe.stages.progress import ProgressBars
from speechgmm.recipe.stages.rates import ResolvedRecipe, at_rates
from speechgmm.recipe.stages.small_cohorts import normalisation_key, why_small, without_small_cohorts

SHORT_SECONDS = 0.5
"""Utterances shorter than this get a warning."""

Severity = Literal["error", "warning"]


Cases = Iterable[tuple[str, str]]
"""Cases of a mistake: where each is, or nothing where the message says so, and the message."""


@dataclass(frozen=True)
class Alike:
    """Cases of a mistake that differ in nothing but their place."""

    message: str
    count: int
    first: str  # the place of the first case; empty if the message names it


@dataclass(frozen=True)
class Finding:
    """A kind of mistake in the data, with all its cases.

    With an error the experiment cannot run as the recipe says; with a warning it may not be what the user intends.
    """

    severity: Severity
    what: str  # the kind, in a few words
    items: tuple[str, ...]  # each case with its place; paths start at the root of the corpus
    groups: tuple[Alike, ...]  # the same cases by their messages, in the order of the first of each
    expected: str = ""  # what to do about all of them, where the cases do not say so


@dataclass(frozen=True)
class RoleData:
    """The amount of data in one role."""

    n_speakers: int
    n_utterances: int
    hours: float  # of audio, according to headers
    sample_rates: tuple[int, ...]  # Hz, the most frequent first


@dataclass(frozen=True)
class CheckReport:
    """The findings of a check, and the amount of data."""

    findings: tuple[Finding, ...]  # errors first
    roles: dict[str, RoleData]  # empty if the lists cannot be read, or synthetic talkers are not recorded yet
    n_trials: dict[str, int]  # of each list
    checked: str  # what was looked at, in words
    taken: str = ""  # the sample rate that features will take from the corpus, in words
    copies: str = ""  # which augmented copies will be made, in words

    def count(self, severity: Severity) -> int:
        """Count the cases of a severity, of all kinds together."""
        return sum(len(finding.items) for finding in self.findings if finding.severity == severity)


@dataclass(frozen=True)
class _Found:
    """A finding as it is made, before paths are shortened and cases are grouped."""

    severity: Severity
    what: str
    cases: Cases
    expected: str = ""


def check_recipe(recipe: Recipe, engine: Engine | None = None, bars: ProgressBars | None = None) -> CheckReport:
    """Check the lists, recordings and kernels of a recipe, on the engine, and show progress.

    Of recordings the headers are read. Those of the same length are compared: the first second of each before the rest.
    """
    findings = [_Found("error", "kernel", _without_places(recipe.missing_kernels()))]
    findings += _augmentation_findings(recipe)
    copies = f"augment: {recipe.copies_in_words}" if recipe.augment else ""
    config = recipe.corpus
    if isinstance(config, SyntheticConfig):
        resolved = at_rates(recipe, {config.sample_rate: 1})
        findings += _empty_filters(resolved.recipe)
        findings += _pretrained_findings(resolved.recipe)
        checked = "the recipe; its talkers are not recorded yet"
        return CheckReport(_sorted_findings(findings), {}, {}, checked, resolved.taken, copies)
    root = config.root
    try:
        corpus = with_background(read_corpus(config), recipe)
    except CorpusError as error:
        findings.append(_Found("error", "in the lists", [_split_line(line) for line in str(error).splitlines()]))
        return CheckReport(_sorted_findings(findings, root), {}, {}, "the recipe and its lists")
    recipe, corpus = without_small_cohorts(recipe, corpus)
    findings += _list_findings(recipe, corpus)
    bars = bars or ProgressBars(None)
    headers: dict[AudioSegment, AudioHeader] = {}
    resolved = ResolvedRecipe(recipe)
    if _front_ends(recipe):
        named = _named_utterances(corpus)
        headers = read_headers((utterance for _, utterance in named), engine, bars.callback("reading headers"))
        digests = same_samples(headers, engine, bars)
        of_file = {audio[0]: header.sample_rate for audio, header in headers.items() if header.sample_rate}
        resolved = at_rates(recipe, Counter(of_file.values()))
        findings += _empty_filters(resolved.recipe)
        findings += _pretrained_findings(resolved.recipe, corpus)
        findings += _audio_findings(resolved, corpus, headers, _how_to_choose_channels(config))
        small = small_backgrounds(resolved.recipe, corpus, headers)
        findings.append(_Found("warning", "small background", _without_places(small)))
        shared = with_sound(find_shared(corpus, lambda utterance: digests.get(utterance.audio, utterance.audio)))
    else:
        findings.append(_missing_features(corpus))
        shared = shared_files(corpus, imported=True)
    findings += _shared_findings(shared, allowed=config.allow_shared_recordings)
    roles: dict[str, RoleData] = {role: _role_data(corpus.role(role), headers) for role in ROLES}
    n_trials = {name: len(trials) for name, trials in corpus.trials.items()}
    read = f"headers of {len(headers):,} recordings" if _front_ends(recipe) else "files of features"
    checked = f"the recipe, lists, trials, speakers, {read}, and whether two of them are the same"
    return CheckReport(_sorted_findings(findings, root), roles, n_trials, checked, resolved.taken, copies)


def _augmentation_findings(recipe: Recipe) -> Iterator[_Found]:
    """Find what augmented copies cannot be made of: folders without recordings, and codecs that are missing."""
    try:
        if recipe.augment:
            check_copies(recipe.augment)
    except AudioError as error:
        yield _Found("error", "augment", [("", str(error))])


def _pretrained_findings(recipe: Recipe, corpus: Corpus | None = None) -> Iterator[_Found]:
    """Find pretrained models that are not there, and recordings that they were trained on."""
    try:
        check_pretrained(recipe)
        known = known_recordings(recipe, corpus) if corpus else ()
    except ModelError as error:
        yield _Found("error", "pretrained model", [("", str(error))])
    else:
        yield _Found("warning", "known to a pretrained model", _without_places(known))


def _empty_filters(recipe: Recipe) -> Iterator[_Found]:
    """Find filters that have no frequency of the spectrum below them, for each front end."""
    for front_end in _front_ends(recipe):
        yield _Found("warning", "empty filters", _without_places(empty_filters(front_end)))


def _front_ends(recipe: Recipe) -> list[FeatureConfig]:
    """List the front ends for audio, one for each system that has one."""
    return [system.features for system in recipe.systems_or_self if isinstance(system.features, FeatureConfig)]


def _without_places(messages: Iterable[str]) -> Cases:
    """Return messages as cases that name their places themselves."""
    return [("", message) for message in messages]


def _split_line(text: str) -> tuple[str, str]:
    """Split an error in a list into its file and line, if it names them, and the message."""
    placed = re.fullmatch(r"(.+?:[0-9]+): (.+)", text)
    return (placed[1], placed[2]) if placed else ("", text)


def _sorted_findings(findings: Iterable[_Found], root: str = "") -> tuple[Finding, ...]:
    """Return the findings that have cases, errors first, with paths that start at the root of the corpus."""
    with_cases = []
    for found in findings:
        cases = [tuple(_shorten(text, root) for text in case) for case in found.cases]
        if cases:
            items = tuple(f"{place}: {message}" if place else message for place, message in cases)
            messages = Counter(message for _, message in cases)
            first = {message: place for place, message in reversed(cases)}
            groups = tuple(Alike(message, count, first[message]) for message, count in messages.items())
            with_cases.append(Finding(found.severity, found.what, items, groups, found.expected))
    return tuple(sorted(with_cases, key=lambda finding: finding.severity != "error"))


def _shorten(text: str, root: str) -> str:
    """Write paths in a text from the root of the corpus on."""
    return text.replace(f"{root}/", "") if root else text


def _list_findings(recipe: Recipe, corpus: Corpus) -> Iterator[_Found]:
    """Find the mistakes that the lists show."""
    try:
        check_list(recipe, corpus)
    except CorpusError as error:
        yield _Found("error", "calibration", [("", str(error))])
    several = bool(recipe.systems)
    keys = [(system, normalisation_key(system, several=several)) for system in recipe.systems_or_self]
    small = [why for system, key in keys if (why := why_small(system, corpus, key))]
    yield _Found("error", "normalisation", _without_places(small))
    shared = shared_audio(corpus)  # which is found with all other recordings that have several names
    yield _Found("warning", "in the lists", _without_places(each for each in corpus.warnings() if each not in shared))
    yield _Found("warning", "speakers", _without_places(implausible_speakers(corpus)))


def _shared_findings(shared: SharedRecordings, *, allowed: bool) -> Iterator[_Found]:
    """List the recordings that have several names."""
    tested = _without_places(f"model {pair[0][1].enrols}: {name_shared(pair)}" for pair in shared.tested)
    expected = "expected different recordings, or corpus.allow_shared_recordings: true"
    what = "enrolled and tested on the same recording"
    yield _Found("warning", what, tested) if allowed else _Found("error", what, tested, expected)
    overlapping = (name_shared(pair) for pair in shared.overlapping)
    yield _Found("warning", "enrolled and tested on overlapping segments", _without_places(overlapping))
    of_speakers = (f"{speakers_of(each)}: {name_shared(each)}" for each in shared.of_speakers)
    yield _Found("warning", "one recording of several speakers", _without_places(of_speakers))
    repeated = (name_shared(each) for each in shared.repeated)
    yield _Found("warning", "one recording under several ids", _without_places(repeated))


def _audio_findings(
    resolved: ResolvedRecipe,
    corpus: Corpus,
    headers: Mapping[AudioSegment, AudioHeader],
    choose_channels: str,
) -> Iterator[_Found]:
    """Find the mistakes that headers show; `choose_channels` is what to do where recordings have several channels."""
    front_ends = _front_ends(resolved.recipe)
    cases: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    rates = Counter(header.sample_rate for header in headers.values() if header.sample_rate)
    unfit_rates = {rate: _why_unfit(rate, front_ends) for rate in rates}
    frame = max(front_end.frame_length for front_end in front_ends)
    for name, utterance in _named_utterances(corpus):
        header = headers.get(utterance.audio)
        if header is None:
            continue
        place = f"{name}: {utterance.path}"
        cases["odd"] += [(place, warning) for warning in header.warnings]
        if header.sample_rate is None:
            cases["missing" if header.missing else "unreadable"].append(_split_reason(name, utterance, header))
            continue
        if why := unfit_rates[header.sample_rate]:
            cases["unfit"].append((name, why))
        if header.seconds < SHORT_SECONDS:
            cases["no frame" if header.seconds < frame else "short"].append((place, f"{header.seconds:.3f} s"))
    yield _Found("error", "missing file", cases["missing"])
    several = any(header.several_channels for header in headers.values())
    yield _Found("error", "unreadable audio", cases["unreadable"], choose_channels if several else "")
    yield _Found("error", "sample rate", cases["unfit"])
    yield _Found("error", f"shorter than a frame of {frame:g} s", cases["no frame"])
    yield _Found("warning", f"shorter than {SHORT_SECONDS:g} s", cases["short"])
    yield _Found("warning", "doubtful audio", cases["odd"])
    counts = ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
    mixed = resolved.taken if resolved.mixed else counts
    yield _Found("warning", "mixed sample rates", [("", mixed)] if len(rates) > 1 else [])


def _how_to_choose_channels(config: CorpusConfig | SyntheticConfig) -> str:
    """Say where a corpus of this kind names the channel of a recording that has several."""
    if isinstance(config, LayoutConfig):
        return "for recordings of several channels, set corpus.channel: mean"
    if isinstance(config, CsvConfig):
        return "for recordings of several channels, add a column channel to the table: a number from 0 on, or mean"
    return "for recordings of several channels, name one in segments or reco2file_and_channel"


def _split_reason(name: str, utterance: Utterance, header: AudioHeader) -> tuple[str, str]:
    """Split the reason why a recording cannot be used into the recording and what is wrong with it."""
    reason = header.error or ""
    message = reason.removeprefix(f"{Path(utterance.path)}: ")
    return (name, reason) if message == reason else (f"{name}: {utterance.path}", message)


def _why_unfit(rate: int, front_ends: Sequence[FeatureConfig]) -> str | None:
    """Return why one of the front ends refuses a sample rate, or None if all accept it."""
    try:
        for front_end in front_ends:
            check_rate(rate, front_end)
    except AudioError as error:
        return str(error)
    return None


def _named_utterances(corpus: Corpus) -> Iterator[tuple[str, Utterance]]:
    """Yield each utterance with its role and id as its name in messages."""
    for role in ROLES:
        for utterance in corpus.role(role):
            yield f"{role} {utterance.id}", utterance


def _missing_features(corpus: Corpus) -> _Found:
    """Find archives of features that do not exist."""
    named = [(name, utterance.path, file_of_place(utterance.path)) for name, utterance in _named_utterances(corpus)]
    exists = {file: is_file(Path(file)) for file in {file for *_, file in named}}
    return _Found("error", "missing file", [(name, path) for name, path, file in named if not exists[file]])


def _role_data(utterances: Sequence[Utterance], headers: Mapping[AudioSegment, AudioHeader]) -> RoleData:
    """Count the data of a role."""
    known = [headers[each.audio] for each in utterances if each.audio in headers]
    rates = Counter(header.sample_rate for header in known if header.sample_rate)
    return RoleData(
        len({each.speaker for each in utterances}),
        len(utterances),
        sum(header.seconds for header in known) / 3600,
        tuple(rate for rate, _ in rates.most_common()),
    )
