"""Normalised scores as a stage.

Files: those of a score matrix.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from speechgmm.recipe.cache.outputs import StageKey
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, load_scores, write_score_matrix
from speechgmm.recipe.stages.scores import ScoredGroups
from speechgmm.scoring.cohort_speakers import Speakers
from speechgmm.scoring.normalisation import ScoreNormalisationConfig, normalise_scores

VERSION = 1
"""Rises whenever the same inputs would give another output."""


def normalised_scores(
    config: ScoreNormalisationConfig,
    scored: ScoredGroups,
    cohort_scored: Mapping[str, ScoredGroups],
    speaker_of: Mapping[str, str],
    cohort: RoleFeatures,
    context: StageContext,
    title: str,
) -> ScoredGroups:
    """Normalise scores by those of a cohort, or find them.

    `cohort_scored` holds, as far as the method needs them, ``z_scores`` (models against the cohort's utterances),
    ``t_scores`` (the cohort's models against the tests) and ``cohort_scores`` (the cohort's models against its
    utterances, or some of these). The cohort of a trial does not hold the speaker of its model.
    """
    groups = {"scores": scored, **cohort_scored}
    cohort_speaker_of = {utterance.id: utterance.speaker for utterance in cohort.utterances}
    inputs: dict[str, JsonValue] = {
        "config": to_json(config),
        "cohort": [[*each] for each in cohort_speaker_of.items()],
        "models": dict(speaker_of),
        **{name: [output.digest for output in outputs] for name, outputs in groups.items()},
    }

    def work(folder: Path, *_: object) -> None:
        """Normalise what the stages of scores have written."""
        folders = {name: [output.folder for output in outputs] for name, outputs in groups.items()}
        write_normalised_scores(folder, config, folders, speaker_of, cohort_speaker_of)

    return (context.output(StageKey("normalisation", VERSION, inputs), work, title),)


def write_normalised_scores(
    folder: Path,
    config: ScoreNormalisationConfig,
    folders: Mapping[str, Sequence[Path]],
    speaker_of: Mapping[str, str],
    cohort_speaker_of: Mapping[str, str],
) -> None:
    """Normalise the scores of folders; raise ModelError if the cohort is too small, or its scores do not vary."""
    loaded = {name: load_scores(paths) for name, paths in folders.items()}
    scores, z_scores, t_scores = loaded.pop("scores"), loaded.get("z_scores"), loaded.get("t_scores")
    by_itself = loaded.get("cohort_scores")
    of_cohort = t_scores or by_itself
    speakers = Speakers(
        [speaker_of[model] for model in scores.models],
        None if z_scores is None else [cohort_speaker_of[test] for test in z_scores.tests],
        None if of_cohort is None else of_cohort.models,
        cohort_tests=None if by_itself is None else [cohort_speaker_of[test] for test in by_itself.tests],
    )
    matrices = {name: each.matrix for name, each in loaded.items()}
    matrix = normalise_scores(
        scores.matrix,
        config,
        z_scores=matrices.get("z_scores"),
        t_scores=matrices.get("t_scores"),
        cohort_scores=matrices.get("cohort_scores"),
        speakers=speakers,
        test_names=scores.tests,
    )
    write_score_matrix(folder, ScoreMatrix(scores.models, scores.tests, matrix))
