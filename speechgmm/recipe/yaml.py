"""YAML text to plain values, each with the place it stands at; and back.

A recipe is data: mappings, lists and scalars as YAML 1.2 resolves them. Tags, merge keys, repeated keys and
recursive anchors are refused.
"""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from speechgmm.errors import RecipeError

LARGEST = 1_000_000
"""Bytes of the largest document that is read."""

MOST_KEYS = 10_000
DEEPEST = 50
"""Keys and levels of the largest recipe, an anchor's counted wherever it is used."""

Key = tuple[str, ...]
Values = dict[str, JsonValue]


@dataclass(frozen=True)
class Place:
    """Where a value stands.

    Parameters
    ----------
    source : str
        The file, or ``--set KEY=VALUE``.
    line : int >= 1, or None
        The line of its key in the file.
    folder : Path
        What relative paths in it are relative to.
    """

    source: str
    line: int | None
    folder: Path

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Document:
    """A mapping and the places of its keys.

    Parameters
    ----------
    values : dict
        Plain values.
    places : dict of tuple of str to Place
        The place of each key, by its path from the top; the empty path is the document's own.
    """

    values: Values
    places: dict[Key, Place]


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.

    Returns
    -------
    Document
        Its values and where they stand.

    Raises
    ------
    RecipeError
        If the file is missing, too large, not YAML 1.2, or more than plain data; the message names file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: not readable ({error.strerror})") from error
    if len(data) > LARGEST:
        raise RecipeError(f"{path}: {len(data)} bytes; a recipe has at most {LARGEST}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}:{data[: error.start].count(10) + 1}: not UTF-8 text") from error
    place = Place(str(path), 1, path.resolve().parent)
    places: dict[Key, Place] = {(): place}
    values = _plain(_compose(text, str(path)), (), place, places, ())
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: expected keys and values, as in 'name: quickstart'")
    return Document(values, places)


def parse_value(text: str, place: Place) -> tuple[JsonValue, dict[Key, Place]]:
    """Read a value as YAML would, from outside a file.

    Parameters
    ----------
    text : str
        Such as ``64``, ``[means, variances]`` or ``null``.
    place : Place
        Where it stands.

    Returns
    -------
    value : JSON data
        The value.
    places : dict of tuple of str to Place
        The place of it, and of each key below it.

    Raises
    ------
    RecipeError
        If it is not plain YAML.
    """
    places: dict[Key, Place] = {(): place}
    return _plain(_compose(text, str(place)), (), place, places, ()), places


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


def _compose(text: str, source: str) -> Node | None:
    """Parse YAML text into nodes, which know their lines."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except RecursionError as error:
        raise RecipeError(f"{source}: too deeply nested") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{source}{line}: not YAML: {problem}") from error
    return node


def _plain(node: Node | None, key: Key, place: Place, places: dict[Key, Place], above: tuple[int, ...]) -> JsonValue:
    """Turn a node into plain values, noting the place of every key below it."""
    if node is None:
        return None
    if len(places) > MOST_KEYS or len(above) > DEEPEST:
        raise RecipeError(f"{place}: more than {MOST_KEYS} keys or {DEEPEST} levels")
    if id(node) in above:
        raise RecipeError(f"{place}: an anchor that contains itself")
    above = (*above, id(node))
    if isinstance(node, MappingNode) and str(node.tag).endswith(":map"):
        values: Values = {}
        for name_node, value_node in node.value:
            here = Place(place.source, place.line and name_node.start_mark.line + 1, place.folder)
            name = _key_of(name_node, here)
            if name in values:
                raise RecipeError(f"{here}: {'.'.join((*key, name))}: the key stands here twice")
            places[*key, name] = here
            values[name] = _plain(value_node, (*key, name), here, places, above)
        return values
    if isinstance(node, SequenceNode) and str(node.tag).endswith(":seq"):
        items: list[JsonValue] = []
        for number, item in enumerate(node.value):
            places[*key, str(number)] = place
            items.append(_plain(item, (*key, str(number)), place, places, above))
        return items
    if isinstance(node, ScalarNode):
        return _scalar(node, place)
    raise RecipeError(f"{place}: tag {node.tag}: a recipe is plain data")


def _key_of(node: Node, place: Place) -> str:
    """Give the text of a key."""
    if not isinstance(node, ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        raise RecipeError(f"{place}: {node.value!r} as a key; a key is a word (nothing merges but base:)")
    return str(node.value)


def _scalar(node: ScalarNode, place: Place) -> JsonValue:
    """Give a scalar as YAML 1.2 resolves it."""
    constructor = YAML(typ="safe", pure=True).constructor
    kind = str(node.tag).rpartition(":")[2]
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return bool(constructor.construct_yaml_bool(node))
            case "int":
                return int(constructor.construct_yaml_int(node))
            case "float":
                return float(constructor.construct_yaml_float(node))
            case "str" | "timestamp":
                return str(node.value)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"{place}: {str(node.value)[:40]!r} is no {kind}") from error
    raise RecipeError(f"{place}: tag {node.tag}: a recipe is plain data")
