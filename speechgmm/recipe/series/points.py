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
from speechgmm.recipe.schema.recipe import OF_SYSTEM, Recipe
from speechgmm.recipe.schema.sweep import Point, draw_points

MAX_NAME = 80
"""Characters of the longest name of a point's folder."""

BRACKETS = "[]{}\"' "
"""Characters that a name leaves out at both ends of a value."""


@dataclass(frozen=True)
class SeriesPoint:
    """A point of a series: one experiment, and the values in which it differs from the others."""

    name: str  # of its results folder
    values: dict[str, str]  # by dotted key, as the user would type them
    recipe: Recipe | None  # the experiment; None if the values do not fit together
    problem: str = ""  # why there is no recipe


@dataclass(frozen=True)
class Series:
    """A series of experiments to run."""

    name: str  # of the recipe, and of the folder that holds the folders of the points
    keys: tuple[str, ...]  # dotted keys in which the points differ
    points: tuple[SeriesPoint, ...]  # in their order; all different


def load_series(path: str | Path, overrides: Sequence[str] = ()) -> Series:
    """Read a series and check all of its points, so that mistakes are known before the first one runs.

    Overrides are ``KEY=VALUE`` as for `load_recipe`, or ``KEY=VALUE,VALUE,...`` for one experiment with each value, at
    each point of the recipe's own sweep; commas within brackets, braces and quotes do not split. A key that is
    overridden is removed from the sweep. Equal points are run once.

    Raises RecipeError if the recipe is wrong, if a key or a value of the series is wrong by itself, if all points are
    wrong, or if neither a sweep nor an override makes a series. A point whose values are right but do not fit together
    has its problem instead of a recipe.
    """
    fixed = [text for text in overrides if len(split_values(text)) == 1]
    several: dict[str, list[str]] = {}
    for text in overrides:
        if text not in fixed:
            key, _, values = text.partition("=")
            several[key] = split_values(values)
    recipe = load_recipe(path, fixed)
    if recipe.sweep is None and not several:
        raise RecipeError(f"{path}: nothing makes a series of it; expected a sweep section, or --set KEY=VALUE,VALUE")
    swept = draw_points(recipe.sweep) if recipe.sweep else ({},)
    overridden = {text.partition("=")[0] for text in overrides}
    drafts: list[_Draft] = []
    for point, chosen in product(swept, product(*several.values())):
        rest = {key: value for key, value in point.items() if key not in overridden}
        sets = dict(zip(several, chosen, strict=True))
        draft = _Draft({key: _typed_text(value) for key, value in rest.items()} | sets, rest, sets)
        if all(other.values != draft.values for other in drafts):
            drafts.append(draft)
    keys = _varying_keys([draft.values for draft in drafts])
    return Series(recipe.name, keys, _load_points(path, fixed, keys, drafts))


def split_values(text: str) -> list[str]:
    """Split a text such as ``32,64`` or ``[means],[means, weights]`` at commas outside brackets, braces and quotes."""
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
    """Return the last word of each dotted key, after the system's name, or the whole key if several would be the same.

    The system's name is part of it because the others have such a key, too.
    """
    last = [_short_name(key) for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}


def _short_name(key: str) -> str:
    """Return the last word of a dotted key, after the name of its system if it is one's; dots may stand in that."""
    first, *inner = key.split(".")
    last = inner[-1] if inner else first
    section = next((number for number, part in enumerate(inner) if number and part in OF_SYSTEM), None)
    return last if first != "systems" or section is None else ".".join([*inner[:section], last])


class _Draft(NamedTuple):
    """A point before it is checked."""

    values: dict[str, str]  # all values as text, by dotted key
    point: Point  # those from the recipe's own sweep
    sets: dict[str, str]  # those from the command line


def _load_points(
    path: str | Path, fixed: list[str], keys: tuple[str, ...], drafts: Sequence[_Draft]
) -> tuple[SeriesPoint, ...]:
    """Read the recipe at each point; raise all errors if a value is wrong by itself, or no point is right."""
    points = []
    wrong_by_itself = False
    for name, draft in zip(_point_names(keys, [draft.values for draft in drafts]), drafts, strict=True):
        sets = [f"{key}={value}" for key, value in draft.sets.items()]
        values = _select(draft.values, keys)
        try:
            recipe = load_recipe(path, [*fixed, *sets], point=draft.point)
        except RecipeError as error:
            points.append(SeriesPoint(name, values, None, str(error)))
            wrong_by_itself |= any(re.search(rf": {re.escape(key)}[.:]", str(error)) for key in draft.values)
        else:
            points.append(SeriesPoint(name, values, recipe.model_copy(update={"name": name, "sweep": None})))
    if wrong_by_itself or not any(point.recipe for point in points):
        raise RecipeError("\n".join(dict.fromkeys(line for point in points for line in point.problem.splitlines())))
    return tuple(points)


def _typed_text(value: object) -> str:
    """Format a value as the user would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _varying_keys(points: Sequence[dict[str, str]]) -> tuple[str, ...]:
    """List the keys in which points differ."""
    keys = dict.fromkeys(key for values in points for key in values)
    return tuple(key for key in keys if len({values.get(key) for values in points}) > 1)


def _select(values: dict[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Return the values of some keys, in the order of the keys."""
    return {key: values[key] for key in keys if key in values}


def _point_names(keys: Sequence[str], points: Sequence[dict[str, str]]) -> list[str]:
    """Name the points by their values, and by a digest too if a name is long or not the only one."""
    short = short_names(keys)
    names = []
    for values in points:
        parts = [f"{short[key]}-{value.strip(BRACKETS)}" for key, value in _select(values, keys).items()]
        names.append("_".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in parts) or "as-it-is")
    folded = [name.lower() for name in names]  # some file systems do not distinguish case
    return [
        name
        if len(name) <= MAX_NAME and folded.count(name.lower()) == 1 and name[0].isalnum()
        else f"x{name[: MAX_NAME - 10]}-{fingerprint(dict[str, Any](values))[:8]}"
        for name, values in zip(names, points, strict=True)
    ]
