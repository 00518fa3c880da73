"""Back ends and enrolled models on disk: safetensors files with the header of a model file.

The header also lists the steps and, for support-vector machines, whose recordings the background's are. The same back
end gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array
from speechgmm.configuration import fingerprint
from speechgmm.errors import ModelError
from speechgmm.gmm.storage import MODEL_FORMAT, FrontEnd, load_model_arrays, save_model_arrays
from speechgmm.subspace.backend.chain import Backend, StepConfig, parse_steps, transforms_of
from speechgmm.subspace.backend.config import CosineConfig, PldaConfig, SvmConfig
from speechgmm.subspace.backend.cosine import CosineScorer
from speechgmm.subspace.backend.scorer import Arrays, EnrolledVectors, Scorer
from speechgmm.subspace.backend.svm import SvmScorer
from speechgmm.subspace.backend.transforms import transform_of
from speechgmm.tensors import load_arrays, refuse_damage, save_arrays

ENROLLED = ("values", "counts", "offsets")


def save_backend(path: str | Path, backend: Backend, front_end: FrontEnd | None = None) -> None:
    """Write a back end to a file; an existing one is replaced in one step."""
    by_part = (*(step.arrays for step in backend.steps), backend.scorer.arrays)
    arrays = {f"{number}.{name}": array for number, part in enumerate(by_part) for name, array in part.items()}
    metadata = {
        "front_end": front_end and dict(front_end),
        "fingerprint": front_end and fingerprint(dict(front_end)),
        "names": [],
        "steps": [config.model_dump(mode="json") for config in backend.configs],
        "negatives": list(backend.scorer.speakers) if isinstance(backend.scorer, SvmScorer) else [],
        "warnings": list(backend.warnings),
    }
    save_arrays(Path(path), MODEL_FORMAT, metadata, arrays, kind="backend")


def load_backend(path: str | Path) -> Backend:
    """Read a back end that `save_backend` wrote, bit for bit; raise ModelError if the file cannot be used."""
    path = Path(path)
    try:
        header, arrays = load_arrays(path, MODEL_FORMAT, kind="backend")
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    _check_types(path, arrays)
    with refuse_damage(ModelError, f"{path}: damaged header"):
        configs, negatives, warnings = (header[name] for name in ("steps", "negatives", "warnings"))
        for texts in (negatives, warnings):
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise TypeError("names or warnings; expected lists of texts")
    try:
        parsed = parse_steps(configs)
        *parts, last = _parts(arrays, len(parsed))
        steps = tuple(map(transform_of, transforms_of(parsed), parts))
        scorer = _scorer_of(parsed[-1], last, tuple(negatives))
    except (LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: damaged back end ({error})") from error
    return Backend(steps, scorer, tuple(warnings))


def save_enrolled(
    path: str | Path, names: Sequence[str], models: EnrolledVectors, front_end: FrontEnd | None = None
) -> None:
    """Write the models of named speakers to a file; raise ModelError if there is not one name for each."""
    if not names or len(names) != len(models) or len(set(names)) != len(names):
        raise ModelError(f"{path}: {len(set(names))} names for {len(models)} models; expected one for each")
    arrays: dict[str, Float64Array] = {name: np.asarray(getattr(models, name), np.float64) for name in ENROLLED}
    if models.covariances is not None:
        arrays["covariances"] = models.covariances
    save_model_arrays(Path(path), arrays, "vectors", front_end, names)


def load_enrolled(path: str | Path) -> tuple[tuple[str, ...], EnrolledVectors]:
    """Read the names and models that `save_enrolled` wrote, bit for bit; ModelError if the file cannot be used."""
    path = Path(path)
    arrays, header = load_model_arrays(path, "vectors")
    _check_types(path, arrays)
    n_models, shape = len(header.names), arrays["values"].shape if "values" in arrays else ()
    expected = {"values": (n_models, *shape[1:2]), "counts": (n_models,), "offsets": (n_models,)}
    if "covariances" in arrays:
        expected["covariances"] = (n_models, *shape[1:2], *shape[1:2])
    if len(shape) != 2 or {name: array.shape for name, array in arrays.items()} != expected:
        held = ", ".join(f"{name} {array.shape}" for name, array in sorted(arrays.items()))
        raise ModelError(f"{path}: holds arrays {held}; expected those of {n_models} models")
    counts = arrays["counts"]
    if (counts < 1).any() or (counts % 1).any():
        raise ModelError(
            f"{path}: counts {', '.join(f'{count:g}' for count in counts)}; expected whole numbers above 0"
        )
    return header.names, EnrolledVectors(
        arrays["values"], counts.astype(np.intp), arrays["offsets"], arrays.get("covariances")
    )


def _check_types(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse arrays that are not float64, or hold NaN or infinity."""
    for name, array in arrays.items():
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} of type {array.dtype}; expected finite numbers of type float64")


def _parts(arrays: Arrays, n_parts: int) -> list[dict[str, Float64Array]]:
    """Return the arrays of each step and of the scorer, by name."""
    parts: list[dict[str, Float64Array]] = [{} for _ in range(n_parts)]
    for name, array in arrays.items():
        number, _, short = name.partition(".")
        parts[int(number)][short] = array
    return parts


def _scorer_of(config: StepConfig, arrays: Arrays, negatives: tuple[str, ...]) -> Scorer:
    """Make a fitted scorer from its arrays; ModelError, KeyError or TypeError if they are not those of such a one."""
    match config:
        case SvmConfig():
            return SvmScorer(config, arrays["negatives"], negatives)
        case PldaConfig():
            from speechgmm.subspace.backend.plda import PldaScorer

            return PldaScorer.from_arrays(config, arrays)
        case CosineConfig() if not arrays:
            return CosineScorer(config)
        case _:
            raise ModelError(f"{config.step}: arrays {', '.join(arrays)}; expected none")
