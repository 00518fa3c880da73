"""Trials with their scores, as arrays: what plots are drawn from, and the trials to listen to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.evaluation.bootstrap import TrialGroup
from speechgmm.evaluation.report.content import WorstTrial, WorstTrials

N_WORST: Final = 20
"""Trials of each kind that a report lists, to listen to."""


@dataclass(frozen=True, eq=False)
class TrialTable:
    """All n trials, each once, with speakers, scores and the trial lists they are in."""

    models: list[str]
    tests: list[str]
    speakers: tuple[IntArray, IntArray]  # (n,) each: the speaker of the model, and the one in the test, by number
    target: BoolArray  # (n,)
    raw: Float64Array  # (n,): scores before calibration; NaN where a trial has none
    llrs: Float64Array  # (n,), nats: after calibration
    # (n,): scores that rank the trials. PAV maps distinct scores to equal ones, so ranks use the uncalibrated scores
    ranks: Float64Array
    lists: Mapping[str, BoolArray]  # (n,) each: which trials are in the list

    def scored(self, name: str) -> tuple[BoolArray, BoolArray]:
        """Select the target and the nontarget trials of a list that have scores, as masks (n,)."""
        chosen = self.lists[name] & ~np.isnan(self.llrs)
        return chosen & self.target, chosen & ~self.target

    def usable(self) -> list[str]:
        """List the trial lists in which both kinds of trial have scores."""
        return [name for name in self.lists if all(kind.any() for kind in self.scored(name))]

    def by_label(self, values: Float64Array, name: str) -> tuple[Float64Array, Float64Array]:
        """Return the `raw`, `llrs` or `ranks` of the scored target and nontarget trials of a list."""
        target, nontarget = self.scored(name)
        return values[target], values[nontarget]

    def trial_groups(self, name: str) -> tuple[TrialGroup, TrialGroup]:
        """Return the `ranks` of the scored target and nontarget trials of a list, with their speakers."""
        models, tests = self.speakers
        target, nontarget = (TrialGroup(self.ranks[kind], models[kind], tests[kind]) for kind in self.scored(name))
        return target, nontarget


class TestInfo(NamedTuple):
    """The speaker, recording and length in seconds of a test; empty or None if unknown."""

    speaker: str
    path: str
    seconds: float | None


def worst_trials(table: TrialTable, tests: Mapping[str, TestInfo]) -> tuple[WorstTrials, ...]:
    """Find the up to `N_WORST` trials of each kind and list with the most misleading scores.

    Of equal scores, the first target trials and the last nontarget trials are chosen. Tests that are not in `tests` are
    listed without speaker and recording.
    """
    order = np.argsort(table.ranks, kind="stable")

    def listed(numbers: Sequence[int]) -> tuple[WorstTrial, ...]:
        """Describe trials by their numbers."""
        unknown = TestInfo("", "", None)
        return tuple(
            WorstTrial(model, test, score, *tests.get(test, unknown))
            for model, test, score in ((table.models[n], table.tests[n], float(table.llrs[n])) for n in numbers)
        )

    worst = []
    for name in table.lists:
        target, nontarget = table.scored(name)
        lowest, highest = order[target[order]][:N_WORST], order[nontarget[order]][::-1][:N_WORST]
        worst.append(WorstTrials(name, listed(lowest.tolist()), listed(highest.tolist())))
    return tuple(worst)
