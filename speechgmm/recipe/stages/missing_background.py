"""Corpora without a background: systems that need one take the enrolment in its place."""

from dataclasses import replace

from speechgmm.corpus.manifest import Corpus
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.schema.recipe import Recipe


def with_background(corpus: Corpus, recipe: Recipe) -> Corpus:
    """Return the corpus with the enrolment as its background, if it has none and a system of the recipe needs one.

    The cohort of a trial leaves out the speaker of its model, so that scores can be normalised.
    """
    if corpus.background or not any(map(_needs_background, recipe.systems_or_self)):
        return corpus
    speakers = {utterance.speaker for utterance in corpus.enrol}
    note = (
        f"no background: the enrolment of the {len(speakers)} enrolled speakers is taken in its place; scores tell "
        "these speakers apart, and say less about strangers"
    )
    background = tuple(replace(utterance, model=None) for utterance in corpus.enrol)
    return replace(corpus, background=background, notes=(*corpus.notes, note))


def _needs_background(system: Recipe) -> bool:
    """Whether a system trains a background model."""
    return system.vectors is not None or not isinstance(system.speakers, IndependentConfig)
