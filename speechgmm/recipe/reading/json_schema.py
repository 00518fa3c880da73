"""What the keys of a recipe mean: the schema for editors and the page for people, both from the docstrings."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from speechgmm.configuration import Configuration
from speechgmm.features.presets import PRESETS
from speechgmm.recipe.reading.validation import models_in, tags_of
from speechgmm.recipe.reading.yaml import flow
from speechgmm.recipe.schema.recipe import Recipe

HEADER = re.compile(r"^(\w[^:]*?) : (.*)$")


class Meaning(NamedTuple):
    """What a docstring says of a key: its type, unit and range, and its effect."""

    kind: str
    text: str


def summary_of(model: type[Configuration]) -> str:
    """Give what a configuration's docstring says before its keys.

    Parameters
    ----------
    model : type of Configuration
        Any.

    Returns
    -------
    str
        Paragraphs, each a line.
    """
    head = inspect.cleandoc(model.__doc__ or "").partition("\nParameters\n")[0]
    return "\n".join(" ".join(paragraph.split()) for paragraph in head.strip().split("\n\n"))


def meanings_of(model: type[Configuration]) -> dict[str, Meaning]:
    """Give what a configuration's docstring, and those it inherits from, say of its keys.

    Parameters
    ----------
    model : type of Configuration
        Any.

    Returns
    -------
    dict of str to Meaning
        By key, in the order of the keys.

    Raises
    ------
    ValueError
        If a key has no text.
    """
    found: dict[str, Meaning] = {}
    for each in reversed([each for each in model.__mro__ if each.__doc__ and issubclass(each, Configuration)]):
        for names, kind, text in _parameters(inspect.cleandoc(each.__doc__ or "")):
            found.update((name, Meaning(kind, text)) for name in names.split(", "))
    if missing := [name for name in model.model_fields if name not in found]:
        raise ValueError(f"{model.__name__}: the docstring says nothing of {', '.join(missing)}")
    return {name: found[name] for name in model.model_fields}


def json_schema() -> dict[str, Any]:
    """Describe recipes for editors.

    Returns
    -------
    dict
        A JSON schema. Beyond the keys it knows that a section may be a path, empty, or carry ``base``, and that a
        system may be a path. Each section is a definition by its name, for files that hold one.
    """
    sections = {name: models_in(field.annotation) for name, field in Recipe.model_fields.items()}
    definitions = {name: _section(name, models) for name, models in sections.items() if models}
    recipe = _object(Recipe, [])
    for name in definitions:
        text = recipe["properties"][name]["description"]
        recipe["properties"][name] = {"description": text, "allOf": [{"$ref": f"#/$defs/{name}"}]}
    system = {"allOf": [{"$ref": "#/$defs/recipe"}], "required": ["name"]}
    path = {"type": "string", "description": "Path of a recipe."}
    recipe["properties"]["systems"]["items"] = {"anyOf": [path, system]}
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "speechgmm recipe",
        "allOf": [{"$ref": "#/$defs/recipe"}],
        "required": ["corpus"],
        "$defs": {**definitions, "recipe": recipe},
    }
    others = Recipe.model_json_schema()["$defs"]
    while missing := set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))) - set(schema["$defs"]):
        schema["$defs"].update((name, others[name]) for name in sorted(missing))  # in lists and mappings
    return schema


def key_pages() -> str:
    """Describe recipes for people.

    Returns
    -------
    str
        Markdown: a heading for each section, with a table of its keys.
    """
    pages = ["### The recipe itself", _table(Recipe)]
    told: dict[object, str] = {}
    for name, field in Recipe.model_fields.items():
        models = models_in(field.annotation)
        for model in models:
            heading = f"`{name}`"
            if len(models) > 1:
                key, members = tags_of(models)
                heading += f" with `{key}` {', '.join(f'`{tag}`' for tag, each in members.items() if each is model)}"
            pages += _page(name, heading, model, told)
    return "\n\n".join(pages) + "\n"


def _parameters(text: str) -> Iterator[tuple[str, str, str]]:
    """Split the parameters of a docstring: names, type, text."""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    for entry in re.split(r"\n(?=\S)", found[1]) if found else []:
        head, _, body = entry.partition("\n")
        if header := HEADER.match(head):
            yield header[1], header[2], " ".join(body.split())


def _section(name: str, models: list[type[Configuration]]) -> dict[str, Any]:
    """Describe what may stand for a section."""
    presets = f" or a preset: {', '.join(PRESETS)}" if name == "features" else ""
    path = {"type": "string", "description": f"Path of a file that holds the section{presets}."}
    default = Recipe.model_fields[name].default
    shapes = [path, {"type": "null"}, *_members(models, default)]
    for shape in shapes[2:]:
        shape["properties"]["base"] = path | {"description": f"Path of a file whose keys these override{presets}."}
        if required := shape.pop("required"):
            shape["anyOf"] = [{"required": required}, {"required": ["base"]}]
    return {"anyOf": shapes}


def _members(models: list[type[Configuration]], default: object) -> list[dict[str, Any]]:
    """Describe the members of a union; the key that tells them apart may be left out where one is the default."""
    if len(models) == 1:
        return [_object(models[0])]
    tag = tags_of(models)[0]
    return [_object(each, [] if isinstance(default, each) else [tag]) for each in models]


def _object(model: type[Configuration], required: list[str] | None = None) -> dict[str, Any]:
    """Describe a configuration; `required` are keys that must be there though they have a default."""
    whole = model.model_json_schema()
    plain = whole.get("properties") or whole["$defs"][model.__name__]["properties"]
    properties: dict[str, Any] = {}
    for name, meaning in meanings_of(model).items():
        field = model.model_fields[name]
        if models := models_in(field.annotation):
            nothing = [{"type": "null"}] if field.default is None else []
            shape = {"anyOf": [*_members(models, field.default), *nothing]}
        else:
            shape = {key: value for key, value in plain[name].items() if key != "title"}
            if model is not Recipe:  # whose systems are recipes again, which `json_schema` refers to
                shape = _whole(shape, whole.get("$defs", {}))
        properties[name] = shape | {"description": f"{meaning.text} ({meaning.kind})"}
    missing = [
        name for name, field in model.model_fields.items() if field.is_required() and name not in (required or [])
    ]
    return {
        "type": "object",
        "description": summary_of(model),
        "properties": properties,
        "required": [] if model is Recipe else [*(required or []), *missing],
        "additionalProperties": False,
    }


def _whole(shape: Any, definitions: dict[str, Any]) -> Any:
    """Put what references stand for in their place."""
    if isinstance(shape, list):
        return [_whole(each, definitions) for each in shape]
    if not isinstance(shape, dict):
        return shape
    if "$ref" in shape:
        meant = definitions[shape["$ref"].rpartition("/")[2]]
        return _whole({key: value for key, value in meant.items() if key not in ("title", "description")}, definitions)
    return {key: _whole(value, definitions) for key, value in shape.items()}


def _page(name: str, heading: str, model: type[Configuration], told: dict[object, str]) -> Iterator[str]:
    """Write the heading, summary and table of a section, and those of the sections in it; each table once."""
    table = _table(model)
    keys = "\n".join(row for row in table.splitlines() if not row.startswith(("| `kind` |", "| `method` |")))
    if told.get(keys) == heading:
        return
    yield f"### {heading}"
    yield _markdown(summary_of(model).replace("\n", "\n\n"))
    if keys in told:
        yield f"The keys are those of {told[keys]}."
        return
    told[keys] = heading
    yield table
    for key, field in model.model_fields.items():
        for below in _models_within(field.annotation):
            yield from _page(f"{name}.{key}", f"`{name}.{key}`", below, told)


def _models_within(annotation: object) -> list[type[Configuration]]:
    """List the configurations that stand somewhere, also as items of lists and mappings."""
    return models_in(annotation) or [model for each in get_args(annotation) for model in _models_within(each)]


def _table(model: type[Configuration]) -> str:
    """Lay out keys with their defaults and meanings; sections have pages of their own."""
    rows: dict[Meaning, list[str]] = {}
    for name, meaning in meanings_of(model).items():
        if not models_in(model.model_fields[name].annotation):
            rows.setdefault(meaning, []).append(name)  # keys that share a text share a row
    lines = ["| key | default | what it is | |", "| --- | --- | --- | --- |"]
    for (kind, text), names in rows.items():
        fields = [model.model_fields[name] for name in names]
        defaults = "" if fields[0].is_required() else ", ".join(f"`{flow(each.default)}`" for each in fields)
        cells = ", ".join(f"`{name}`" for name in names), defaults, kind.replace("**", "^"), _markdown(text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Turn a docstring's marks into Markdown's."""
    return text.replace("``", "`")
