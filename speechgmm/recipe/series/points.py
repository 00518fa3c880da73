"""A series of experiments: one recipe at several points, each with a short name."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from speechgmm.configuration import fingerprint
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sweep import Point, draw_points

LONGEST = 80
"""Characters of the name of a member's folder."""

BRACKETS = "[]{}\"' "
"""What is left out of the name at the ends of a value."""


@dataclass(frozen=True)
class SeriesPoint:
    """An experiment of a series.

    Parameters
    ----------
    name : str
        Of its folder.
    values : dict of str to str
        What sets it apart: by dotted key, as one would type it.
    recipe : Recipe or None
        The experiment; None if these values don't go together.
    problem : str
        Why there is none.
    """

    name: str
    values: dict[str, str]
    recipe: Recipe | None
    problem: str = ""


@dataclass(frozen=True)
class Series:
    """Experiments to run.

    Parameters
    ----------
    name : str
        Of the recipe, and of the folder that holds theirs.
    keys : tuple of str
        Dotted keys that not all members have alike.
    members : tuple of SeriesPoint
        In their order; all different.
    """

    name: str
    keys: tuple[str, ...]
    points: tuple[SeriesPoint, ...]


def load_series(path: str | Path, overrides: Sequence[str] = ()) -> Series:
    """Read a series, and check all of its members: what is wrong with any is known before the first runs.

    Parameters
    ----------
    path : str or Path
        The recipe, with a ``sweep`` section or without.
    overrides : sequence of str
        ``KEY=VALUE`` as for `load_recipe`, or ``KEY=VALUE,VALUE,...``, which makes one experiment for each value, at
        each point of the recipe's own sweep. A key of either kind is taken out of the sweep. Commas within brackets,
        braces and quotes part nothing.

    Returns
    -------
    Series
        Each point once.

    Raises
    ------
    RecipeError
        If the recipe has something wrong with it, a key or a value of the series has by itself, or all members have;
        or if nothing makes a series of it. Of values that are right but don't go together, the member tells.
    """
    fixed = [text for text in overrides if len(split_values(text)) == 1]
    several: dict[str, list[str]] = {}
    for text in overrides:
        if text not in fixed:
            key, _, values = text.partition("=")
            several[key] = split_values(values)
    whole = load_recipe(path, fixed)
    if whole.sweep is None and not several:
        raise RecipeError(f"{path}: nothing makes a series of it; expected a sweep section, or --set KEY=VALUE,VALUE")
    own = draw_points(whole.sweep) if whole.sweep else ({},)
    typed = {text.partition("=")[0] for text in overrides}
    drafts: list[_Draft] = []
    for point, chosen in product(own, product(*several.values())):
        left = {key: value for key, value in point.items() if key not in typed}
        sets = dict(zip(several, chosen, strict=True))
        draft = _Draft({key: _text(value) for key, value in left.items()} | sets, left, sets)
        if all(each.values != draft.values for each in drafts):
            drafts.append(draft)
    keys = _varying([draft.values for draft in drafts])
    points = _points(path, fixed, keys, drafts)
    return Series(whole.name, keys, points)


def split_values(text: str) -> list[str]:
    """Split a value at the commas that stand outside of brackets, braces and quotes.

    Parameters
    ----------
    text : str
        Such as ``32,64`` or ``[means],[means, variances]``.

    Returns
    -------
    list of str
        One or more, without white space around them.
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Give the last word of each dotted key, or all of it where several end alike.

    Parameters
    ----------
    keys : sequence of str
        Such as ``ubm.n_components``.

    Returns
    -------
    dict of str to str
        By key.
    """
    last = [key.rpartition(".")[2] for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}


class _Draft(NamedTuple):
    """A point before it is checked."""

    values: dict[str, str]  # all of it, as text
    point: Point  # what comes from the recipe's own sweep
    sets: dict[str, str]  # what comes from the command line


def _points(
    path: str | Path, fixed: list[str], keys: tuple[str, ...], drafts: Sequence[_Draft]
) -> tuple[SeriesPoint, ...]:
    """Read the recipe at each point; where a value is wrong by itself, or no point is right, say all that is."""
    points = []
    by_itself = False
    for name, draft in zip(_names(keys, [draft.values for draft in drafts]), drafts, strict=True):
        sets = [f"{key}={value}" for key, value in draft.sets.items()]
        values = _of(draft.values, keys)
        try:
            recipe = load_recipe(path, [*fixed, *sets], point=draft.point)
        except RecipeError as error:
            points.append(SeriesPoint(name, values, None, str(error)))
            by_itself |= any(re.search(rf": {re.escape(key)}[.:]", str(error)) for key in draft.values)
        else:
            points.append(SeriesPoint(name, values, recipe.model_copy(update={"name": name, "sweep": None})))
    if by_itself or not any(point.recipe for point in points):
        raise RecipeError("\n".join(dict.fromkeys(line for each in points for line in each.problem.splitlines())))
    return tuple(points)


def _text(value: object) -> str:
    """Write a value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _varying(points: Sequence[dict[str, str]]) -> tuple[str, ...]:
    """List the keys that not all members have alike."""
    keys = dict.fromkeys(key for values in points for key in values)
    return tuple(key for key in keys if len({values.get(key) for values in points}) > 1)


def _of(values: dict[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Choose some keys, in their order."""
    return {key: values[key] for key in keys if key in values}


def _names(keys: Sequence[str], points: Sequence[dict[str, str]]) -> list[str]:
    """Name the members by their values; by a digest too, where names are long or alike."""
    short = short_names(keys)
    names = []
    for values in points:
        parts = [f"{short[key]}-{value.strip(BRACKETS)}" for key, value in _of(values, keys).items()]
        names.append("_".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in parts) or "as-it-is")
    alike = [name.lower() for name in names]
    return [
        name
        if len(name) <= LONGEST and alike.count(name.lower()) == 1 and name[0].isalnum()
        else f"x{name[: LONGEST - 10]}-{fingerprint(dict[str, Any](values))[:8]}"
        for name, values in zip(names, points, strict=True)
    ]
