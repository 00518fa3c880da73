"""Every value of a recipe, and where it comes from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from speechgmm.recipe.reading.resolving import read_recipe
from speechgmm.recipe.reading.validation import validate
from speechgmm.recipe.reading.yaml import Document, Key, dotted
from speechgmm.recipe.schema.recipe import Recipe

DEFAULT = "default"


class Row(NamedTuple):
    """A key of a recipe with its value, and where that comes from."""

    key: str
    value: JsonValue
    origin: str


def rows_of(path: str | Path, overrides: Sequence[str] = ()) -> list[Row]:
    """List every key of a recipe that has an effect.

    Parameters
    ----------
    path : str or Path
        The recipe's file.
    overrides : sequence of str
        ``KEY=VALUE`` each, as `load_recipe` takes them.

    Returns
    -------
    list of Row
        In the order of the schema. An origin is ``FILE:LINE``, of the recipe or of a file that it is based on,
        ``--set KEY=VALUE``, ``preset NAME``, ``default``, or ``file name`` for a recipe that does not tell its name.

    Raises
    ------
    RecipeError
        As for `load_recipe`.
    """
    document = read_recipe(Path(path), overrides)
    return list(_rows(validate(Recipe, document).to_json(), (), document))


def _rows(values: JsonValue, key: Key, document: Document) -> Iterator[Row]:
    """List the values below a key; a list of plain values is one value."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _rows(value, (*key, name), document)
    elif isinstance(values, list) and any(isinstance(each, dict) for each in values):
        for number, value in enumerate(values):
            yield from _rows(value, (*key, number), document)
    else:
        yield Row(dotted(key), values, _origin(key, document))


def _origin(key: Key, document: Document) -> str:
    """Say where a value comes from."""
    place = document.places.get(key)
    if place is None:
        return "file name" if key[-1] == "name" else DEFAULT
    return place.source if place.line is None else f"{place.source}:{place.line}"
