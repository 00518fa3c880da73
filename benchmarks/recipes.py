"""Error rates of the shipped recipes on draws of development corpora: the table of docs/which_recipe.md.

Usage: python benchmarks/recipes.py DATA [--work FOLDER] [--degraded] [--csv FILE]. DATA holds so762, libri and fsdd;
see data/README.md. Stored stages in FOLDER are used again.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from draws import Draw, development_draws

from speechgmm import Engine, open_results, run

RECIPES = ("fast", "default", "best")

COLUMNS = ("corpus", "draw", "speakers", "minutes", "recipe", "list", "eer", "min_dcf", "act_dcf")
COSTS = ("cllr_uncalibrated", "cllr", "min_cllr")


def measure(draw: Draw, recipe: str, work: Path) -> list[dict[str, Any]]:
    """Run a recipe on a draw, and return a row for each trial list."""
    overrides = [f"corpus={json.dumps(draw.section)}", f"seed={draw.seed}", f"name={draw.name}-{recipe}"]
    started = time.perf_counter()
    done = run(
        recipe, overrides=overrides, results=work / "results", engine=Engine("processes"), until_stage="evaluation"
    )
    seconds = time.perf_counter() - started
    background = [row for row in open_results(done.folder).data if row.role == "background" and row.seconds is not None]
    systems = {row.system for row in background}
    minutes = sum(row.seconds or 0.0 for row in background) / 60 / max(1, len(systems))
    rows = []
    for name, metrics in done.metrics["trials"].items():
        row = {"corpus": draw.corpus, "draw": draw.name, "speakers": draw.n_speakers, "minutes": round(minutes, 1)}
        row |= {"recipe": recipe, "list": name, "eer": 100 * metrics["eer"]}
        row |= {kind: metrics[kind]["voxceleb"] for kind in ("min_dcf", "act_dcf")}
        row |= {cost: metrics.get(cost) for cost in COSTS}
        rows.append(row | {"seconds": round(seconds), "warnings": " | ".join(done.warnings)})
    print(draw.name, recipe, f"{rows[0]['eer']:.2f} %, {seconds:.0f} s", flush=True)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Yield the lines of a table: the means over the draws of each corpus and number of background speakers."""
    yield "| corpus | background | recipe | EER, % | minDCF | Cllr raw | Cllr | least | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        condition = row["draw"].partition(row["corpus"])[2].lstrip("-0123456789") or "as it is"
        groups.setdefault((row["corpus"], condition, row["speakers"], row["recipe"], row["list"]), []).append(row)
    for (corpus, condition, speakers, recipe, name), those in sorted(groups.items()):
        means = {
            key: fmean(row[key] or 0.0 for row in those) for key in ("minutes", "eer", "min_dcf", *COSTS, "seconds")
        }
        cells = [f"{corpus}, {condition}, {name}", f"{speakers} speakers, {means.pop('minutes'):.0f} min", recipe]
        cells += [f"{value:.0f}" if key == "seconds" else f"{value:.3g}" for key, value in means.items()]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Run every recipe on every draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, help="where draws and results are kept; a temporary folder by default")
    parser.add_argument("--degraded", action="store_true", help="also with tests through a telephone band and MP3")
    parser.add_argument("--draws", type=int, default=5, help="draws of each size of background")
    parser.add_argument("--csv", type=Path, help="write all rows to this file")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        degraded = ("band", "mp3") if arguments.degraded else ()
        rows = []
        for draw in development_draws(
            arguments.data.resolve(), work / "draws", degraded, n_draws=arguments.draws, n_degraded=arguments.draws
        ):
            if draw.front_end is not None:
                continue  # the recipes take audio
            for recipe in arguments.recipes:
                rows += measure(draw, recipe, work)
    if arguments.csv:
        with arguments.csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
