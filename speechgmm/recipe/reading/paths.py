"""Paths in recipes: relative to the file that they stand in, and environment variables in the corpus's root."""

import os
import re
from pathlib import Path

from pydantic import JsonValue

from speechgmm.recipe.reading.yaml import Document, Key, Place
from speechgmm.recipe.shipped import SHIPPED

PATH_KEYS = (
    ("corpus", "root"),
    ("ubm", "initial_model"),
    ("augment", "noise", "folder"),
    ("augment", "reverb", "folder"),
)
ENVIRONMENT_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def path_named_at(place: Place, name: str) -> Path:
    """Return the path of a file that another file names: relative to the current folder if that file's path is."""
    path = _normalised(place.folder / name)
    return Path(path if Path(place.source).is_absolute() else os.path.relpath(path))


def resolve_paths(document: Document) -> None:
    """Resolve paths relative to their file, as absolute paths. Only the corpus's root has environment variables."""
    for sections in PATH_KEYS:
        *above, name = sections
        values: JsonValue = document.values
        for section in above:
            values = values.get(section) if isinstance(values, dict) else None
        if isinstance(values, dict) and isinstance(path := values.get(name), str):
            key = (*document.at, *sections)
            if above == ["corpus"]:
                path = _expand_variables(path, key, document)
            elif ENVIRONMENT_VARIABLE.search(path):
                document.refuse(key, f"{path}: environment variables are for the corpus's root alone")
            values[name] = _normalised(document.place_of(key).folder / path)


def _normalised(path: Path) -> str:
    """Remove ``a/..`` from a path, but not where ``a`` is a link, and the whole path something else that is there."""
    shorter = os.path.normpath(path)
    if "\0" in shorter:  # which no file's name can hold
        return shorter
    return str(path) if os.path.realpath(path) != os.path.realpath(shorter) and path.exists() else shorter


def _expand_variables(path: str, key: Key, document: Document) -> str:
    """Replace environment variables in the corpus's root by their values."""
    place = document.place_of(key)
    defaulted: list[str] = []

    def value(variable: re.Match[str]) -> str:
        """Return a variable's value, relative to the current folder, or its default."""
        name, default = variable.groups()
        if os.environ.get(name):
            return str(Path.cwd() / os.environ[name])
        if default is None:
            document.refuse(
                key, f"the environment variable {name} is not set, and has no default as in ${{{name}:-DIR}}"
            )
        defaulted.append(name)
        return str(default)

    expanded = ENVIRONMENT_VARIABLE.sub(value, path)
    if defaulted and place.source.startswith(SHIPPED) and not os.path.isdir(place.folder / expanded):  # noqa: PTH112
        document.refuse(
            key,
            f"{path}: the environment variable {defaulted[0]} is not set; expected the folder of the data, which the "
            f"comments of the recipe describe (speechgmm recipes {Path(place.source).stem})",
        )
    return expanded
