"""Validation of a document: every problem with its place, its key, and what was expected."""

import difflib
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from pydantic import ValidationError

from speechgmm.configuration import Configuration
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.suggestions import suggest, suggest_key
from speechgmm.recipe.reading.yaml import Document, Key, Problem, flow
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.shipped import SHIPPED

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
"""What was expected, by pydantic's name of the error. Errors that are not listed here keep pydantic's own words."""

HOW_TO_SET_A_CORPUS = (
    "; expected a section of the file, or --set corpus.kind=kaldi --set corpus.root=FOLDER, or --set "
    "'corpus={kind: folder, root: FOLDER}' with the kind of your data"
)

NOT_THE_USER_S = ("preset ", SHIPPED)
"""What the names of sources start with that the user has not written: a mistake is in a key that overrides theirs."""

WORDS_OF_YAML_1_1 = {**dict.fromkeys(("yes", "on", "y"), "true"), **dict.fromkeys(("no", "off", "n"), "false")}

ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)


def validate(schema: type[ConfigurationT], document: Document) -> ConfigurationT:
    """Build a configuration from a document, with every default filled in.

    Raises RecipeError with every problem, sorted by file and line: those of the document and those found here.
    """
    problems = list(document.problems)
    configuration = None
    try:
        configuration = schema.model_validate(document.values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problem = _explain(detail, document, schema)
            if not _is_consequence(problem, detail["type"], document.problems):
                problems.append(problem)
    if configuration is None or problems:
        problems = [problem._replace(key=by_name(problem.key or (), document)) for problem in problems]
        distinct = {
            (problem.place, problem.message): problem for problem in reversed(problems)
        }  # systems share a corpus
        raise RecipeError("\n".join(map(str, sorted(distinct.values(), key=_by_place))))
    return configuration


def by_name(key: Key, document: Document) -> Key:
    """Return a key of a system with the system's name instead of its number, as ``--set`` takes it."""
    systems = document.values.get("systems")
    if key[:1] == ("systems",) and len(key) > 2 and isinstance(systems, list) and isinstance(key[1], int):
        system = systems[key[1]]
        name = system.get("name") if isinstance(system, dict) else None
        return ("systems", name, *key[2:]) if isinstance(name, str) else key
    return key


def _by_place(problem: Problem) -> tuple[str, int, int]:
    """Return the sort key of a problem: its file, line and column."""
    return problem.place.source, problem.place.line or 0, problem.place.column or 0


def _is_consequence(problem: Problem, kind: str, known: list[Problem]) -> bool:
    """Whether a problem exists only because something that contains its key could not be read."""
    key = problem.key or ()
    unread = [other.key for other in known if other.key is not None and key[: len(other.key)] == other.key]
    if kind == "missing" and key[:1] == ("systems",) and key[2:] == ("corpus",):
        return True  # the recipe's is missing
    if kind == "value_error" and not key and any((other.key or ())[:1] == ("systems",) for other in known):
        return True  # two systems of one name are known by the place of the second
    return key in unread or (bool(unread) and kind in ("missing", "union_tag_not_found", "value_error"))


def _explain(detail: "ErrorDetails", document: Document, schema: type[Configuration]) -> Problem:
    """Turn one of pydantic's errors into a problem with its place."""
    key, owner, annotation, alternatives = _locate(detail["loc"], schema)
    if detail["type"].startswith("union_tag"):
        key = (*key, tags_of(models_in(annotation))[0])
    key = _as_written(key, document)
    place = document.place_of(key)
    value: object = detail["input"]
    context = {
        name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in detail.get("ctx", {}).items()
    }
    match detail["type"]:
        case "extra_forbidden":
            allowed = [*owner.model_fields, *(["base"] if owner in (Recipe, *SECTION_MODELS) else [])]
            hint = _other_kind_hint(str(key[-1]), owner, alternatives)
            message = f"unknown key{hint or suggest_key(str(key[-1]), allowed, list(dict.fromkeys(keys_of(schema))))}"
        case "missing":
            message = "missing, and it has no default" + (HOW_TO_SET_A_CORPUS if key == ("corpus",) else "")
        case "union_tag_not_found":
            name, tags = tags_of(models_in(annotation))
            message = f"missing; expected one of {', '.join(repr(tag) for tag in tags)}"
            keys = {field for model in tags.values() for field in model.model_fields}
            if meant := difflib.get_close_matches(name, [word for word in detail["input"] if word not in keys], n=1):
                key, message = (*key[:-1], meant[0]), f"unknown key; did you mean {name}?"
                place = document.place_of(key)
        case "value_error":
            message = str(context["error"])
            places = [document.places.get((*key, word)) for word in re.findall(r"\w+", message)]
            place = next((named for named in places if named and not named.source.startswith(NOT_THE_USER_S)), place)
        case kind:
            if kind == "union_tag_invalid":
                value = context["tag"]
            if kind == "literal_error" and len(alternatives) > 1 and key[-1] == tags_of(alternatives)[0]:
                context["expected"] = ", ".join(repr(tag) for tag in tags_of(alternatives)[1])
            expected = EXPECTED[kind].format(**context) if kind in EXPECTED else _lower_first(detail["msg"])
            message = f"{_shorten(value)}{'; expected ' if kind in EXPECTED else ': '}{expected}"
            message += _value_hint(kind, value, expected)
    return Problem(place, key, message)


def _other_kind_hint(name: str, owner: type[Configuration], alternatives: list[type[Configuration]]) -> str:
    """Return which other kind or method of the section an unknown key belongs to; an empty string if to none."""
    others = [model for model in alternatives if model is not owner and name in model.model_fields]
    if not others:
        return ""
    key, tags = tags_of(alternatives)
    own_tags, other_tags = ([tag for tag, model in tags.items() if model is side] for side in (owner, others[0]))
    return f" with {key} {own_tags[0]}; it is of {key} {' or '.join(other_tags)}"


def _shorten(value: object) -> str:
    """Format a value for a message: text in quotes, at most 80 characters."""
    text = repr(value) if isinstance(value, str) else flow(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _lower_first(text: str) -> str:
    """Return a sentence with a small first letter, to be continued from another."""
    return text[:1].lower() + text[1:]


def _value_hint(kind: str, value: object, expected: str) -> str:
    """Return what the user probably meant by a value, to be put behind the message."""
    if kind in ("literal_error", "union_tag_invalid"):
        return suggest(str(value), re.findall(r"'([^']*)'", expected))
    if kind == "bool_type" and (meant := WORDS_OF_YAML_1_1.get(str(value).lower())):
        return f"; in YAML 1.2 {value} is a word: write {meant}"
    if kind == "tuple_type":
        return f", as in [{flow(value)}]"
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.match(r"[-+.\d]", value):
        return "; this is text in YAML 1.2"
    return ""


class _Location(NamedTuple):
    """Where in a document, and in its schema, pydantic found an error."""

    key: Key  # as the file has it
    owner: type[Configuration]  # the configuration that the last key belongs to
    annotation: object  # the type that is expected at the key
    alternatives: list[type[Configuration]]  # the union that the owner is chosen from; the owner alone without one


def _locate(loc: tuple[int | str, ...], schema: type[Configuration]) -> _Location:
    """Follow pydantic's location of an error through the types of the schema."""
    key: list[str | int] = []
    owner, annotation = schema, cast(object, schema)
    union: list[type[Configuration]] = []
    alternatives = union
    for part in loc:
        models = models_in(annotation)
        if isinstance(part, int):
            key.append(part)
            annotation = next(iter(get_args(_without_metadata(annotation))), None)
        elif len(models) > 1:
            union, annotation = models, tags_of(models)[1].get(part)  # a tag, which the file doesn't have as a key
        elif models:
            key.append(part)
            owner, alternatives, union = models[0], union or models, []
            annotation = owner.model_fields[part].annotation if part in owner.model_fields else None
        elif get_origin(_without_metadata(annotation)) is dict:
            key.append(part)
            annotation = get_args(_without_metadata(annotation))[1]
    return _Location(tuple(key), owner, annotation, alternatives)


def _as_written(key: Key, document: Document) -> Key:
    """Return a key as the file has it: in a step of a back end, below the step's name where that has its short form."""
    name = name_of_step(key, document)
    if name is None:
        return key
    inner = (*name, *key[len(name) - 1 :])
    return inner if inner in document.places else name


def name_of_step(key: Key, document: Document) -> Key | None:
    """Return where the name of a back end's step stands that a key is of, if it has its value or keys beside it."""
    if "backend" not in key or len(key) < (n_outer := key.index("backend") + 2) + 1:
        return None
    names = [known for known in document.places if len(known) == n_outer + 1 and known[:n_outer] == key[:n_outer]]
    return names[0] if len(names) == 1 and names[0][-1] != "step" else None


def _without_metadata(annotation: object) -> object:
    """Return the type inside `Annotated`."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def models_in(annotation: object) -> list[type[Configuration]]:
    """List the configurations that the type of a field allows: several for a union, none for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, Configuration):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return [model for argument in get_args(annotation) for model in models_in(argument)]
    return []


def tags_of(models: list[type[Configuration]]) -> tuple[str, dict[str, type[Configuration]]]:
    """Find the key that decides between the configurations of a union, and the configuration for each of its values.

    Raises TypeError if they have no such key.
    """
    for name in models[0].model_fields:
        annotations = [model.model_fields[name].annotation for model in models if name in model.model_fields]
        if len(annotations) == len(models) and all(get_origin(annotation) is Literal for annotation in annotations):
            tags = [
                (tag, model)
                for annotation, model in zip(annotations, models, strict=True)
                for tag in get_args(annotation)
            ]
            if len(dict(tags)) == len(tags):
                return name, dict(tags)
    raise TypeError(f"no key decides between {', '.join(model.__name__ for model in models)}")


def keys_of(schema: type[Configuration], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys that a configuration allows, sections before their own keys, of every kind in a union.

    `prefix` is the key of the configuration itself, with a dot behind it.
    """
    for name, field in schema.model_fields.items():
        yield prefix + name
        for model in models_in(field.annotation):
            yield from keys_of(model, f"{prefix}{name}.")


SECTION_MODELS = [model for field in Recipe.model_fields.values() for model in models_in(field.annotation)]
"""The configurations whose section may name a base."""
