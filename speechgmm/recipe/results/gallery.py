"""A gallery from the results of a run: its background model, settings, cohort and calibration."""

import json
from pathlib import Path

from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import is_file
from speechgmm.gallery.config import DecisionConfig
from speechgmm.gallery.enrolment import create_gallery
from speechgmm.gallery.gallery import Gallery
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.layout import (
    BACKEND_FILE,
    CALIBRATION_FILE,
    COHORT_FILE,
    RECIPE_FILE,
    SUBSPACE_FILE,
    UBM_FILE,
)
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.wrong_folders import not_results
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.thresholds import EQUAL_ERRORS
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig


def gallery_of_results(results: str | Path, folder: str | Path, *, min_speech: float = 2.0) -> Gallery:
    """Create a gallery without speakers from the results of a run.

    Parameters
    ----------
    results : str or Path
        The results folder of a run with one system and one background model.
    folder : str or Path
        The gallery: a folder that does not exist or is empty.
    min_speech : float >= 0, seconds
        Recordings with less speech than this are flagged when they are enrolled or tested.

    Returns
    -------
    Gallery
        With the front end, background model, factors, back end, settings, cohort and calibration of the run.
        Verification decides by the costs that the recipe sets (``decision.costs``), or so that a miss and a false alarm
        count the same; if the run has learnt a threshold, verification and identification use that.

    Raises
    ------
    GalleryError, RecipeError, ModelError
        If the folder is not that of a run, its results are not of one system with one background model, a file is
        missing or damaged, or the folder of the gallery is not empty.
    OSError
        If the gallery cannot be written.

    Examples
    --------
    A small experiment on synthetic talkers, and the gallery of its system:

    >>> from speechgmm import Engine, Recipe, gallery_of_results, run
    >>> corpus = {"kind": "synthetic", "n_speakers": 2, "n_background": 2, "n_test": 1, "seconds": 2.0}
    >>> recipe = Recipe(name="tiny", corpus=corpus, ubm={"n_components": 4}, calibration={"method": "none"})
    >>> done = run(recipe, engine=Engine("serial"), until_stage="evaluation")
    >>> gallery = gallery_of_results("results/tiny", "gallery")
    >>> gallery.ubm.n_components
    4
    >>> gallery.config.score_unit
    'nats per frame, not calibrated'
    """
    results = Path(results)
    if not is_file(results / RECIPE_FILE):
        raise GalleryError(not_results(results))
    recipe = load_recipe(results / RECIPE_FILE)
    front_end = check_results(results, recipe)
    vectors, speakers = recipe.vectors, None if recipe.vectors else recipe.speakers
    calibration, cohort = results / CALIBRATION_FILE, results / COHORT_FILE
    has_factors = isinstance(speakers, ISVConfig | JFAConfig) or isinstance(vectors, IVectorConfig)
    return create_gallery(
        folder,
        results / UBM_FILE,
        front_end=front_end,
        adaptation=speakers if isinstance(speakers, AdaptationConfig) else None,
        speakers=speakers if isinstance(speakers, ISVConfig | JFAConfig) else None,
        vectors=vectors,
        factors=results / SUBSPACE_FILE if has_factors else None,
        backend=results / BACKEND_FILE if vectors else None,
        scoring=None if vectors else recipe.scoring,
        decisions=_decisions(recipe, calibration, min_speech),
        cohort=cohort if recipe.normalisation.method != "none" else None,
        normalisation=recipe.normalisation,
        calibration=calibration if calibration.exists() else None,
    )


def has_synthetic_background(results: Path) -> bool:
    """Check whether the background model of a run was trained on synthetic talkers."""
    return isinstance(load_recipe(results / RECIPE_FILE).corpus, SyntheticConfig)


def check_results(results: Path, recipe: Recipe) -> FeatureConfig:
    """Return the front end of a run, and refuse results that a gallery cannot use.

    Raises GalleryError for a fusion, for more or fewer background models than one, for imported features, and if scores
    are normalised by a cohort that is missing.
    """
    if recipe.systems:
        names = ", ".join(system.name for system in recipe.systems)
        raise GalleryError(
            f"{results}: a fusion of {names}, and a gallery has one system; expected one of them, run alone"
        )
    if isinstance(recipe.speakers, IndependentConfig) or recipe.ubm.per_sex:
        found = "a background model for each sex" if recipe.ubm.per_sex else "a model for each speaker of its own"
        raise GalleryError(
            f"{results}: {found}; expected one background model, which the models of a gallery start from: "
            "speakers.method map, isv or jfa, or vectors, and a corpus with a background (init plans one from 20 "
            "speakers on)"
        )
    if not isinstance(recipe.features, FeatureConfig):
        raise GalleryError(
            f"{results}: its models are of imported features; expected a run on audio, which is what a gallery enrols"
        )
    cohort = results / COHORT_FILE
    if recipe.normalisation.method != "none" and not cohort.exists():
        raise GalleryError(f"{cohort}: no such file, and the scores of this run are normalised by a cohort")
    return recipe.features


def _decisions(recipe: Recipe, calibration: Path, min_speech: float) -> DecisionConfig:
    """Return the decisions of a gallery: by the recipe's own costs, if any, or by the threshold that its run learnt."""
    if recipe.decision.method == "bayes" or not calibration.exists():
        return DecisionConfig(min_speech=min_speech, costs=recipe.decision.costs or EQUAL_ERRORS)
    try:
        threshold = float(json.loads(calibration.read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"{calibration}: no threshold in it, and this run has learnt one") from error
    return DecisionConfig(
        min_speech=min_speech, threshold=threshold, identification=IdentificationConfig(threshold=threshold)
    )
