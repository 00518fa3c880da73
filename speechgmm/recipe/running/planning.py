"""What a recipe would run, and why, without running it."""

from pathlib import Path
from typing import NamedTuple

from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.graph.experiment import experiment_stages
from speechgmm.recipe.layout import CACHE
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import NotYetKnown, PlannedStage, StagePlanner
from speechgmm.recipe.stages.rates import ResolvedRecipe


class Plan(NamedTuple):
    """What would become of the stages of a recipe."""

    stages: tuple[PlannedStage, ...]  # in their order
    unknown: tuple[str, ...]  # stages of which that is not known yet
    resolved: ResolvedRecipe  # the recipe with the rates of its corpus; as it was where there are no recordings yet


def plan(recipe: Recipe, results: str | Path = "results") -> Plan:
    """Plan the stages of a recipe.

    What depends on recordings that have no features yet is not known. Nothing is written. Raises CorpusError if the
    lists cannot be read.
    """
    planner = StagePlanner(StageCache(Path(results).resolve() / CACHE))
    resolved, unknown = ResolvedRecipe(recipe), tuple[str, ...]()
    try:
        for step in experiment_stages(recipe, planner):
            if isinstance(step, ResolvedRecipe):
                resolved = step
    except NotYetKnown as error:
        unknown = error.args
    return Plan(tuple(planner.planned), unknown, resolved)
