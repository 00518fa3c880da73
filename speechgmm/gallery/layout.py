"""Names of the files in a gallery's folder."""

from pathlib import Path

CONFIG_FILE = "gallery.json"
UBM_FILE = "ubm.safetensors"
CALIBRATION_FILE = "calibration.json"
COHORT_FILE = "cohort.safetensors"
SUBSPACE_FILE = "subspace.safetensors"
BACKEND_FILE = "backend.safetensors"
SUFFIX = ".safetensors"


def speakers_folder(gallery: Path) -> Path:
    """Return the folder of the speakers' files."""
    return gallery / "speakers"


def speaker_file(gallery: Path, name: str) -> Path:
    """Return the path of a speaker's file; the name is one that `speechgmm.gallery.speakers.safe_name` returned."""
    return speakers_folder(gallery) / f"{name}{SUFFIX}"
