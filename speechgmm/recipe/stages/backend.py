"""The back end of a system as a stage: its steps, fitted to the vectors of the background.

Files: ``backend.safetensors`` and ``warnings.json``.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import BACKEND_FILE
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.subspace import write_warnings
from speechgmm.recipe.stages.vectors import RoleVectors, load_vectors, names_of
from speechgmm.subspace.backend.chain import fit_backend
from speechgmm.subspace.backend.config import CoralConfig, PldaConfig, ScorerConfig, TransformConfig
from speechgmm.subspace.backend.storage import save_backend

VERSION = 1
"""Rises whenever the same inputs would give another output."""

Steps = tuple[TransformConfig | ScorerConfig, ...]


def fitted_backend(
    steps: Steps, background: RoleVectors, enrol: RoleVectors, context: StageContext, title: str
) -> StageOutput:
    """Fit a back end to the background, and adapt it to the enrolment where it says so; or find it."""
    adapts = any(isinstance(each, CoralConfig) or (isinstance(each, PldaConfig) and each.adaptation) for each in steps)
    speaker_of = {each.id: each.speaker for each in background.statistics.role.utterances}
    inputs: dict[str, JsonValue] = {
        "config": [to_json(step) for step in steps],
        "vectors": background.vectors.digest,
        "speakers": dict(speaker_of),
        "adaptation": enrol.vectors.digest if adapts else None,
    }
    work = partial(
        write_backend,
        steps=steps,
        vectors=background.vectors.folder,
        speaker_of=speaker_of,
        adaptation=enrol.vectors.folder if adapts else None,
    )
    return context.output(StageKey("backend", VERSION, inputs), work, title)


def write_backend(
    folder: Path,
    _engine: Engine,
    _progress: ProgressCallback,
    *,
    steps: Steps,
    vectors: Path,
    speaker_of: Mapping[str, str],
    adaptation: Path | None,
) -> None:
    """Fit a back end to stored vectors."""
    speakers = [speaker_of[name] for name in names_of(vectors)]
    adapting = None if adaptation is None else load_vectors(adaptation)
    backend = fit_backend(steps, load_vectors(vectors), speakers, adaptation=adapting)
    save_backend(folder / BACKEND_FILE, backend)
    write_warnings(folder, backend.warnings)
