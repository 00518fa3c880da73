"""One page that tells the results of an experiment: plain values -> a self-contained HTML file.

The page loads nothing, runs no script, has a light and a dark face, and can be printed. It knows results, not
recipes: whoever ran the experiment fills a `ReportContent`. Beside each number stands what it means. A number that
does not exist is given as text, the reason why, and is shown as a dash with that reason; NaN is never shown.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechgmm.evaluation.metrics import Costs
from speechgmm.files import replacing

Number = float | str
"""A number, or the reason why there is none."""

N_SKIPPED_SHOWN: Final = 50

_EER = (
    "The share of errors at the threshold where misses (target trials rejected) and false alarms (nontarget trials "
    "accepted) are equally frequent. 0 % is perfect, 50 % is chance."
)
_MIN_DCF = (
    "The expected cost of decisions at the threshold that is best for these trials. 0 is perfect, 1 is what deciding "
    "without the scores costs."
)
_CLLR = (
    "What it costs, in bits, to take the scores at their word as log-likelihood ratios (natural logarithm). 0 is "
    "perfect, 1 is what scores that say nothing cost, and more than 1 misleads."
)
_MIN_CLLR = (
    "The Cllr that would be left after the best monotone recalibration on these same trials, so it depends on the "
    "order of the scores only. The rest of Cllr is due to calibration."
)
_ACT_DCF = (
    "The expected cost, as of min DCF, of the decisions that the scores themselves ask for as log-likelihood ratios. "
    "At least min DCF; above 1 it were better not to listen."
)
_CLLR_UNCALIBRATED = "The Cllr of the scores before calibration."
_P_MISS = "The share of target trials below the threshold, which are rejected."
_P_FA = "The share of nontarget trials at the threshold or above, which are accepted."
_IDENTIFICATION = (
    "The share of tests for which the right speaker's model scores strictly higher than every other model of the "
    "closed set; a tie at the top does not count."
)


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
    """A trial that the scores got most wrong."""

    model: str
    test: str
    score: float
    path: str


@dataclass(frozen=True)
class DecidedResult:
    """What there is with calibrated scores: Cllr without them in bits, and the shares of errors at the threshold."""

    cllr_uncalibrated: Number
    p_miss: Number
    p_fa: Number


@dataclass(frozen=True)
class TrialListResult:
    """The numbers of one trial list.

    Parameters
    ----------
    name : str
        The list.
    n_target, n_nontarget, n_unscored : int
        Scored trials of each kind, and trials without a score.
    eer : float or str
        Fraction of 1, or why there is none.
    min_dcf, act_dcf : mapping from str to (float or str)
        Normalised minimum and actual detection cost by the name of its costs (a key of `ReportContent.costs`).
    cllr, min_cllr : float or str
        Bits.
    decided : DecidedResult, optional
        Where scores are calibrated; in all lists or in none.
    trains_calibration : bool
        Whether calibration was trained on this very list.
    lowest_targets, highest_nontargets : tuple of WorstTrial
        The trials to listen to, worst first.
    """

    name: str
    n_target: int
    n_nontarget: int
    n_unscored: int
    eer: Number
    min_dcf: Mapping[str, Number]
    act_dcf: Mapping[str, Number]
    cllr: Number
    min_cllr: Number
    decided: DecidedResult | None = None
    trains_calibration: bool = False
    lowest_targets: tuple[WorstTrial, ...] = ()
    highest_nontargets: tuple[WorstTrial, ...] = ()


@dataclass(frozen=True)
class IdentificationResult:
    """How often the right model won: `rate` is a fraction of 1 of `n_tests`, among `n_models`."""

    n_tests: int
    n_models: int
    rate: Number


@dataclass(frozen=True)
class DataRole:
    """The data in one role (background, enrolment, test): counts, and minutes of audio and of speech in it."""

    role: str
    n_speakers: int
    n_utterances: int
    audio_minutes: Number
    speech_minutes: Number
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
    costs : mapping from str to tuple of Costs
        The detection costs that were asked for, by name, such as entries of
        `speechgmm.evaluation.metrics.PRESETS`; the mean is taken over several.
    trial_lists : tuple of TrialListResult
        The first one's EER is the headline.
    decision : str
        The threshold of decisions and what it is, where the lists have shares of errors at one.
    identification : IdentificationResult, optional
        Closed-set identification, if it was evaluated.
    plots : tuple of Plot
        In the order of the page.
    data : tuple of DataRole
        One for each role.
    skipped : tuple of SkippedItem
        All of them; the page counts them and shows the first 50.
    recipe : str
        The resolved recipe, as text.
    provenance : mapping from str to str
        Versions, seed, machine, time and what else is needed to do it again.
    stages : tuple of StageResult
        In the order in which they ran.
    """

    title: str
    summary: str
    costs: Mapping[str, tuple[Costs, ...]] = field(default_factory=dict)
    trial_lists: tuple[TrialListResult, ...] = ()
    decision: str = ""
    identification: IdentificationResult | None = None
    plots: tuple[Plot, ...] = ()
    data: tuple[DataRole, ...] = ()
    skipped: tuple[SkippedItem, ...] = ()
    recipe: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageResult, ...] = ()


