"""The keys of a recipe, described from the docstrings: a JSON schema for editors, and tables for the manual."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from speechgmm.configuration import Configuration
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.presets import PRESETS
from speechgmm.recipe.reading.validation import models_in, tags_of
from speechgmm.recipe.reading.yaml import flow
from speechgmm.recipe.schema.rates import AUTO
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.shipped import RECIPES, SYSTEMS, shipped_names
from speechgmm.subspace.backend.config import SCALAR_KEYS

PARAMETER = re.compile(r"^(\w[^:]*?) : (.*)$")

STEPS = tags_of(models_in(get_args(Recipe.model_fields["backend"].annotation)[0]))[1]
"""The configurations of a back end's steps, by the names of the steps."""


class Meaning(NamedTuple):
    """What a docstring says about a key."""

    kind: str  # its type, unit and range
    text: str  # its effect


OF_THE_CORPUS = {
    "sample_rate": Meaning(
        f'int, 1 to 1,000,000, Hz, or "{AUTO}"',
        f"Rate of the samples. ``{AUTO}``, the default where ``resample`` is not set either, is the rate of the "
        "corpus; of recordings of several rates 16000 or 8000, the highest that all of them reach, or the lowest rate "
        "below 8000, with resampling.",
    ),
    "high_frequency": Meaning(
        "float, Hz, optional",
        f"Upper edge of the last filter; 95 % of half the sample rate by default. Where ``sample_rate`` is ``{AUTO}``: "
        "7600 by default, or 300 below half the rate where that is lower, as is a value above half the rate.",
    ),
}
"""The keys of a front end whose meaning in a recipe is more than their docstring says: they follow the corpus."""


def summary_of(model: type[Configuration]) -> str:
    """Return what a configuration's docstring says before its sections, a line for each paragraph."""
    head = re.split(r"\n(?:Parameters|References)\n-+\n", inspect.cleandoc(model.__doc__ or ""))[0]
    return "\n".join(" ".join(paragraph.split()) for paragraph in head.strip().split("\n\n"))


def meanings_of(model: type[Configuration]) -> dict[str, Meaning]:
    """Return the meaning of each key, from the docstrings of a configuration and of those that it inherits from.

    Raises ValueError if a key has no text.
    """
    documented: dict[str, Meaning] = {}
    for base in reversed([base for base in model.__mro__ if base.__doc__ and issubclass(base, Configuration)]):
        for names, kind, text in _docstring_parameters(inspect.cleandoc(base.__doc__ or "")):
            documented.update((name, Meaning(kind, text)) for name in names.split(", "))
    if missing := [name for name in model.model_fields if name not in documented]:
        raise ValueError(f"{model.__name__}: the docstring says nothing about {', '.join(missing)}")
    if model is FeatureConfig:
        documented |= OF_THE_CORPUS
    return {name: documented[name] for name in model.model_fields}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of recipes.

    It allows a section to be a name or a path, to be empty or to have a ``base``, and a system to be a name or a path.
    Each section is a definition by its name, for files that hold that section alone. Nothing is required of the whole:
    a recipe may have its corpus from its base or the command line, and a system from the recipe that lists it.
    """
    sections = {name: models_in(field.annotation) for name, field in Recipe.model_fields.items()}
    definitions = {name: _section_schema(name, models) for name, models in sections.items() if models}
    recipe = _object_schema(Recipe, [])
    for name in definitions:
        text = recipe["properties"][name]["description"]
        recipe["properties"][name] = {"description": text, "allOf": [{"$ref": f"#/$defs/{name}"}]}
    system = _reference(SYSTEMS, "of a system")
    recipe["properties"]["systems"]["items"] = {"anyOf": [system, {"$ref": "#/$defs/recipe"}]}
    recipe["properties"]["base"] = _reference(RECIPES, "of a recipe or system whose keys these override")
    recipe["properties"]["backend"]["items"] = {
        "anyOf": [shape for step in STEPS.items() for shape in _step_schemas(*step)]
    }
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "speechgmm recipe",
        "allOf": [{"$ref": "#/$defs/recipe"}],
        "$defs": {**definitions, "recipe": recipe},
    }
    others = Recipe.model_json_schema()["$defs"]
    while missing := set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))) - set(schema["$defs"]):
        schema["$defs"].update((name, others[name]) for name in sorted(missing))  # in lists and mappings
    return schema


def key_pages() -> str:
    """Return the manual's tables of keys as Markdown: a heading and a table for each section."""
    pages = ["### The recipe itself", _key_table(Recipe)]
    headings: dict[str, str] = {}
    for name, field in Recipe.model_fields.items():
        models = models_in(field.annotation)
        if name == "backend":
            pages += ["### `backend`", _steps_table()]
        for model in models:
            pages += _section_page(name, f"`{name}`{_tag_label(model, models)}", model, headings)
    return "\n\n".join(pages) + "\n"


