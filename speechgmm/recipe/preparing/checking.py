"""Checking the data of a recipe from its lists and the headers of its recordings, before anything is computed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import AudioError, CorpusError
from speechgmm.features.extract import FeatureConfig, check_rate
from speechgmm.features.formats.reading import file_of_place
from speechgmm.features.spectral.config import empty_filters
from speechgmm.files import is_file
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment, read_headers
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.calibration import check_list

SHORT_SECONDS = 0.5
"""Utterances shorter than this get a warning."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A kind of mistake in the data, with all its cases.

    With an error the experiment cannot run as the recipe says; with a warning it may not be what the user intends.
    """

    severity: Severity
    what: str  # the kind, in a few words
    items: tuple[str, ...]  # each case with its place; paths start at the root of the corpus


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

    def count(self, severity: Severity) -> int:
        """Count the cases of a severity, of all kinds together."""
        return sum(len(finding.items) for finding in self.findings if finding.severity == severity)


def check_recipe(recipe: Recipe, engine: Engine | None = None) -> CheckReport:
    """Check the lists, recordings and kernels of a recipe; of recordings only the headers are read, on the engine."""
    front_ends = _front_ends(recipe)
    findings = [Finding("warning", "empty filters", empty_filters(front_end)) for front_end in front_ends]
    findings.append(Finding("error", "kernel", recipe.missing_kernels()))
    if isinstance(recipe.corpus, SyntheticConfig):
        return CheckReport(_sorted_findings(findings), {}, {})
    try:
        corpus = read_corpus(recipe.corpus)
    except CorpusError as error:
        findings.append(Finding("error", "in the lists", tuple(str(error).splitlines())))
        return CheckReport(_sorted_findings(findings, recipe.corpus.root), {}, {})
    findings += _list_findings(recipe, corpus)
    if front_ends:
        headers = read_headers((utterance for _, utterance in _named_utterances(corpus)), engine)
        findings += _audio_findings(front_ends, corpus, headers)
    else:
        headers = {}
        findings.append(_missing_features(corpus))
    roles: dict[str, RoleData] = {role: _role_data(corpus.role(role), headers) for role in ROLES}
    n_trials = {name: len(trials) for name, trials in corpus.trials.items()}
    return CheckReport(_sorted_findings(findings, recipe.corpus.root), roles, n_trials)


def _front_ends(recipe: Recipe) -> list[FeatureConfig]:
    """List the front ends for audio, one for each system that has one."""
    return [system.features for system in recipe.systems_or_self if isinstance(system.features, FeatureConfig)]


def _sorted_findings(findings: Iterable[Finding], root: str = "") -> tuple[Finding, ...]:
    """Return the findings that have cases, errors first, with paths that start at the root of the corpus."""
    with_cases = (
        replace(finding, items=tuple(item.replace(f"{root}/", "") for item in finding.items) if root else finding.items)
        for finding in findings
        if finding.items
    )
    return tuple(sorted(with_cases, key=lambda finding: finding.severity != "error"))


def _list_findings(recipe: Recipe, corpus: Corpus) -> Iterator[Finding]:
    """Find the mistakes that the lists show."""
    if not corpus.background and any(system.speakers.method == "map" for system in recipe.systems_or_self):
        needed = "the background model is trained on it; expected some, or speakers.method independent"
        yield Finding("error", "no background", (needed,))
    try:
        check_list(recipe, corpus)
    except CorpusError as error:
        yield Finding("error", "calibration", (str(error),))
    yield Finding("warning", "in the lists", corpus.warnings())
    repeated = []
    for role in ROLES:
        ids: defaultdict[AudioSegment, list[str]] = defaultdict(list)
        for utterance in corpus.role(role):
            if utterance.model is None:
                ids[utterance.audio].append(utterance.id)
        repeated += [f"{role}: {', '.join(same)} are {path}" for (path, *_), same in ids.items() if len(same) > 1]
    yield Finding("warning", "one recording under several ids", tuple(repeated))


def _audio_findings(
    front_ends: Sequence[FeatureConfig], corpus: Corpus, headers: dict[AudioSegment, AudioHeader]
) -> Iterator[Finding]:
    """Find the mistakes that headers show."""
    cases: dict[str, list[str]] = {name: [] for name in ("missing", "unreadable", "unfit", "no frame", "short")}
    rates = Counter(header.sample_rate for header in headers.values() if header.sample_rate)
    unfit_rates = {rate: _why_unfit(rate, front_ends) for rate in rates}
    frame = max(front_end.frame_length for front_end in front_ends)
    for name, utterance in _named_utterances(corpus):
        header = headers.get(utterance.audio)
        if header is None:
            continue
        if header.sample_rate is None:
            cases["missing" if header.missing else "unreadable"].append(f"{name}: {header.error}")
            continue
        if why := unfit_rates[header.sample_rate]:
            cases["unfit"].append(f"{name}: {why}")
        if header.seconds < SHORT_SECONDS:
            length = f"{name}: {utterance.path}: {header.seconds:.3f} s"
            cases["no frame" if header.seconds < frame else "short"].append(length)
    yield Finding("error", "missing file", tuple(cases["missing"]))
    yield Finding("error", "unreadable audio", tuple(cases["unreadable"]))
    yield Finding("error", "sample rate", tuple(cases["unfit"]))
    yield Finding("error", f"shorter than a frame of {frame:g} s", tuple(cases["no frame"]))
    yield Finding("warning", f"shorter than {SHORT_SECONDS:g} s", tuple(cases["short"]))
    counts = ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
    yield Finding("warning", "mixed sample rates", (counts,) if len(rates) > 1 else ())


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


def _missing_features(corpus: Corpus) -> Finding:
    """Find archives of features that do not exist."""
    named = [(name, utterance.path, file_of_place(utterance.path)) for name, utterance in _named_utterances(corpus)]
    exists = {file: is_file(Path(file)) for file in {file for *_, file in named}}
    missing = tuple(f"{name}: {path}" for name, path, file in named if not exists[file])
    return Finding("error", "missing file", missing)


def _role_data(utterances: Sequence[Utterance], headers: dict[AudioSegment, AudioHeader]) -> RoleData:
    """Count the data of a role."""
    known = [headers[each.audio] for each in utterances if each.audio in headers]
    rates = Counter(header.sample_rate for header in known if header.sample_rate)
    return RoleData(
        len({each.speaker for each in utterances}),
        len(utterances),
        sum(header.seconds for header in known) / 3600,
        tuple(rate for rate, _ in rates.most_common()),
    )
