"""A recipe's file, the files it points to and the command line's overrides, to a `Recipe`; errors name the place."""

import difflib
import os
import re
import types
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue, ValidationError

from speechgmm.configuration import Configuration
from speechgmm.errors import RecipeError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.presets import PRESETS, preset_values
from speechgmm.recipe.schema import CorpusConfig, Recipe
from speechgmm.recipe.yaml import Document, Key, Place, Values, parse_value, read_document, to_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SECTIONS = tuple(name for name in Recipe.model_fields if name not in ("name", "seed", "systems"))
CORPUS_KINDS = tuple(each.model_fields["kind"].default for each in get_args(get_args(CorpusConfig)[0]))
PATHS = (("corpus", "root"), ("ubm", "initial_model"))
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
Override = tuple[Key, JsonValue, dict[Key, Place]]
"""A key, its value, and the places of the value and of the keys below it."""

Checked = TypeVar("Checked", bound=Configuration)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        The YAML file. A section in it may be the path of a file that holds the section, or carry ``base: PATH``
        and override keys of that; paths are relative to the file they stand in. For `features` the name of one of
        `speechgmm.features.presets.PRESETS` stands for its values, at the section's own ``sample_rate`` if there is
        one; a file by that name is reached as ``./NAME``.
    overrides : sequence of str
        ``KEY=VALUE``, with a dotted key and a YAML value: ``ubm.n_components=128``. Paths in them are relative to
        the current folder.

    Returns
    -------
    Recipe
        With every default filled in.

    Raises
    ------
    RecipeError
        If a file cannot be read, or keys or values are not those of the schema: all that is wrong at once, each
        with its file, line and key.
    """
    return _validated(Recipe, _read_recipe(Path(path), overrides))


def _read_recipe(path: Path, overrides: Sequence[str] = (), *, may_have_systems: bool = True) -> Document:
    """Read a recipe's file and all that it points to."""
    document = read_document(path)
    if not may_have_systems and "systems" in document.values:
        raise RecipeError(f"{document.places['systems',]}: systems: {path} is a system itself; expected none here")
    document.values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._"))
    sets = [_parse_override(text, "ubm.n_components=128") for text in overrides]
    for key, value, places in sets:
        if len(key) == 1:
            _override(document, key, value, places)
    rate = _overriding_rate(sets, ("features", "sample_rate"))
    for section in SECTIONS:
        _resolve_section(document, section, rate)
    for key, value, places in sets:
        if len(key) > 1:
            _override(document, key, value, places)
    _resolve_paths(document)
    _load_systems(document)
    for section in SECTIONS:
        if document.values.get(section, "absent") is None:
            del document.values[section]  # nothing but its name: the defaults
    return document


def load_features(source: str | None = None, overrides: Sequence[str] = ()) -> FeatureConfig:
    """Read a front end that stands alone.

    Parameters
    ----------
    source : str, optional
        A YAML file that holds a `features` section, perhaps with ``base: PATH`` or a preset's name; or the name of a
        preset; the defaults when not given. A path is relative to the current folder.
    overrides : sequence of str
        ``KEY=VALUE``, with a dotted key of the section and a YAML value: ``vad.method=none``.

    Returns
    -------
    FeatureConfig
        With every default filled in.

    Raises
    ------
    RecipeError
        As for `load_recipe`.
    """
    sets = [_parse_override(text, "n_cepstra=20") for text in overrides]
    if source is None:
        document = Document({}, {(): Place("front end", None, Path.cwd())})
    else:
        place = Place(f"--config {source}", None, Path.cwd())
        document = _read_base(source, place, "features", _overriding_rate(sets, ("sample_rate",)))
    for key, value, places in sets:
        _override(document, key, value, places)
    return _validated(FeatureConfig, document)


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe out, every default included.

    Parameters
    ----------
    recipe : Recipe
        Any.

    Returns
    -------
    str
        YAML text that `load_recipe` reads back as the same recipe.
    """
    return to_yaml(recipe.plain())


def _parse_override(text: str, example: str) -> Override:
    """Split KEY=VALUE."""
    key, equals, value = text.partition("=")
    place = Place(f"--set {text}", None, Path.cwd())
    if not equals or not all(key.split(".")):
        raise RecipeError(f"{place}: expected KEY=VALUE, as in --set {example}")
    return tuple(key.split(".")), *parse_value(value, place)


def _override(document: Document, key: Key, value: JsonValue, places: dict[Key, Place]) -> None:
    """Put a value in its place, making the sections above it."""
    values, place = document.values, places[()]
    for depth, part in enumerate(key[:-1], 1):
        if part not in values:
            document.places[key[:depth]] = place
        below = values.setdefault(part, {})
        if not isinstance(below, dict):
            raise RecipeError(f"{place}: {part} is {below!r}, and has no keys below it")
        values = below
    values[key[-1]] = value
    for stale in [each for each in document.places if each[: len(key)] == key]:
        del document.places[stale]
    document.places.update({(*key, *below): place for below, place in places.items()})


def _overriding_rate(sets: Sequence[Override], wanted: Key) -> JsonValue:
    """Find the sample rate that the overrides will set, if any, because a preset depends on it."""
    return next((value for key, value, _ in reversed(sets) if key == wanted), None)


def _resolve_section(document: Document, section: str, rate: JsonValue) -> None:
    """Replace a path by the section that the file holds, and put a section's own keys over those of its base."""
    value = document.values.get(section)
    place = document.places.get((section,), document.places[()])
    if isinstance(value, dict) and "base" in value:
        own = Document(value, {key[1:]: place for key, place in document.places.items() if key[:1] == (section,)})
        place = own.places[("base",)]
        value = own.values.pop("base")
    else:
        own = Document({}, {})
    if not isinstance(value, str):
        if own.values or own.places:
            raise _no_base(place, section, value)
        return
    base = _read_base(value, place, section, own.values.get("sample_rate") if rate is None else rate)
    _overlay(base, own.values, (), own.places)
    document.values[section] = base.values
    for key, origin in base.places.items():
        document.places[section, *key] = origin


