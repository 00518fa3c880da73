"""What a run leaves for a gallery: the results of one system, as `speechgmm.gallery.enrolment` takes them."""

import json
from pathlib import Path

from speechgmm.corpus.formats.folders import LayoutConfig
from speechgmm.errors import GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gallery.config import DecisionConfig
from speechgmm.gallery.enrolment import create_gallery
from speechgmm.gallery.gallery import Gallery
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.recipe.layout import CALIBRATION_FILE, COHORT_FILE, RECIPE_FILE, UBM_FILE
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.scoring.identification import IdentificationConfig


def gallery_of_results(results: str | Path, folder: str | Path, *, min_speech: float = 2.0) -> Gallery:
    """Make a gallery in which nobody is enrolled of what a run has left.

    Parameters
    ----------
    results : str or Path
        The folder of results.
    folder : str or Path
        A new or an empty folder.
    min_speech : float >= 0, seconds
        With less speech than this, what is enrolled or tested is flagged.

    Returns
    -------
    Gallery
        With the run's front end, background model, settings, cohort and calibration, and with the corpus' choice of
        a channel, where it is one for all recordings. Decisions are by its costs; a threshold that it has learnt is
        that of verification and of identification.

    Raises
    ------
    GalleryError, RecipeError, ModelError
        If these are no results of one system with one background model, a file is missing or damaged, or the folder
        holds something.
    OSError
        If the gallery cannot be written.
    """
    results = Path(results)
    recipe = load_recipe(results / RECIPE_FILE)
    front_end, adaptation = check_results(results, recipe)
    calibration, cohort = results / CALIBRATION_FILE, results / COHORT_FILE
    return create_gallery(
        folder,
        results / UBM_FILE,
        front_end=front_end,
        channel=recipe.corpus.channel if isinstance(recipe.corpus, LayoutConfig) else None,
        adaptation=adaptation,
        scoring=recipe.scoring,
        decisions=_decisions(recipe, calibration, min_speech),
        cohort=cohort if recipe.normalisation.method != "none" else None,
        normalisation=recipe.normalisation,
        calibration=calibration if calibration.exists() else None,
    )


def check_results(results: Path, recipe: Recipe) -> tuple[FeatureConfig, AdaptationConfig]:
    """Refuse results that no gallery can be made of.

    Parameters
    ----------
    results : Path
        The folder.
    recipe : Recipe
        What was run.

    Returns
    -------
    front_end : FeatureConfig
        Of the audio.
    adaptation : AdaptationConfig
        How speakers are adapted from the background model.

    Raises
    ------
    GalleryError
        If there are several systems, not one background model, no cohort for normalised scores, or features that
        were given.
    """
    if recipe.systems:
        names = ", ".join(member.name for member in recipe.systems_or_self)
        raise GalleryError(
            f"{results}: a fusion of {names}, and a gallery has one system; expected one of them, run alone"
        )
    if not isinstance(recipe.speakers, AdaptationConfig) or recipe.ubm.per_sex:
        raise GalleryError(f"{results}: expected a run with one background model, which a gallery adapts")
    if not isinstance(recipe.features, FeatureConfig):
        raise GalleryError(f"{results}: its models know given features; expected a run on audio, which is enrolled")
    cohort = results / COHORT_FILE
    if recipe.normalisation.method != "none" and not cohort.exists():
        raise GalleryError(f"{cohort}: no such file, and the scores of this run are normalised by a cohort")
    return recipe.features, recipe.speakers


def _decisions(recipe: Recipe, calibration: Path, min_speech: float) -> DecisionConfig:
    """Decide as the run did: by its costs, or by the threshold that it has learnt."""
    if recipe.decision.method == "bayes" or not calibration.exists():
        return DecisionConfig(min_speech=min_speech, costs=recipe.decision.costs)
    try:
        threshold = float(json.loads(calibration.read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"{calibration}: no threshold in it, and this run has learnt one") from error
    return DecisionConfig(
        min_speech=min_speech, threshold=threshold, identification=IdentificationConfig(threshold=threshold)
    )
