"""YAML text to plain values, each with the place it stands at; and back.

A recipe is data: mappings, lists and scalars as the core schema of YAML 1.2 resolves them. Tags, merge keys, repeated
keys and recursive anchors are refused, and what is refused is noted, so that all of a file is told at once.
"""

import re
import warnings
from dataclasses import dataclass, field, replace
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

LARGEST = 1_000_000
"""Bytes of the largest document that is read."""

MOST_KEYS = 10_000
DEEPEST = 50
"""Keys and levels of the largest recipe, an anchor's counted wherever it is used."""

MOST_DIGITS = 100
"""Of a whole number; Python turns no more than 4,300 into a number, or back."""

# YAML 1.2.2, section 10.3.2: what a scalar without quotes stands for; all others are text.
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
"""The names that lead to a value, from the top, and the numbers of items of lists, from 0."""

Values = dict[str, JsonValue]


@dataclass(frozen=True)
class Place:
    """Where a value stands.

    Parameters
    ----------
    source : str
        The file, or ``--set KEY=VALUE``.
    folder : Path
        What relative paths in it are relative to.
    line, column : int >= 1, or None
        Where its key starts in the file.
    """

    source: str
    folder: Path
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class Problem(NamedTuple):
    """Something that is wrong, where, and with which key, if with any."""

    place: Place
    key: Key | None
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), dotted(self.key or ()), self.message)))


@dataclass(frozen=True)
class Document:
    """A mapping with the places of its keys, and what is wrong with it.

    Parameters
    ----------
    values : dict
        Plain values.
    places : dict of tuple of str and int to Place
        The place of each key, by its path from the top of the recipe.
    at : tuple of str and int
        The key that `values` stand at.
    problems : list of Problem
        What cannot be understood.
    """

    values: Values
    places: dict[Key, Place]
    at: Key = ()
    problems: list[Problem] = field(default_factory=list)

    def place_of(self, key: Key) -> Place:
        """Give the place of a key, or of the nearest above it that has one."""
        return next(self.places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self.places or n == 0)

    def refuse(self, key: Key | None, message: str, place: Place | None = None) -> None:
        """Note what is wrong with a key; of several things, the first."""
        if key is None or all(each.key != key for each in self.problems):
            self.problems.append(Problem(place or self.place_of(key or ()), key, message))


def dotted(key: Key) -> str:
    """Write a key as people do.

    Parameters
    ----------
    key : tuple of str and int
        Such as ``("systems", 0, "ubm", "n_components")``.

    Returns
    -------
    str
        Such as ``systems[0].ubm.n_components``; an item of a list goes by the list's key.
    """
    shown = key[:-1] if key and isinstance(key[-1], int) else key
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown).removeprefix(".")


def read_document(path: Path, at: Key = ()) -> Document:
    """Read a YAML file whose top is a mapping.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.
    at : tuple of str and int
        The key of the recipe that it stands for.

    Returns
    -------
    Document
        Its values and where they stand. What is missing, too large, not YAML 1.2, or more than plain data, is among its
        problems.

    Raises
    ------
    RecipeError
        If there are too many keys or levels to go on.
    """
    whole = Place(str(path), path.resolve().parent)
    top = replace(whole, line=1, column=1)
    document = Document({}, {(): top, at: top}, at)
    try:
        data = path.read_bytes()
    except OSError as error:
        document.refuse(at, f"not readable ({error.strerror})", whole)
        return document
    if len(data) > LARGEST:
        document.refuse(at, f"{len(data)} bytes; a recipe has at most {LARGEST}", whole)
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
    """Read a value as YAML would, from outside a file.

    Parameters
    ----------
    text : str
        Such as ``64``, ``[means, variances]`` or ``null``.
    key : tuple of str and int
        What it is the value of.
    document : Document
        Where the place of it, of all below it, and problems are noted. The place is that of the document.

    Returns
    -------
    JSON data
        The value.

    Raises
    ------
    RecipeError
        If there are too many keys or levels to go on.
    """
    place = document.places[()]
    document.places[key] = place
    return _plain(_compose(text, key, place, document), key, place, document)


def to_yaml(values: Values) -> str:
    """Write plain values as YAML text.

    Parameters
    ----------
    values : dict
        Mappings, lists and scalars.

    Returns
    -------
    str
        YAML 1.2, keys in their order.
    """
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel.yaml declares it None
    writer.width = 120
    writer.dump(values, stream)
    return stream.getvalue()


