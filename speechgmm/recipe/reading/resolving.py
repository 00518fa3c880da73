"""Resolving a recipe: its file, the files it names, presets and the command line's overrides become one document."""

from collections.abc import Sequence
from pathlib import Path

from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.bases import merge_bases, name_of_file
from speechgmm.recipe.reading.following import follow_stated
from speechgmm.recipe.reading.mistaken import what_instead
from speechgmm.recipe.reading.names import find_recipe
from speechgmm.recipe.reading.overrides import override_of_point, parse_overrides
from speechgmm.recipe.reading.paths import resolve_paths
from speechgmm.recipe.reading.systems import resolve_systems
from speechgmm.recipe.reading.yaml import Document, read_document
from speechgmm.recipe.schema.sweep import Point
from speechgmm.recipe.shipped import RECIPES


def resolve_recipe(path: Path, overrides: Sequence[str] = (), point: Point | None = None) -> Document:
    """Read a recipe's file and everything that it names; arguments are as for `load_recipe`.

    The document has its bases merged, its paths absolute, and its systems in place of their names. It notes every
    problem instead of raising the first; a RecipeError is raised for a path that is something else than a recipe.
    """
    found = find_recipe(path)
    document = read_document(found.path, source=found.source)
    if document.problems and (mistake := what_instead(path)):
        raise RecipeError(f"{path}: {mistake}")
    document.notes.extend(found.notes)
    document.values.setdefault("name", name_of_file(found.path))
    changes = [override_of_point(document, key, value) for key, value in (point or {}).items()]
    changes += parse_overrides(overrides, "ubm.n_components=128", document)
    of_systems = [change for change in changes if change.key[0] == "systems" and len(change.key) > 1]
    merge_bases(document, RECIPES, [change for change in changes if change not in of_systems])
    resolve_paths(document)
    follow_stated(document)
    resolve_systems(document, of_systems)
    return document
