"""The page that compares several folders of results."""

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
    """Write one page that compares the results of runs with the first of them.

    Parameters
    ----------
    folders : sequence of Path
        Two or more folders of results.
    out : Path
        The page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        If a folder is given twice, or does not hold all results of a run.
    OSError
        If the page cannot be written.
    """
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise ResultsError(f"{folder}: given twice; expected different folders")
    opened = [open_results(folder) for folder in folders]
    found = compare(folders)
    of_name = dict(zip(found.names, opened, strict=True))
    lists = dict.fromkeys(name for each in opened for name in each.trials.lists)
    content = ComparisonContent(
        found.names,
        tuple(map(summary, opened)),
        found.keys,
        tuple(_list(name, of_name, found) for name in lists),
        {name: each.metrics["identification"] for name, each in of_name.items()},
        found.confidence,
    )
    write_page(out, render_comparison(content))
    return out


def _list(name: str, results: dict[str, Results], found: Comparison) -> ComparedList:
    """Put the systems that have a trial list side by side on it."""
    own = {of: each for of, each in results.items() if name in each.trials.lists}
    places = [found.names.index(of) for of in own]
    differences = {
        number.removeprefix(f"{name}."): [apart[place] for place in places]
        for number, apart in found.differences.items()
        if number.startswith(f"{name}.")
    }
    tables = {of: each.trials for of, each in own.items()}
    usable = {of: each.by_label(each.ranks, name) for of, each in tables.items() if name in each.usable()}
    plot = None
    if usable:
        presets = next(iter(own.values())).recipe.evaluation.dcf
        figure = plots.det_figure(usable, presets)
        plot = Plot(f"Detection error trade-off on {name}", plots.det_caption(presets), plots.svg_text(figure))
    return ComparedList(name, {of: each.metrics["trials"][name] for of, each in own.items()}, differences, plot)
