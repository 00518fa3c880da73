"""Who speaks along the axes of score matrices, so that a trial's own speakers are left out of its cohort."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, IntArray
from speechgmm.errors import ModelError

NO_SPEAKER = -1
"""Number of a speaker who is unknown, or not in the cohort."""

LABELS = {
    "models": "model",
    "tests": "test",
    "z_cohort": "cohort utterance",
    "t_cohort": "cohort model",
    "cohort_tests": "cohort utterance",
}


class Speakers(NamedTuple):
    """The speakers of models, tests and cohort, so that a trial's own speakers are left out of its cohort."""

    models: Sequence[str]  # the speaker of each of M models
    z_cohort: Sequence[str] | None = None  # of each of K cohort utterances; every method but "t" needs them
    t_cohort: Sequence[str] | None = None  # of each of L cohort models; every method but "z" needs them
    tests: Sequence[str] | None = None  # the true speaker of each of U tests: for development only, never in evaluation
    cohort_tests: Sequence[str] | None = None  # of each column of the cohort scores; those of `z_cohort` by default


class Axis(NamedTuple):
    """The rows or the columns of a score matrix: what they are, their names for messages, and their speakers."""

    label: str  # what a row or column is, for messages
    names: Sequence[str]
    speakers: IntArray  # a number for each row or column, or NO_SPEAKER


def number_speakers(
    speakers: Speakers | None, test_names: Sequence[str] | None, sizes: Mapping[str, int]
) -> list[Axis]:
    """Assign numbers to the speakers of each axis, by its name in `Speakers`; an unused one has size 0."""
    if speakers is not None and speakers.cohort_tests is None:
        speakers = speakers._replace(cohort_tests=speakers.z_cohort)
    numbers: dict[str, int] = {}
    axes = []
    for side, size in sizes.items():
        names = getattr(speakers, side, None)
        shown = test_names if side == "tests" else names
        if side == "z_cohort" and names is not None:
            shown = [f"{number} of {name}" for number, name in enumerate(names)]
        shown = [str(number) for number in range(size)] if shown is None else shown
        if size == 0 or (names is None and (speakers is None or side == "tests")):
            axes.append(Axis(LABELS[side], shown, np.full(size, NO_SPEAKER)))
        elif names is None or len(names) != size:
            given = "no names" if names is None else f"{len(names)} names"
            raise ModelError(f"speakers.{side}: {given}, expected {size}, one for each {LABELS[side]}")
        else:
            speaker_numbers = np.array([numbers.setdefault(name, len(numbers)) for name in names])
            axes.append(Axis(LABELS[side], shown, speaker_numbers))
    return axes


def cohort_speakers(axis: Axis, members: Axis) -> IntArray:
    """Return the speakers of an axis, NO_SPEAKER for those outside the cohort, who share its statistics."""
    return np.where(np.isin(axis.speakers, members.speakers), axis.speakers, NO_SPEAKER)


def are_others(members: Axis, *speakers: int) -> BoolArray:
    """Tell which members of a cohort are none of these speakers; an unknown member is none of them."""
    others: BoolArray = (members.speakers == NO_SPEAKER) | ~np.isin(members.speakers, speakers)
    return others


def count_speakers(speakers: IntArray) -> int:
    """Count the speakers of members of a cohort; each unknown one is a speaker."""
    known = speakers[speakers != NO_SPEAKER]
    return len(np.unique(known)) + len(speakers) - len(known)
