"""A recipe's file, the files it points to and the command line's overrides, to a `Recipe`; errors name the place."""

from collections.abc import Sequence
from pathlib import Path

from speechgmm.features.extract import FeatureConfig
from speechgmm.recipe.reading.resolving import override, overriding_rate, parse_overrides, read_base, read_recipe
from speechgmm.recipe.reading.validation import validate
from speechgmm.recipe.reading.yaml import Document, Place, to_yaml
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sweep import Point


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, point: Point | None = None) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        The YAML file. A section in it may be the path of a file that holds the section, or carry ``base: PATH``
        and override keys of that; paths are relative to the file they stand in. For `features` the name of one of
        `speechgmm.features.presets.PRESETS` stands for its values, at the section's own ``sample_rate`` if there is
        one; a file by that name is reached as ``./NAME``.
    overrides : sequence of str
        ``KEY=VALUE``, with a dotted key and a YAML value: ``ubm.n_components=128``. Paths in them are relative to
        the current folder.
    point : dict of str to JSON data, optional
        Values by dotted key that stand in the recipe's own `sweep`; `overrides` override them.

    Returns
    -------
    Recipe
        With every default filled in.

    Raises
    ------
    RecipeError
        If a file cannot be read, or keys or values are not those of the schema: all that is wrong at once, each
        with its file, line, column and key.
    """
    return validate(Recipe, read_recipe(Path(path), overrides, point))


def load_features(source: str | None = None, overrides: Sequence[str] = ()) -> FeatureConfig:
    """Read a front end that stands alone.

    Parameters
    ----------
    source : str, optional
        A YAML file that holds a `features` section, perhaps with ``base: PATH`` or a preset's name; or the name of a
        preset; the defaults when not given. A path is relative to the current folder.
    overrides : sequence of str
        ``KEY=VALUE``, with a dotted key of the section and a YAML value: ``vad.method=none``.

    Returns
    -------
    FeatureConfig
        With every default filled in.

    Raises
    ------
    RecipeError
        As for `load_recipe`.
    """
    unread = Document({}, {(): Place("front end", Path.cwd())})
    sets = parse_overrides(overrides, "n_cepstra=20", unread)
    document = unread
    if source is not None:
        place = Place(f"--config {source}", Path.cwd())
        document = read_base(source, place, "features", (), overriding_rate(sets, ("sample_rate",)))
        document.problems.extend(unread.problems)
    for each in sets:
        override(document, each)
    return validate(FeatureConfig, document)


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe out, every default included.

    Parameters
    ----------
    recipe : Recipe
        Any.

    Returns
    -------
    str
        YAML text that `load_recipe` reads back as the same recipe.
    """
    return to_yaml(recipe.to_json())
