"""Names of the files and columns of a folder of results, and of the cache beside it."""

CACHE = ".cache"
"""Outputs of stages, which experiments share; below the folder that holds the folders of results."""

RESULTS_LOCK_PREFIX = "results-"
"""How the name of the lock begins that a run holds while it writes its results."""

PREVIOUS = ".previous"
"""How the name of a folder ends that keeps the results of another recipe, which a run of the same name replaced."""

RECIPE_FILE, PROVENANCE_FILE, LOG_FILE = "recipe.yaml", "provenance.json", "log.txt"
METRICS_FILE, SCORES_FILE, REPORT_FILE = "metrics.json", "scores.csv", "report.html"
DATA_FILE, SKIPPED_FILE, CONFUSION_FILE = "data.csv", "skipped.csv", "confusion.csv"
UBM_FILE, SPEAKERS_FILE, COHORT_FILE = "ubm.safetensors", "speakers.safetensors", "cohort.safetensors"
SUBSPACE_FILE, BACKEND_FILE, FACTORS_FILE = "subspace.safetensors", "backend.safetensors", "factors.csv"
TRAINING_FILE, SIZES_FILE, UNTRAINED_FILE = "training.csv", "sizes.csv", "untrained.json"
CALIBRATION_FILE = "calibration.json"

PLOTS, SYSTEMS, SEXES = "plots", "systems", "sexes"
"""Folders: the plots; the models of each system of a fusion; the models of each sex."""

SERIES_FILE = "sweep.csv"
"""The table of a series, beside the folders of its points."""

PREVIOUS_SERIES_FILE = "sweep.previous.csv"
"""The table of an earlier series of the same name, whose points had other recipes."""

DATA_COLUMNS = ("system", "role", "id", "speaker", "model", "sex", "path", "seconds", "speech_seconds")
CONFUSION_COLUMNS = ("model", "answer", "tests")
SKIPPED_COLUMNS = ("kind", "id", "role", "path", "reason", "system")
SCORES_COLUMNS = ("model", "test", "score", "llr", "label", "speaker")

IN_LIST = "list:"
"""How the column of scores.csv begins that says which trials a list has; the name of the list follows."""

ON_BACKGROUND = "trials among the speakers of the background, each fold of them by systems of the others"
"""What stored results call the trials of cross-fitted systems, in ``trained_on``: not to be reworded."""

ON_OTHER_CORPORA = "other corpora alone, by the map that comes with speechgmm"
"""What they call a calibration without trials of its own: not to be reworded."""

EARLIER_ON_BACKGROUND = (
    "trials among the speakers of the background model: each half of them by a system of the other half"
)
"""What results of earlier versions call them."""
