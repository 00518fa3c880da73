"""Corpora without a background: systems that need one take the enrolment in its place."""

from dataclasses import replace

from speechgmm.corpus.manifest import Corpus
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import PretrainedVectorsConfig


def with_background(corpus: Corpus, recipe: Recipe) -> Corpus:
    """Return the corpus with the enrolment as its background, if it has none and a system of the recipe needs one.

    The cohort of a trial leaves out the speaker of its model, so that scores can be normalised.
    """
    if corpus.background or not any(map(learns_from_background, recipe.systems_or_self)):
        return corpus
    speakers = {utterance.speaker for utterance in corpus.enrol}
    note = (
        f"no background: the enrolment of the {len(speakers)} enrolled speakers is taken in its place; scores tell "
        "these speakers apart, and say less about strangers"
    )
    background = tuple(replace(utterance, model=None) for utterance in corpus.enrol)
    return replace(corpus, background=background, notes=(*corpus.notes, note))


def learns_from_background(system: Recipe) -> bool:
    """Whether a system trains a model on the background, or adapts one to it."""
    if isinstance(system.speakers, IndependentConfig) and system.vectors is None:
        return False
    if system.ubm.pretrained is None or system.ubm.adapt is not None:
        return True
    if system.vectors is None:
        return not isinstance(system.speakers, AdaptationConfig)
    return not isinstance(system.vectors, PretrainedVectorsConfig) or bool(system.backend)
