"""A recipe's file with the files that it points to and the command line's overrides, as one document."""

import os
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, get_args

from pydantic import JsonValue

from speechgmm.features.presets import PRESETS, preset_values
from speechgmm.files import is_file
from speechgmm.recipe.reading.suggestions import nearest
from speechgmm.recipe.reading.validation import models_in
from speechgmm.recipe.reading.yaml import Document, Key, Place, Values, flow, parse_value, read_document
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sweep import Point

SECTIONS = tuple(name for name in Recipe.model_fields if name not in ("name", "seed", "systems"))
PATHS = (("corpus", "root"), ("ubm", "initial_model"))
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class Override(NamedTuple):
    """A key's value from the command line, with the places and problems of it."""

    key: Key
    value: JsonValue
    notes: Document


def read_recipe(path: Path, overrides: Sequence[str] = (), point: Point | None = None) -> Document:
    """Read a recipe's file and all that it points to.

    Parameters
    ----------
    path : Path
        The file.
    overrides : sequence of str
        ``KEY=VALUE`` each, as `load_recipe` takes them.
    point : dict of str to JSON data, optional
        Values by dotted key that stand in the recipe's own sweep.

    Returns
    -------
    Document
        Bases resolved, paths absolute, systems read; with all that could not be.
    """
    document = read_document(path)
    _name_after(path, document)
    sets = [_of_point(document, key, value) for key, value in (point or {}).items()]
    sets += parse_overrides(overrides, "ubm.n_components=128", document)
    for each in sets:
        if len(each.key) == 1:
            override(document, each)
    _resolve(document, overriding_rate(sets, ("features", "sample_rate")))
    for each in sets:
        if len(each.key) > 1:
            override(document, each)
    _resolve_paths(document)
    _read_systems(document)
    return document


def read_base(
    name: str, place: Place, section: str, at: Key, rate: JsonValue, above: tuple[Path, ...] = ()
) -> Document:
    """Read what the name of a section stands for.

    Parameters
    ----------
    name : str
        A file, which may name a base of its own, or for `features` a preset.
    place : Place
        Where the name stands.
    section : str
        Such as ``features``.
    at : tuple of str and int
        The key that the section has in the recipe.
    rate : JSON data
        The sample rate that is set above it, if any, because a preset depends on it.
    above : tuple of Path
        The files that are based on this one.

    Returns
    -------
    Document
        The section, with what could not be read of it.
    """
    if section == "features" and name in PRESETS:
        return _preset(name, at, rate)
    path = _path_of(name, place)
    nothing = Document({}, {(): place}, at)
    if not is_file(path):
        nothing.refuse(at, _no_such_file(path, name, section), place)
        return nothing
    if path.resolve() in above:
        nothing.refuse(at, f"{path} is based on itself", place)
        return nothing
    document = read_document(path, at)
    base = document.values.pop("base", None)
    if base is not None:
        below = _below(document, document.values, base, section, at, rate, (*above, path.resolve()))
        document.values.clear()
        document.values.update(below)
    return document


def parse_overrides(texts: Sequence[str], example: str, document: Document) -> list[Override]:
    """Split overrides of the form KEY=VALUE.

    Parameters
    ----------
    texts : sequence of str
        From the command line.
    example : str
        What one looks like.
    document : Document
        Where it is noted what is none.

    Returns
    -------
    list of Override
        The others.
    """
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


def _of_point(document: Document, name: str, value: JsonValue) -> Override:
    """Override a key by a value that stands in the sweep of the recipe itself, or in a file that is its sweep."""
    place = document.place_of(next((at for at in document.places if at[:1] == ("sweep",) and name in at), ("sweep",)))
    key: Key = tuple(name.split("."))
    return Override(key, deepcopy(value), Document({}, {(): place, key: place}))


def override(document: Document, by: Override) -> None:
    """Put a value in its place, making the sections above it.

    Parameters
    ----------
    document : Document
        Changed.
    by : Override
        The value.
    """
    values, place = document.values, by.notes.places[()]
    for depth, part in enumerate(by.key[:-1], 1):
        if part not in values:
            document.places[by.key[:depth]] = place
        below = values.setdefault(str(part), {})
        if not isinstance(below, dict):
            document.refuse(by.key, f"{'.'.join(map(str, by.key[:depth]))} has no keys below it", place)
            return
        values = below
    values[str(by.key[-1])] = by.value
    for stale in [each for each in document.places if each[: len(by.key)] == by.key]:
        del document.places[stale]
    document.places.update((key, place) for key, place in by.notes.places.items() if key)
    document.problems.extend(by.notes.problems)


def overriding_rate(sets: Sequence[Override], wanted: Key) -> JsonValue:
    """Find the sample rate that overrides will set, because a preset depends on it.

    Parameters
    ----------
    sets : sequence of Override
        The overrides.
    wanted : tuple of str
        Its key.

    Returns
    -------
    JSON data
        The rate, or None where none is set.
    """
    return next((each.value for each in reversed(sets) if each.key == wanted), None)


def _name_after(path: Path, document: Document) -> None:
    """Give a recipe that has no name that of its file, made fit for a folder."""
    document.values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._"))


def _resolve(document: Document, rate: JsonValue = None) -> None:
    """Replace sections that are paths, or have a base, by what they stand for; one that is empty by its defaults."""
    for section in SECTIONS:
        value = document.values.get(section)
        at = (*document.at, section)
        if value is None:
            document.values.pop(section, None)
        elif isinstance(value, str):
            document.values[section] = _below(document, {}, value, section, at, rate)
        elif isinstance(value, dict) and "base" in value:
            document.values[section] = _below(document, value, value.pop("base"), section, at, rate)


