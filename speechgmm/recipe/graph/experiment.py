"""The graph of an experiment, from the lists to the scores of each system: the same whether it runs or is planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.formats.commands import commands_of, files_among, output_paths
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.reading import CorpusConfig, read_corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages import ubm as stages
from speechgmm.recipe.stages.context import StageContext, StoppedEarly, to_json
from speechgmm.recipe.stages.features import RoleFeatures, digest, role_features


@dataclass(frozen=True)
class ExperimentFeatures:
    """The voices of an experiment.

    Parameters
    ----------
    corpus : Corpus
        The lists.
    voices : tuple of mappings of str to RoleFeatures
        The roles, in the features of each system.
    """

    corpus: Corpus
    voices: tuple[Mapping[str, RoleFeatures], ...]


def extract_roles(recipe: Recipe, corpus: Corpus, context: StageContext) -> ExperimentFeatures:
    """Extract the features of each role for each system, or find them.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    corpus : Corpus
        As `find_corpus` gives it.
    context : StageContext
        How to run.

    Returns
    -------
    ExperimentFeatures
        The voices.
    """
    voices: list[Mapping[str, RoleFeatures]] = []
    for member in recipe.systems_or_self:
        of = f", {member.name}" if recipe.systems else ""
        voices.append(
            {
                role: role_features(f"features of {role}{of}", corpus.role(role), member.features, context)
                for role in ROLES
            }
        )
    return ExperimentFeatures(corpus, tuple(voices))


def build_systems(recipe: Recipe, heard: ExperimentFeatures, context: StageContext) -> tuple[System, ...] | None:
    """Train, enrol and score with each system, or find what was done before.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    heard : ExperimentFeatures
        Its voices.
    context : StageContext
        How to run.

    Returns
    -------
    tuple of System or None
        None if a stage before the scores was the last that was asked for; what comes before it is done for all systems.
    """
    systems = []
    for member, own in zip(recipe.systems_or_self, heard.voices, strict=True):
        of = f" of {member.name}" if recipe.systems else ""
        try:
            systems.append(build_system(member, own["background"], own["enrol"], own["test"], context, of))
        except StoppedEarly:
            continue
    return tuple(systems) if len(systems) == len(recipe.systems_or_self) else None


def find_corpus(config: CorpusConfig, context: StageContext) -> Corpus | None:
    """Read the lists; the embedded voices are recorded first, and then read like any other corpus.

    Parameters
    ----------
    config : section
        The corpus.
    context : StageContext
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
        return _recorded(read_corpus(config), Path(config.root), context)
    stage = context.spread(partial(stages.synthesise, config=config), "voices")
    voices = context.output("corpus", {"config": to_json(config)}, stage)
    if context.plan is not None and not voices.reused:
        return None
    return read_corpus(KaldiConfig(root=str(voices.folder)))


def _recorded(corpus: Corpus, root: Path, context: StageContext) -> Corpus | None:
    """Put the output of commands in their place, if there are any among the paths."""
    commands = commands_of([utterance for role in ROLES for utterance in corpus.role(role)])
    if not commands:
        return corpus
    inputs: dict[str, JsonValue] = {
        "commands": [[each, [digest(path) for path in files_among(each, root)]] for each in commands]
    }
    stage = context.spread(partial(stages.run_commands, commands=commands, root=root), "commands")
    recorded = context.output("corpus", inputs, stage, "commands")
    if context.plan is not None and not recorded.reused:
        return None
    paths = output_paths(recorded.folder, commands)

    def heard(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
        """Name the files."""
        return tuple(replace(each, path=str(paths.get(each.path, each.path))) for each in utterances)

    own = {role: heard(corpus.role(role)) for role in ROLES}
    return replace(corpus, background=own["background"], enrol=own["enrol"], test=own["test"])
