"""The models of a run, for diarisation."""

from pathlib import Path

from speechgmm.diarisation.models import DiarisationModels
from speechgmm.errors import ResultsError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import is_file
from speechgmm.gallery.pretrained import load_pretrained
from speechgmm.gallery.systems import VectorSystem
from speechgmm.gmm.storage import load_gmm
from speechgmm.recipe.layout import BACKEND_FILE, RECIPE_FILE, SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.wrong_folders import not_results
from speechgmm.subspace.backend.storage import load_backend
from speechgmm.subspace.total_variability.storage import load_total_variability
from speechgmm.subspace.vectors import IVectorConfig

PRETRAINED = "speech16k", "mfcc_raw_plda"
"""The pretrained recogniser, and its system, that diarisation compares voices with by default."""


def pretrained_diarisation_models() -> DiarisationModels:
    """Open the pretrained models for diarisation.

    Returns
    -------
    DiarisationModels
        Front end, background model, factors and back end that come with the package.

    Raises
    ------
    ModelError
        If the package's files are missing or damaged.

    Examples
    --------
    >>> from speechgmm import pretrained_diarisation_models
    >>> pretrained_diarisation_models().front_end.sample_rate
    16000
    """
    return diarisation_models_in(None)


def diarisation_models_in(folder: Path | None) -> DiarisationModels:
    """Open the models for diarisation in a folder of pretrained recognisers; None is that of the package."""
    name, system = PRETRAINED
    stored = load_pretrained(name, folder).system(system)
    kind = stored.kind
    assert isinstance(kind, VectorSystem)
    assert kind.factors is not None
    assert isinstance(kind.config, IVectorConfig)
    return DiarisationModels(stored.front_end, kind.ubm, kind.factors, kind.backend, kind.config)


def diarisation_models_of_results(results: str | Path) -> DiarisationModels:
    """Read what `diarise` needs from the results of a run with i-vectors and PLDA.

    Parameters
    ----------
    results : str or Path
        The results folder of a run with one system, such as the recipe ``so762_ivector``.

    Returns
    -------
    DiarisationModels
        Front end, background model, factors and back end of the run.

    Raises
    ------
    ResultsError, RecipeError, ModelError
        If the folder is not that of a run on audio with one system of i-vectors and PLDA, or a file is missing or
        damaged.

    Examples
    --------
    >>> from speechgmm import Engine, Recipe, diarisation_models_of_results, run
    >>> corpus = {"kind": "synthetic", "n_speakers": 2, "n_background": 3, "n_test": 1, "seconds": 2.0}
    >>> vectors = {"ubm": {"n_components": 4}, "vectors": {"kind": "ivector", "rank": 2}, "backend": ["plda"]}
    >>> recipe = Recipe(name="voices", corpus=corpus, calibration={"method": "none"}, **vectors)
    >>> done = run(recipe, engine=Engine("serial"), until_stage="evaluation")
    >>> diarisation_models_of_results("results/voices").factors.rank
    2
    """
    results = Path(results)
    if not is_file(results / RECIPE_FILE):
        raise ResultsError(not_results(results))
    recipe = load_recipe(results / RECIPE_FILE)
    if recipe.systems or not isinstance(recipe.vectors, IVectorConfig) or recipe.ubm.per_sex:
        found = "a fusion" if recipe.systems else "no i-vectors of one background model"
        raise ResultsError(f"{results}: {found}; expected a run of one system of i-vectors, such as so762_ivector")
    if not isinstance(recipe.features, FeatureConfig):
        raise ResultsError(f"{results}: its models are of imported features; expected a run on audio")
    return DiarisationModels(
        recipe.features,
        load_gmm(results / UBM_FILE),
        load_total_variability(results / SUBSPACE_FILE),
        load_backend(results / BACKEND_FILE),
        recipe.vectors,
    )
