"""The keys of a resolved recipe that are not at their defaults, and the lines that they stand in."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from speechgmm.evaluation.report.content import Setting
from speechgmm.recipe.reading.yaml import Key, dotted, flow, read_document
from speechgmm.recipe.schema.recipe import Recipe

NO_DEFAULT = object()
"""In place of a default, if a key has none."""


class NonDefault(NamedTuple):
    """A key with its value and its default, or `NO_DEFAULT`."""

    key: Key
    value: Any
    default: Any


def non_default_keys(recipe: Recipe) -> tuple[NonDefault, ...]:
    """List the keys of a recipe whose values are not their defaults, in the order of the schema.

    Keys without an effect are left out, and so is the name, which every recipe has. A resolved recipe does not know
    whether a value came from its own file, another file or a preset.
    """
    effective = recipe.to_json()
    entries = _non_defaults_of_section(recipe, NO_DEFAULT, ())
    return tuple(entry for entry in entries if entry.key[0] in effective and entry.key != ("name",))


def non_default_settings(entries: Iterable[NonDefault]) -> tuple[Setting, ...]:
    """Format keys for a report: dotted, with values in YAML's flow style."""
    return tuple(
        Setting(dotted(key), _flow_text(value), None if default is NO_DEFAULT else _flow_text(default))
        for key, value, default in entries
    )


def lines_of(path: Path, entries: Iterable[NonDefault]) -> frozenset[int]:
    """Find the lines, from 1, that keys stand in, in the file of a resolved recipe."""
    places = read_document(path).places
    lines = (places[entry.key].line for entry in entries if entry.key in places)
    return frozenset(line for line in lines if line is not None)


def _non_defaults_of_section(model: BaseModel, default: Any, key: Key) -> Iterator[NonDefault]:
    """List what a section sets; a section of another kind than the default has the defaults of its own kind."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        field_default = NO_DEFAULT if field.is_required() else field.get_default(call_default_factory=True)
        is_tag = len(get_args(field.annotation)) == 1  # the kind of a section
        if type(default) is type(model) or is_tag:
            field_default = getattr(default, name, NO_DEFAULT)
        yield from _non_defaults_of_value(value, field_default, (*key, name))


def _non_defaults_of_value(value: Any, default: Any, key: Key) -> Iterator[NonDefault]:
    """List what is set at a key and below it."""
    if isinstance(value, BaseModel):
        yield from _non_defaults_of_section(value, default, key)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for number, item in enumerate(value):
            yield from _non_defaults_of_value(item, NO_DEFAULT, (*key, number))
    elif value != default:
        yield NonDefault(key, value, default)


def _flow_text(value: Any) -> str:
    """Format a value within a line."""
    return flow(to_jsonable_python(value))
