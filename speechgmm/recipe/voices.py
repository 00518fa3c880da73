"""Utterances with their features: the stage that all others begin with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.manifest import Utterance
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.given import GivenConfig
from speechgmm.features.reading import file_of_place
from speechgmm.features.store import FeatureStore, open_store
from speechgmm.recipe import stages
from speechgmm.recipe.cache import StageOutput
from speechgmm.recipe.means import Means, plain


@dataclass(frozen=True)
class Voices:
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


def extract_voices(
    title: str, utterances: Sequence[Utterance], config: FeatureConfig | GivenConfig, means: Means
) -> Voices:
    """Extract features, or find them.

    Parameters
    ----------
    title : str
        What people call the stage.
    utterances : sequence of Utterance
        Whose.
    config : FeatureConfig or GivenConfig
        The front end.
    means : Means
        How to run.

    Returns
    -------
    Voices
        The utterances with their features.
    """
    stage = partial(stages.extract_features, utterances=utterances, config=config)
    inputs = {"config": plain(config), "utterances": _digests(utterances, given=isinstance(config, GivenConfig))}
    output = means.obtain("features", inputs, means.spread(stage, title), title)
    return Voices(tuple(utterances), output)


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
