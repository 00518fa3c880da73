"""Speech features, diagonal Gaussian mixture models with a universal background model, and scored speaker trials.

These are the public names. Importing the package is cheap: each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from speechgmm.version import __version__

if TYPE_CHECKING:
    from speechgmm.audio.opening import RawFormat as RawFormat
    from speechgmm.audio.reading import read_audio as read_audio
    from speechgmm.augmentation.augment import augment as augment
    from speechgmm.augmentation.band import band_limit as band_limit
    from speechgmm.augmentation.codecs import encode_and_decode as encode_and_decode
    from speechgmm.augmentation.config import AugmentConfig as AugmentConfig
    from speechgmm.augmentation.noise import add_noise as add_noise
    from speechgmm.augmentation.noise import coloured_noise as coloured_noise
    from speechgmm.augmentation.room import reverberate as reverberate
    from speechgmm.augmentation.room import room_response as room_response
    from speechgmm.corpus.manifest import Corpus as Corpus
    from speechgmm.corpus.manifest import Trial as Trial
    from speechgmm.corpus.manifest import Utterance as Utterance
    from speechgmm.corpus.reading import read_corpus as read_corpus
    from speechgmm.corpus.scored.evaluation import evaluate_scores as evaluate_scores
    from speechgmm.diarisation.config import DiarisationConfig as DiarisationConfig
    from speechgmm.diarisation.diarise import diarise as diarise
    from speechgmm.diarisation.models import DiarisationModels as DiarisationModels
    from speechgmm.errors import AudioWarning as AudioWarning
    from speechgmm.errors import SpeechGMMError as SpeechGMMError
    from speechgmm.evaluation.identification import identification_rate as identification_rate
    from speechgmm.evaluation.metrics import act_dcf as act_dcf
    from speechgmm.evaluation.metrics import cllr as cllr
    from speechgmm.evaluation.metrics import dcf as dcf
    from speechgmm.evaluation.metrics import eer as eer
    from speechgmm.evaluation.metrics import min_cllr as min_cllr
    from speechgmm.evaluation.metrics import min_dcf as min_dcf
    from speechgmm.features.extract import FeatureConfig as FeatureConfig
    from speechgmm.features.extract import extract as extract
    from speechgmm.features.formats.reading import read_features as read_features
    from speechgmm.features.formats.vectors import read_vectors as read_vectors
    from speechgmm.features.formats.vectors import write_vectors as write_vectors
    from speechgmm.features.formats.writing import write_features as write_features
    from speechgmm.features.store.store import FeatureStore as FeatureStore
    from speechgmm.features.store.store import open_store as open_store
    from speechgmm.features.store.writing import write_store as write_store
    from speechgmm.features.streaming.stream import FeatureStream as FeatureStream
    from speechgmm.gallery.enrolment import create_gallery as create_gallery
    from speechgmm.gallery.enrolment import enrol as enrol
    from speechgmm.gallery.gallery import Gallery as Gallery
    from speechgmm.gallery.pretrained import pretrained_gallery as pretrained_gallery
    from speechgmm.gallery.recognition import identify_speaker as identify_speaker
    from speechgmm.gallery.recognition import verify_speaker as verify_speaker
    from speechgmm.gmm.adaptation import AdaptationConfig as AdaptationConfig
    from speechgmm.gmm.adaptation import map_adapt as map_adapt
    from speechgmm.gmm.adaptation import map_iterate as map_iterate
    from speechgmm.gmm.density import classify as classify
    from speechgmm.gmm.density import impute as impute
    from speechgmm.gmm.density import sample as sample
    from speechgmm.gmm.likelihood import log_likelihood as log_likelihood
    from speechgmm.gmm.likelihood import posteriors as posteriors
    from speechgmm.gmm.model import DiagonalGMM as DiagonalGMM
    from speechgmm.gmm.statistics import SufficientStats as SufficientStats
    from speechgmm.gmm.statistics import accumulate as accumulate
    from speechgmm.gmm.storage import load_gmm as load_gmm
    from speechgmm.gmm.storage import load_speakers as load_speakers
    from speechgmm.gmm.storage import save_gmm as save_gmm
    from speechgmm.gmm.storage import save_speakers as save_speakers
    from speechgmm.gmm.training.config import TrainingConfig as TrainingConfig
    from speechgmm.gmm.training.em import train as train
    from speechgmm.gmm.training.initialisation import initialise as initialise
    from speechgmm.parallel.engine import Engine as Engine
    from speechgmm.recipe.reading.loader import load_recipe as load_recipe
    from speechgmm.recipe.results.diarisation import diarisation_models_of_results as diarisation_models_of_results
    from speechgmm.recipe.results.diarisation import pretrained_diarisation_models as pretrained_diarisation_models
    from speechgmm.recipe.results.gallery import gallery_of_results as gallery_of_results
    from speechgmm.recipe.results.reading import open_results as open_results
    from speechgmm.recipe.running.runner import run as run
    from speechgmm.recipe.schema.recipe import Recipe as Recipe
    from speechgmm.scoring.calibration import CalibrationConfig as CalibrationConfig
    from speechgmm.scoring.calibration import train_calibration as train_calibration
    from speechgmm.scoring.calibration_prior import CalibrationPrior as CalibrationPrior
    from speechgmm.scoring.cohort_llr import cohort_score_matrix as cohort_score_matrix
    from speechgmm.scoring.frames import RunningLLR as RunningLLR
    from speechgmm.scoring.frames import frame_llrs as frame_llrs
    from speechgmm.scoring.frames import windowed_llr as windowed_llr
    from speechgmm.scoring.identification import IdentificationConfig as IdentificationConfig
    from speechgmm.scoring.identification import identify as identify
    from speechgmm.scoring.linear import linear_score_matrix as linear_score_matrix
    from speechgmm.scoring.llr import ScoringConfig as ScoringConfig
    from speechgmm.scoring.llr import grouped_score_matrix as grouped_score_matrix
    from speechgmm.scoring.llr import llr as llr
    from speechgmm.scoring.llr import score_matrix as score_matrix
    from speechgmm.scoring.normalisation import ScoreNormalisationConfig as ScoreNormalisationConfig
    from speechgmm.scoring.normalisation import normalise_scores as normalise_scores
    from speechgmm.scoring.thresholds import ThresholdConfig as ThresholdConfig
    from speechgmm.scoring.thresholds import find_threshold as find_threshold
    from speechgmm.subspace.backend.chain import Backend as Backend
    from speechgmm.subspace.backend.chain import fit_backend as fit_backend
    from speechgmm.subspace.backend.config import PldaAdaptationConfig as PldaAdaptationConfig
    from speechgmm.subspace.backend.plda_adaptation import adapt_plda as adapt_plda
    from speechgmm.subspace.backend.plda_model import Plda as Plda
    from speechgmm.subspace.backend.plda_model import plda_llrs as plda_llrs
    from speechgmm.subspace.backend.plda_model import smooth_plda as smooth_plda
    from speechgmm.subspace.backend.plda_training import train_plda as train_plda
    from speechgmm.subspace.backend.scorer import EnrolledVectors as EnrolledVectors
    from speechgmm.subspace.session.config import ISVConfig as ISVConfig
    from speechgmm.subspace.session.config import JFAConfig as JFAConfig
    from speechgmm.subspace.session.enrolment import speaker_shift as speaker_shift
    from speechgmm.subspace.session.model import JointFactorModel as JointFactorModel
    from speechgmm.subspace.session.scoring import session_llrs as session_llrs
    from speechgmm.subspace.session.scoring import session_means as session_means
    from speechgmm.subspace.session.scoring import session_scores as session_scores
    from speechgmm.subspace.session.storage import load_joint_factors as load_joint_factors
    from speechgmm.subspace.session.storage import save_joint_factors as save_joint_factors
    from speechgmm.subspace.session.training import train_isv as train_isv
    from speechgmm.subspace.session.training import train_jfa as train_jfa
    from speechgmm.subspace.supervectors import fisher_vectors as fisher_vectors
    from speechgmm.subspace.supervectors import supervectors as supervectors
    from speechgmm.subspace.supervectors import vlad as vlad
    from speechgmm.subspace.total_variability.model import TotalVariability as TotalVariability
    from speechgmm.subspace.total_variability.posterior import ivectors as ivectors
    from speechgmm.subspace.total_variability.storage import load_total_variability as load_total_variability
    from speechgmm.subspace.total_variability.storage import save_total_variability as save_total_variability
    from speechgmm.subspace.total_variability.training import train_total_variability as train_total_variability
    from speechgmm.subspace.vectors import IVectorConfig as IVectorConfig
    from speechgmm.subspace.vectors import Vectors as Vectors

_HOMES = {
    "read_audio": "audio.reading",
    "RawFormat": "audio.opening",
    "AugmentConfig": "augmentation.config",
    "augment": "augmentation.augment",
    "band_limit": "augmentation.band",
    "encode_and_decode": "augmentation.codecs",
    "add_noise": "augmentation.noise",
    "coloured_noise": "augmentation.noise",
    "reverberate": "augmentation.room",
    "room_response": "augmentation.room",
    "FeatureConfig": "features.extract",
    "extract": "features.extract",
    "FeatureStream": "features.streaming.stream",
    "FeatureStore": "features.store.store",
    "open_store": "features.store.store",
    "write_store": "features.store.writing",
    "read_features": "features.formats.reading",
    "write_features": "features.formats.writing",
    "read_vectors": "features.formats.vectors",
    "write_vectors": "features.formats.vectors",
    "Utterance": "corpus.manifest",
    "Trial": "corpus.manifest",
    "Corpus": "corpus.manifest",
    "read_corpus": "corpus.reading",
    "DiagonalGMM": "gmm.model",
    "log_likelihood": "gmm.likelihood",
    "posteriors": "gmm.likelihood",
    "classify": "gmm.density",
    "sample": "gmm.density",
    "impute": "gmm.density",
    "SufficientStats": "gmm.statistics",
    "accumulate": "gmm.statistics",
    "TrainingConfig": "gmm.training.config",
    "initialise": "gmm.training.initialisation",
    "train": "gmm.training.em",
    "AdaptationConfig": "gmm.adaptation",
    "map_adapt": "gmm.adaptation",
    "map_iterate": "gmm.adaptation",
    "load_gmm": "gmm.storage",
    "save_gmm": "gmm.storage",
    "load_speakers": "gmm.storage",
    "save_speakers": "gmm.storage",
    "IVectorConfig": "subspace.vectors",
    "Vectors": "subspace.vectors",
    "supervectors": "subspace.supervectors",
    "fisher_vectors": "subspace.supervectors",
    "vlad": "subspace.supervectors",
    "TotalVariability": "subspace.total_variability.model",
    "train_total_variability": "subspace.total_variability.training",
    "ivectors": "subspace.total_variability.posterior",
    "save_total_variability": "subspace.total_variability.storage",
    "load_total_variability": "subspace.total_variability.storage",
    "ISVConfig": "subspace.session.config",
    "JFAConfig": "subspace.session.config",
    "JointFactorModel": "subspace.session.model",
    "train_isv": "subspace.session.training",
    "train_jfa": "subspace.session.training",
    "speaker_shift": "subspace.session.enrolment",
    "session_scores": "subspace.session.scoring",
    "session_means": "subspace.session.scoring",
    "session_llrs": "subspace.session.scoring",
    "save_joint_factors": "subspace.session.storage",
    "load_joint_factors": "subspace.session.storage",
    "fit_backend": "subspace.backend.chain",
    "Backend": "subspace.backend.chain",
    "Plda": "subspace.backend.plda_model",
    "train_plda": "subspace.backend.plda_training",
    "smooth_plda": "subspace.backend.plda_model",
    "plda_llrs": "subspace.backend.plda_model",
    "PldaAdaptationConfig": "subspace.backend.config",
    "EnrolledVectors": "subspace.backend.scorer",
    "adapt_plda": "subspace.backend.plda_adaptation",
    "ScoringConfig": "scoring.llr",
    "llr": "scoring.llr",
    "score_matrix": "scoring.llr",
    "grouped_score_matrix": "scoring.llr",
    "linear_score_matrix": "scoring.linear",
    "cohort_score_matrix": "scoring.cohort_llr",
    "frame_llrs": "scoring.frames",
    "windowed_llr": "scoring.frames",
    "RunningLLR": "scoring.frames",
    "ScoreNormalisationConfig": "scoring.normalisation",
    "normalise_scores": "scoring.normalisation",
    "CalibrationConfig": "scoring.calibration",
    "CalibrationPrior": "scoring.calibration_prior",
    "train_calibration": "scoring.calibration",
    "ThresholdConfig": "scoring.thresholds",
    "find_threshold": "scoring.thresholds",
    "IdentificationConfig": "scoring.identification",
    "identify": "scoring.identification",
    "eer": "evaluation.metrics",
    "dcf": "evaluation.metrics",
    "min_dcf": "evaluation.metrics",
    "act_dcf": "evaluation.metrics",
    "cllr": "evaluation.metrics",
    "min_cllr": "evaluation.metrics",
    "identification_rate": "evaluation.identification",
    "evaluate_scores": "corpus.scored.evaluation",
    "Gallery": "gallery.gallery",
    "create_gallery": "gallery.enrolment",
    "enrol": "gallery.enrolment",
    "pretrained_gallery": "gallery.pretrained",
    "identify_speaker": "gallery.recognition",
    "verify_speaker": "gallery.recognition",
    "DiarisationModels": "diarisation.models",
    "DiarisationConfig": "diarisation.config",
    "diarise": "diarisation.diarise",
    "Engine": "parallel.engine",
    "Recipe": "recipe.schema.recipe",
    "load_recipe": "recipe.reading.loader",
    "run": "recipe.running.runner",
    "open_results": "recipe.results.reading",
    "gallery_of_results": "recipe.results.gallery",
    "diarisation_models_of_results": "recipe.results.diarisation",
    "pretrained_diarisation_models": "recipe.results.diarisation",
    "SpeechGMMError": "errors",
    "AudioWarning": "errors",
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
