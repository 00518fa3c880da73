"""Results of another recipe under the same name: a run names the keys that differ, and keeps them beside its own."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from speechgmm.errors import RecipeError, ResultsError
from speechgmm.files import WRITING
from speechgmm.recipe.layout import LOG_FILE, METRICS_FILE, PREVIOUS, PROVENANCE_FILE, RECIPE_FILE
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.reading.yaml import dotted, flow, read_document
from speechgmm.recipe.results.writing import RESULT_FILES, result_files
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.rates import at_rates_of
from speechgmm.recipe.stages.small_cohorts import TOO_FEW, as_stored

MAX_KEYS_NAMED = 3
"""Keys that a message names; the others are counted."""

MAX_VALUE = 60
"""Characters of the longest value that a message shows whole."""


@dataclass(frozen=True)
class OtherResults:
    """The results of another recipe in a folder that a run is about to fill."""

    folder: Path
    differences: str  # the keys in which the recipes differ, in words

    @property
    def previous(self) -> Path:
        """The folder in which they are kept."""
        return self.folder.with_name(f"{self.folder.name}{PREVIOUS}")

    @property
    def linked(self) -> Path:
        """The folder that holds them until they are kept or left as they are."""
        return self.folder.with_name(f"{WRITING}{self.previous.name}")

    def keep(self) -> str:
        """Keep them in place of any older ones, and return what happened, in a sentence."""
        older = self.folder.with_name(f"{WRITING}{self.folder.name}.older")
        shutil.rmtree(older, ignore_errors=True)
        replaced = self.previous.exists()
        if replaced:
            self.previous.rename(older)
        self.linked.rename(self.previous)
        shutil.rmtree(older, ignore_errors=True)
        instead = ", in place of older ones" if replaced else ""
        return (
            f"{_shown(self.folder)} had results of another recipe ({self.differences}): they are kept in "
            f"{_shown(self.previous)}{instead}"
        )


@contextmanager
def other_results(folder: Path, recipe: Recipe) -> Iterator[OtherResults | None]:
    """Yield the results in a folder if they are of another recipe; unless `keep` is called, they stay as they are.

    They are in a second place before anything in the folder changes. Raises ResultsError if the folder holds files of
    the user with the names of results, or if the folder to keep results in holds something else.
    """
    _check_written_by_a_run(folder)
    differences = differences_from(folder, recipe)
    if not differences:
        yield None
        return
    other = OtherResults(folder, differences)
    _check_replaceable(other)
    shutil.rmtree(other.linked, ignore_errors=True)
    try:
        _link_all(other)
        yield other
    finally:
        with suppress(OSError):  # whatever ended the run is the error to report
            if (other.linked / LOG_FILE).is_file():
                (other.linked / LOG_FILE).replace(folder / LOG_FILE)
            shutil.rmtree(other.linked, ignore_errors=True)


def differences_from(folder: Path, recipe: Recipe) -> str:
    """Say in which keys the recipe of a folder's results differs from this one; empty if in none, or without results.

    The name does not count. Keys that an earlier version did not have are at their defaults. A sample rate that is the
    corpus's is the same as any, and so is a normalisation that its cohort was too small for.
    """
    path = folder / RECIPE_FILE
    if path.is_symlink() or not (path.is_file() and (folder / METRICS_FILE).is_file()):
        return ""
    try:
        earlier = load_recipe(path)
    except RecipeError:
        return f"its {RECIPE_FILE} is damaged, or of another version"
    recipe = at_rates_of(recipe, earlier)
    if _has_small_cohort(folder):
        recipe = as_stored(recipe, earlier)
    before, now = (_values(each.to_json()) for each in (earlier, recipe))
    differing = [key for key in {**now, **before} if key != "name" and before.get(key) != now.get(key)]
    differing.sort(key=lambda key: not (key in now and key in before))  # keys of one alone follow from the others
    changes = [f"{key}: {_text(before.get(key))} -> {_text(now.get(key))}" for key in differing]
    more = len(changes) - MAX_KEYS_NAMED
    return ", ".join(changes[:MAX_KEYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _has_small_cohort(folder: Path) -> bool:
    """Whether the run that wrote these results left scores as they are because of a small cohort."""
    try:
        warnings = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))["warnings"]
        return any(TOO_FEW in warning for warning in warnings)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_written_by_a_run(folder: Path) -> None:
    """Refuse a folder whose files have the names of results but are not of a run, as they would be removed."""
    found = [name for name in RESULT_FILES if (folder / name).is_file()]
    if found and not any((folder / name).is_file() for name in (LOG_FILE, PROVENANCE_FILE, METRICS_FILE)):
        raise ResultsError(
            f"{_shown(folder)}: {', '.join(found)} there, and not of a run, which would replace it; expected a folder "
            "of results, or none: choose another --name or --results"
        )


def _check_replaceable(other: OtherResults) -> None:
    """Refuse to replace a folder that does not hold earlier results of the same name."""
    previous = other.previous
    if not (previous.exists() or previous.is_symlink()):
        return
    if previous.is_symlink() or read_document(previous / RECIPE_FILE).values.get("name") != other.folder.name:
        raise ResultsError(
            f"{_shown(previous)}: not earlier results of {other.folder.name}, which are to be kept there "
            f"(another recipe: {other.differences}); rename it, or choose another --name"
        )


def _link_all(other: OtherResults) -> None:
    """Give all results a second place."""
    try:
        for path in (*result_files(other.folder), other.folder / LOG_FILE):
            _link(path, other.linked / path.relative_to(other.folder))
    except OSError as error:
        error.filename = str(other.previous)  # the user has never seen the other one
        raise


def _link(source: Path, target: Path) -> None:
    """Give a file a second place, by a copy where the file system has no links; leave out what is no regular file."""
    if source.is_symlink() or not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _values(value: JsonValue, key: tuple[str | int, ...] = ()) -> dict[str, JsonValue]:
    """Return the values at and below a key by dotted key; a list of plain values is one value."""
    if isinstance(value, dict) and value:
        items: list[tuple[str | int, JsonValue]] = [*value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [*enumerate(value)]
    else:
        return {dotted(key): value}
    return {name: inner for part, below in items for name, inner in _values(below, (*key, part)).items()}


def _text(value: JsonValue) -> str:
    """Format a value of a message; a key that has no effect in a recipe has null."""
    text = flow(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."


def _shown(path: Path) -> Path:
    """Return a path relative to the current folder if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
