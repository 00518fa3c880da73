"""The page of scores that were evaluated on their own, of whatever system they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechgmm.evaluation.breakdown import too_few
from speechgmm.evaluation.report.content import Breakdown, ReportContent
from speechgmm.evaluation.report.figures import draw_scores
from speechgmm.evaluation.report.page import render_report, write_page
from speechgmm.evaluation.report.trials import TestInfo, TrialTable, worst_trials
from speechgmm.evaluation.summary import EvaluationConfig


def report_scores(
    path: Path,
    scores: str,
    table: TrialTable,
    heard: Mapping[str, TestInfo],
    document: Mapping[str, Any],
    config: EvaluationConfig,
    seed: int,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The page.
    scores : str
        Where they come from.
    table : TrialTable
        The trials, in one list.
    heard : mapping of str to Heard
        What is known of the tests, as far as it is.
    document : mapping
        What ``speechgmm evaluate --json`` prints of them.
    config : EvaluationConfig
        How they were evaluated.
    seed : int >= 0
        Of the band around the DET curve.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    (name,) = table.lists
    parts = document["parts"]
    few = tuple(part or "(empty)" for part in too_few(parts))
    content = ReportContent(
        title=f"Scores on {name}",
        summary=f"{len(table.models):,} trials, scored in {scores}.",
        warnings=tuple(document["warnings"]),
        notes=tuple(document["notes"]),
        trial_lists={name: document["trials"]},
        confidence=config.confidence if document["trials"]["intervals"] else None,
        plots=tuple(each.plot for each in draw_scores(table, config, seed)),
        worst=worst_trials(table, heard),
        breakdowns=(Breakdown(name, document["by"], parts, few),) if parts else (),
    )
    write_page(path, render_report(content))
