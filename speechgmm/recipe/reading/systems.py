"""The systems of a recipe: names, paths or mappings become systems with the recipe's corpus, and keys that are set."""

from collections.abc import Sequence
from copy import deepcopy

from pydantic import JsonValue

from speechgmm.recipe.reading.bases import merge_bases
from speechgmm.recipe.reading.following import follow_stated
from speechgmm.recipe.reading.overrides import Override, moved
from speechgmm.recipe.reading.paths import resolve_paths
from speechgmm.recipe.reading.suggestions import suggest
from speechgmm.recipe.reading.yaml import Document, Key, Place, Values
from speechgmm.recipe.schema.recipe import OF_EXPERIMENT
from speechgmm.recipe.shipped import SYSTEMS


def resolve_systems(document: Document, changes: Sequence[Override]) -> None:
    """Replace what a recipe lists as systems by what it stands for; `changes` are of keys ``systems.NAME.KEY``."""
    systems = document.values.get("systems")
    listed: list[JsonValue] = systems if isinstance(systems, list) else []
    changes = [change for change in changes if not _is_refused(change, document)]
    names: list[str] = []
    for number, value in enumerate(listed):
        if not isinstance(value, str | dict):
            continue
        at: Key = ("systems", number)
        place = document.place_of(at)
        system = _read_system(value, at, document)
        name = system.values.get("name")
        if own := [moved(change, 1 + _n_parts(name), at) for change in changes if _is_of(change, name)]:
            system = _read_system(value, at, document, own)
        names += [name] if isinstance(name, str) else []
        _check_system(system, names, place)
        _give_corpus(system, document)
        resolve_paths(system)
        follow_stated(system)
        listed[number] = system.values
        document.places.update((key, known) for key, known in system.places.items() if key)
        document.problems.extend(system.problems)
        document.notes.extend(system.notes)
    for change in changes:
        if not any(_is_of(change, name) for name in names):
            found = f"the systems are {', '.join(names)}" if names else "the recipe lists none"
            text = f"no system by the name of {change.key[1]}; {found}{suggest(str(change.key[1]), names)}"
            document.refuse(change.key, text, change.notes.places[()])


def _read_system(value: JsonValue, at: Key, document: Document, changes: Sequence[Override] = ()) -> Document:
    """Read a system into a document of its own: a name or a path is a base without keys that override it."""
    places = {key: place for key, place in document.places.items() if key[: len(at)] == at}
    own: Values = deepcopy(value) if isinstance(value, dict) else {"base": value}
    system = Document(own, {(): document.place_of(at)} | places, at)
    merge_bases(system, SYSTEMS, changes)
    return system


def _check_system(system: Document, names: list[str], place: Place) -> None:
    """Refuse a system that lists systems itself, and a second one of a name; `names` ends with that of this one."""
    name = system.values.get("name")
    if system.values.pop("systems", None) is not None:
        message = f"{name} lists systems itself; expected none in a system: list them beside the others"
        system.refuse((*system.at, "systems"), message, place)
    if isinstance(name, str) and names.count(name) > 1:
        message = f"a second system by the name of {name}; give one another, as in {{base: {name}, name: {name}_2}}"
        system.refuse(system.at, message, place)


def _give_corpus(system: Document, document: Document) -> None:
    """Give a system the corpus of the recipe, in place of its own."""
    system.values.pop("corpus", None)
    for key in [key for key in system.places if key[len(system.at) :][:1] == ("corpus",)]:
        del system.places[key]
    if "corpus" in document.values:
        system.values["corpus"] = document.values["corpus"]
        inherited = {(*system.at, *key): place for key, place in document.places.items() if key[:1] == ("corpus",)}
        system.places.update(inherited)


def _is_refused(change: Override, document: Document) -> bool:
    """Refuse a change of a whole system, and of what systems have from the recipe; say whether it was."""
    *_, last = change.key
    section = next((part for part in change.key[2:3] if part in OF_EXPERIMENT), None)
    if section:
        inner = ".".join(map(str, change.key[2:]))
        message = f"{section} is of the whole recipe, not of a system; expected --set {inner}=VALUE"
    elif len(change.key) == 2:
        message = f"expected a key of the system, as in --set systems.{last}.ubm.n_components=128"
    else:
        return False
    document.refuse(change.key, message, change.notes.places[()])
    return True


def _is_of(change: Override, name: JsonValue) -> bool:
    """Whether a change is of the system of a name, in which dots may stand."""
    return isinstance(name, str) and change.key[1 : 1 + _n_parts(name)] == tuple(name.split("."))


def _n_parts(name: JsonValue) -> int:
    """Count the parts of a dotted key that a name makes."""
    return str(name).count(".") + 1
