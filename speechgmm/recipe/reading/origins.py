"""The origin of every value of a recipe: a file and line, the command line, a preset or a default."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from speechgmm.recipe.reading.names import recipe_path
from speechgmm.recipe.reading.resolving import resolve_recipe
from speechgmm.recipe.reading.validation import by_name, name_of_step, validate
from speechgmm.recipe.reading.yaml import Document, Key, Place, dotted
from speechgmm.recipe.schema.recipe import OF_EXPERIMENT, Recipe
from speechgmm.subspace.backend.config import SCALAR_KEYS

DEFAULT = "default"


class KeyOrigin(NamedTuple):
    """A dotted key of a recipe with its value, and where the value comes from.

    Keys of several systems are ``systems.NAME.KEY``, as ``--set`` takes them. An origin is ``FILE:LINE``, in the
    recipe or in a file that it is based on, which may be ``shipped KIND/FILE:LINE``; ``--set KEY=VALUE``, ``preset
    NAME``, ``default``, or ``file name`` for the name of a recipe that does not set one.
    """

    key: str
    value: JsonValue
    origin: str


def list_origins(path: str | Path, overrides: Sequence[str] = ()) -> list[KeyOrigin]:
    """List every key of a recipe that has an effect, in the order of the schema; arguments are as for `load_recipe`."""
    document = resolve_recipe(recipe_path(path), overrides)
    return list(_origins_below(validate(Recipe, document).to_json(), (), document))


def _origins_below(value: JsonValue, key: Key, document: Document) -> Iterator[KeyOrigin]:
    """List the values at and below a key; a list of plain values is one value."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _origins_below(below, (*key, name), document)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            if key == ("systems",) and isinstance(item, dict):
                item = {name: below for name, below in item.items() if name not in OF_EXPERIMENT}
            yield from _origins_below(item, (*key, number), document)
    else:
        yield KeyOrigin(dotted(by_name(key, document)), value, _origin(key, document))


def _origin(key: Key, document: Document) -> str:
    """Return where a value comes from, in words."""
    place = document.places.get(key) or _place_in_step(key, document)
    if place is None:
        return "file name" if key[-1] == "name" else DEFAULT
    return place.source if place.line is None else f"{place.source}:{place.line}"


def _place_in_step(key: Key, document: Document) -> Place | None:
    """Return where a key of a back end's step stands, in the short forms of a step."""
    name = name_of_step(key, document)
    if key[-1] == "step":
        return document.places.get(name or key[:-1])
    if name is None:
        return None
    has_keys = any(known[: len(name)] == name for known in document.places if len(known) > len(name))
    if not has_keys and SCALAR_KEYS.get(str(name[-1])) == key[-1]:
        return document.places[name]
    return document.places.get((*name, *key[len(name) - 1 :]))