def _below(
    document: Document,
    own: Values,
    base: JsonValue,
    section: str,
    at: Key,
    rate: JsonValue,
    above: tuple[Path, ...] = (),
) -> Values:
    """Put a base under a section's own keys, and what is known of the base into the document."""
    if not isinstance(base, str):
        presets = " or a preset's name" if section == "features" else ""
        document.refuse((*at, "base"), f"{flow(base)}; expected the path of a file{presets}")
        return own
    rate = own.get("sample_rate") if rate is None else rate
    below = read_base(base, document.place_of((*at, "base")), section, at, rate, above)
    document.problems.extend(below.problems)
    for key, place in below.places.items():
        document.places.setdefault(key, place)
    return _overlay(below.values, own)


def _overlay(base: Values, own: Values) -> Values:
    """Override the base's keys one by one, down to the last level."""
    merged = dict(base)
    for name, value in own.items():
        below = base.get(name)
        merged[name] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _preset(name: str, at: Key, rate: JsonValue) -> Document:
    """Give a preset's values; a rate that cannot be one is told of when the whole is checked."""
    try:
        values = preset_values(name, rate)  # type: ignore[arg-type]  # whatever stands there
    except ValueError:
        values = preset_values(name)
    place = Place(f"preset {name}", Path.cwd())
    return Document(deepcopy(values), dict.fromkeys(((), *_keys(values, at)), place), at)


def _keys(values: Values, at: Key) -> Iterator[Key]:
    """List a key and all below it."""
    yield at
    for name, value in values.items():
        yield from _keys(value if isinstance(value, dict) else {}, (*at, name))


def _path_of(name: str, place: Place) -> Path:
    """Give the path of a file that is named in another: relative to the current folder if the other's is."""
    path = os.path.normpath(place.folder / name)
    return Path(path if Path(place.source).is_absolute() else os.path.relpath(path))


def _no_such_file(path: Path, name: str, section: str) -> str:
    """Say what was looked for."""
    text = f"no such file: {path}"
    if section == "features" and "/" not in name:
        text += f", nor a preset by the name of {name!r} ({', '.join(PRESETS)}){nearest(name, list(PRESETS))}"
    methods = [model.model_fields.get("method") for model in models_in(Recipe.model_fields[section].annotation)]
    if name in [method for each in methods if each for method in get_args(each.annotation)]:
        text += f"; expected keys and values, as in {section}.method={name}"
    if VARIABLE.search(name):
        text += "; environment variables are for the corpus's root alone"
    return text


def _resolve_paths(document: Document) -> None:
    """Make paths absolute: they are relative to the file that they stand in. Only the corpus's has variables."""
    for section, name in PATHS:
        values = document.values.get(section)
        if isinstance(values, dict) and isinstance(path := values.get(name), str):
            key = (*document.at, section, name)
            if section == "corpus":
                path = _expand(path, key, document)
            elif VARIABLE.search(path):
                document.refuse(key, f"{path}: environment variables are for the corpus's root alone")
            values[name] = os.path.normpath(document.place_of(key).folder / path)


def _expand(path: str, key: Key, document: Document) -> str:
    """Fill environment variables into the corpus's root."""

    def value(found: re.Match[str]) -> str:
        """Give a variable's value, or its default; a value is relative to the current folder."""
        name, default = found.groups()
        if os.environ.get(name):
            return str(Path.cwd() / os.environ[name])
        if default is None:
            document.refuse(
                key, f"the environment variable {name} is not set, and has no default as in ${{{name}:-DIR}}"
            )
        return str(default)

    return VARIABLE.sub(value, path)


def _read_systems(document: Document) -> None:
    """Put the recipes themselves in place of their paths; they have the corpus of this one unless they say another."""
    systems = document.values.get("systems")
    if not isinstance(systems, list):
        return
    names: list[JsonValue] = []
    for number, each in enumerate(systems):
        at: Key = ("systems", number)
        listed = document.place_of(at)
        system = _read_system(each, at, document)
        if system is None:
            continue
        systems[number] = system.values
        name = system.values.get("name")
        if name is not None and name in names:
            document.refuse(at, f"a second system by the name of {name}; expected different names", listed)
        names.append(name)


def _read_system(value: JsonValue, at: Key, document: Document) -> Document | None:
    """Read a system, which is a path or the recipe itself, noting in the document what is known of it."""
    if isinstance(value, str):
        path = _path_of(value, document.place_of(at))
        if not is_file(path):
            document.refuse(at, _no_such_file(path, value, "systems"))
            return None
        read = read_document(path, at)
        _name_after(path, read)
        document.places.update((key, place) for key, place in read.places.items() if key)
        document.problems.extend(read.problems)
        value = read.values
    if not isinstance(value, dict):
        return None
    system = Document(value, document.places, at, document.problems)
    if value.pop("systems", None) is not None:
        system.refuse((*at, "systems"), "expected none here: this is a system itself")
    _resolve(system)
    _resolve_paths(system)
    if "corpus" not in value and "corpus" in document.values:
        value["corpus"] = document.values["corpus"]
        inherited = [(key, place) for key, place in document.places.items() if key[:1] == ("corpus",)]
        document.places.update(((*at, *key), place) for key, place in inherited)
    return system
