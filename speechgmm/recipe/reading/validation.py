"""What is wrong with a document, each with its place, its key, and what was expected."""

import difflib
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from pydantic import ValidationError

from speechgmm.configuration import Configuration
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.suggestions import nearest, nearest_key
from speechgmm.recipe.reading.yaml import Document, Key, Problem, flow
from speechgmm.recipe.schema.recipe import Recipe

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text, perhaps in quotes",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} of them",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
}
"""What was expected, by pydantic's name of the error; where it is not here, pydantic's own words are."""

WORDS_OF_YAML_1_1 = {**dict.fromkeys(("yes", "on", "y"), "true"), **dict.fromkeys(("no", "off", "n"), "false")}

ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)


def validate(schema: type[ConfigurationT], document: Document) -> ConfigurationT:
    """Make a configuration of a document.

    Parameters
    ----------
    schema : type of Configuration
        What it is to be.
    document : Document
        The values, and what is known to be wrong with them.

    Returns
    -------
    Configuration
        With every default filled in.

    Raises
    ------
    RecipeError
        If anything is wrong: all of it, in the order of files and lines.
    """
    problems = list(document.problems)
    made = None
    try:
        made = schema.model_validate(document.values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problem = _explain(detail, document, schema)
            if not _follows(problem, detail["type"], document.problems):
                problems.append(problem)
    if made is None or problems:
        told = {(each.place, each.message): each for each in reversed(problems)}  # a shared corpus is told of once
        raise RecipeError("\n".join(str(each) for each in sorted(told.values(), key=_order)))
    return made


def _order(problem: Problem) -> tuple[str, int, int]:
    """Sort by file, line and column."""
    return problem.place.source, problem.place.line or 0, problem.place.column or 0


def _follows(problem: Problem, kind: str, known: list[Problem]) -> bool:
    """Whether something is wrong only because something that it is a part of could not be read."""
    key = problem.key or ()
    above = [each.key for each in known if each.key is not None and key[: len(each.key)] == each.key]
    return key in above or (bool(above) and kind in ("missing", "union_tag_not_found", "value_error"))


def _explain(detail: "ErrorDetails", document: Document, schema: type[Configuration]) -> Problem:
    """Turn one of pydantic's errors into a problem with its place."""
    key, owner, here, members = _locate(detail["loc"], schema)
    if detail["type"].startswith("union_tag"):
        key = (*key, tags_of(models_in(here))[0])
    place = document.place_of(key)
    value: object = detail["input"]
    context = {name: f"{each:g}" if isinstance(each, float) else each for name, each in detail.get("ctx", {}).items()}
    match detail["type"]:
        case "extra_forbidden":
            known = [*owner.model_fields, *(["base"] if owner in SECTION_MODELS else [])]
            hint = _of_another(str(key[-1]), owner, members)
            message = f"unknown key{hint or nearest_key(str(key[-1]), known, list(dict.fromkeys(keys_of(schema))))}"
        case "missing":
            message = "missing, and it has no default"
        case "union_tag_not_found":
            name, tags = tags_of(models_in(here))
            message = f"missing; expected one of {', '.join(repr(tag) for tag in tags)}"
            keys = {each for member in tags.values() for each in member.model_fields}
            if meant := difflib.get_close_matches(name, [each for each in detail["input"] if each not in keys], n=1):
                key, message = (*key[:-1], meant[0]), f"unknown key; did you mean {name}?"
                place = document.place_of(key)
        case "value_error":
            message = str(context["error"])
            named = [document.places.get((*key, word)) for word in re.findall(r"\w+", message)]
            place = next((each for each in named if each and not each.source.startswith("preset ")), place)
        case kind:
            if kind == "union_tag_invalid":
                value = context["tag"]
            if kind == "literal_error" and len(members) > 1 and key[-1] == tags_of(members)[0]:
                context["expected"] = ", ".join(repr(tag) for tag in tags_of(members)[1])
            expected = EXPECTED[kind].format(**context) if kind in EXPECTED else _lower(detail["msg"])
            message = f"{_given(value)}; expected {expected}" if kind in EXPECTED else f"{_given(value)}: {expected}"
            message += _hint(kind, value, expected)
    return Problem(place, key, message)


def _of_another(name: str, owner: type[Configuration], members: list[type[Configuration]]) -> str:
    """Say which other member of a union a key belongs to, if it is one of a union's."""
    others = [each for each in members if each is not owner and name in each.model_fields]
    if not others:
        return ""
    key, tags = tags_of(members)
    own, theirs = ([tag for tag, model in tags.items() if model is each] for each in (owner, others[0]))
    return f" with {key} {own[0]}; it is of {key} {' or '.join(theirs)}"


def _given(value: object) -> str:
    """Show a value, text in quotes, and no more than what one recognises it by."""
    shown = repr(value) if isinstance(value, str) else flow(value)
    return shown if len(shown) <= 80 else f"{shown[:76]} ..."


def _lower(text: str) -> str:
    """Let a sentence start in the middle of another."""
    return text[:1].lower() + text[1:]


def _hint(kind: str, value: object, expected: str) -> str:
    """Say what was probably meant by a value."""
    if kind in ("literal_error", "union_tag_invalid"):
        return nearest(str(value), re.findall(r"'([^']*)'", expected))
    if kind == "bool_type" and (meant := WORDS_OF_YAML_1_1.get(str(value).lower())):
        return f"; in YAML 1.2 {value} is a word: write {meant}"
    if kind == "tuple_type":
        return f", as in [{flow(value)}]"
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.match(r"[-+.\d]", value):
        return "; this is text in YAML 1.2"
    return ""


class _Located(NamedTuple):
    """What pydantic's location stands for."""

    key: Key  # of the file
    owner: type[Configuration]  # that the last key belongs to
    here: object  # the type of what stands there
    members: list[type[Configuration]]  # that could stand in the owner's stead, and itself


def _locate(loc: tuple[int | str, ...], schema: type[Configuration]) -> _Located:
    """Follow pydantic's location through the types."""
    key: list[str | int] = []
    owner, here = schema, cast(object, schema)
    union: list[type[Configuration]] = []
    members = union
    for part in loc:
        models = models_in(here)
        if isinstance(part, int):
            key.append(part)
            here = next(iter(get_args(_bare(here))), None)
        elif len(models) > 1:
            union, here = models, tags_of(models)[1].get(part)  # a tag, which the file doesn't have as a key
        elif models:
            key.append(part)
            owner, members, union = models[0], union or models, []
            here = owner.model_fields[part].annotation if part in owner.model_fields else None
        elif get_origin(_bare(here)) is dict:
            key.append(part)
            here = get_args(_bare(here))[1]
    return _Located(tuple(key), owner, here, members)


def _bare(annotation: object) -> object:
    """Take what is said about a type off it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def models_in(annotation: object) -> list[type[Configuration]]:
    """List the configurations that may stand somewhere.

    Parameters
    ----------
    annotation : type
        Of a field.

    Returns
    -------
    list of types of Configuration
        More than one for a union of them; none where plain values stand.
    """
    if isinstance(annotation, type) and issubclass(annotation, Configuration):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return [model for each in get_args(annotation) for model in models_in(each)]
    return []


def tags_of(models: list[type[Configuration]]) -> tuple[str, dict[str, type[Configuration]]]:
    """Find the key that tells the members of a union apart: each has a value of its own there.

    Parameters
    ----------
    models : list of types of Configuration
        The members.

    Returns
    -------
    key : str
        Its name.
    members : dict of str to type of Configuration
        The member of each value.

    Raises
    ------
    TypeError
        If there is no such key.
    """
    for name in models[0].model_fields:
        fields = [each.model_fields[name].annotation for each in models if name in each.model_fields]
        if len(fields) == len(models) and all(get_origin(each) is Literal for each in fields):
            tags = [(tag, model) for each, model in zip(fields, models, strict=True) for tag in get_args(each)]
            if len(dict(tags)) == len(tags):
                return name, dict(tags)
    raise TypeError(f"no key tells {', '.join(each.__name__ for each in models)} apart")


def keys_of(schema: type[Configuration], above: str = "") -> Iterator[str]:
    """List all keys that may stand in a configuration.

    Parameters
    ----------
    schema : type of Configuration
        Any.
    above : str
        The key that it stands at, with a dot behind it.

    Yields
    ------
    str
        Dotted keys, sections before what is in them; those of all members of a union.
    """
    for name, field in schema.model_fields.items():
        yield above + name
        for model in models_in(field.annotation):
            yield from keys_of(model, f"{above}{name}.")


SECTION_MODELS = [model for each in Recipe.model_fields.values() for model in models_in(each.annotation)]
"""The configurations that may carry a base."""
