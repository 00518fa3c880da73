"""Values for keys of a recipe from outside its file: from the command line, or from a point of a sweep."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from speechgmm.recipe.reading.yaml import Document, Key, Place, parse_value


class Override(NamedTuple):
    """A value for a key from outside the file, with its places and problems."""

    key: Key
    value: JsonValue
    notes: Document


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


def override_of_point(document: Document, name: str, value: JsonValue) -> Override:
    """Return the override for a key of a point, whose place is in the recipe's sweep section or the file of that."""
    place = document.place_of(next((at for at in document.places if at[:1] == ("sweep",) and name in at), ("sweep",)))
    key: Key = tuple(name.split("."))
    return Override(key, deepcopy(value), Document({}, {(): place, key: place}))


def moved(override: Override, n: int, to: Key) -> Override:
    """Return an override of another key: its first `n` parts are replaced."""
    places = {(*to, *key[n:]) if key else key: place for key, place in override.notes.places.items()}
    problems = [
        problem._replace(key=(*to, *problem.key[n:]) if problem.key else problem.key)
        for problem in override.notes.problems
    ]
    return Override((*to, *override.key[n:]), override.value, Document({}, places, (), problems))


def apply_override(document: Document, override: Override) -> None:
    """Set a value in the document, and make the sections above it where they do not exist."""
    values, place = document.values, override.notes.places[()]
    for depth in range(len(document.at), len(override.key) - 1):
        part, above = override.key[depth], override.key[: depth + 1]
        if values.get(str(part)) is None:  # null leaves a section to its default, as its absence does
            document.places[above] = place
            values[str(part)] = {}
        section = values[str(part)]
        if not isinstance(section, dict):
            document.refuse(override.key, f"{'.'.join(map(str, above))} has no keys below it", place)
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
