"""The graph of an experiment, from the lists to the scores of each system: the same whether it runs or is planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.commands import commands_of, files_among, output_paths
from speechgmm.corpus.formats import CorpusConfig, read_corpus
from speechgmm.corpus.kaldi import KaldiConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.synthetic import SyntheticConfig
from speechgmm.recipe import stages
from speechgmm.recipe.means import BeyondError, Means, plain
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.system import System, build_system
from speechgmm.recipe.voices import Voices, digest, extract_voices


@dataclass(frozen=True)
class Heard:
    """The voices of an experiment.

    Parameters
    ----------
    corpus : Corpus
        The lists.
    voices : tuple of mappings of str to Voices
        The roles, in the features of each system.
    """

    corpus: Corpus
    voices: tuple[Mapping[str, Voices], ...]


def hear(recipe: Recipe, corpus: Corpus, means: Means) -> Heard:
    """Extract the features of each role for each system, or find them.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    corpus : Corpus
        As `find_corpus` gives it.
    means : Means
        How to run.

    Returns
    -------
    Heard
        The voices.
    """
    voices: list[Mapping[str, Voices]] = []
    for member in recipe.members:
        of = f", {member.name}" if recipe.systems else ""
        voices.append(
            {
                role: extract_voices(f"features of {role}{of}", corpus.role(role), member.features, means)
                for role in ROLES
            }
        )
    return Heard(corpus, tuple(voices))


def build_systems(recipe: Recipe, heard: Heard, means: Means) -> tuple[System, ...] | None:
    """Train, enrol and score with each system, or find what was done before.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    heard : Heard
        Its voices.
    means : Means
        How to run.

    Returns
    -------
    tuple of System or None
        None if a stage before the scores was the last that was asked for; what comes before it is done for all systems.
    """
    systems = []
    for member, own in zip(recipe.members, heard.voices, strict=True):
        of = f" of {member.name}" if recipe.systems else ""
        try:
            systems.append(build_system(member, own["background"], own["enrol"], own["test"], means, of))
        except BeyondError:
            continue
    return tuple(systems) if len(systems) == len(recipe.members) else None


def find_corpus(config: CorpusConfig, means: Means) -> Corpus | None:
    """Read the lists; the embedded voices are recorded first, and then read like any other corpus.

    Parameters
    ----------
    config : section
        The corpus.
    means : Means
        How to run.

    Returns
    -------
    Corpus or None
        None where it is to be recorded first, and that is only planned.

    Raises
    ------
    CorpusError
        If the lists cannot be read.
    """
    if not isinstance(config, SyntheticConfig):
        return _recorded(read_corpus(config), Path(config.root), means)
    stage = means.spread(partial(stages.synthesise, config=config), "voices")
    voices = means.obtain("corpus", {"config": plain(config)}, stage)
    if means.plan is not None and not voices.reused:
        return None
    return read_corpus(KaldiConfig(root=str(voices.folder)))


def _recorded(corpus: Corpus, root: Path, means: Means) -> Corpus | None:
    """Put the output of commands in their place, if there are any among the paths."""
    commands = commands_of([utterance for role in ROLES for utterance in corpus.role(role)])
    if not commands:
        return corpus
    inputs: dict[str, JsonValue] = {
        "commands": [[each, [digest(path) for path in files_among(each, root)]] for each in commands]
    }
    stage = means.spread(partial(stages.run_commands, commands=commands, root=root), "commands")
    recorded = means.obtain("corpus", inputs, stage, "commands")
    if means.plan is not None and not recorded.reused:
        return None
    paths = output_paths(recorded.folder, commands)

    def heard(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
        """Name the files."""
        return tuple(replace(each, path=str(paths.get(each.path, each.path))) for each in utterances)

    own = {role: heard(corpus.role(role)) for role in ROLES}
    return replace(corpus, background=own["background"], enrol=own["enrol"], test=own["test"])
