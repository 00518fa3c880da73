"""The command that evaluates scores of any toolkit."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgmm.cli.common import check_page, exit_on_error
from speechgmm.cli.tables import show_numbers, show_parts
from speechgmm.errors import SpeechGMMError


class Preset(StrEnum):
    """The names in `speechgmm.evaluation.costs.PRESETS`, copied so that --help need not import it."""

    sre08 = "sre08"
    sre10 = "sre10"
    sre16 = "sre16"
    voxceleb = "voxceleb"


Scores = Annotated[
    Path,
    typer.Argument(
        help="Score file: lines of model, test and score, or of one score each in the order of the trials; a "
        "table with columns model, test and llr or score; or scores of SpeechBrain, wespeaker, NIST, Bob or "
        "LIA_RAL. The format is recognised by its content.",
        show_default=False,
    ),
]
Trials = Annotated[
    Path | None,
    typer.Argument(
        help="Trial list of Kaldi, NIST or VoxCeleb, or a table with columns model, test and label. Leave it out "
        "if the scores have labels.",
        show_default=False,
    ),
]


def evaluate(
    scores: Scores,
    trials: Trials = None,
    *,
    preset: Annotated[
        list[Preset] | None,
        typer.Option(help="Detection costs to report. Repeatable.", show_default="sre08 and voxceleb"),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Also evaluate each value of this column of the trials or the manifest."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Table of utterances with a column id or path. Its column speaker gives the speakers of intervals."
        ),
    ] = None,
    distances: Annotated[
        bool, typer.Option("--distances", help="Lower scores mean the same speaker: negate them.")
    ] = False,
    bootstrap: Annotated[int, typer.Option(min=0, max=100_000, help="Resamples for the intervals; 0 for none.")] = 1000,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave out trials without a score.")] = False,
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Leave out scores of other trials, and repeated lines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an HTML page with plots and the worst trials.")
    ] = None,
) -> None:
    """Evaluate scores of any toolkit on a trial list: EER, detection costs and Cllr, with confidence intervals."""
    from speechgmm.corpus.scored.evaluation import evaluate_scores
    from speechgmm.evaluation.summary import EvaluationConfig

    config = EvaluationConfig(bootstrap=bootstrap)
    if preset:
        config = EvaluationConfig(bootstrap=bootstrap, dcf=tuple(dict.fromkeys(name.value for name in preset)))
    with exit_on_error():
        if report is not None:
            check_page("--report", report)
        if by and len(by) > 1:
            raise SpeechGMMError(f"--by {' --by '.join(by)}: {len(by)} columns; expected one at a time")
        _check_files(scores, trials)
        document = evaluate_scores(
            scores,
            trials,
            config,
            distances=distances,
            by=by[0] if by else None,
            manifest=manifest,
            allow_missing=allow_missing,
            allow_extra=allow_extra,
            report=report,
        )
        if as_json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        else:
            _print_metrics((trials or scores).stem, document)


def _check_files(scores: Path, trials: Path | None) -> None:
    """Raise `SpeechGMMError` for folders, and say which file of a folder of results is meant."""
    if scores.is_dir():
        message = f"{scores}: a folder; expected a score file"
        if (scores / "scores.csv").is_file():
            message += f", as {scores / 'scores.csv'}; speechgmm report {scores} makes a page of these results"
        raise SpeechGMMError(message)
    if trials is not None and trials.is_dir():
        raise SpeechGMMError(f"{trials}: a folder; expected a trial list")


def _print_metrics(name: str, document: dict[str, Any]) -> None:
    """Print the metrics, notes and warnings."""
    show_numbers({name: document["trials"]})
    if document["parts"]:
        show_parts(document["by"], document["parts"])
    for note in document["notes"]:
        typer.echo(note)
    for warning in document["warnings"]:
        typer.secho(f"warning: {warning}", fg="yellow")
