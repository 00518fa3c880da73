"""What a recipe would run, and why, without running it."""

from pathlib import Path

from speechgmm.errors import CorpusError, ModelError
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache, StageOutput
from speechgmm.recipe.graph.calibration import calibrate, check_list
from speechgmm.recipe.graph.experiment import ExperimentFeatures, build_systems, extract_roles, find_corpus
from speechgmm.recipe.running.runner import CACHE
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import Planned, StageContext
from speechgmm.recipe.stages.evaluation import evaluate
from speechgmm.recipe.stages.progress import Bars


def plan(recipe: Recipe, results: str | Path = "results") -> tuple[tuple[Planned, ...], tuple[str, ...]]:
    """Say of each stage whether its output is there or it would run, and why.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    results : str or Path
        As for `speechgmm.recipe.running.runner.run`. Nothing is written.

    Returns
    -------
    planned : tuple of Planned
        The stages in their order, as far as they are known beforehand: what depends on the content of recordings that
        have not been heard yet is not.
    unknown : tuple of str
        Stages of which no more is known.

    Raises
    ------
    CorpusError
        If the lists cannot be read.
    """
    planned: list[Planned] = []
    context = StageContext(StageCache(Path(results).resolve() / CACHE), Engine("serial"), Bars(None), plan=planned)
    corpus = find_corpus(recipe.corpus, context)
    if corpus is None:
        return tuple(planned), ("features and all after them",)
    check_list(recipe, corpus)
    heard = extract_roles(recipe, corpus, context)
    systems = build_systems(recipe, heard, context)
    if systems is None:
        raise ValueError("a plan stops nowhere")
    calibration: StageOutput | None = None
    if recipe.calibration.method != "none":
        if recipe.calibration.on == "background" and not _is_heard(heard):
            return tuple(planned), ("calibration", "evaluation")
        try:
            calibration = calibrate(recipe, systems, heard.voices, corpus, context)
        except (CorpusError, ModelError):
            calibration = None  # which is told when it is tried
    evaluate(recipe, corpus, systems, calibration, None, None, context)
    return tuple(planned), ()


def _is_heard(heard: ExperimentFeatures) -> bool:
    """Tell whether the background has features, whose trials calibrate."""
    return all(own["background"].features.reused for own in heard.voices)
