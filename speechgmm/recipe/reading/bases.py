"""Bases: the files and presets that recipes, systems and sections name, whose keys their own keys override."""

import re
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

from pydantic import JsonValue

from speechgmm.features.presets import PRESETS, preset_values
from speechgmm.recipe.reading.names import find_file, name_in, unknown_name
from speechgmm.recipe.reading.overrides import Override, apply_override, overriding_rate
from speechgmm.recipe.reading.paths import path_named_at
from speechgmm.recipe.reading.yaml import Document, Key, Place, Values, flow, read_document
from speechgmm.recipe.schema.rates import AUTO
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.shipped import RECIPES, SYSTEMS

SECTIONS = tuple(name for name in Recipe.model_fields if name not in ("name", "seed", "systems", "backend"))


def merge_bases(
    document: Document,
    kind: str,
    changes: Sequence[Override] = (),
    rate: JsonValue = None,
    based: tuple[Path, ...] = (),
) -> None:
    """Merge a recipe or a system with its base, and its sections with theirs, with changes from outside.

    `kind` is ``recipes`` or ``systems``. A section that is a name or a path, has a base of its own, is empty or is a
    change takes the place of the base's section; the keys of any other override the base's. Empty sections are then
    left to their defaults. `rate` is the sample rate that overrides the base's, because a preset depends on it. `based`
    lists the files that are based on this one.
    """
    n = len(document.at) + 1
    changed = [change for change in changes if len(change.key) == n]
    for change in changed:
        apply_override(document, change)
    rate = _first_given(
        overriding_rate(changes, (*document.at, "features", "sample_rate")), rate, _rate_of(document.values)
    )
    whole = {*(str(change.key[-1]) for change in changed), *_resolve_sections(document, rate)}
    if "base" in document.values:
        _merge_base(document, document.values.pop("base"), kind, rate, whole, based)
    for section in SECTIONS:
        if section in document.values and document.values[section] is None:
            del document.values[section]
    for change in changes:
        if len(change.key) > n:
            apply_override(document, change)


def read_base(
    name: str, place: Place, kind: str, at: Key, rate: JsonValue = None, based: tuple[Path, ...] = ()
) -> Document:
    """Read the file, or for `features` the preset, that a recipe, a system or a section names as its base.

    `place` is where the name stands, and `at` the key of the recipe that it is the base of. `kind` is ``recipes``,
    ``systems`` or the name of a section; `rate` and `based` are as for `merge_bases`.
    """
    unread = Document({}, {(): place}, at)
    if kind == "features" and name in PRESETS:
        if rate != AUTO:
            return _preset_document(name, at, rate)
        message = f"{AUTO}; expected a rate in Hz, as the values of the preset {name} are those of one rate"
        unread.refuse((*at, "sample_rate"), message, place)
        return unread
    found = find_file(name, kind, place)
    if found is None:
        unread.refuse(at, unknown_name(path_named_at(place, name), name, kind), place)
        return unread
    if found.path.resolve() in based:
        unread.refuse(at, f"{found.source} is based on itself", place)
        return unread
    document = read_document(found.path, at, found.source)
    document.notes.extend(found.notes)
    based = (*based, found.path.resolve())
    if kind in (RECIPES, SYSTEMS):
        document.values.setdefault("name", name_of_file(found.path))
        merge_bases(document, kind, rate=rate, based=based)
    elif "base" in document.values:
        _merge_base(document, document.values.pop("base"), kind, rate, based=based)
    return document


def name_of_file(path: Path) -> str:
    """Return the name that a recipe without one has after its file, in characters that fit a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")


def _resolve_sections(document: Document, rate: JsonValue) -> list[str]:
    """Merge sections that are names or paths, or that have a base; list those, and the empty ones."""
    whole = []
    for section in SECTIONS:
        value = document.values.get(section)
        is_name = name_in(value, section) is not None
        if is_name or (isinstance(value, dict) and "base" in value):
            own: Values = value if isinstance(value, dict) else {}
            base = own.pop("base", value)
            document.values[section] = own
            inner = Document(own, document.places, (*document.at, section), document.problems, document.notes)
            _merge_base(inner, base, section, rate)
        elif value is not None or section not in document.values:
            continue
        whole.append(section)
    return whole


def _merge_base(
    document: Document,
    base: JsonValue,
    kind: str,
    rate: JsonValue,
    whole: Collection[str] = (),
    based: tuple[Path, ...] = (),
) -> None:
    """Merge a document's own keys into those of its base, but for the sections in `whole`, which the base loses."""
    key = (*document.at, "base")
    name = name_in(base, kind)
    if name is None:
        presets = " or a preset's name" if kind == "features" else ""
        document.refuse(key, f"{flow(base)}; expected a name, or the path of a file{presets}")
        return
    if kind == "features":
        rate = _first_given(rate, document.values.get("sample_rate"))
    below = read_base(name, document.place_of(key), kind, document.at, rate, based)
    for section in whole:
        below.values.pop(section, None)
    replaced: set[Key] = {(*document.at, section) for section in whole}
    document.problems.extend(problem for problem in below.problems if not _is_below(problem.key or (), replaced))
    merged = _overlay(below.values, document.values, document.at, replaced)
    document.values.clear()
    document.values.update(merged)
    document.notes.extend(below.notes)
    for known, place in below.places.items():
        if not _is_below(known, replaced):
            document.places.setdefault(known, place)


def _rate_of(values: Values) -> JsonValue:
    """Return the sample rate that a recipe or system states for its features, or None."""
    features = values.get("features")
    return features.get("sample_rate") if isinstance(features, dict) else None


def _first_given(*values: JsonValue) -> JsonValue:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)


def _is_below(key: Key, above: Collection[Key]) -> bool:
    """Whether a key is one of others, or below one of them."""
    return any(key[:n] in above for n in range(1, len(key) + 1))


def _overlay(base: Values, own: Values, at: Key, replaced: set[Key]) -> Values:
    """Return the base with its keys overridden one by one, at every level, and add those that were to `replaced`."""
    merged = dict(base)
    for name, value in own.items():
        inner = base.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[name] = _overlay(inner, value, (*at, name), replaced)
        else:
            merged[name] = value
            replaced.add((*at, name))
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
