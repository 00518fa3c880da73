"""One recording in several files whose bytes differ, known by its frames, which a run has without decoding again."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import TypeVar

from speechgmm.corpus.manifest import ROLES, Corpus
from speechgmm.corpus.reading import CorpusConfig
from speechgmm.corpus.shared_recordings import SharedRecordings, find_shared
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.features.store.store import FeatureStore, StoredUtterance
from speechgmm.recipe.stages.corpus import shared_by_bytes, shared_notes, tested_on_enrolment

FEWEST_FRAMES = 10
"""Fewer frames may agree by chance: normalisation makes all recordings of one frame equal."""

Key = TypeVar("Key", bound=Hashable)
Measure = TypeVar("Measure", bound=Hashable)


def check_shared_frames(config: CorpusConfig, corpus: Corpus, stores: Mapping[str, FeatureStore]) -> tuple[str, ...]:
    """Warn of recordings that have several names and are the same frames in `stores`, though not the same bytes.

    Raises CorpusError where trials compare models with their own enrolment, unless the corpus allows it.
    """
    if isinstance(config, SyntheticConfig):
        return ()
    digests = same_frames(corpus, stores)
    if not digests:
        return ()
    found = find_shared(corpus, lambda utterance: digests.get(utterance.audio, utterance.audio))
    new = _without(found, shared_by_bytes(config, corpus))  # those have been found before features were extracted
    if new.tested and not config.allow_shared_recordings:
        raise CorpusError(tested_on_enrolment(new.tested))
    return shared_notes(new)


def same_frames(corpus: Corpus, stores: Mapping[str, FeatureStore]) -> dict[Hashable, Hashable]:
    """Return the recordings whose frames others have too, by `Utterance.audio`, with the digest of the frames.

    `stores` go by role. Lengths are compared first, then first frames; only those that agree in both are read whole.
    """
    held: dict[Hashable, tuple[FeatureStore, StoredUtterance]] = {}
    for role in ROLES:
        stored = {each.utterance: each for each in stores[role].utterances}
        for utterance in corpus.role(role):
            if utterance.id in stored and _n_frames(stored[utterance.id]) >= FEWEST_FRAMES:
                held[utterance.audio] = stores[role], stored[utterance.id]
    lengths = alike({audio: (each.seconds, _n_frames(each)) for audio, (_, each) in held.items()})
    first = {audio: (lengths[audio], _first_frame(*held[audio])) for audio in lengths}
    return alike({audio: _digest(*held[audio]) for audio in alike(first)})


def _n_frames(stored: StoredUtterance) -> int:
    """Count the frames of an utterance."""
    return stored.stop - stored.start


def _first_frame(store: FeatureStore, stored: StoredUtterance) -> bytes:
    """Read the first frame of an utterance."""
    frame: bytes = store.frames(stored.utterance)[0].tobytes()
    return frame


def _digest(store: FeatureStore, stored: StoredUtterance) -> bytes:
    """Compute the SHA-256 of an utterance's frames."""
    digest = hashlib.sha256()
    for block in store.blocks(stored.utterance):
        digest.update(block.data)
    return digest.digest()


def _without(found: SharedRecordings, known: SharedRecordings) -> SharedRecordings:
    """Return what is found and not known yet."""
    kinds = [(getattr(found, kind.name), frozenset(getattr(known, kind.name))) for kind in fields(SharedRecordings)]
    return SharedRecordings(*(tuple(each for each in groups if each not in before) for groups, before in kinds))


def alike(measures: Mapping[Key, Measure]) -> dict[Key, Measure]:
    """Return the keys whose measure another key has too."""
    counts = Counter(measures.values())
    return {key: measure for key, measure in measures.items() if counts[measure] > 1}
