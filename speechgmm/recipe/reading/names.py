"""Files by name: of the folder, then shipped ones; and messages about names that are none."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from pydantic import JsonValue

from speechgmm.features.presets import PRESETS
from speechgmm.files import RECIPE_SUFFIXES, is_file
from speechgmm.recipe.reading.paths import ENVIRONMENT_VARIABLE, path_named_at
from speechgmm.recipe.reading.suggestions import suggest
from speechgmm.recipe.reading.validation import models_in
from speechgmm.recipe.reading.yaml import Place
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.shipped import RECIPES, SHIPPED, SYSTEMS, shipped_file, shipped_names


class Found(NamedTuple):
    """A file that a name or a path stands for."""

    path: Path
    source: str  # what messages call it
    notes: tuple[str, ...] = ()  # that it was taken in place of a shipped file


def name_in(value: JsonValue, kind: str) -> str | None:
    """Return the name or path that a value is: text, or the number that a shipped file of a kind is named by."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if shipped_file(kind, str(value)) else None
    return value if isinstance(value, str) else None


def find_file(name: str, kind: str, place: Place) -> Found | None:
    """Find the file that a name or a path stands for, which stands at a place; None if there is none.

    `kind` is ``recipes``, ``systems`` or a section. A recipe may go by the name of a system, and a system by that of a
    recipe. A name is that of a file in the folder of the place, with ``.yaml`` or without, before it is a shipped one.
    """
    is_name = name == Path(name).name
    shipped = _shipped(name, kind) if is_name else None
    if shipped is None or not place.source.startswith(SHIPPED):
        for file_name in (name, f"{name}.yaml")[: 1 + is_name]:
            path = path_named_at(place, file_name)
            if is_file(path) and not (shipped and str(path) == place.source):  # a copy may be based on the original
                return Found(path, str(path), _notes(path, name, shipped))
    return shipped


def recipe_path(typed: str | Path) -> Path:
    """Return the path of a recipe as it was typed: ``./best`` is a file of this folder, and no shipped name."""
    path = Path(typed)
    is_bare = path == Path(path.name) and os.sep in os.fspath(typed)
    return Path.cwd() / path if is_bare else path


def find_recipe(path: Path) -> Found:
    """Find the recipe that a path or a name stands for, a name in the current folder first; a path is its own."""
    name = str(path)
    found = find_file(name, RECIPES, Place("", Path.cwd())) if name == path.name else None
    return found or Found(path, name)


def unknown_name(path: Path, name: str, kind: str) -> str:
    """Return the message for a name or path that stands for no file, with what there is and what was probably meant."""
    text = f"no such file: {path}"
    models = models_in(Recipe.model_fields[kind].annotation) if kind in Recipe.model_fields else []
    fields = [model.model_fields.get("method") for model in models]
    presets = list(PRESETS) if kind == "features" and "/" not in name else []
    text += f", nor a preset by the name of {name!r} ({', '.join(presets)})" if presets else ""
    text += shipped_hint(name, kind, presets)
    if name in [method for field in fields if field for method in get_args(field.annotation)]:
        text += f"; expected keys and values, as in {kind}.method={name}"
    if ENVIRONMENT_VARIABLE.search(name):
        text += "; environment variables are for the corpus's root alone"
    return text


def shipped_hint(name: str, kind: str, others: Sequence[str] = ()) -> str:
    """Return which shipped files of a kind there are, and which of them, or of `others`, was probably meant.

    A path, or the name of a file, is of the user's own files: only its shipped namesake is named.
    """
    path, names = Path(name), shipped_names(kind)
    is_file_name = path.suffix.lower() in RECIPE_SUFFIXES
    if is_file_name or "/" in name:
        meant = path.stem if is_file_name else path.name
        return f"; the shipped one is named {meant}" if meant in names else ""
    word = {RECIPES: "recipe", SYSTEMS: "system"}.get(kind, f"{kind} section")
    listed = f", nor a shipped {word} ({', '.join(names)})" if names else ""
    return f"{listed}{suggest(name, [*names, *others])}"


def _shipped(name: str, kind: str) -> Found | None:
    """Return the shipped file of a name."""
    other = {RECIPES: [SYSTEMS], SYSTEMS: [RECIPES]}
    for each in (kind, *other.get(kind, [])):
        if path := shipped_file(each, name):
            return Found(path, f"{SHIPPED}{each}/{path.name}")
    return None


def _notes(path: Path, name: str, shipped: Found | None) -> tuple[str, ...]:
    """Say that a file is taken in place of the shipped one of its name, if it is another file."""
    if shipped is None or path.resolve() == shipped.path.resolve():
        return ()
    return (f"{name} is the file {path} here, not {shipped.source}",)