def _docstring_parameters(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the parameters of a numpydoc docstring: names, type, text; other sections are left out."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    for entry in re.split(r"\n(?=\S)", section[1]) if section else []:
        head, _, body = entry.partition("\n")
        if parameter := PARAMETER.match(head):
            yield parameter[1], parameter[2], " ".join(body.split())


def _reference(kind: str, text: str) -> dict[str, Any]:
    """Return the schema of a name or a path; a number may be a name if a shipped file of this kind has one."""
    numbers = any(name.isdigit() for name in shipped_names(kind))
    return {"type": ["string", "integer"] if numbers else "string", "description": f"Name or path {text}."}


def _section_schema(name: str, models: list[type[Configuration]]) -> dict[str, Any]:
    """Return the schema of a section: a name or path, nothing, or its keys with a ``base`` or without."""
    presets = f", or a preset: {', '.join(PRESETS)}" if name == "features" else ""
    path = _reference(name, f"of a file that holds the section{presets}")
    default = Recipe.model_fields[name].default
    shapes = [path, {"type": "null"}, *_union_schemas(models, default)]
    for shape in shapes[2:]:
        shape["properties"]["base"] = _reference(name, f"of a file whose keys these override{presets}")
        if required := shape.pop("required"):
            shape["anyOf"] = [{"required": required}, {"required": ["base"]}]
    return {"anyOf": shapes}


def _union_schemas(models: list[type[Configuration]], default: object) -> list[dict[str, Any]]:
    """Return the schema of each configuration of a union; the default one may leave out the key that decides."""
    if len(models) == 1:
        return [_object_schema(models[0])]
    tag = tags_of(models)[0]
    return [_object_schema(model, [] if isinstance(default, model) else [tag]) for model in models]


def _step_schemas(name: str, model: type[Configuration]) -> Iterator[dict[str, Any]]:
    """Yield the forms of a step: its name, its name with its one value or its keys, and all keys with ``step``."""
    whole = _object_schema(model, ["step"])
    keys = [key for key in whole["properties"] if key != "step"]
    required = [key for key in whole["required"] if key != "step"]
    if not required:
        yield {"const": name, "description": whole["description"]}
    if keys:
        inner = whole | {"properties": {key: whole["properties"][key] for key in keys}, "required": required}
        scalar = [whole["properties"][SCALAR_KEYS[name]]] if name in SCALAR_KEYS else []
        yield {
            "type": "object",
            "properties": {name: {"anyOf": [*scalar, inner]}},
            "required": [name],
            "additionalProperties": False,
        }
    yield whole


def _object_schema(model: type[Configuration], required: list[str] | None = None) -> dict[str, Any]:
    """Return the schema of a configuration; `required` keys must be there although they have a default."""
    schema = model.model_json_schema()
    plain = schema.get("properties") or schema["$defs"][model.__name__]["properties"]
    properties: dict[str, Any] = {}
    for name, meaning in meanings_of(model).items():
        field = model.model_fields[name]
        if models := models_in(field.annotation):
            null = [{"type": "null"}] if field.default is None else []
            shape = {"anyOf": [*_union_schemas(models, field.default), *null]}
        else:
            shape = {key: value for key, value in plain[name].items() if key != "title"}
            if model is not Recipe:  # whose systems are recipes again, which `json_schema` refers to
                shape = _inline_references(shape, schema.get("$defs", {}))
            if _is_auto(model, name):
                number = {key: value for key, value in shape.items() if key != "default"}
                shape = dict[str, Any](anyOf=[number, {"const": AUTO}], default=AUTO)
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


def _is_auto(model: type[Configuration], name: str) -> bool:
    """Whether a key is left to the corpus by default."""
    return model is FeatureConfig and name == "sample_rate"


def _inline_references(shape: Any, definitions: dict[str, Any]) -> Any:
    """Replace references in a schema by their definitions."""
    if isinstance(shape, list):
        return [_inline_references(item, definitions) for item in shape]
    if not isinstance(shape, dict):
        return shape
    if "$ref" in shape:
        definition = definitions[shape["$ref"].rpartition("/")[2]]
        inlined = {key: value for key, value in definition.items() if key not in ("title", "description")}
        return _inline_references(inlined, definitions)
    return {key: _inline_references(value, definitions) for key, value in shape.items()}


def _section_page(name: str, heading: str, model: type[Configuration], headings: dict[str, str]) -> Iterator[str]:
    """Yield the heading, summary and table of a section, and of the sections in it.

    `headings` maps tables to the headings that they stand under: a table is written once, and referred to later.
    """
    table = _key_table(model)
    rows = "\n".join(row for row in table.splitlines() if not row.startswith(("| `kind` |", "| `method` |")))
    if headings.get(rows) == heading:
        return
    yield f"### {heading}"
    yield _markdown(summary_of(model).replace("\n", "\n\n"))
    if rows in headings:
        yield f"The keys are those of {headings[rows]}."
        return
    headings[rows] = heading
    yield table
    for key, field in model.model_fields.items():
        inner_models = _models_within(field.annotation)
        for inner in inner_models:
            label = _tag_label(inner, inner_models)
            yield from _section_page(f"{name}.{key}", f"`{name}.{key}`{label}", inner, headings)


def _tag_label(model: type[Configuration], models: list[type[Configuration]]) -> str:
    """Return what sets the heading of a configuration apart from the others of its union; nothing without others."""
    if len(models) == 1:
        return ""
    key, tags = tags_of(models)
    return f" with `{key}` {', '.join(f'`{tag}`' for tag, tagged in tags.items() if tagged is model)}"


def _steps_table() -> str:
    """Return a table of the steps of a back end, with what each does and its keys."""
    lines = ["| step | what it does | its keys |", "| --- | --- | --- |"]
    for name, model in STEPS.items():
        keys = []
        for key, meaning in meanings_of(model).items():
            if key != "step":
                field = model.model_fields[key]
                default = "" if field.is_required() else f", default `{flow(field.default)}`"
                keys.append(f"`{key}` ({meaning.kind}{default}): {meaning.text}")
        text = " ".join(summary_of(model).split())
        lines.append(f"| `{name}` | {_markdown(text)} | {_markdown('<br>'.join(keys))} |")
    return "\n".join(lines)


def _models_within(annotation: object) -> list[type[Configuration]]:
    """List the configurations that the type of a field allows, also as items of lists and mappings."""
    return models_in(annotation) or [model for argument in get_args(annotation) for model in _models_within(argument)]


def _key_table(model: type[Configuration]) -> str:
    """Return a table of keys with their defaults and meanings; sections have tables of their own."""
    rows: dict[Meaning, list[str]] = {}
    for name, meaning in meanings_of(model).items():
        if not models_in(model.model_fields[name].annotation):
            rows.setdefault(meaning, []).append(name)  # keys that share a text share a row
    lines = ["| key | default | what it is | |", "| --- | --- | --- | --- |"]
    for (kind, text), names in rows.items():
        fields = [model.model_fields[name] for name in names]
        values = [AUTO if _is_auto(model, name) else field.default for name, field in zip(names, fields, strict=True)]
        defaults = "" if fields[0].is_required() else ", ".join(f"`{flow(value)}`" for value in values)
        cells = ", ".join(f"`{name}`" for name in names), defaults, kind.replace("**", "^"), _markdown(text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Convert the markup of a docstring to Markdown."""
    return text.replace("``", "`")
