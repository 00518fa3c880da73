"""A gallery from the results of a run: its background model, settings, cohort and calibration."""

import json
from pathlib import Path

from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import is_file
from speechgmm.gallery.building import RecogniserSource, SystemSource, build_gallery, system_source
from speechgmm.gallery.config import DecisionConfig, RecogniserFacts
from speechgmm.gallery.gallery import Gallery
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import check_front_end
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.layout import (
    BACKEND_FILE,
    CALIBRATION_FILE,
    COHORT_FILE,
    RECIPE_FILE,
    SUBSPACE_FILE,
    SYSTEMS,
    UBM_FILE,
)
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.wrong_folders import not_results
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.pretrained import vectors_config
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.thresholds import EQUAL_ERRORS
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig


def gallery_of_results(results: str | Path, folder: str | Path, *, min_speech: float = 2.0) -> Gallery:
    """Create a gallery without speakers from the results of a run.

    Parameters
    ----------
    results : str or Path
        The results folder of a run, each of whose systems has one background model.
    folder : str or Path
        The gallery: a folder that does not exist or is empty.
    min_speech : float >= 0, seconds
        Recordings with less speech than this are flagged when they are enrolled or tested.

    Returns
    -------
    Gallery
        With the front ends, background models, factors, back ends, settings, cohort and calibration of the run.
        Verification decides by the costs that the recipe sets (``decision.costs``), or so that a miss and a false alarm
        count the same; if the run has learnt a threshold, verification and identification use that.

    Raises
    ------
    GalleryError, RecipeError, ModelError
        If the folder is not that of a run, a system has no background model or several, a fusion has no calibration or
        its scores are normalised by cohorts, a file is missing or damaged, or the folder of the gallery is not empty.
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
    calibration = results / CALIBRATION_FILE
    source = recogniser_of_results(results, recipe)
    decisions = _decisions(recipe, calibration, min_speech)
    return build_gallery(Path(folder), {"": source}, decisions=decisions)


def recogniser_of_results(results: Path, recipe: Recipe) -> RecogniserSource:
    """Collect the systems of a run and their calibration; the errors are those of `gallery_of_results`."""
    check_results(results, recipe)
    calibration = results / CALIBRATION_FILE
    systems = {
        system.name if recipe.systems else "": _system_of_results(
            results / SYSTEMS / system.name if recipe.systems else results, system
        )
        for system in recipe.systems_or_self
    }
    facts = RecogniserFacts(
        synthetic=isinstance(recipe.corpus, SyntheticConfig),
        enrolment_copies=recipe.augment.effects_alone if recipe.augment and recipe.augment.enrolment else None,
    )
    return RecogniserSource(systems, calibration if calibration.exists() else None, facts)


def _system_of_results(folder: Path, recipe: Recipe) -> SystemSource:
    """Collect the files of one system of a run."""
    vectors = vectors_config(recipe) if recipe.vectors else None
    speakers = None if recipe.vectors else recipe.speakers
    has_factors = isinstance(speakers, ISVConfig | JFAConfig) or isinstance(vectors, IVectorConfig)
    assert isinstance(recipe.features, FeatureConfig)
    check_front_end(folder / UBM_FILE, recipe.features.model_dump(mode="json"))
    return system_source(
        folder / UBM_FILE,
        adaptation=speakers if isinstance(speakers, AdaptationConfig) else None,
        speakers=speakers if isinstance(speakers, ISVConfig | JFAConfig) else None,
        vectors=vectors,
        factors=folder / SUBSPACE_FILE if has_factors else None,
        backend=folder / BACKEND_FILE if vectors else None,
        scoring=None if vectors else recipe.scoring,
        cohort=folder / COHORT_FILE if recipe.normalisation.method != "none" else None,
        normalisation=recipe.normalisation,
    )


def check_results(results: Path, recipe: Recipe) -> None:
    """Refuse results that a gallery cannot use.

    Raises GalleryError for a system with more or fewer background models than one, for imported features, if scores are
    normalised by a cohort that is missing, and for a fusion without a calibration.
    """
    for system in recipe.systems_or_self:
        place = f"{results}: {system.name}" if recipe.systems else f"{results}"
        _check_system(place, system)
        cohort = results / COHORT_FILE
        if system.normalisation.method != "none" and recipe.systems:
            raise GalleryError(
                f"{place}: its scores are normalised by a cohort, which the results of a fusion do not keep; expected "
                "this system run alone, or a fusion without normalisation (normalisation.method none)"
            )
        if system.normalisation.method != "none" and not cohort.exists():
            raise GalleryError(f"{cohort}: no such file, and the scores of this run are normalised by a cohort")
    if recipe.systems and not (results / CALIBRATION_FILE).exists():
        raise GalleryError(
            f"{results}: a fusion without a calibration; expected a run with one, which fuses the scores"
        )


def _check_system(place: str, recipe: Recipe) -> None:
    """Refuse a system that a gallery cannot use."""
    if isinstance(recipe.speakers, IndependentConfig) or recipe.ubm.per_sex:
        found = "a background model for each sex" if recipe.ubm.per_sex else "a model for each speaker of its own"
        raise GalleryError(
            f"{place}: {found}; expected one background model, which the models of a gallery start from: "
            "speakers.method map, isv or jfa, or vectors, and a corpus with a background (init plans one from 20 "
            "speakers on)"
        )
    if not isinstance(recipe.features, FeatureConfig):
        raise GalleryError(
            f"{place}: its models are of imported features; expected a run on audio, which is what a gallery enrols"
        )


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
