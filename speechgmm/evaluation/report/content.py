"""The content of pages of results, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from speechgmm.evaluation.summary import ListMetrics


@dataclass(frozen=True)
class Plot:
    """A plot on a page: an SVG element with its title and a caption."""

    title: str
    caption: str
    svg: (
        str  # an ``<svg>`` element from `speechgmm.evaluation.plots.svg_text`; trusted, and put into the page unescaped
    )


@dataclass(frozen=True)
class WorstTrial:
    """A trial with one of the most misleading scores."""

    model: str
    test: str
    score: float  # nats, the score that was decided by
    speaker: str = ""  # who speaks in the test; empty if unknown
    path: str = ""  # the recording of the test; empty if unknown
    seconds: float | None = None  # its length


@dataclass(frozen=True)
class WorstTrials:
    """The trials of a list to listen to: the lowest target and the highest nontarget scores, worst first."""

    name: str
    targets: tuple[WorstTrial, ...]
    nontargets: tuple[WorstTrial, ...]


@dataclass(frozen=True)
class Breakdown:
    """The metrics of the parts of a trial list."""

    name: str  # of the list
    column: str  # whose values define the parts
    parts: Mapping[str, ListMetrics]
    few: tuple[str, ...] = ()  # parts with too few trials for reliable metrics


@dataclass(frozen=True)
class DataRole:
    """Counts and durations of the data in one role (background, enrolment, test)."""

    role: str
    n_speakers: int
    sexes: str
    n_utterances: int
    audio_seconds: float
    speech_seconds: float
    n_skipped: int


@dataclass(frozen=True)
class SkippedItem:
    """An item that was not used, and why."""

    kind: str  # utterance, model, trial, ...
    id: str
    role: str
    path: str
    reason: str
    system: str = ""  # the system that could not use it


class TrainingRow(NamedTuple):
    """An iteration of a training."""

    number: str
    n_components: int
    log_likelihood: float  # nats per frame
    gain: float | None  # nats per frame, over the iteration before
    remarks: str


@dataclass(frozen=True)
class Training:
    """The iterations of a background model's training."""

    model: str  # which background model; empty if there is one only
    iterations: tuple[TrainingRow, ...]


class Setting(NamedTuple):
    """A key of the recipe whose value is not the default; the default is None for a required key."""

    key: str
    value: str
    default: str | None


@dataclass(frozen=True)
class StageResult:
    """A stage of the experiment."""

    stage: str
    digest: str  # of everything that the output depends on
    made_at: str
    seconds: float
    peak_memory: float | None  # bytes


@dataclass(frozen=True)
class ReportContent:
    """The content of the report of one experiment."""

    title: str  # name of the experiment
    summary: str  # a sentence about it
    warnings: tuple[str, ...] = ()  # reasons to doubt the metrics
    notes: tuple[str, ...] = ()  # other remarks about the metrics
    trial_lists: Mapping[str, ListMetrics] = field(default_factory=dict)  # the first one's are the headline
    confidence: float | None = None  # level of the intervals, if there are any
    decision: str = ""  # the decision threshold and its meaning, if the lists have errors of decisions
    identification: Mapping[str, Any] | None = None  # as in ``metrics.json``
    plots: tuple[Plot, ...] = ()
    worst: tuple[WorstTrials, ...] = ()  # one for each list
    breakdowns: tuple[Breakdown, ...] = ()
    data: tuple[DataRole, ...] = ()  # one for each role; empty if nothing is known of the data
    skipped: tuple[SkippedItem, ...] = ()  # all of them; the page shows their number and the first ones
    training: tuple[Training, ...] = ()  # one for each background model
    settings: tuple[Setting, ...] = ()
    recipe: str = ""  # the resolved recipe, as text
    marked: frozenset[int] = frozenset()  # lines of it, from 1, that have the settings
    provenance: Mapping[str, str] = field(default_factory=dict)  # versions, seed, machine, time
    stages: tuple[StageResult, ...] = ()  # in the order in which they ran


@dataclass(frozen=True)
class ComparedList:
    """The metrics of several systems on one trial list."""

    name: str  # of the list
    columns: Mapping[str, ListMetrics]  # by results; those that have the list
    # by metric, as in ``min_dcf.sre08``: each column minus the first results, with low and high of the interval
    differences: Mapping[str, Sequence[tuple[float, float, float] | None]]
    plot: Plot | None  # the DET curves of all systems


@dataclass(frozen=True)
class ComparisonContent:
    """The content of a page that compares several experiments."""

    names: tuple[str, ...]  # of the results; the others are compared with the first
    summaries: tuple[str, ...]  # a sentence about each
    keys: Mapping[str, Sequence[str]]  # recipe keys with different values, and the value in each; empty if absent
    lists: tuple[ComparedList, ...]
    identification: Mapping[str, Mapping[str, Any]]  # by results, as in ``metrics.json``
    confidence: float  # level of the intervals
