"""What a page of results says, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Numbers = Mapping[str, Any]
"""The numbers of a trial list, as `speechgmm.evaluation.summary.summarise` and ``metrics.json`` name them."""


@dataclass(frozen=True)
class Plot:
    """A picture.

    Parameters
    ----------
    title, caption : str
        What it shows, and how to read it.
    svg : str
        An ``<svg>`` element, trusted and put into the page as it is; see `speechgmm.evaluation.plots.svg_text`.
    """

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class WorstTrial:
    """A trial that the scores got most wrong.

    Parameters
    ----------
    model, test : str
        Its two sides.
    score : float, nats
        As it was decided by.
    speaker : str
        Who speaks in the test; empty where that is not known.
    path : str
        The recording of the test; empty where that is not known.
    seconds : float or None
        Its length.
    """

    model: str
    test: str
    score: float
    speaker: str = ""
    path: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class WorstTrials:
    """The trials of a list to listen to: the targets of lowest and the nontargets of highest score, worst first."""

    name: str
    targets: tuple[WorstTrial, ...]
    nontargets: tuple[WorstTrial, ...]


@dataclass(frozen=True)
class Breakdown:
    """The numbers of parts of a trial list.

    Parameters
    ----------
    name, column : str
        The list, and what parts its trials.
    parts : mapping of str to Numbers
        By part.
    few : tuple of str
        Parts whose numbers say little.
    """

    name: str
    column: str
    parts: Mapping[str, Numbers]
    few: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataRole:
    """The data in one role (background, enrolment, test): counts, and seconds of audio and of speech in it."""

    role: str
    n_speakers: int
    sexes: str
    n_utterances: int
    audio_seconds: float
    speech_seconds: float
    n_skipped: int


@dataclass(frozen=True)
class SkippedItem:
    """Something that was not used: what kind of thing it is, its id, role and path, the reason, and by which system."""

    kind: str
    id: str
    role: str
    path: str
    reason: str
    system: str = ""


class TrainingRow(NamedTuple):
    """An iteration of a training: nats per frame, the gain in them, and what happened to components."""

    number: str
    n_components: int
    log_likelihood: float
    gain: float | None
    remarks: str


@dataclass(frozen=True)
class Training:
    """How a background model was trained: which it is, where there are several, and its iterations."""

    of: str
    iterations: tuple[TrainingRow, ...]


class Setting(NamedTuple):
    """A key of the recipe that is not at its default; None where it has none."""

    key: str
    value: str
    default: str | None


@dataclass(frozen=True)
class StageResult:
    """A stage of the experiment: the digest of what it depends on, and when and how its output was made."""

    stage: str
    digest: str
    made_at: str
    seconds: float
    peak_memory: float | None


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report says.

    Parameters
    ----------
    title, summary : str
        Name of the experiment, and one sentence about it.
    warnings, notes : tuple of str
        What makes the numbers doubtful, and what else is to be known of them.
    trial_lists : mapping of str to Numbers
        By list; the first one's are the headline.
    confidence : float or None
        Of the intervals, where there are any.
    decision : str
        The threshold of decisions and what it is, where the lists have shares of errors at one.
    identification : mapping, optional
        As in ``metrics.json``, if it was evaluated.
    plots : tuple of Plot
        In the order of the page.
    worst : tuple of WorstTrials
        One for each list.
    breakdowns : tuple of Breakdown
        In the order of the page.
    data : tuple of DataRole
        One for each role; none where nothing is known of the data.
    skipped : tuple of SkippedItem
        All of them; the page counts them and shows the first.
    training : tuple of Training
        One for each background model.
    settings : tuple of Setting
        What the recipe sets.
    recipe : str
        The resolved recipe, as text.
    marked : frozenset of int >= 1
        Lines of it that have the settings.
    provenance : mapping of str to str
        Versions, seed, machine, time and what else is needed to do it again.
    stages : tuple of StageResult
        In the order in which they ran.
    """

    title: str
    summary: str
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trial_lists: Mapping[str, Numbers] = field(default_factory=dict)
    confidence: float | None = None
    decision: str = ""
    identification: Numbers | None = None
    plots: tuple[Plot, ...] = ()
    worst: tuple[WorstTrials, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    data: tuple[DataRole, ...] = ()
    skipped: tuple[SkippedItem, ...] = ()
    training: tuple[Training, ...] = ()
    settings: tuple[Setting, ...] = ()
    recipe: str = ""
    marked: frozenset[int] = frozenset()
    provenance: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageResult, ...] = ()


@dataclass(frozen=True)
class ComparedList:
    """A trial list as several systems did on it.

    Parameters
    ----------
    name : str
        The list.
    columns : mapping of str to Numbers
        By results; those that have the list.
    differences : mapping of str to sequence of (three floats or None)
        By number, as in ``min_dcf.sre08``: that of each column less that of the first results, and low and high of its
        interval.
    plot : Plot, optional
        All of their curves.
    """

    name: str
    columns: Mapping[str, Numbers]
    differences: Mapping[str, Sequence[tuple[float, float, float] | None]]
    plot: Plot | None


@dataclass(frozen=True)
class ComparisonContent:
    """Everything that a comparison says.

    Parameters
    ----------
    names : tuple of str
        The results; the first is what the others are compared with.
    summaries : tuple of str
        A sentence about each.
    keys : mapping of str to sequence of str
        Keys of the recipes that are not alike, with the value in each; empty where one has none.
    lists : tuple of ComparedList
        The numbers.
    identification : mapping of str to Numbers
        By results, as in ``metrics.json``.
    confidence : float
        Of the intervals.
    """

    names: tuple[str, ...]
    summaries: tuple[str, ...]
    keys: Mapping[str, Sequence[str]]
    lists: tuple[ComparedList, ...]
    identification: Mapping[str, Numbers]
    confidence: float
