"""The page that compares several results folders."""

from collections.abc import Sequence
from pathlib import Path

from speechgmm.errors import ResultsError
from speechgmm.evaluation import plots
from speechgmm.evaluation.report.content import ComparedList, ComparisonContent, Plot
from speechgmm.evaluation.report.page import render_comparison, write_page
from speechgmm.recipe.results.reading import Results, open_results
from speechgmm.recipe.results.report import summary
from speechgmm.recipe.series.comparison import Comparison, compare


def report_comparison(folders: Sequence[Path], out: Path) -> Path:
    """Write one page that compares the results of two or more runs with those of the first folder; return its path.

    Raises ResultsError if a folder is given twice or lacks some results of a run, and OSError if the page cannot be
    written.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, resolved, strict=True):
        if resolved.count(path) > 1:
            raise ResultsError(f"{folder}: given twice; expected different folders")
    opened = [open_results(folder) for folder in folders]
    comparison = compare(folders)
    by_name = dict(zip(comparison.names, opened, strict=True))
    lists = dict.fromkeys(name for results in opened for name in results.trials.lists)
    content = ComparisonContent(
        comparison.names,
        tuple(map(summary, opened)),
        comparison.keys,
        tuple(_compare_list(name, by_name, comparison) for name in lists),
        {name: results.metrics["identification"] for name, results in by_name.items()},
        comparison.confidence,
    )
    write_page(out, render_comparison(content))
    return out


def _compare_list(list_name: str, by_name: dict[str, Results], comparison: Comparison) -> ComparedList:
    """Collect metrics, differences and DET curves of the results that have a trial list."""
    with_list = {name: results for name, results in by_name.items() if list_name in results.trials.lists}
    columns = [comparison.names.index(name) for name in with_list]
    differences = {
        number.removeprefix(f"{list_name}."): [row[column] for column in columns]
        for number, row in comparison.differences.items()
        if number.startswith(f"{list_name}.")
    }
    tables = {name: results.trials for name, results in with_list.items()}
    curves = {
        name: table.by_label(table.ranks, list_name) for name, table in tables.items() if list_name in table.usable()
    }
    plot = None
    if curves:
        presets = next(iter(with_list.values())).recipe.evaluation.dcf
        figure = plots.det_figure(curves, presets)
        plot = Plot(f"Detection error trade-off on {list_name}", plots.det_caption(presets), plots.svg_text(figure))
    metrics = {name: results.metrics["trials"][list_name] for name, results in with_list.items()}
    return ComparedList(list_name, metrics, differences, plot)
