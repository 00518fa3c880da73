"""Speech features, diagonal Gaussian mixture models with a universal background model, and scored speaker trials.

These are the public names. Importing the package is cheap: each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from speechgmm.version import __version__

if TYPE_CHECKING:
    from speechgmm.audio.reading import read_audio as read_audio
    from speechgmm.features.extract import FeatureConfig as FeatureConfig
    from speechgmm.features.extract import extract as extract
    from speechgmm.features.streaming.stream import FeatureStream as FeatureStream
    from speechgmm.gmm.adaptation import map_adapt as map_adapt
    from speechgmm.gmm.density import impute as impute
    from speechgmm.gmm.density import sample as sample
    from speechgmm.gmm.likelihood import log_likelihood as log_likelihood
    from speechgmm.gmm.likelihood import posteriors as posteriors
    from speechgmm.gmm.model import DiagonalGMM as DiagonalGMM
    from speechgmm.gmm.statistics import SufficientStats as SufficientStats
    from speechgmm.gmm.statistics import accumulate as accumulate
    from speechgmm.gmm.storage import load_gmm as load_gmm
    from speechgmm.gmm.storage import save_gmm as save_gmm
    from speechgmm.gmm.training.config import TrainingConfig as TrainingConfig
    from speechgmm.gmm.training.em import train as train
    from speechgmm.recipe.running.runner import run as run
    from speechgmm.scoring.cohort_llr import cohort_score_matrix as cohort_score_matrix
    from speechgmm.scoring.frames import RunningLLR as RunningLLR
    from speechgmm.scoring.frames import frame_llrs as frame_llrs
    from speechgmm.scoring.frames import windowed_llr as windowed_llr
    from speechgmm.scoring.linear import linear_score_matrix as linear_score_matrix
    from speechgmm.scoring.llr import ScoringConfig as ScoringConfig
    from speechgmm.scoring.llr import grouped_score_matrix as grouped_score_matrix
    from speechgmm.scoring.llr import llr as llr
    from speechgmm.scoring.llr import score_matrix as score_matrix

_HOMES = {
    "read_audio": "audio.reading",
    "FeatureConfig": "features.extract",
    "extract": "features.extract",
    "FeatureStream": "features.streaming.stream",
    "DiagonalGMM": "gmm.model",
    "log_likelihood": "gmm.likelihood",
    "posteriors": "gmm.likelihood",
    "sample": "gmm.density",
    "impute": "gmm.density",
    "SufficientStats": "gmm.statistics",
    "accumulate": "gmm.statistics",
    "TrainingConfig": "gmm.training.config",
    "train": "gmm.training.em",
    "map_adapt": "gmm.adaptation",
    "load_gmm": "gmm.storage",
    "save_gmm": "gmm.storage",
    "llr": "scoring.llr",
    "ScoringConfig": "scoring.llr",
    "score_matrix": "scoring.llr",
    "grouped_score_matrix": "scoring.llr",
    "linear_score_matrix": "scoring.linear",
    "frame_llrs": "scoring.frames",
    "windowed_llr": "scoring.frames",
    "RunningLLR": "scoring.frames",
    "cohort_score_matrix": "scoring.cohort_llr",
    "run": "recipe.running.runner",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'speechgmm' has no attribute {name!r}")
    return getattr(import_module(f"speechgmm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(__all__)
