"""What a resolved recipe says that is not the default, and where."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from speechgmm.evaluation.report.content import Setting
from speechgmm.recipe.reading.yaml import Key, dotted, flow, read_document
from speechgmm.recipe.schema.recipe import Recipe

NONE = object()
"""In place of a default, where there is none."""


class Given(NamedTuple):
    """A key with its value and its default, or `NONE`."""

    key: Key
    value: Any
    default: Any


def given_keys(recipe: Recipe) -> tuple[Given, ...]:
    """List the keys of a recipe whose values are not their defaults.

    Parameters
    ----------
    recipe : Recipe
        Any.

    Returns
    -------
    tuple of Given
        In the order of the schema, those that have an effect; without the name, which every recipe has. Whether a value
        came from the recipe's file, from another one or from a preset is not known any more.
    """
    effective = recipe.to_json()
    found = _given(recipe, NONE, ())
    return tuple(each for each in found if each.key[0] in effective and each.key != ("name",))


def settings_of(given: Iterable[Given]) -> tuple[Setting, ...]:
    """Write keys as a report shows them.

    Parameters
    ----------
    given : iterable of Given
        From `given_keys`.

    Returns
    -------
    tuple of Setting
        With dotted keys, and values as YAML has them within a line.
    """
    return tuple(
        Setting(dotted(key), _text(value), None if default is NONE else _text(default)) for key, value, default in given
    )


def lines_of(path: Path, given: Iterable[Given]) -> frozenset[int]:
    """Find the lines of a recipe's file that keys stand in.

    Parameters
    ----------
    path : Path
        A recipe that is written out.
    given : iterable of Given
        From `given_keys`.

    Returns
    -------
    frozenset of int >= 1
        Their lines.
    """
    places = read_document(path).places
    lines = (places[each.key].line for each in given if each.key in places)
    return frozenset(line for line in lines if line is not None)


def _given(model: BaseModel, default: Any, key: Key) -> Iterator[Given]:
    """List what a section sets; a section of another kind than the default has the defaults of its own kind."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        own = NONE if field.is_required() else field.get_default(call_default_factory=True)
        is_tag = len(get_args(field.annotation)) == 1  # the kind of a section
        if type(default) is type(model) or is_tag:
            own = getattr(default, name, NONE)
        yield from _compared(value, own, (*key, name))


def _compared(value: Any, default: Any, key: Key) -> Iterator[Given]:
    """List what is set at a key and below it."""
    if isinstance(value, BaseModel):
        yield from _given(value, default, key)
    elif isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value):
        for number, each in enumerate(value):
            yield from _compared(each, NONE, (*key, number))
    elif value != default:
        yield Given(key, value, default)


def _text(value: Any) -> str:
    """Write a value as it stands within a line."""
    return flow(to_jsonable_python(value))
