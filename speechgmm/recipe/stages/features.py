"""Utterances with their features: the stage that all others begin with."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.manifest import Utterance, first_few
from speechgmm.errors import CorpusError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.formats.reading import file_of_place
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.features.store.store import FeatureStore, open_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.stages import ubm as stages
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.scores import ProgressCallback


@dataclass(frozen=True)
class RoleFeatures:
    """Utterances, and where their features are.

    Parameters
    ----------
    utterances : tuple of Utterance
        In the order of the list; some may have no features.
    features : StageOutput
        A feature store that has at least those.
    """

    utterances: tuple[Utterance, ...]
    features: StageOutput

    @property
    def store(self) -> FeatureStore:
        """The features."""
        return open_store(self.features.folder)

    @property
    def ids(self) -> list[str]:
        """Names of the utterances."""
        return [utterance.id for utterance in self.utterances]

    @property
    def speaker_of(self) -> dict[str, str]:
        """Who speaks, for each model that the utterances enrol."""
        return {utterance.enrols: utterance.speaker for utterance in self.utterances}


def role_features(
    title: str, utterances: Sequence[Utterance], config: FeatureConfig | ImportedConfig, context: StageContext
) -> RoleFeatures:
    """Extract features, or find them.

    Parameters
    ----------
    title : str
        What people call the stage.
    utterances : sequence of Utterance
        Whose.
    config : FeatureConfig or ImportedConfig
        The front end.
    context : StageContext
        How to run.

    Returns
    -------
    RoleFeatures
        The utterances with their features.
    """
    given = isinstance(config, ImportedConfig)
    before = {file: _stamp(file) for file in _files(utterances, given=given)}
    stage = partial(_extract_steadily, before, utterances=utterances, config=config)
    inputs = {"config": to_json(config), "utterances": _digests(utterances, given=given)}
    output = context.output("features", inputs, context.spread(stage, title), title)
    return RoleFeatures(tuple(utterances), output)


def _files(utterances: Sequence[Utterance], *, given: bool) -> list[str]:
    """List the files that utterances are in, each once."""
    return list(dict.fromkeys(file_of_place(each.path) if given else each.path for each in utterances))


def _stamp(file: str) -> tuple[int, int] | None:
    """Give the size of a file and when it was changed; None if there is none."""
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _extract_steadily(
    before: Mapping[str, tuple[int, int] | None],
    folder: Path,
    *,
    utterances: Sequence[Utterance],
    config: FeatureConfig | ImportedConfig,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Extract features, of what was digested: of another content they would be stored under the wrong digest."""
    stages.extract_features(folder, utterances, config, engine, tick)
    changed = [file for file, stamp in before.items() if _stamp(file) != stamp]
    if changed:
        raise CorpusError(f"{first_few(changed)}: changed, or gone, while features were extracted; run again")


def _digests(utterances: Sequence[Utterance], *, given: bool) -> JsonValue:
    """Digest the content of the files, each once; one that cannot be read has none. Parts of files say which."""
    digests: dict[str, str] = {}
    inputs: list[JsonValue] = []
    for utterance in utterances:
        path, *segment = utterance.audio
        file = file_of_place(path) if given else path
        if file not in digests:
            digests[file] = digest(Path(file))
        part = [path[len(file) :]] if given else segment if any(each is not None for each in segment) else []
        inputs.append([utterance.id, digests[file], *part])
    return inputs


def digest(path: Path) -> str:
    """Digest a file.

    Parameters
    ----------
    path : Path
        What is no file, or has a name that none can have, is told apart from those that can be read.

    Returns
    -------
    str
        64 hexadecimal digits: SHA-256 of its content; or why there are none.
    """
    try:
        if not path.is_file():
            return "no file"
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"
