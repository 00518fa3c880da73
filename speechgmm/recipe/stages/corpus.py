"""The corpus as a stage, where it has to be recorded first: synthetic talkers, and the output of commands in lists.

Files: recordings, and for synthetic talkers Kaldi lists beside them.
"""

from collections.abc import Hashable, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.audio.reading import audio_blocks
from speechgmm.corpus.formats.commands import commands_of, files_among, is_command, output_paths, write_outputs
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.reading import CorpusConfig, read_corpus
from speechgmm.corpus.shared_recordings import Shared, SharedRecordings, find_shared, name_shared, same_files
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.corpus.synthetic.synthesis import plan as plan_recordings
from speechgmm.errors import AudioError, CorpusError
from speechgmm.features.store.writing import segment_stop
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.stages.context import NotYetKnown, StageContext, to_json
from speechgmm.recipe.stages.features import digest_or_reason, split_place
from speechgmm.recipe.stages.progress import ProgressCallback

VERSION = 1
"""Rises whenever the same inputs would give another output."""


def find_corpus(config: CorpusConfig, context: StageContext) -> Corpus:
    """Read the lists of a corpus; record first what there are no recordings of yet.

    A plan raises NotYetKnown where recordings are still to be made.
    """
    if isinstance(config, SyntheticConfig):
        return _synthetic_corpus(config, context)
    corpus = read_corpus(config)
    commands = commands_of([utterance for role in ROLES for utterance in corpus.role(role)])
    if commands:
        corpus = _with_outputs(corpus, commands, Path(config.root), context)
    shared = shared_by_bytes(config, corpus)
    if shared.tested and not config.allow_shared_recordings:
        raise CorpusError(tested_on_enrolment(shared.tested))
    notes = shared_notes(shared)
    return replace(corpus, notes=corpus.notes + notes) if notes else corpus


def shared_by_bytes(config: CorpusConfig, corpus: Corpus) -> SharedRecordings:
    """Find the recordings of a recipe's corpus that have several names, as `shared_files` does."""
    imported = isinstance(config, KaldiConfig) and config.input == "features"
    shared = shared_files(corpus, imported=imported)
    return shared if imported else with_sound(shared)


def with_sound(shared: SharedRecordings) -> SharedRecordings:
    """Leave out recordings that no model is made of: broken and silent files are often the same, and are unusable."""
    heard = cache(_holds_sound)
    kinds = (getattr(shared, kind.name) for kind in fields(SharedRecordings))
    return SharedRecordings(*(tuple(each for each in groups if heard(each[0][1])) for groups in kinds))


def _holds_sound(utterance: Utterance) -> bool:
    """Whether a recording can be read and its samples are not all the same; of a command that is not known."""
    if is_command(utterance.path):
        return True
    try:
        stop = segment_stop(utterance.path, utterance.end)
        blocks, _ = audio_blocks(
            utterance.path, block_seconds=1.0, channel=utterance.channel, start=utterance.start, stop=stop
        )
        return any(np.ptp(block) > 0 for block in blocks)
    except AudioError:
        return False


def shared_files(corpus: Corpus, *, imported: bool) -> SharedRecordings:
    """Find the recordings that have several names, by the bytes of their files; no audio is decoded."""
    places = {each.path: split_place(each.path, imported=imported) for role in ROLES for each in corpus.role(role)}
    first = same_files(file for file, _ in places.values())

    def content(utterance: Utterance) -> Hashable:
        """Return what is equal for utterances of the same bytes: the first such file, and the part of it."""
        path, *part = utterance.audio
        file, place = places[path]
        return first.get(file, file), place, *part

    return find_shared(corpus, content)


def tested_on_enrolment(tested: Sequence[Shared]) -> str:
    """Say which models are compared with their own enrolment, and what to do about it."""
    n = len(tested)
    trials = (
        f"{n:,} trials compare models with recordings that they were"
        if n > 1
        else ("a trial compares a model with a recording that it was")
    )
    return (
        f"{trials} enrolled from: {'; '.join(map(name_shared, tested[:3]))}{'; ...' if n > 3 else ''}; "
        "expected other recordings: take these out of enrolment, tests or trials, or set "
        "corpus.allow_shared_recordings: true"
    )


def shared_notes(shared: SharedRecordings) -> tuple[str, ...]:
    """Warn of recordings that have several names; `Corpus.warnings` has those of one path in enrolment and test."""
    renamed = [pair for pair in shared.tested if pair[0][1].audio != pair[1][1].audio]
    kinds = [
        ("the model is enrolled from the test recording", renamed),
        ("these segments overlap, so that the model is enrolled from parts of the test", shared.overlapping),
        ("the same recording of different speakers; one of the labels may be wrong", shared.of_speakers),
        ("the same recording several times", shared.repeated),
    ]
    return tuple(
        f"{name_shared(found[0])}{f' and {len(found) - 1:,} more' if len(found) > 1 else ''}: {what}"
        for what, found in kinds
        if found
    )


def _synthetic_corpus(config: SyntheticConfig, context: StageContext) -> Corpus:
    """Record the synthetic talkers, then read their lists like any others."""

    def work(folder: Path, engine: Engine, progress: ProgressCallback) -> None:
        """Write the recordings and their lists."""
        total = len(plan_recordings(config))
        progress(0, total)
        for done in write_recordings(config, folder, engine):
            progress(done, total)

    recorded = context.output(StageKey("corpus", VERSION, {"config": to_json(config)}), work)
    _check_recorded(recorded, context)
    return read_corpus(KaldiConfig(root=str(recorded.folder)))


def _with_outputs(corpus: Corpus, commands: Sequence[str], root: Path, context: StageContext) -> Corpus:
    """Run the commands among the paths, and put what they print in their place."""
    inputs: list[JsonValue] = [
        [command, [digest_or_reason(path) for path in files_among(command, root)]] for command in commands
    ]

    def work(folder: Path, engine: Engine, progress: ProgressCallback) -> None:
        """Write the recordings that the commands print."""
        progress(0, len(commands))
        for done in write_outputs(folder, commands, root, engine):
            progress(done, len(commands))

    recorded = context.output(StageKey("corpus", VERSION, {"commands": inputs}), work, "commands")
    _check_recorded(recorded, context)
    paths = output_paths(recorded.folder, commands)

    def with_files(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
        """Name the files in place of the commands."""
        return tuple(replace(each, path=str(paths.get(each.path, each.path))) for each in utterances)

    background, enrol, test = (with_files(corpus.role(role)) for role in ROLES)
    return replace(corpus, background=background, enrol=enrol, test=test)


def _check_recorded(output: StageOutput, context: StageContext) -> None:
    """Stop a plan where the recordings are still to be made."""
    if not context.is_there(output):
        raise NotYetKnown("features and all after them")
