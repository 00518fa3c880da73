"""Reading YAML text as plain values, each with its place in the file, and writing plain values as YAML text.

A recipe is data: mappings, lists and scalars as the core schema of YAML 1.2 resolves them. Tags, merge keys, repeated
keys and recursive anchors are refused. Every refusal is noted, so that all problems of a file are listed together.
"""

import re
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tag import Tag

from speechgmm.errors import RecipeError

MAX_BYTES = 1_000_000
"""Size of the largest file that is read."""

MAX_KEYS = 10_000
MAX_DEPTH = 50
"""Keys and levels of the largest recipe; those of an anchor count wherever it is used."""

MAX_DIGITS = 100
"""Digits of the longest whole number; Python converts no more than 4,300."""

# YAML 1.2.2, section 10.3.2: the values of scalars without quotes; all other scalars are text.
CONSTANTS: dict[str, JsonValue] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
SURROGATE = re.compile("[\\ud800-\\udfff]")
OTHER_VERSION = re.compile(r"^%YAML\s+(?!1\.2\b)", re.MULTILINE)

Key = tuple[str | int, ...]
"""The path to a value from the top: names of keys, and numbers of list items from 0."""

Values = dict[str, JsonValue]


@dataclass(frozen=True)
class Place:
    """Where a value stands in a file or on the command line."""

    source: str  # the file, or --set KEY=VALUE
    folder: Path  # relative paths in the source start here
    line: int | None = None  # from 1: where the key starts in the file
    column: int | None = None  # from 1

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class Problem(NamedTuple):
    """Something that is wrong with a document: its place, its key if it has one, and the message."""

    place: Place
    key: Key | None
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), dotted(self.key or ()), self.message)))


@dataclass(frozen=True)
class Document:
    """A mapping with the places of its keys, and its problems."""

    values: Values
    places: dict[Key, Place]  # by the path from the top of the recipe
    at: Key = ()  # the key of the recipe that the values stand at
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # files that were taken in place of shipped ones of their name

    def place_of(self, key: Key) -> Place:
        """Return the place of a key, or of the nearest key above it that has one."""
        return next(self.places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self.places or n == 0)

    def refuse(self, key: Key | None, message: str, place: Place | None = None) -> None:
        """Note a problem with a key; only the first problem of a key is kept."""
        if key is None or all(problem.key != key for problem in self.problems):
            self.problems.append(Problem(place or self.place_of(key or ()), key, message))


def dotted(key: Key) -> str:
    """Format a key, such as ``systems[0].ubm.n_components``; an item of a list has the key of the list."""
    named = key[:-1] if key and isinstance(key[-1], int) else key
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in named).removeprefix(".")


def read_document(path: Path, at: Key = (), source: str | None = None) -> Document:
    """Read a YAML file in UTF-8 whose top is a mapping, as the value of a key of the recipe.

    `source` is what messages call the file, instead of its path. The document notes a file that is missing, too large,
    or not YAML 1.2, and all that is not plain data. Raises RecipeError only if there are too many keys or levels to
    continue.
    """
    whole = Place(source or str(path), path.resolve().parent)
    top = replace(whole, line=1, column=1)
    document = Document({}, {(): top, at: top}, at)
    try:
        data = path.read_bytes()
    except OSError as error:
        document.refuse(at, f"not readable ({error.strerror})", whole)
        return document
    if len(data) > MAX_BYTES:
        document.refuse(at, f"{len(data)} bytes; a recipe has at most {MAX_BYTES}", whole)
        return document
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        document.refuse(at, "not UTF-8 text", replace(whole, line=data[: error.start].count(10) + 1))
        return document
    node = _compose(text, at, top, document)
    values = _plain(node, at, top, document)
    if isinstance(values, dict):
        document.values.update(values)
    elif not document.problems:
        document.refuse(at, "expected keys and values, as in 'name: quickstart'", top)
    return document


def parse_value(text: str, key: Key, document: Document) -> JsonValue:
    """Parse the YAML text of a value, such as ``64``, ``[means, variances]`` or ``null``, from outside a file.

    The document, whose place the value and all below it share, notes problems. Raises RecipeError only if there are
    too many keys or levels to continue.
    """
    place = document.places[()]
    document.places[key] = place
    return _plain(_compose(text, key, place, document), key, place, document)


def to_yaml(values: Values) -> str:
    """Return mappings, lists and scalars as YAML 1.2 text, keys in their order."""
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel.yaml declares it None
    writer.width = 120
    writer.dump(values, stream)
    return stream.getvalue()


def flow(value: object) -> str:
    """Return a value as YAML text within one line, such as ``null``, ``1e-05`` or ``[means, variances]``."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(flow, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


class _Resolver(VersionedResolver):
    """Resolves no scalars, which `_scalar` does, so that tags in the file differ from those that are implied."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Tag:  # noqa: ARG002  # ruamel.yaml's signature
        """Return whether a node without a tag is a mapping, a sequence, or a scalar with or without quotes."""
        if kind is ScalarNode:
            return Tag(suffix="plain" if implicit[0] else "quoted")
        return Tag(suffix="sequence" if kind is SequenceNode else "mapping")


