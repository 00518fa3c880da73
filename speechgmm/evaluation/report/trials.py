"""Trials with their scores, as tables of names and arrays: what plots are drawn of, and which one should listen to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.evaluation.bootstrap import TrialGroup
from speechgmm.evaluation.report.content import WorstTrial, WorstTrials

N_WORST: Final = 20
"""Trials of each kind that a report names, to listen to."""


@dataclass(frozen=True, eq=False)
class TrialTable:
    """Every trial, once.

    Parameters
    ----------
    models, tests : list of str, length n
        Its two sides.
    speakers : two np.ndarrays of int, shape (n,)
        Who speaks on each side, by number.
    target : np.ndarray, shape (n,), bool
        Which are target trials.
    raw, llrs, ranks : np.ndarray, shape (n,), nats
        Scores before and after calibration, and what the order of the trials is that of; NaN where there are none.
    lists : mapping of str to np.ndarray, shape (n,), bool
        Which are in each trial list.
    """

    models: list[str]
    tests: list[str]
    speakers: tuple[IntArray, IntArray]
    target: BoolArray
    raw: Float64Array
    llrs: Float64Array
    ranks: Float64Array
    lists: Mapping[str, BoolArray]

    def scored(self, name: str) -> tuple[BoolArray, BoolArray]:
        """Choose the trials of a list that have scores.

        Parameters
        ----------
        name : str
            The list.

        Returns
        -------
        target, nontarget : np.ndarray, shape (n,), bool
            Which they are.
        """
        chosen = self.lists[name] & ~np.isnan(self.llrs)
        return chosen & self.target, chosen & ~self.target

    def usable(self) -> list[str]:
        """Name the lists in which both kinds of trial have scores.

        Returns
        -------
        list of str
            In their order.
        """
        return [name for name in self.lists if all(kind.any() for kind in self.scored(name))]

    def sides(self, values: Float64Array, name: str) -> tuple[Float64Array, Float64Array]:
        """Give the scores that there are of a list.

        Parameters
        ----------
        values : np.ndarray, shape (n,)
            `raw`, `llrs` or `ranks`.
        name : str
            The list.

        Returns
        -------
        target, nontarget : np.ndarray
            In the order of the trials.
        """
        target, nontarget = self.scored(name)
        return values[target], values[nontarget]

    def speaker_sides(self, name: str) -> tuple[TrialGroup, TrialGroup]:
        """Give what orders the trials of a list, with who speaks.

        Parameters
        ----------
        name : str
            The list.

        Returns
        -------
        target, nontarget : TrialGroup
            In the order of the trials.
        """
        models, tests = self.speakers
        target, nontarget = (TrialGroup(self.ranks[kind], models[kind], tests[kind]) for kind in self.scored(name))
        return target, nontarget


class TestInfo(NamedTuple):
    """What is known of a test: who speaks, the recording, and its length in seconds."""

    speaker: str
    path: str
    seconds: float | None


def worst_trials(table: TrialTable, heard: Mapping[str, TestInfo]) -> tuple[WorstTrials, ...]:
    """Find the trials of each list that the scores got most wrong.

    Parameters
    ----------
    table : TrialTable
        The trials.
    heard : mapping of str to TestInfo
        What is known of the tests, as far as it is.

    Returns
    -------
    tuple of WorstTrials
        Up to `N_WORST` trials of each kind; of equal ones those that stand first among targets, last among nontargets.
    """
    order = np.argsort(table.ranks, kind="stable")

    def told(numbers: Sequence[int]) -> tuple[WorstTrial, ...]:
        """Say who speaks, where, and for how long."""
        unknown = TestInfo("", "", None)
        return tuple(
            WorstTrial(model, test, score, *heard.get(test, unknown))
            for model, test, score in ((table.models[n], table.tests[n], float(table.llrs[n])) for n in numbers)
        )

    found = []
    for name in table.lists:
        target, nontarget = table.scored(name)
        lowest, highest = order[target[order]][:N_WORST], order[nontarget[order]][::-1][:N_WORST]
        found.append(WorstTrials(name, told(lowest.tolist()), told(highest.tolist())))
    return tuple(found)
