"""Scores of any toolkit, evaluated: what ``speechgmm evaluate`` computes, as one call."""

from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.corpus.manifest import first_few
from speechgmm.corpus.scored.score_files import ScoredTrials, read_scored_trials
from speechgmm.corpus.scored.trial_speakers import Manifest, read_manifest, speakers_of, values_of
from speechgmm.corpus.trials import known_name
from speechgmm.errors import CorpusError
from speechgmm.evaluation.breakdown import FEWEST, binned, breakdown, too_few
from speechgmm.evaluation.report.scores_page import report_scores
from speechgmm.evaluation.report.trials import TestInfo, TrialTable
from speechgmm.evaluation.summary import EvaluationConfig, ListMetrics, summarise, uncertainty

SEED = 0
"""Of the intervals; the one that recipes have by default."""


def evaluate_scores(
    scores: Path,
    trials: Path,
    config: EvaluationConfig,
    *,
    by: str | None = None,
    manifest: Path | None = None,
    allow_missing: bool = False,
    allow_extra: bool = False,
    report: Path | None = None,
) -> dict[str, Any]:
    """Evaluate scores of any toolkit on a trial list.

    Parameters
    ----------
    scores : Path
        Lines of model, test and score, or one score a line in the order of the trials, or a table.
    trials : Path
        The trial list: Kaldi's, NIST's or VoxCeleb's, or a table with columns ``model``, ``test`` and ``label``.
    config : EvaluationConfig
        Which costs, and how many draws the intervals have.
    by : str, optional
        A column of the trials or the manifest; each of its values is evaluated too.
    manifest : Path, optional
        A table of utterances by ``id`` or ``path``; its column ``speaker`` is for the intervals.
    allow_missing : bool
        Leave out trials without a score.
    allow_extra : bool
        Leave out scores of other trials, and lines that are there twice.
    report : Path, optional
        A page of HTML to write too.

    Returns
    -------
    dict
        JSON data: ``trials`` (as `speechgmm.evaluation.summary.summarise`, with ``intervals``), ``by``, ``parts`` by
        value of the column, ``notes`` and ``warnings``.

    Raises
    ------
    CorpusError
        If a file cannot be read, the two don't fit each other, or a kind of trial has no score.
    OSError
        If the page cannot be written.
    """
    scored = read_scored_trials(scores, trials, allow_missing=allow_missing, allow_extra=allow_extra)
    known = read_manifest(manifest) if manifest else None
    values = binned(values_of(by, scored, known)) if by else []
    speakers, how = speakers_of(scored, known)
    numbers = summarise(scored.scores, scored.target, config)
    if numbers["eer"] is None:
        raise CorpusError(
            f"{scores}: {numbers['n_target']} target and {numbers['n_nontarget']} nontarget trials of {trials} have a "
            "score; expected some of both"
        )
    intervals = uncertainty(scored.scores, scored.target, speakers, config, np.random.default_rng(SEED))
    parts = breakdown(scored.scores, scored.target, speakers, values, config, SEED) if by else {}
    drawn = [f"intervals: {config.confidence:.0%}, drawing {how}"] if intervals else []
    document = {
        "trials": numbers | {"intervals": intervals},
        "by": by,
        "parts": parts,
        "notes": [*scored.notes, *drawn],
        "warnings": _warnings(numbers, by, parts),
    }
    if report is not None:
        table, tests = _table(scored, speakers, trials.stem), _tests(scored, known or {})
        report_scores(report, str(scores), table, tests, document, config, SEED)
    return document


def _warnings(numbers: ListMetrics, by: str | None, parts: dict[str, ListMetrics]) -> list[str]:
    """Say where numbers are infinite, or of too few trials."""
    warnings = []
    if wrong := numbers["n_certain_errors"]:
        warnings.append(f"Cllr is infinite; targets that score -inf or nontargets that score inf: {wrong:,}")
    if too_few({"all": numbers}):
        warnings.append(f"fewer than {FEWEST} target or nontarget trials with scores, too few to say much")
    if few := [name or "(empty)" for name in too_few(parts)]:
        warnings.append(
            f"fewer than {FEWEST} target or nontarget trials, too few to say much, where {by} is {first_few(few)}"
        )
    return warnings


def _table(scored: ScoredTrials, speakers: tuple[IntArray, IntArray], name: str) -> TrialTable:
    """Lay the trials out as one list."""
    every = np.ones(len(scored.models), np.bool_)
    sides = scored.models, scored.tests, speakers, scored.target
    return TrialTable(*sides, scored.scores, scored.scores, scored.scores, {name: every})


def _tests(scored: ScoredTrials, manifest: Manifest) -> dict[str, TestInfo]:
    """Look up what the manifest knows of the tests."""
    rows = {test: manifest.get(known_name(test, manifest), {}) for test in dict.fromkeys(scored.tests)}
    return {test: TestInfo(row.get("speaker", ""), row.get("path", ""), None) for test, row in rows.items()}
