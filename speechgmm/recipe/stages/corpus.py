"""The corpus as a stage, where it has to be recorded first: synthetic talkers, and the output of commands in lists.

Files: recordings, and for synthetic talkers Kaldi lists beside them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.formats.commands import commands_of, files_among, output_paths, write_outputs
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.reading import CorpusConfig, read_corpus
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.corpus.synthetic.synthesis import plan as plan_recordings
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.stages.context import NotYetKnown, StageContext, to_json
from speechgmm.recipe.stages.features import digest_or_reason
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
    return _with_outputs(corpus, commands, Path(config.root), context) if commands else corpus


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