class _Scanner(Scanner):
    """Stops at what would take long: too many values, or deep brackets, in which looking ahead takes quadratic time."""

    n_starts = 0

    def save_possible_simple_key(self) -> None:
        """Count that a key may start here, as it may at each key and each value."""
        self.n_starts += 1
        if self.flow_level > MAX_DEPTH or self.n_starts > 3 * MAX_KEYS:
            raise RecursionError
        super().save_possible_simple_key()


def _compose(text: str, key: Key, place: Place, document: Document) -> Node | None:
    """Parse YAML text into nodes, which know their lines; return None if it is not YAML."""
    try:
        if OTHER_VERSION.search(text):
            document.refuse(key, "says that it is of another version than YAML 1.2", place)
            return None
        return _nodes_of(text)
    except RecursionError:
        document.refuse(key, f"more than {MAX_KEYS} keys or {MAX_DEPTH} levels", place)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        document.refuse(key, f"not YAML: {problem}", _place_of_mark(place, mark))
    return None


@lru_cache(maxsize=32)
def _nodes_of(text: str) -> Node | None:
    """Parse YAML text, once if several systems, or points of a series, are based on the same file."""
    reader = YAML(typ="safe", pure=True)
    reader.Resolver, reader.Scanner = _Resolver, _Scanner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2.2, section 7.1: the last one counts
        node: Node | None = reader.compose(text)
    return node


def _place_of_mark(place: Place, mark: Any) -> Place:
    """Return the place of a parser's mark in the same file; outside a file, everything has one place."""
    return place if place.line is None or mark is None else replace(place, line=mark.line + 1, column=mark.column + 1)


def _plain(node: Node | None, key: Key, place: Place, document: Document, above: tuple[int, ...] = ()) -> JsonValue:
    """Convert a node to plain values, and note the place of every key below it; `above` are ids of nodes around it."""
    if node is None:
        return None
    if len(document.places) > MAX_KEYS or len(above) > MAX_DEPTH:
        raise RecipeError(f"{place}: more than {MAX_KEYS} keys or {MAX_DEPTH} levels")
    if id(node) in above:
        document.refuse(key, "an anchor that contains itself", place)
        return None
    above = (*above, id(node))
    match node:
        case MappingNode(tag="mapping"):
            return _mapping(node, key, place, document, above)
        case SequenceNode(tag="sequence"):
            items: list[JsonValue] = []
            for number, item in enumerate(node.value):
                item_key = (*key, number)
                document.places[item_key] = _place_of_mark(place, item.start_mark)
                items.append(_plain(item, item_key, document.places[item_key], document, above))
            return items
        case ScalarNode(tag="plain"):
            return _scalar(node.value, key, place, document)
        case ScalarNode(tag="quoted") if not SURROGATE.search(node.value):
            return str(node.value)
        case ScalarNode(tag="quoted"):
            document.refuse(key, "half of a surrogate pair, which is no character", place)
            return None
        case _:
            document.refuse(key, f"tag {node.tag}: a recipe is plain data", place)
            return None


def _mapping(node: MappingNode, key: Key, place: Place, document: Document, above: tuple[int, ...]) -> Values:
    """Convert a mapping to plain values; a key that is there twice is refused, and keeps its first value."""
    values: Values = {}
    for name_node, value_node in node.value:
        name_place = _place_of_mark(place, name_node.start_mark)
        if not _is_valid_name(name_node):
            shown = ascii(name_node.value[:40]) if isinstance(name_node, ScalarNode) else "a list or mapping"
            document.refuse(key, f"{shown} as a key; a key is a word (nothing merges but base:)", name_place)
        elif (name := str(name_node.value)) in values:
            first = document.places[*key, name].line
            document.refuse(
                (*key, name), f"the key stands here twice{f', first in line {first}' if first else ''}", name_place
            )
        else:
            document.places[*key, name] = name_place
            values[name] = _plain(value_node, (*key, name), name_place, document, above)
    return values


def _is_valid_name(node: Node) -> bool:
    """Whether a node can be the name of a key: text, but no merge key."""
    if not isinstance(node, ScalarNode) or node.tag not in ("plain", "quoted") or SURROGATE.search(node.value):
        return False
    text = node.value
    is_text = text not in CONSTANTS and not WHOLE.fullmatch(text) and not FLOAT.fullmatch(text) and text != "<<"
    return bool(text) and (node.tag == "quoted" or is_text)


def _scalar(text: str, key: Key, place: Place, document: Document) -> JsonValue:
    """Return the value of a scalar without quotes."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if WHOLE.fullmatch(text):
        if len(text) <= MAX_DIGITS:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        document.refuse(key, f"{text[:40]}...: {len(text)} digits", place)
        return None
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text)) if FLOAT.fullmatch(text) else text