def _read_base(name: str, place: Place, section: str, rate: JsonValue, above: tuple[Path, ...] = ()) -> Document:
    """Give the section that a name stands for: a front end's preset, or a file, which may name a base of its own."""
    if section == "features" and name in PRESETS:
        return _preset(name, rate)
    path = (place.folder / name).resolve()
    if path in above:
        raise RecipeError(f"{place}: {section}: {path} is based on itself")
    if not path.is_file():
        presets = ""
        if section == "features" and "/" not in name:
            presets = f", nor a preset by the name of {name!r} ({', '.join(PRESETS)}){_nearest(name, list(PRESETS))}"
        keys = f"; expected keys and values, as in {section}.method={name}" if name in _methods(section) else ""
        raise RecipeError(f"{place}: {section}: no such file: {path}{presets}{keys}")
    document = read_document(path)
    base = document.values.pop("base", None)
    if base is None:
        return document
    place = document.places.pop(("base",))
    if not isinstance(base, str):
        raise _no_base(place, section, base)
    rate = document.values.get("sample_rate") if rate is None else rate
    below = _read_base(base, place, section, rate, (*above, path))
    _overlay(below, document.values, (), document.places)
    return below


def _methods(section: str) -> list[str]:
    """List the methods that a section knows, if it has any."""
    fields = [model.model_fields.get("method") for model in _models_in(Recipe.model_fields[section].annotation)]
    return [method for field in fields if field for method in get_args(field.annotation)]


def _no_base(place: Place, section: str, value: JsonValue) -> RecipeError:
    """Say what a base should be."""
    presets = " or a preset's name" if section == "features" else ""
    return RecipeError(f"{place}: {section}.base: {value!r}; expected the path of a file{presets}")


def _preset(name: str, rate: JsonValue) -> Document:
    """Give a preset's values; a rate that cannot be one is told of when the whole is checked."""
    try:
        values = preset_values(name, rate)  # type: ignore[arg-type]  # whatever stands there
    except ValueError:
        values = preset_values(name)
    return Document(deepcopy(values), {(): Place(f"preset {name}", None, Path.cwd())})


def _overlay(base: Document, values: Values, key: Key, places: dict[Key, Place]) -> None:
    """Override the base's keys one by one, down to the last level."""
    target = base.values
    for part in key:
        target = target[part]  # type: ignore[assignment]  # the recursion below only enters mappings
    if values and not key:
        base.places[()] = places[()]  # where both come together: what is wrong with the whole is told there
    for name, value in values.items():
        here = (*key, name)
        base.places[here] = places[here]
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _overlay(base, value, here, places)
        else:
            target[name] = value
            base.places.update((below, place) for below, place in places.items() if below[: len(here)] == here)


