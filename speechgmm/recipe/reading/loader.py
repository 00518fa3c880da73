"""Loading recipes and front ends from YAML, and writing recipes as YAML; errors name the file, line and key."""

from collections.abc import Sequence
from pathlib import Path

from speechgmm.features.extract import FeatureConfig
from speechgmm.recipe.reading.bases import read_base
from speechgmm.recipe.reading.following import lower_top_frequency
from speechgmm.recipe.reading.names import recipe_path
from speechgmm.recipe.reading.overrides import apply_override, overriding_rate, parse_overrides
from speechgmm.recipe.reading.resolving import resolve_recipe
from speechgmm.recipe.reading.validation import validate
from speechgmm.recipe.reading.yaml import Document, Place, to_yaml
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sweep import Point


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, point: Point | None = None) -> Recipe:
    """Read a recipe from a YAML file, and check all of it.

    Parameters
    ----------
    path : str or Path
        The YAML file, or the name of a shipped recipe, as in ``quickstart``, unless the current folder has a file
        ``NAME`` or ``NAME.yaml``. A section, a system and the recipe itself may be based on another file: by
        ``base: NAME`` or ``base: PATH``, whose keys the others override at every level. A section or a system that is
        a name or a path alone is that file. Paths are relative to the file that they stand in; names are of files in
        its folder, else of shipped ones. For `features` the name of one of `speechgmm.features.presets.PRESETS` stands
        for its values, at the section's own ``sample_rate`` if it has one; a file of that name is reached as
        ``./NAME``.
    overrides : sequence of str
        ``KEY=VALUE``, with a dotted key and a YAML value: ``ubm.n_components=128``, or
        ``systems.NAME.ubm.n_components=128`` for one of several systems. Paths in them are relative to the current
        folder.
    point : dict of str to JSON data, optional
        Values by dotted key: a point of the recipe's own `sweep`. `overrides` take precedence over it.

    Returns
    -------
    Recipe
        With every default filled in.

    Raises
    ------
    RecipeError
        If a file cannot be read, or keys or values are not those of the schema. The message lists every problem,
        each with its file, line, column and key.

    Examples
    --------
    >>> from pathlib import Path
    >>> from speechgmm import load_recipe
    >>> size = Path("tiny.yaml").write_text("{corpus: {kind: synthetic}, ubm: {n_components: 32}}")
    >>> recipe = load_recipe("tiny.yaml", ["speakers.relevance_factor=4"])
    >>> recipe.name, recipe.ubm.n_components, recipe.speakers.relevance_factor
    ('tiny', 32, 4.0)

    Errors give the place of a mistake, and what was probably meant.

    >>> load_recipe("tiny.yaml", ["ubm.n_componets=64"])
    Traceback (most recent call last):
        ...
    speechgmm.errors.RecipeError: --set ubm.n_componets=64: ubm.n_componets: unknown key; did you mean n_components?
    """
    return validate(Recipe, resolve_recipe(recipe_path(path), overrides, point))


def notes_on(path: str | Path, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """List which names in a recipe stand for files of the user's although shipped ones have them too."""
    return tuple(dict.fromkeys(resolve_recipe(recipe_path(path), overrides).notes))


def load_features(source: str | None = None, overrides: Sequence[str] = ()) -> FeatureConfig:
    """Read a front end without a recipe: a file that holds a `features` section, a preset, or the defaults.

    `overrides` are ``KEY=VALUE`` with a dotted key of the section, such as ``vad.method=none``. Paths are relative to
    the current folder. Raises RecipeError as `load_recipe` does.
    """
    defaults = Document({}, {(): Place("front end", Path.cwd())})
    changes = parse_overrides(overrides, "n_cepstra=20", defaults)
    document = defaults
    if source is not None:
        place = Place(f"--config {source}", Path.cwd())
        document = read_base(source, place, "features", (), overriding_rate(changes, ("sample_rate",)))
        document.problems.extend(defaults.problems)
    for change in changes:
        apply_override(document, change)
    lower_top_frequency(document)
    return validate(FeatureConfig, document)


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML text, every default included; `load_recipe` reads it back as the same recipe."""
    return to_yaml(recipe.to_json())
