"""The report of scores from any system, evaluated on their own."""

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
    tests: Mapping[str, TestInfo],
    document: Mapping[str, Any],
    config: EvaluationConfig,
    seed: int,
) -> None:
    """Write the report of scores to `path`; OSError if it cannot be written.

    `scores` says where they come from, and `document` is what ``speechgmm evaluate --json`` prints about them.
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
        plots=tuple(figure.plot for figure in draw_scores(table, config, seed)),
        worst=worst_trials(table, tests),
        breakdowns=(Breakdown(name, document["by"], parts, few),) if parts else (),
    )
    write_page(path, render_report(content))