def _resolve_paths(document: Document) -> None:
    """Make paths absolute: they are relative to the file that they stand in. Only the corpus's has variables."""
    for section, name in PATHS:
        values = document.values.get(section)
        if isinstance(values, dict) and isinstance(path := values.get(name), str):
            place = document.places[section, name]
            text = _expand(path, place) if section == "corpus" else path
            values[name] = os.path.normpath(Path.cwd() / place.folder / text)


def _load_systems(document: Document) -> None:
    """Put the recipes themselves in place of their paths."""
    systems = document.values.get("systems")
    if isinstance(systems, list):
        folder = document.places["systems",].folder
        document.values["systems"] = [
            _read_system(Path.cwd() / folder / each) if isinstance(each, str) else each for each in systems
        ]


def _read_system(path: Path) -> JsonValue:
    """Read a recipe that another one lists, as plain data; what is wrong with it is told with its own lines."""
    system = _validated(Recipe, _read_recipe(path, may_have_systems=False))
    return system.plain()


def _expand(path: str, place: Place) -> str:
    """Fill environment variables into the corpus's root."""

    def value(match: re.Match[str]) -> str:
        """Give the value of a variable, or its default."""
        name, default = match.groups()
        if os.environ.get(name):
            return str(Path.cwd() / os.environ[name])
        if default is None:
            raise RecipeError(f"{place}: corpus.root: the environment variable {name} is not set")
        return str(default)

    return VARIABLE.sub(value, path)


def _validated(schema: type[Checked], document: Document) -> Checked:
    """Make a configuration of a document, or say all that is wrong with it."""
    try:
        return schema.model_validate(document.values)
    except ValidationError as error:
        messages = sorted(_explain(detail, document, schema) for detail in error.errors(include_url=False))
        raise RecipeError("\n".join(message for _, message in messages)) from error


def _explain(detail: "ErrorDetails", document: Document, schema: type[Configuration]) -> tuple[tuple[str, int], str]:
    """Turn one of pydantic's errors into a message with its place; the first item sorts it."""
    key, model = _locate(detail["loc"], schema)
    if detail["type"].startswith("union_tag"):
        key = (*key, "method" if key == ("speakers",) else "kind")
    place = document.places[()]
    for length in range(len(key), -1, -1):
        if key[:length] in document.places:
            place = document.places[key[:length]]
            break
    name = ".".join(key)
    match detail["type"]:
        case "extra_forbidden":
            known = list(model.model_fields)
            message = f"{name}: unknown key{_nearest(key[-1], known)} (known here: {', '.join(known)})"
        case "missing":
            message = f"{name}: missing, and it has no default"
        case "union_tag_invalid":
            message = f"{name}: {detail['ctx']['tag']!r}; expected one of {detail['ctx']['expected_tags']}"
        case "union_tag_not_found":
            message = f"{name}: missing; expected one of {', '.join(repr(kind) for kind in CORPUS_KINDS)}"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            message = f"{name}: {detail['input']!r}; expected {detail['ctx']['expected']}"
            message += _nearest(str(detail["input"]), choices)
        case "tuple_type":
            message = f"{name}: {detail['input']!r}; expected a list, as in [{detail['input']}]"
        case "model_type" | "model_attributes_type":
            message = f"{name}: {detail['input']!r}; expected keys and values"
        case "value_error":
            message = f"{name}: {detail['ctx']['error']}" if name else str(detail["ctx"]["error"])
        case _:
            message = f"{name}: {detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return (place.source, place.line or 0), f"{place}: {message}"


def _locate(loc: tuple[int | str, ...], schema: type[Configuration]) -> tuple[Key, type[BaseModel]]:
    """Turn pydantic's location into a key of the file and the model that the key belongs to."""
    key: list[str] = []
    model: type[BaseModel] = schema
    members: dict[str, type[BaseModel]] = {}
    for part in loc:
        if isinstance(part, int):
            continue  # an item of a list stands at the list's key
        if part in members:  # the tag of a union, which the file doesn't have as a key
            model, members = members[part], {}
            continue
        key.append(part)
        field = model.model_fields.get(part)
        if field is not None:
            below = _models_in(field.annotation)
            tag = "method" if part == "speakers" else "kind"
            members = {each.model_fields[tag].default: each for each in below} if len(below) > 1 else {}
            if part != loc[-1] and len(below) == 1:
                model = below[0]
    return tuple(key), model


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """List the configurations that a field's annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Configuration):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return [model for each in get_args(annotation) for model in _models_in(each)]
    return []


def _nearest(word: str, choices: Sequence[str]) -> str:
    """Suggest the choice that was probably meant."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
