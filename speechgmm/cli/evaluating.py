"""The command that evaluates scores of any toolkit."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgmm.cli.common import check_page, exit_on_error
from speechgmm.cli.numbers import show_numbers, show_parts
from speechgmm.errors import CorpusError, SpeechGMMError

if TYPE_CHECKING:
    from speechgmm.arrays import IntArray
    from speechgmm.corpus.score_files import ScoredTrials
    from speechgmm.corpus.sides import Manifest
    from speechgmm.evaluation.summary import EvaluationConfig

SEED = 0
"""Of the intervals; the one that recipes have by default."""


class Preset(StrEnum):
    """The names in `speechgmm.evaluation.metrics.PRESETS`, without what it imports."""

    sre08 = "sre08"
    sre10 = "sre10"
    sre16 = "sre16"
    voxceleb = "voxceleb"


def evaluate(
    scores: Annotated[
        Path,
        typer.Argument(
            help="Lines of model, test and score, or one score a line in the order of the trials, or a table with "
            "columns model, test and llr or score.",
            show_default=False,
        ),
    ],
    trials: Annotated[
        Path,
        typer.Argument(
            help="The trial list: Kaldi's, NIST's or VoxCeleb's, or a table with columns model, test and label.",
            show_default=False,
        ),
    ],
    *,
    preset: Annotated[
        list[Preset] | None,
        typer.Option(help="Costs of errors. Repeatable.", show_default="sre08 and voxceleb"),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Numbers for each value of a column of the trials or the manifest, too."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="A table of utterances by id or path; its column speaker is for the intervals."),
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, max=100_000, help="Draws for the intervals; 0 for none.")] = 1000,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave out trials without a score.")] = False,
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Leave out scores of other trials, and lines that are there twice.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of HTML too, with plots and the worst trials.")
    ] = None,
) -> None:
    """Evaluate scores, of this or any other toolkit: EER, detection costs and Cllr, with intervals."""
    from speechgmm.evaluation.summary import EvaluationConfig

    config = EvaluationConfig(bootstrap=bootstrap)
    if preset:
        config = EvaluationConfig(bootstrap=bootstrap, dcf=tuple(dict.fromkeys(each.value for each in preset)))
    with exit_on_error():
        if report is not None:
            check_page("--report", report)
        if by and len(by) > 1:
            raise SpeechGMMError(f"--by {' --by '.join(by)}: {len(by)} columns; expected one at a time")
        document = _evaluate(
            scores,
            trials,
            config,
            by=by[0] if by else None,
            manifest=manifest,
            allow_missing=allow_missing,
            allow_extra=allow_extra,
            report=report,
        )
        if as_json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        else:
            _show(trials, document)


def _evaluate(
    scores: Path,
    trials: Path,
    config: "EvaluationConfig",
    *,
    by: str | None,
    manifest: Path | None,
    allow_missing: bool,
    allow_extra: bool,
    report: Path | None,
) -> dict[str, Any]:
    """Read, join, compute, and write the page."""
    import numpy as np

    from speechgmm.corpus.manifest import first_few
    from speechgmm.corpus.score_files import read_scored_trials
    from speechgmm.corpus.sides import read_manifest, speakers_of, values_of
    from speechgmm.evaluation.breakdown import FEWEST, binned, breakdown, too_few
    from speechgmm.evaluation.summary import summarise, uncertainty

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
    of_all = uncertainty(scored.scores, scored.target, speakers, config, np.random.default_rng(SEED))
    parts = breakdown(scored.scores, scored.target, speakers, values, config, SEED) if by else {}
    drawn = [f"intervals: {config.confidence:.0%}, drawing {how}"] if of_all else []
    warnings = []
    if wrong := numbers["n_certain_errors"]:
        warnings.append(f"Cllr is infinite; targets that score -inf or nontargets that score inf: {wrong:,}")
    if too_few({"all": numbers}):
        warnings.append(f"fewer than {FEWEST} target or nontarget trials with scores, too few to say much")
    if few := [name or "(empty)" for name in too_few(parts)]:
        warnings.append(
            f"fewer than {FEWEST} target or nontarget trials, too few to say much, where {by} is {first_few(few)}"
        )
    document = {
        "trials": numbers | {"intervals": of_all},
        "by": by,
        "parts": parts,
        "notes": [*scored.notes, *drawn],
        "warnings": warnings,
    }
    if report is not None:
        _report(
            report,
            scores,
            trials.stem,
            scored,
            speakers=speakers,
            manifest=known or {},
            document=document,
            config=config,
        )
    return document


def _report(
    path: Path,
    scores: Path,
    name: str,
    scored: "ScoredTrials",
    *,
    speakers: "tuple[IntArray, IntArray]",
    manifest: "Manifest",
    document: dict[str, Any],
    config: "EvaluationConfig",
) -> None:
    """Write the page, with what the manifest knows of the tests."""
    import numpy as np

    from speechgmm.corpus.trials import known_name
    from speechgmm.evaluation.report.scored import report_scores
    from speechgmm.evaluation.report.trials import TestInfo, TrialTable

    rows = {test: manifest.get(known_name(test, manifest), {}) for test in dict.fromkeys(scored.tests)}
    heard = {test: TestInfo(row.get("speaker", ""), row.get("path", ""), None) for test, row in rows.items()}
    every = np.ones(len(scored.models), np.bool_)
    sides = scored.models, scored.tests, speakers, scored.target
    table = TrialTable(*sides, scored.scores, scored.scores, scored.scores, {name: every})
    report_scores(path, str(scores), table, heard, document, config, SEED)


def _show(trials: Path, document: dict[str, Any]) -> None:
    """Print the numbers, and what is to be known of them."""
    show_numbers({trials.stem: document["trials"]})
    if document["parts"]:
        show_parts(document["by"], document["parts"])
    for note in document["notes"]:
        typer.echo(note)
    for warning in document["warnings"]:
        typer.secho(f"warning: {warning}", fg="yellow")
