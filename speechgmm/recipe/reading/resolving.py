"""Resolving a recipe: its file, the files it names, presets and the command line's overrides become one document."""

import os
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, get_args

from pydantic import JsonValue

from speechgmm.errors import RecipeError
from speechgmm.features.presets import PRESETS, preset_values
from speechgmm.files import is_file
from speechgmm.recipe.reading.mistaken import what_instead
from speechgmm.recipe.reading.suggestions import suggest
from speechgmm.recipe.reading.validation import models_in
from speechgmm.recipe.reading.yaml import Document, Key, Place, Values, flow, parse_value, read_document
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sweep import Point

SECTIONS = tuple(name for name in Recipe.model_fields if name not in ("name", "seed", "systems", "backend"))
PATH_KEYS = (("corpus", "root"), ("ubm", "initial_model"))
ENVIRONMENT_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class Override(NamedTuple):
    """A value for a key from outside the file, with its places and problems."""

    key: Key
    value: JsonValue
    notes: Document


def resolve_recipe(path: Path, overrides: Sequence[str] = (), point: Point | None = None) -> Document:
    """Read a recipe's file and everything that it names; arguments are as for `load_recipe`.

    The document has its bases merged, its paths absolute, and its systems in place of their paths. It notes every
    problem instead of raising the first; a RecipeError is raised for a path that is something else than a recipe.
    """
    document = read_document(path)
    if document.problems and (mistake := what_instead(path)):
        raise RecipeError(f"{path}: {mistake}")
    _name_after_file(path, document)
    changes = [_override_of_point(document, key, value) for key, value in (point or {}).items()]
    changes += parse_overrides(overrides, "ubm.n_components=128", document)
    for change in changes:
        if len(change.key) == 1:
            apply_override(document, change)
    _resolve_sections(document, overriding_rate(changes, ("features", "sample_rate")))
    for change in changes:
        if len(change.key) > 1:
            apply_override(document, change)
    _resolve_paths(document)
    _resolve_systems(document)
    return document


def read_base(
    name: str, place: Place, section: str, at: Key, rate: JsonValue, based: tuple[Path, ...] = ()
) -> Document:
    """Read the file, or for `features` the preset, that a section names as its base.

    `place` is where the name stands, and `at` the section's key in the recipe. `rate` is the sample rate that
    overrides the base's, because a preset depends on it. `based` lists the files that are based on this one.
    """
    if section == "features" and name in PRESETS:
        return _preset_document(name, at, rate)
    path = _path_named_at(place, name)
    unread = Document({}, {(): place}, at)
    if not is_file(path):
        unread.refuse(at, _missing_file_message(path, name, section), place)
        return unread
    if path.resolve() in based:
        unread.refuse(at, f"{path} is based on itself", place)
        return unread
    document = read_document(path, at)
    base = document.values.pop("base", None)
    if base is not None:
        merged = _merge_base(document, document.values, base, section, at, rate, (*based, path.resolve()))
        document.values.clear()
        document.values.update(merged)
    return document


def parse_overrides(texts: Sequence[str], example: str, document: Document) -> list[Override]:
    """Parse overrides of the form KEY=VALUE; the document notes those of another form, beside an example."""
    overrides = []
    for text in texts:
        name, equals, value = text.partition("=")
        key: Key = tuple(name.split("."))
        place = Place(f"--set {text}", Path.cwd())
        if equals and all(key):
            notes = Document({}, {(): place})
            overrides.append(Override(key, parse_value(value, key, notes), notes))
        else:
            document.refuse(None, f"expected KEY=VALUE, as in --set {example}", place)
    return overrides


def _override_of_point(document: Document, name: str, value: JsonValue) -> Override:
    """Return the override for a key of a point, whose place is in the recipe's sweep section or the file of that."""
    place = document.place_of(next((at for at in document.places if at[:1] == ("sweep",) and name in at), ("sweep",)))
    key: Key = tuple(name.split("."))
    return Override(key, deepcopy(value), Document({}, {(): place, key: place}))


def apply_override(document: Document, override: Override) -> None:
    """Set a value in the document, and make the sections above it where they do not exist."""
    values, place = document.values, override.notes.places[()]
    for depth, part in enumerate(override.key[:-1], 1):
        if part not in values:
            document.places[override.key[:depth]] = place
        section = values.setdefault(str(part), {})
        if not isinstance(section, dict):
            document.refuse(override.key, f"{'.'.join(map(str, override.key[:depth]))} has no keys below it", place)
            return
        values = section
    values[str(override.key[-1])] = override.value
    for stale in [key for key in document.places if key[: len(override.key)] == override.key]:
        del document.places[stale]
    document.places.update((key, place) for key, place in override.notes.places.items() if key)
    document.problems.extend(override.notes.problems)


def overriding_rate(overrides: Sequence[Override], key: Key) -> JsonValue:
    """Return the value that overrides will set for the key of the sample rate, which presets depend on; or None."""
    return next((override.value for override in reversed(overrides) if override.key == key), None)


def _name_after_file(path: Path, document: Document) -> None:
    """Name a recipe without a name after its file, in characters that fit a folder."""
    document.values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._"))


def _resolve_sections(document: Document, rate: JsonValue = None) -> None:
    """Merge sections with their bases, read sections that are paths, and leave empty sections to their defaults."""
    for section in SECTIONS:
        value = document.values.get(section)
        at = (*document.at, section)
        if value is None:
            document.values.pop(section, None)
        elif isinstance(value, str):
            document.values[section] = _merge_base(document, {}, value, section, at, rate)
        elif isinstance(value, dict) and "base" in value:
            document.values[section] = _merge_base(document, value, value.pop("base"), section, at, rate)