def flow(value: object) -> str:
    """Write a value as it stands within a line.

    Parameters
    ----------
    value : JSON data
        Any.

    Returns
    -------
    str
        Such as ``null``, ``1e-05`` or ``[means, variances]``.
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(flow, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {flow(each)}' for key, each in value.items())}}}"
        case _:
            return str(value)


class _Resolver(VersionedResolver):
    """Leaves to `_scalar` what a scalar stands for, and so tells tags that stand in the file from all others."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Tag:  # noqa: ARG002  # ruamel.yaml's signature
        """Say whether a node that has no tag is a mapping, a sequence, or a scalar with or without quotes."""
        if kind is ScalarNode:
            return Tag(suffix="plain" if implicit[0] else "quoted")
        return Tag(suffix="sequence" if kind is SequenceNode else "mapping")


class _Scanner(Scanner):
    """Gives up on what would take long: too many values, and brackets in brackets, where to look ahead is quadratic."""

    n_starts = 0

    def save_possible_simple_key(self) -> None:
        """Note that a key may start here: so may each key, and each value."""
        self.n_starts += 1
        if self.flow_level > DEEPEST or self.n_starts > 3 * MOST_KEYS:
            raise RecursionError
        super().save_possible_simple_key()


def _compose(text: str, key: Key, place: Place, document: Document) -> Node | None:
    """Parse YAML text into nodes, which know their lines; none, if it cannot be."""
    reader = YAML(typ="safe", pure=True)
    reader.Resolver, reader.Scanner = _Resolver, _Scanner
    try:
        if OTHER_VERSION.search(text):
            document.refuse(key, "says that it is of another version than YAML 1.2", place)
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2.2, section 7.1: the last one counts
            node: Node | None = reader.compose(text)
    except RecursionError:
        document.refuse(key, f"more than {MOST_KEYS} keys or {DEEPEST} levels", place)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        document.refuse(key, f"not YAML: {problem}", _moved(place, mark))
    else:
        return node
    return None


def _moved(place: Place, mark: Any) -> Place:
    """Give the place of a mark in the same file; outside files all is in one place."""
    return place if place.line is None or mark is None else replace(place, line=mark.line + 1, column=mark.column + 1)


def _plain(node: Node | None, key: Key, place: Place, document: Document, above: tuple[int, ...] = ()) -> JsonValue:
    """Turn a node into plain values, noting the place of every key below it."""
    if node is None:
        return None
    if len(document.places) > MOST_KEYS or len(above) > DEEPEST:
        raise RecipeError(f"{place}: more than {MOST_KEYS} keys or {DEEPEST} levels")
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
                here = (*key, number)
                document.places[here] = _moved(place, item.start_mark)
                items.append(_plain(item, here, document.places[here], document, above))
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
    """Turn a mapping into plain values; of a key that is there twice, the first counts."""
    values: Values = {}
    for name_node, value_node in node.value:
        here = _moved(place, name_node.start_mark)
        if not _is_word(name_node):
            shown = ascii(name_node.value[:40]) if isinstance(name_node, ScalarNode) else "a list or mapping"
            document.refuse(key, f"{shown} as a key; a key is a word (nothing merges but base:)", here)
        elif (name := str(name_node.value)) in values:
            first = document.places[*key, name].line
            document.refuse(
                (*key, name), f"the key stands here twice{f', first in line {first}' if first else ''}", here
            )
        else:
            document.places[*key, name] = here
            values[name] = _plain(value_node, (*key, name), here, document, above)
    return values


def _is_word(node: Node) -> bool:
    """Whether a node can be a key: text, but no merge key."""
    if not isinstance(node, ScalarNode) or node.tag not in ("plain", "quoted") or SURROGATE.search(node.value):
        return False
    text = node.value
    is_text = text not in CONSTANTS and not WHOLE.fullmatch(text) and not FLOAT.fullmatch(text) and text != "<<"
    return bool(text) and (node.tag == "quoted" or is_text)


def _scalar(text: str, key: Key, place: Place, document: Document) -> JsonValue:
    """Give what a scalar without quotes stands for."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if WHOLE.fullmatch(text):
        if len(text) <= MOST_DIGITS:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        document.refuse(key, f"{text[:40]}...: {len(text)} digits", place)
        return None
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text)) if FLOAT.fullmatch(text) else text