@dataclass(frozen=True)
class _Cell:
    """A number as the page shows it: the text, its unit, and the reason if the text is a dash."""

    text: str
    unit: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Measure:
    """A row of results: what was measured, what that means line by line, and a cell for each trial list."""

    name: str
    meaning: tuple[str, ...]
    cells: tuple[_Cell, ...]


@dataclass(frozen=True)
class _Headline:
    """The number one sees first: what it is, of what, and its meaning."""

    name: str
    of: str
    cell: _Cell
    meaning: str


def render_report(content: ReportContent) -> str:
    """Render the page.

    Parameters
    ----------
    content : ReportContent
        What to say. All of it is escaped except the plots' SVG.

    Returns
    -------
    str
        A complete HTML document; the same content gives the same text.

    Raises
    ------
    ValueError
        If a trial list has no minimum or actual DCF under a name of `content.costs`.
    """
    page = Environment(
        loader=PackageLoader("speechgmm", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.filters["cell"] = _cell
    return page.get_template("report.html.j2").render(
        content=content,
        headline=_headline(content),
        measures=_measures(content),
        identification_meaning=_IDENTIFICATION,
        plots=[(plot, _own_ids(plot.svg, number)) for number, plot in enumerate(content.plots, start=1)],
        skipped_by_kind=sorted(Counter(item.kind for item in content.skipped).items()),
        n_skipped_shown=N_SKIPPED_SHOWN,
    )


def write_report(path: Path, content: ReportContent) -> None:
    """Render the page and write it to one file.

    Parameters
    ----------
    path : Path
        The HTML file; an existing one is replaced.
    content : ReportContent
        What to say.

    Raises
    ------
    ValueError
        As `render_report`.
    OSError
        If the file cannot be written.
    """
    # paths that are not valid UTF-8 reach us with lone surrogates, which are shown as escapes
    page = render_report(content).encode("utf-8", errors="backslashreplace")
    with replacing(path) as temporary:
        temporary.write_bytes(page)


def _headline(content: ReportContent) -> _Headline | None:
    """Choose the number one sees first: the first list's EER, else the identification rate."""
    if content.trial_lists:
        first = content.trial_lists[0]
        return _Headline("Equal error rate", f"on {first.name}", _cell(first.eer, 100.0, 2, "%"), _EER)
    if content.identification:
        of = f"of {content.identification.n_tests:,} tests"
        cell = _cell(content.identification.rate, 100.0, 2, "%")
        return _Headline("Identification rate", of, cell, _IDENTIFICATION)
    return None


def _measures(content: ReportContent) -> tuple[_Measure, ...]:
    """Lay out the table of results: a row for each number, a column for each trial list."""
    lists = content.trial_lists
    for result in lists:
        for kind, costs in (("minimum", result.min_dcf), ("actual", result.act_dcf)):
            if missing := content.costs.keys() - costs.keys():
                raise ValueError(f"trial list {result.name!r}: no {kind} DCF for {', '.join(sorted(missing))}")
    of_costs = []
    for name, several in content.costs.items():
        minima, actual = (
            tuple(_cell(one.min_dcf[name]) for one in lists),
            tuple(_cell(one.act_dcf[name]) for one in lists),
        )
        of_costs.append(_Measure(f"min DCF {name}", (_MIN_DCF, *_cost_meaning(several)), minima))
        of_costs.append(_Measure(f"act DCF {name}", (_ACT_DCF, _bayes_meaning(several)), actual))
    return (
        _Measure("EER", (_EER,), tuple(_cell(one.eer, 100.0, 2, "%") for one in lists)),
        *of_costs,
        _Measure("Cllr", (_CLLR,), tuple(_cell(one.cllr, unit="bit") for one in lists)),
        _Measure("min Cllr", (_MIN_CLLR,), tuple(_cell(one.min_cllr, unit="bit") for one in lists)),
        *_decided(content),
    )


def _cost_meaning(several: tuple[Costs, ...]) -> tuple[str, ...]:
    """Say what the costs of a minimum DCF are, and its normalisation."""
    lines = []
    for costs in several:
        norm = min(costs.c_miss * costs.p_target, costs.c_fa * (1.0 - costs.p_target))
        lines.append(
            f"c_miss = {costs.c_miss:g}, c_fa = {costs.c_fa:g}, p_target = {costs.p_target:g}; "
            f"divided by min(c_miss\u00a0p_target, c_fa\u00a0(1\u00a0−\u00a0p_target))\u00a0=\u00a0{norm:g}"
        )
    if len(several) > 1:
        lines.append(f"The mean of these {len(several)} costs, each at its own best threshold.")
    return tuple(lines)


def _bayes_meaning(several: tuple[Costs, ...]) -> str:
    """Say at which thresholds decisions are made."""
    at = [math.log(each.c_fa * (1.0 - each.p_target) / (each.c_miss * each.p_target)) for each in several]
    formula = "log(c_fa\u00a0(1\u00a0−\u00a0p_target)\u00a0/\u00a0(c_miss\u00a0p_target))"
    return f"Accepted from {formula} on: {' and '.join(f'{each:.2f}' for each in at)} nats."


def _decided(content: ReportContent) -> tuple[_Measure, ...]:
    """Lay out the rows that there are with calibrated scores only."""
    found = [one.decided for one in content.trial_lists if one.decided]
    if not found:
        return ()
    return (
        _Measure("Cllr, raw", (_CLLR_UNCALIBRATED,), tuple(_cell(one.cllr_uncalibrated, unit="bit") for one in found)),
        _Measure("Misses", (_P_MISS, content.decision), tuple(_cell(one.p_miss, 100.0, 2, "%") for one in found)),
        _Measure("False alarms", (_P_FA, content.decision), tuple(_cell(one.p_fa, 100.0, 2, "%") for one in found)),
    )


def _cell(value: Number, scale: float = 1.0, decimals: int = 3, unit: str = "") -> _Cell:
    """Format a number, or a dash with the reason why there is none."""
    if isinstance(value, str):
        return _Cell("–", reason=value)
    if math.isnan(value):
        return _Cell("–", reason="the computation gave no number")
    if math.isinf(value):
        return _Cell("∞" if value > 0 else "−∞", unit)
    return _Cell(f"{scale * value:,.{decimals}f}".replace("-", "−"), unit)


def _own_ids(svg: str, number: int) -> Markup:
    """Give the identifiers inside a plot a prefix, because a page with several plots would have them twice."""
    ids = re.compile(r'(\bid="|href="#|url\(#)')
    return Markup(re.sub(r"<[^>]+>", lambda tag: ids.sub(rf"\g<1>plot{number}-", tag[0]), svg))
