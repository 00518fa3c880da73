"""Warnings about tests and enrolment that were recorded in another condition than the background."""

import logging
from collections.abc import Mapping, Sequence, Set

import numpy as np

from speechgmm.audio.condition import Condition, Usual, compared_values, unusual_measures, usual_condition
from speechgmm.features.store.store import FeatureStore

logger = logging.getLogger(__name__)

FEWEST_COMPARED = 20
"""Recordings that show what is usual."""

FAR_SHARE = 0.15
FEWEST_FAR = 3
"""A role differs if this share of its recordings, and this number or all, are far outside the usual range."""

ASPECTS = {
    "band": ("low", "high"),
    "level": ("level",),
    "noise": ("snr",),
    "clipping": ("clipped",),
    "reverberation": ("decay",),
    "codecs": ("holes",),
}
"""What a sentence is about, and the measures that show it."""

NOUNS = {
    "band": "sound",
    "level": "speech",
    "noise": "speech",
    "clipping": "clipped samples:",
    "reverberation": "sound that fades in",
    "codecs": "silent bands:",
}
"""What the medians of an aspect are of."""

MEANING = {
    "background": "calibration and error rates hold for recordings like the background's: add such recordings to it",
    "enrolment": "speakers are recognised less reliably in recordings unlike those of their enrolment",
}


def condition_warnings(
    stores: Mapping[str, Mapping[str, FeatureStore]], left_out: Set[tuple[str, str]] = frozenset()
) -> tuple[str, ...]:
    """List in what tests and enrolment differ from the background; without one, the tests from the enrolment.

    `stores` are those of each role, by the system's name. A sentence for each difference gives its size and the number
    of recordings. Recordings that were not measured do not count, and fewer than 20 do not show what is usual. Those
    that are left out, by role and name, do not count either.
    """
    if any(_was_not_measured(store) for by_role in stores.values() for store in by_role.values()):
        logger.info(
            "features that an earlier version stored lack some measures of recordings: --from features measures them"
        )
    sentences: dict[tuple[str, str], str] = {}
    for by_role in stores.values():
        measured = {
            role: _conditions(store, {name for of_role, name in left_out if of_role == role})
            for role, store in by_role.items()
        }
        roles = {"enrolment": measured["enrol"], "tests": measured["test"]}
        reference = "background" if by_role["background"].utterances else "enrolment"
        usual_ones = roles.pop(reference, measured["background"])
        for name, recordings in roles.items():
            for aspect, finding in differences(recordings, usual_ones, reference).items():
                sentence = f"{name} unlike the {reference} in {aspect}: {finding}; {MEANING[reference]}"
                sentences.setdefault((name, aspect), sentence)
    return tuple(sentences.values())


def differences(
    recordings: Sequence[Condition], usual_ones: Sequence[Condition], reference: str = "background"
) -> dict[str, str]:
    """Say in what recordings differ from the usual ones, those of the reference, and how much, by the aspect's name.

    They differ where 15 % of them are far outside the range of nine usual ones in ten, or where their median is
    outside it and far from the median of the usual ones.
    """
    if not recordings or len(usual_ones) < FEWEST_COMPARED:
        return {}
    usual, own = usual_condition(usual_ones), usual_condition(recordings)
    far = [unusual_measures(each, usual) for each in recordings]
    enough = max(FAR_SHARE * len(recordings), min(FEWEST_FAR, len(recordings)))
    found: dict[str, str] = {}
    for aspect, measures in ASPECTS.items():
        if aspect == "reverberation" and "noise" in found:
            continue  # noise hides the fast fades
        unlike = [each for each, names in zip(recordings, far, strict=True) if not names.isdisjoint(measures)]
        if len(unlike) < enough:
            moved = any(
                usual[measure].is_outside(own[measure].median)
                for measure in measures
                if measure in usual and measure in own
            )
            unlike = [each for each in recordings if moved and _is_outside(each, measures, usual)]
        if unlike:
            found[aspect] = (
                f"{len(unlike):,} of {len(recordings):,} recordings have {NOUNS[aspect]} {_median(aspect, unlike)}, "
                f"the {reference}'s {_median(aspect, usual_ones)} (medians)"
            )
    return found


def _was_not_measured(store: FeatureStore) -> bool:
    """Check whether a store is of recordings, and was written before all of their condition was measured."""
    conditions = [stored.condition for stored in store.utterances]
    is_of_recordings = store.front_end.get("kind") != "given"
    return is_of_recordings and any(each is None or each.clipped is None for each in conditions)


def _conditions(store: FeatureStore, left_out: Set[str]) -> list[Condition]:
    """List the conditions of recordings, as far as they were measured and are not left out."""
    return [each.condition for each in store.utterances if each.condition and each.utterance not in left_out]


def _is_outside(condition: Condition, measures: Sequence[str], usual: Mapping[str, Usual]) -> bool:
    """Check whether a recording is outside the usual range of any of the measures."""
    values = compared_values(condition)
    return any(usual[measure].is_outside(values[measure]) for measure in measures if measure in values)


def _median(aspect: str, recordings: Sequence[Condition]) -> str:
    """Format the medians of the measures of an aspect."""
    values = {measure: [getattr(each, measure) for each in recordings] for measure in ASPECTS[aspect]}
    medians = [np.median([value for value in measured if value is not None]) for measured in values.values()]
    match aspect:
        case "band":
            return f"from {medians[0]:.0f} to {medians[1]:,.0f} Hz"
        case "level":
            return f"at {medians[0]:.0f} dB of full scale"
        case "noise":
            return f"{medians[0]:.0f} dB above the noise"
        case "reverberation":
            return f"{medians[0]:.2f} s"
        case _:
            return f"{medians[0]:.1%}"