def _merge_base(
    document: Document,
    own_values: Values,
    base: JsonValue,
    section: str,
    at: Key,
    rate: JsonValue,
    based: tuple[Path, ...] = (),
) -> Values:
    """Merge a section's own keys into those of its base, and add the base's places and problems to the document."""
    if not isinstance(base, str):
        presets = " or a preset's name" if section == "features" else ""
        document.refuse((*at, "base"), f"{flow(base)}; expected the path of a file{presets}")
        return own_values
    rate = own_values.get("sample_rate") if rate is None else rate
    base_document = read_base(base, document.place_of((*at, "base")), section, at, rate, based)
    document.problems.extend(base_document.problems)
    for key, place in base_document.places.items():
        document.places.setdefault(key, place)
    return _overlay(base_document.values, own_values)


def _overlay(base: Values, own_values: Values) -> Values:
    """Return the base with its keys overridden one by one, at every level."""
    merged = dict(base)
    for name, value in own_values.items():
        inner = base.get(name)
        merged[name] = _overlay(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _preset_document(name: str, at: Key, rate: JsonValue) -> Document:
    """Return the values of a preset at a sample rate; validation reports a rate that is no number."""
    try:
        values = preset_values(name, rate)  # type: ignore[arg-type]  # any value of the file
    except ValueError:
        values = preset_values(name)
    place = Place(f"preset {name}", Path.cwd())
    return Document(deepcopy(values), dict.fromkeys(((), *_nested_keys(values, at)), place), at)


def _nested_keys(values: Values, at: Key) -> Iterator[Key]:
    """Yield a key and all keys below it."""
    yield at
    for name, value in values.items():
        yield from _nested_keys(value if isinstance(value, dict) else {}, (*at, name))


def _path_named_at(place: Place, name: str) -> Path:
    """Return the path of a file that another file names: relative to the current folder if that file's path is."""
    path = _normalised(place.folder / name)
    return Path(path if Path(place.source).is_absolute() else os.path.relpath(path))


def _missing_file_message(path: Path, name: str, section: str) -> str:
    """Return the message for a file that does not exist, with what the user may have meant."""
    text = f"no such file: {path}"
    if section == "features" and "/" not in name:
        text += f", nor a preset by the name of {name!r} ({', '.join(PRESETS)}){suggest(name, list(PRESETS))}"
    fields = [model.model_fields.get("method") for model in models_in(Recipe.model_fields[section].annotation)]
    if name in [method for field in fields if field for method in get_args(field.annotation)]:
        text += f"; expected keys and values, as in {section}.method={name}"
    if ENVIRONMENT_VARIABLE.search(name):
        text += "; environment variables are for the corpus's root alone"
    return text


def _resolve_paths(document: Document) -> None:
    """Resolve paths relative to their file, as absolute paths. Only the corpus's root has environment variables."""
    for section, name in PATH_KEYS:
        values = document.values.get(section)
        if isinstance(values, dict) and isinstance(path := values.get(name), str):
            key = (*document.at, section, name)
            if section == "corpus":
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

    def value(variable: re.Match[str]) -> str:
        """Return a variable's value, relative to the current folder, or its default."""
        name, default = variable.groups()
        if os.environ.get(name):
            return str(Path.cwd() / os.environ[name])
        if default is None:
            document.refuse(
                key, f"the environment variable {name} is not set, and has no default as in ${{{name}:-DIR}}"
            )
        return str(default)

    return ENVIRONMENT_VARIABLE.sub(value, path)


def _resolve_systems(document: Document) -> None:
    """Replace the paths of systems by their recipes, which inherit the corpus of this one unless they set their own."""
    systems = document.values.get("systems")
    if not isinstance(systems, list):
        return
    names: list[JsonValue] = []
    for number, value in enumerate(systems):
        at: Key = ("systems", number)
        listed_at = document.place_of(at)
        system = _resolve_system(value, at, document)
        if system is None:
            continue
        systems[number] = system.values
        name = system.values.get("name")
        if name is not None and name in names:
            document.refuse(at, f"a second system by the name of {name}; expected different names", listed_at)
        names.append(name)


def _resolve_system(value: JsonValue, at: Key, document: Document) -> Document | None:
    """Resolve a system, which is a path or a recipe itself; its places and problems go into the whole document."""
    if isinstance(value, str):
        path = _path_named_at(document.place_of(at), value)
        if not is_file(path):
            document.refuse(at, _missing_file_message(path, value, "systems"))
            return None
        system_file = read_document(path, at)
        _name_after_file(path, system_file)
        document.places.update((key, place) for key, place in system_file.places.items() if key)
        document.problems.extend(system_file.problems)
        value = system_file.values
    if not isinstance(value, dict):
        return None
    system = Document(value, document.places, at, document.problems)
    if value.pop("systems", None) is not None:
        system.refuse((*at, "systems"), "expected none here: this is a system itself")
    _resolve_sections(system)
    _resolve_paths(system)
    if "corpus" not in value and "corpus" in document.values:
        value["corpus"] = document.values["corpus"]
        inherited = [(key, place) for key, place in document.places.items() if key[:1] == ("corpus",)]
        document.places.update(((*at, *key), place) for key, place in inherited)
    return system
