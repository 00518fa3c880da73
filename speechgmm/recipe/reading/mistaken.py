"""What a path is that was given in place of a recipe, and what to do instead."""

import difflib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from speechgmm.files import RECIPE_SUFFIXES, TABLE_SUFFIXES, is_audio, is_file
from speechgmm.recipe.reading.names import shipped_hint
from speechgmm.recipe.shipped import RECIPES
from speechgmm.wording import first_few

MAX_SEARCHED = 20_000
"""Files of a folder whose names show what it holds."""

LISTS = ("wav.scp", "utt2spk", "segments")
"""Files of a Kaldi data directory."""


def what_instead(path: Path) -> str:
    """Say what a path is that is no readable recipe, and what to do; empty if nothing is known but that."""
    if not os.path.lexists(path):
        return f"no such file{_similar(path)}"
    if path.is_dir():
        return _of_folder(path)
    if is_audio(path.name):
        return (
            "a recording; expected a recipe: put the recordings of each speaker into a folder of its own, and "
            "speechgmm init FOLDER writes one"
        )
    if path.suffix.lower() in TABLE_SUFFIXES:
        return f"a table; expected a recipe: speechgmm init {path} writes one"
    if path.name in LISTS:
        return f"a list of Kaldi; expected a recipe: speechgmm init {path.parent} writes one"
    return ""


def _of_folder(folder: Path) -> str:
    """Say what a folder holds, and what to do."""
    if is_file(folder / "recipe.yaml"):
        return f"a folder; expected a recipe: its own is {folder / 'recipe.yaml'}"
    if recipes := _recipes_in(folder):
        return f"a folder; expected a recipe: {first_few([str(folder / name) for name in recipes])}"
    held = next((name for name in islice(_names_below(folder), MAX_SEARCHED) if name in LISTS or is_audio(name)), "")
    if held:
        what = "Kaldi lists" if held in LISTS else "recordings"
        return f"a folder of {what}; expected a recipe: speechgmm init {folder} writes one"
    return "a folder; expected a recipe, a YAML file"


def _names_below(folder: Path) -> Iterator[str]:
    """Yield the names of files below a folder that are not hidden, as they come."""
    for _, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from names


def _similar(path: Path) -> str:
    """Name the recipe that was probably meant, or those that are in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return f": there is no folder {folder}"
    recipes = _recipes_in(folder)
    by_stem = {Path(name).stem.lower(): name for name in recipes}
    if meant := difflib.get_close_matches(path.stem.lower(), by_stem, n=1):
        return f"; did you mean {folder / by_stem[meant[0]]}?"
    if hint := shipped_hint(str(path), RECIPES):
        return hint
    return (
        f"; recipes there: {first_few([str(folder / name) for name in recipes])}"
        if recipes
        else "; expected a recipe, a YAML file"
    )


def _recipes_in(folder: Path) -> list[str]:
    """List the YAML files in a folder, none if it may not be read."""
    try:
        return sorted(name for name in os.listdir(folder) if Path(name).suffix.lower() in RECIPE_SUFFIXES)  # noqa: PTH208
    except OSError:
        return []
