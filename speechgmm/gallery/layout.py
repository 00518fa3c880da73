"""Names of the files in a gallery's folder."""

CONFIG_FILE = "gallery.json"
UBM_FILE = "ubm.safetensors"
CALIBRATION_FILE = "calibration.json"
COHORT_FILE = "cohort.safetensors"
SUFFIX = ".safetensors"
