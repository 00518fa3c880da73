"""Evaluation of scores of any toolkit: what ``speechgmm evaluate`` computes, as one call."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.corpus.scored.score_files import ScoredTrials, read_scored_trials
from speechgmm.corpus.scored.trial_speakers import Manifest, column_values, read_manifest, trial_speaker_numbers
from speechgmm.corpus.trials import known_name
from speechgmm.errors import CorpusError
from speechgmm.evaluation.breakdown import FEWEST, binned, breakdown, too_few
from speechgmm.evaluation.report.scores_page import report_scores
from speechgmm.evaluation.report.trials import TestInfo, TrialTable
from speechgmm.evaluation.summary import EvaluationConfig, ListMetrics, costs_above_one, summarise, uncertainty
from speechgmm.wording import first_few

SEED = 0
"""Seed of the bootstrap; the default of recipes."""


def evaluate_scores(
    scores: str | Path,
    trials: str | Path | None,
    config: EvaluationConfig,
    *,
    distances: bool = False,
    by: str | None = None,
    manifest: str | Path | None = None,
    allow_missing: bool = False,
    allow_extra: bool = False,
    report: str | Path | None = None,
) -> dict[str, Any]:
    r"""Evaluate scores of any toolkit on a trial list.

    Parameters
    ----------
    scores : str or Path
        Lines of model, test and score, lines of one score in the order of the trials, a table with columns ``model``,
        ``test`` and ``llr`` or ``score``, or scores of SpeechBrain, wespeaker, NIST, Bob or LIA_RAL. The format is
        recognised by its content.
    trials : str, Path or None
        Trial list of Kaldi, NIST or VoxCeleb, or a table with columns ``model``, ``test`` and ``label``. None if the
        scores have labels.
    config : EvaluationConfig
        Detection costs, and the number of bootstrap resamples for the intervals.
    distances : bool
        Negate the scores, because lower ones mean the same speaker.
    by : str, optional
        A column of the trial list or the manifest; the trials of each of its values are evaluated too.
    manifest : str or Path, optional
        A table of utterances with a column ``id`` or ``path``; with a column ``speaker``, intervals are over speakers.
    allow_missing : bool
        Leave out trials without a score.
    allow_extra : bool
        Leave out scores of other trials, and repeated lines.
    report : str or Path, optional
        HTML page to write.

    Returns
    -------
    dict
        JSON data: ``trials`` (the metrics of `speechgmm.evaluation.summary.summarise`, and ``intervals``), ``by``,
        ``parts`` (the same for each value of the column), ``notes`` and ``warnings``.

    Raises
    ------
    CorpusError
        If a file cannot be read or has no known format, scores and trials do not match, or there are no scored target
        or nontarget trials.
    OSError
        If the page cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from speechgmm import evaluate_scores
    >>> from speechgmm.evaluation.summary import EvaluationConfig
    >>> trials = ["ann t1 target", "ann t2 nontarget", "bob t1 nontarget", "bob t2 target"]
    >>> scores = ["ann t1 2.1", "ann t2 0.4", "bob t1 -1.5", "bob t2 3.2"]
    >>> for name, lines in {"trials.txt": trials, "scores.txt": scores}.items():
    ...     n_written = Path(name).write_text("\n".join(lines))
    >>> config = EvaluationConfig(bootstrap=0)
    >>> metrics = evaluate_scores("scores.txt", "trials.txt", config)["trials"]
    >>> metrics["n_target"], metrics["n_nontarget"], metrics["eer"]
    (2, 2, 0.0)
    >>> round(metrics["cllr"], 2)
    0.46
    """
    scores, trials = Path(scores), Path(trials) if trials is not None else None
    scored = read_scored_trials(scores, trials, allow_missing=allow_missing, allow_extra=allow_extra)
    if distances:
        scored = _negated(scored)
    utterances = read_manifest(Path(manifest)) if manifest else None
    values = binned(column_values(by, scored, utterances)) if by else []
    speakers, source = trial_speaker_numbers(scored, utterances)
    numbers = summarise(scored.scores, scored.target, config)
    if numbers["eer"] is None:
        raise CorpusError(
            f"{scores}: {numbers['n_target']} target and {numbers['n_nontarget']} nontarget trials of "
            f"{trials or scores} have a score; expected some of both"
        )
    intervals = uncertainty(scored.scores, scored.target, speakers, config, np.random.default_rng(SEED))
    parts = breakdown(scored.scores, scored.target, speakers, values, config, SEED) if by else {}
    interval_note = [f"intervals: {config.confidence:.0%}, bootstrap over {source}"] if intervals else []
    document = {
        "trials": numbers | {"intervals": intervals},
        "by": by,
        "parts": parts,
        "notes": [*scored.notes, *interval_note],
        "warnings": [
            *_uncalibrated(scored),
            *_doubtful_scores(scored.scores, numbers, distances),
            *_warnings(numbers, by, parts),
        ],
    }
    if report is not None:
        table, tests = _trial_table(scored, speakers, (trials or scores).stem), _test_infos(scored, utterances or {})
        report_scores(Path(report), str(scores), table, tests, document, config, SEED)
    return document


def _negated(scored: ScoredTrials) -> ScoredTrials:
    """Turn distances into scores."""
    note = "scores: negated, as --distances asks, so that a higher score means the same speaker"
    return replace(scored, scores=-scored.scores, notes=(*scored.notes, note))


def _uncalibrated(scored: ScoredTrials) -> list[str]:
    """Warn of the scores of a run without a calibration, whose column llr repeats the column score."""
    llrs, scores = scored.columns.get("llr"), scored.columns.get("score")
    if not llrs or llrs != scores:
        return []
    return [
        "the column llr repeats the column score, as after a run without a calibration: Cllr and actDCF hold only if "
        "these scores are log-likelihood ratios in nats"
    ]


def _doubtful_scores(scores: Float64Array, numbers: ListMetrics, distances: bool) -> list[str]:
    """Warn of scores that are turned round, of labels in their place, and of ratios that are worse than none."""
    warnings = []
    if numbers["auc"] is not None and numbers["auc"] < 0.5:
        cure = "leave out --distances" if distances else "turn distances with --distances"
        warnings.append(f"AUC is {numbers['auc']:.4f}, below 0.5: a higher score must mean the same speaker; {cure}")
    if np.isin(np.abs(scores[~np.isnan(scores)]), (0, 1)).all():
        warnings.append("all scores are 0 or 1, as labels and decisions are; expected scores")
    return warnings or ([] if distances else _misleading_ratios(numbers))


def _misleading_ratios(numbers: ListMetrics) -> list[str]:
    """Warn of scores that are worse than none if they are taken for log-likelihood ratios."""
    found = []
    if numbers["cllr"] is not None and round(numbers["cllr"], 3) > 1:
        found.append(f"Cllr is {numbers['cllr']:.3f}, above 1")
    if costly := costs_above_one(numbers):
        found.append(costly)
    if not found:
        return []
    cure = "calibrate them, or ignore Cllr and actDCF if they are scores of another kind"
    return [f"{', and '.join(found)}: as log-likelihood ratios these scores are worse than none; {cure}"]


def _warnings(numbers: ListMetrics, by: str | None, parts: dict[str, ListMetrics]) -> list[str]:
    """List warnings of infinite metrics, and of too few trials for reliable ones."""
    warnings = []
    if wrong := numbers["n_certain_errors"]:
        warnings.append(f"Cllr is infinite; targets that score -inf or nontargets that score inf: {wrong:,}")
    if too_few({"all": numbers}):
        warnings.append(f"fewer than {FEWEST} target or nontarget trials with scores: the numbers are rough estimates")
    if few := [name or "(empty)" for name in too_few(parts)]:
        warnings.append(
            f"fewer than {FEWEST} target or nontarget trials, and so rough estimates, where {by} is {first_few(few)}"
        )
    return warnings


def _trial_table(scored: ScoredTrials, speakers: tuple[IntArray, IntArray], name: str) -> TrialTable:
    """Build the report's table of trials, with all of them in one list."""
    all_trials = np.ones(len(scored.models), np.bool_)
    return TrialTable(
        scored.models,
        scored.tests,
        speakers,
        scored.target,
        scored.scores,
        scored.scores,
        scored.scores,
        {name: all_trials},
    )


def _test_infos(scored: ScoredTrials, manifest: Manifest) -> dict[str, TestInfo]:
    """Look up speaker and path of the tests in the manifest."""
    rows = {test: manifest.get(known_name(test, manifest), {}) for test in dict.fromkeys(scored.tests)}
    return {test: TestInfo(row.get("speaker", ""), row.get("path", ""), None) for test, row in rows.items()}
