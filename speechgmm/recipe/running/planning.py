"""What a recipe would run, and why, without running it."""

from pathlib import Path

from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.graph.experiment import experiment_stages
from speechgmm.recipe.layout import CACHE
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import NotYetKnown, PlannedStage, StagePlanner


def plan(recipe: Recipe, results: str | Path = "results") -> tuple[tuple[PlannedStage, ...], tuple[str, ...]]:
    """Return what would become of each stage, in their order, and the stages of which that is not known yet.

    What depends on recordings that have no features yet is not known. Nothing is written. Raises CorpusError if the
    lists cannot be read.
    """
    planner = StagePlanner(StageCache(Path(results).resolve() / CACHE))
    try:
        for _ in experiment_stages(recipe, planner):
            pass
    except NotYetKnown as unknown:
        return tuple(planner.planned), unknown.args
    return tuple(planner.planned), ()
