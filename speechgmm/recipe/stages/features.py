"""Features as a stage: one store for each role of the corpus, in the features of each system.

Files: those of a feature store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pydantic import JsonValue

from speechgmm.audio.reading import audio_file
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.formats.reading import file_of_place
from speechgmm.features.store.imported import ImportedConfig, write_imported_store
from speechgmm.features.store.store import FeatureStore, open_store
from speechgmm.features.store.writing import Source, write_store
from speechgmm.files import file_digest
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.copies import Copy, inputs_of_copies, without_copies
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.wording import first_few, names_by_reason

VERSION = 3
"""Rises whenever the same inputs would give another output."""

MAX_REASONS = 3
"""Reasons that a message gives for utterances without features."""


@dataclass(frozen=True)
class RoleFeatures:
    """The utterances of a role, some of which may have no features, and the store of those that have."""

    utterances: tuple[Utterance, ...]  # in the order of the list
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

    def as_recorded(self) -> "RoleFeatures":
        """Return the utterances that are recordings of the corpus, and no augmented copies."""
        return replace(self, utterances=without_copies(self.utterances))

    def of_sex(self, sex: str) -> "RoleFeatures":
        """Return the utterances of the speakers of one sex."""
        return replace(self, utterances=tuple(each for each in self.utterances if each.sex == sex))

    def sexes(self) -> list[str]:
        """List the sexes of the speakers, sorted; raise CorpusError where one is not known."""
        unknown = sorted({utterance.speaker for utterance in self.utterances if not utterance.sex})
        if unknown:
            raise CorpusError(f"ubm.per_sex: the sex of {len(unknown)} speakers is not known, of {unknown[0]} for one")
        sexes = sorted({utterance.sex for utterance in self.utterances if utterance.sex})
        if odd := [sex for sex in sexes if not sex.isalnum()]:
            raise CorpusError(f"ubm.per_sex: sex {odd[0]!r}; expected letters")
        return sexes


def usable_utterances(role: RoleFeatures, context: StageContext) -> tuple[Utterance, ...]:
    """List the utterances of a role that have features; all of them as long as a plan has not made these."""
    if not context.is_there(role.features):
        return role.utterances
    store = role.store
    return tuple(utterance for utterance in role.utterances if utterance.id in store)


def frame_counts(store: FeatureStore) -> dict[str, int]:
    """Return the number of frames of each utterance in a store."""
    return {stored.utterance: stored.stop - stored.start for stored in store.utterances}


def role_features(
    title: str,
    utterances: Sequence[Utterance],
    config: FeatureConfig | ImportedConfig,
    context: StageContext,
    augment: AugmentConfig | None = None,
) -> RoleFeatures:
    """Extract the features of utterances, or find them; `augment` is how the copies among them are made."""
    imported = isinstance(config, ImportedConfig)
    stamps = {file: _stamp(file) for file in _files(utterances, imported=imported)}

    def work(folder: Path, engine: Engine, progress: ProgressCallback) -> None:
        """Write the store of what was digested: other content would be stored under a wrong digest."""
        write_role_features(folder, engine, progress, utterances=utterances, config=config, augment=augment)
        if changed := [file for file, stamp in stamps.items() if _stamp(file) != stamp]:
            raise CorpusError(f"{first_few(changed)}: changed, or gone, while features were extracted; run again")

    inputs: dict[str, JsonValue] = {
        "config": to_json(config),
        "utterances": _digests(utterances, imported=imported),
    }
    if augment is not None and any(isinstance(each, Copy) for each in utterances):
        inputs["copies"] = inputs_of_copies(augment)
    return RoleFeatures(tuple(utterances), context.output(StageKey("features", VERSION, inputs), work, title))


def write_role_features(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    utterances: Sequence[Utterance],
    config: FeatureConfig | ImportedConfig,
    augment: AugmentConfig | None = None,
) -> None:
    """Write a feature store of utterances, in their order."""
    progress(0, len(utterances))
    if isinstance(config, ImportedConfig):
        done = write_imported_store(folder, {each.id: each.path for each in utterances}, config)
    else:
        sources = [_source(each, augment) for each in utterances]
        done = write_store(folder, sources, config, engine)
    for n_done in done:
        progress(n_done, len(utterances))


def _source(utterance: Utterance, augment: AugmentConfig | None) -> Source:
    """Return what to extract for an utterance."""
    source = Source(utterance.id, utterance.path, utterance.channel, start=utterance.start, stop=utterance.end)
    if isinstance(utterance, Copy) and augment is not None:
        return replace(source, copy=utterance.plan(augment))
    return source


@lru_cache(maxsize=4)
def opened_store(folder: Path) -> FeatureStore:
    """Open a feature store, once in a worker."""
    return open_store(folder)


def why_empty(store: FeatureStore) -> str:
    """Say why a store is empty: the most frequent reasons, each with the first utterances that have it."""
    names = names_by_reason((each.utterance, each.reason) for each in store.unusable)
    most_frequent = sorted(names, key=lambda reason: -len(names[reason]))[:MAX_REASONS]
    reasons = "; ".join(f"{reason} ({first_few(names[reason])})" for reason in most_frequent)
    more = f"; {len(names) - MAX_REASONS} more reasons" if len(names) > MAX_REASONS else ""
    return f"none of {len(store.unusable):,} utterances could be used: {reasons}{more}"


def digest_or_reason(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits; or why there is none."""
    try:
        if not path.is_file():
            return "no file"
        return file_digest(path)
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"


def split_place(path: str, *, imported: bool) -> tuple[str, str]:
    """Split the path of an utterance into the file and the place in it, as in ``feats.ark`` and ``:42``."""
    if imported:
        file = file_of_place(path)
        return file, path[len(file) :]
    if audio_file(path) == Path(path):
        return path, ""
    file, colon, offset = path.rpartition(":")
    return file, colon + offset


def _files(utterances: Sequence[Utterance], *, imported: bool) -> list[str]:
    """List the files that utterances are in, each once."""
    return list(dict.fromkeys(split_place(each.path, imported=imported)[0] for each in utterances))


def _stamp(file: str) -> tuple[int, int] | None:
    """Return the size of a file and when it was changed; None if there is no such file."""
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _digests(utterances: Sequence[Utterance], *, imported: bool) -> JsonValue:
    """List ids with the digests of their files, each file read once, and which part of the file an utterance is."""
    digests: dict[str, str] = {}
    inputs: list[JsonValue] = []
    for utterance in utterances:
        path, *segment = utterance.audio
        file, place = split_place(path, imported=imported)
        if file not in digests:
            digests[file] = digest_or_reason(Path(file))
        bounds = segment if any(each is not None for each in segment) else []
        part = [place] if imported else [*([place] if place else []), *bounds]
        copy: list[JsonValue] = [[utterance.of, utterance.number]] if isinstance(utterance, Copy) else []
        inputs.append([utterance.id, digests[file], *part, *copy])
    return inputs
