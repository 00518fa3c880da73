"""Backgrounds of too few speakers for a cohort, which leave the scores as they are."""

from dataclasses import replace

from speechgmm.corpus.manifest import Corpus
from speechgmm.errors import ModelError
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.scoring.normalisation import ScoreNormalisationConfig, check_cohort
from speechgmm.wording import first_few

TOO_FEW = "too few for a cohort"
"""What stands in the note of a corpus whose background cannot normalise."""


def without_small_cohorts(recipe: Recipe, corpus: Corpus) -> tuple[Recipe, Corpus]:
    """Leave scores as they are that the background cannot normalise, and note it; other systems stay as they are.

    With shrinkage, the fewer speakers a cohort has, the less it says of a model: without enough of them, nothing.
    A normalisation without shrinkage is refused when its system is built.
    """
    shrinking = [system for system in recipe.systems_or_self if system.normalisation.shrinkage]
    small = [system.name for system in shrinking if why_small(system, corpus)]
    if not small:
        return recipe, corpus
    n, none = len({each.speaker for each in corpus.background}), ScoreNormalisationConfig()
    whose = f" of {first_few(small)}" if len(small) < len(recipe.systems) else ""
    note = f"{n} background speaker{'s' * (n != 1)}, {TOO_FEW}: the scores{whose} are not normalised"
    noted = replace(corpus, notes=(*corpus.notes, note))
    if not recipe.systems:
        return recipe.model_copy(update={"normalisation": none}), noted
    systems = tuple(
        system.model_copy(update={"normalisation": none}) if system.name in small else system
        for system in recipe.systems
    )
    return recipe.model_copy(update={"systems": systems}), noted


def normalisation_key(system: Recipe, *, several: bool) -> str:
    """Return the key of a system's normalisation in its recipe, which may have several systems."""
    return f"systems.{system.name}.normalisation" if several else "normalisation"


def why_small(system: Recipe, corpus: Corpus, key: str = "normalisation") -> str:
    """Say why the background of a corpus is too small for the normalisation of a system; empty if it is not."""
    try:
        check_cohort(
            {each.speaker for each in corpus.enrol},
            [each.speaker for each in corpus.background],
            system.normalisation,
            key,
        )
    except ModelError as error:
        return str(error)
    return ""


def as_stored(recipe: Recipe, stored: Recipe) -> Recipe:
    """Leave scores as they are where a recipe that is stored does, because of a small cohort."""
    if recipe.systems:
        others = {system.name: system for system in stored.systems}
        systems = tuple(as_stored(each, others.get(each.name, each)) for each in recipe.systems)
        return recipe.model_copy(update={"systems": systems})
    is_left = recipe.normalisation.shrinkage and stored.normalisation.method == "none"
    return recipe.model_copy(update={"normalisation": stored.normalisation}) if is_left else recipe
