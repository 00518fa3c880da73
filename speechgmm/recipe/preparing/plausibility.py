"""Amounts of data that are possible, but hardly what the user intends: of speakers, and of background speech."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from speechgmm.corpus.manifest import Corpus, Utterance, by_speaker
from speechgmm.features.extract import FeatureConfig
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.wording import first_few

SET_NAME = re.compile(
    r"(?:train|training|test|testing|dev|devel|development|val|valid|validation|eval|evaluation|enrol|enroll|enrolment"
    r"|enrollment|background|ubm)(?:[-_. ]?(?:set|data|clean|other|noisy|wavs?|audio|[0-9]+))*"
    r"|(?:fe)?males?|(?:wo)?m[ae]n|girls?|boys?|wavs?|waves?|flacs?|mp3s?|audios?|sounds?|clips?|recordings?|speech|data"
    r"|dataset|corpus|files?|samples?|speakers?|voices?|(?:disc|disk|cd|part|set|split)[-_. ]?[0-9]+",
    re.IGNORECASE,
)
"""Names that folders of sets, sexes or files have, and people have not."""

FEW_SPEAKERS, MANY_RECORDINGS = 2, 100
"""So many recordings of so few speakers are doubtful."""

MANY_SPEAKERS = 20
"""From so many on, speakers with one recording each are doubtful: among those who are evaluated, or by their names."""

FEWEST_FRAMES = 50
"""Frames of speech that a Gaussian of a background model should have, or more."""


def implausible_speakers(corpus: Corpus) -> tuple[str, ...]:
    """List what is doubtful about the speakers: their names, few of many recordings, or as many as recordings."""
    speakers = by_speaker((*corpus.background, *corpus.enrol, *corpus.test))
    of_sets = [name for name in speakers if SET_NAME.fullmatch(name)]
    doubts = []
    if of_sets:
        doubts.append(
            f"{len(of_sets):,} of {len(speakers):,} speakers have names of sets or folders: {first_few(of_sets)}; "
            "expected the speakers' own: is a level of folders above the speakers taken for them?"
        )
    evaluated = (*corpus.enrol, *corpus.test)
    for roles, utterances in (("background", corpus.background), ("enrolment and test", evaluated)):
        speakers = by_speaker(utterances)
        n = len({utterance.audio for utterance in utterances})
        if len(speakers) <= FEW_SPEAKERS and n >= MANY_RECORDINGS:
            doubts.append(
                f"{roles}: {n:,} recordings of {len(speakers)} speaker{'s' * (len(speakers) > 1)} "
                f"({', '.join(speakers)}); expected names of speakers, not of sets or folders"
            )
        one_each = n == len(speakers) >= MANY_SPEAKERS
        if one_each and (utterances is evaluated or all(map(_is_named_as_its_file, utterances))):
            doubts.append(
                f"{roles}: {n:,} recordings of {len(speakers):,} speakers ({first_few(list(speakers))}), one each; "
                "expected names of speakers, not of recordings"
            )
    return tuple(doubts)


def _is_named_as_its_file(utterance: Utterance) -> bool:
    """Whether the name of the speaker is that of the utterance."""
    return utterance.speaker in (utterance.id, Path(utterance.path).stem)


def small_backgrounds(recipe: Recipe, corpus: Corpus, headers: Mapping[AudioSegment, AudioHeader]) -> tuple[str, ...]:
    """List the background models that have more Gaussians than the background's length can train.

    All of it is taken for speech; how much less there is shows when features are extracted. Nothing is listed where the
    length of a recording is not known, or the number of Gaussians is chosen from the data.
    """
    doubts = []
    for system in recipe.systems_or_self:
        n = system.ubm.n_components
        is_trained = system.speakers.method == "map" and system.ubm.pretrained is None
        if not is_trained or not isinstance(system.features, FeatureConfig) or n == "auto":
            continue
        for what, utterances in _trained_on(system, corpus):
            seconds = [header.seconds for each in utterances if (header := headers.get(each.audio))]
            frames = sum(seconds) / system.features.shift_seconds
            if len(seconds) == len(utterances) and min(seconds, default=0) > 0 and frames < FEWEST_FRAMES * n:
                doubts.append(
                    f"{system.name}: {what}: {sum(seconds):,.1f} s at a frame shift of "
                    f"{1000 * system.features.shift_seconds:g} ms are at most {frames:,.0f} frames of speech, "
                    f"{frames / n:.1f} for each of {n:,} Gaussians; expected {FEWEST_FRAMES} or more: set "
                    f"ubm.n_components to {_fitting(frames)} or less, or add recordings"
                )
    return tuple(doubts)


def _trained_on(system: Recipe, corpus: Corpus) -> Iterator[tuple[str, list[Utterance]]]:
    """Yield what each background model of a system is trained on."""
    if not system.ubm.per_sex:
        yield "background", list(corpus.background)
        return
    for sex in sorted({each.sex for each in corpus.background if each.sex}):
        yield f"background of sex {sex}", [each for each in corpus.background if each.sex == sex]


def _fitting(frames: float) -> int:
    """Return the largest power of two that so many frames can train."""
    return 1 << max(0, int(frames / FEWEST_FRAMES).bit_length() - 1)
