"""Mistakes in recipes, made by rule in every shipped file: each is refused with its file, line, column and key."""

import re

import pytest

from helpers.paths import ROOT
from speechgmm.corpus.reading import KaldiConfig
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import RecipeError
from speechgmm.gmm.adaptation import AdaptationConfig, RelevanceFactors
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.reading.validation import keys_of
from speechgmm.recipe.reading.yaml import dotted, read_document
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.series.points import load_series

SHIPPED = [
    path.relative_to(ROOT) for folder in ("recipes", "configs") for path in sorted((ROOT / folder).rglob("*.yaml"))
]
VALID = {key.rpartition(".")[2] for key in keys_of(Recipe)} | {"base"}


def misspelt(key):
    """A letter too few, another letter, and a letter too many; only what is no key itself."""
    spellings = (key[:-1], f"{key[:-1]}q", f"{key[: len(key) // 2]}q{key[len(key) // 2 :]}")
    return [each for each in spellings if each and each not in VALID]


def check_refused(tree, path, lines, expected):
    """Load a file as changed: a recipe itself, a section in a recipe that points to it."""
    (tree / path).write_text("".join(lines))
    recipe = path
    if path.parts[0] == "configs":
        recipe = "recipe.yaml"
        value = f"[{path}, {{name: other}}]" if path.parts[1] == "systems" else path
        (tree / recipe).write_text(f"corpus: {{kind: synthetic}}\n{path.parts[1]}: {value}\n")
    with pytest.raises(RecipeError) as caught:
        (load_series if "sweep:\n" in lines else load_recipe)(recipe)
    assert any(line.startswith(expected) for line in str(caught.value).splitlines()), (expected, str(caught.value))


def named(key, values):
    """Name a key as messages do: a value of a series by the key that it is for, a system by its name if it has one."""
    if key[:2] == ("sweep", "grid") and len(key) > 2:
        return dotted(key[2:3])
    if key[:1] == ("systems",) and isinstance(key[1], int) and len(key) > 2:
        key = ("systems", values["systems"][key[1]].get("name", key[1]), *key[2:])
    return dotted(key)


def prefix_of(path):
    """The key that a shipped file stands at in a recipe."""
    if path.parts[0] != "configs":
        return ()
    return ("systems", path.stem) if path.parts[1] == "systems" else (path.parts[1],)


def changed(lines, place, old, new):
    """Change the text that stands at a place."""
    lines = lines.copy()
    line, start = lines[place.line - 1], place.column - 1
    assert line[start:].startswith(old), (line, old)
    lines[place.line - 1] = line[:start] + new + line[start + len(old) :]
    return lines


def check_all_keys(tree, path, spellings):
    lines = (tree / path).read_text().splitlines(keepends=True)
    document = read_document(tree / path)
    places = document.places
    for key, place in places.items():
        if not key or isinstance(key[-1], int):
            continue
        for wrong in spellings(key[-1]):
            told = named((*prefix_of(path), *key[:-1], wrong), document.values)
            if key[:1] == ("systems",) and key[2:] == ("name",):
                told = dotted((*key[:-1], wrong))  # a system without a name goes by its number
            expected = f"{path}:{place.line}:{place.column}: {told}: unknown key; "
            if key[-3:-2] == ("backend",):  # the name of a step, which may stand in place of keys
                expected = f"{path}:{place.line}:{place.column}: {told}: '{wrong}'; expected one of 'center', "
            elif len(key[-1]) > 2:
                expected += f"did you mean {key[-1].rpartition('.')[2]}?"
            check_refused(tree, path, changed(lines, place, key[-1], wrong), expected)
    return len(places)


def numbers_in(values, above=()):
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, (dict, list)):
            yield from numbers_in(value, (*above, key))
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and key != "ubm":  # there it is a name
            yield (*above, key)


def check_all_numbers(tree, path):
    lines = (tree / path).read_text().splitlines(keepends=True)
    document = read_document(tree / path)
    keys = list(numbers_in(document.values))
    for key in keys:
        place = document.places[key]
        rest = lines[place.line - 1][place.column - 1 :]
        old = re.match(r"(?:\w+:\s*)?[-+.\w]+", rest)[0]
        told = document.places[key[:3]] if key[:2] == ("sweep", "grid") else place
        expected = (
            f"{path}:{told.line}:{told.column}: {named((*prefix_of(path), *key), document.values)}: 'many'; expected "
        )
        check_refused(tree, path, changed(lines, place, old, re.sub(r"[-+.\w]+$", "many", old)), expected)
    return len(keys)


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_every_key_of_every_shipped_file_misspelt_by_one_letter_is_refused(path, tree):
    assert check_all_keys(tree, path, misspelt) > 1


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_every_number_of_every_shipped_file_as_text_is_refused(path, tree):
    check_all_numbers(tree, path)


WHOLE = {
    "synthetic": Recipe(name="whole", corpus=SyntheticConfig()),
    "kaldi": Recipe(
        name="whole",
        corpus=KaldiConfig(root="data"),
        speakers=AdaptationConfig(relevance_factors=RelevanceFactors(weights=1, means=2, variances=3)),
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_so_is_every_key_and_number_that_there_is(kind, tree):
    path = (tree / "recipes" / "whole.yaml").relative_to(tree)
    path.write_text(dump_recipe(WHOLE[kind]))
    assert check_all_keys(tree, path, lambda key: misspelt(key)[-1:]) > 70
    path.write_text(dump_recipe(WHOLE[kind]))
    assert check_all_numbers(tree, path) > 30
