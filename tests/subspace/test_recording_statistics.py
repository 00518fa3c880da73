"""Statistics of many recordings, side by side, in a folder and from another process."""

import copy

import numpy as np
import pytest

from helpers.models import random_gmm
from speechgmm import accumulate
from speechgmm.errors import ModelError
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.subspace.statistics import (
    StackedStats,
    StatsStore,
    as_source,
    blocks_of,
    stack_statistics,
    write_statistics,
)


@pytest.fixture
def recordings(rng):
    """Statistics of 70 recordings under a mixture of four components over three features."""
    gmm = random_gmm(rng, 4, 3)
    return [accumulate(gmm, rng.normal(size=(rng.integers(1, 30), 3))) for _ in range(70)]


def test_a_folder_holds_what_was_written_bit_for_bit(recordings, tmp_path):
    names = [f"r{n}" for n in range(70)]
    assert list(write_statistics(tmp_path, names, recordings, (4, 3))) == [*range(1, 71)]
    store, stacked = StatsStore(tmp_path), stack_statistics(recordings)
    assert store.names == tuple(names)
    assert store.shape == stacked.shape == (4, 3)
    rows = store.rows(range(70))
    for name in ("zeroth", "first", "n_frames"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(stacked, name))
    np.testing.assert_allclose(store.second, sum(each.second for each in recordings), rtol=1e-13)


@pytest.mark.parametrize("size", [1, 7, 64, 100])
def test_blocks_are_the_whole_in_any_cut(recordings, size):
    stacked = stack_statistics(recordings)
    blocks = [block.load() for block in blocks_of(stacked, size)]
    np.testing.assert_array_equal(np.concatenate([block.first for block in blocks]), stacked.first)
    assert [len(block) for block in blocks] == [min(size, 70 - start) for start in range(0, 70, size)]


def test_arrays_that_come_from_another_process_are_aligned(recordings):
    stacked = stack_statistics(recordings)
    state = dict(vars(stacked))
    buffer = np.zeros(stacked.zeroth.nbytes + 1, np.uint8)
    unaligned = buffer[1:].view(np.float64).reshape(stacked.zeroth.shape)
    unaligned[:] = stacked.zeroth
    assert not unaligned.flags.aligned
    arrived = copy.copy(stacked)
    arrived.__setstate__(state | {"zeroth": unaligned})
    assert arrived.zeroth.flags.aligned
    assert not arrived.zeroth.flags.writeable
    np.testing.assert_array_equal(arrived.zeroth, stacked.zeroth)


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ([], "no statistics; expected those of one recording or more"),
        ([3], "statistics 0 of type int; expected SufficientStats"),
        (SufficientStats.zeros(4, 3), "statistics of one recording; expected a list"),
        ([SufficientStats.zeros(4, 3), SufficientStats.zeros(4, 2)], "expected one shape"),
        ([SufficientStats.zeros(5, 3)], r"statistics of shape \(5, 3\) for a model of shape \(4, 3\)"),
        ([SufficientStats([-1.0, 0, 0, 0], np.zeros((4, 3)), np.zeros((4, 3)), 0, 1)], "a negative occupancy"),
        (
            [SufficientStats(np.ones(4), np.full((4, 3), 1e101), np.ones((4, 3)), 0, 1)],
            r"sums of 1e\+101; expected at most",
        ),
        (
            [SufficientStats(np.ones(4), np.ones((4, 3)), np.full((4, 3), np.inf), 0, 1)],
            "second-order statistics hold NaN",
        ),
    ],
)
def test_what_is_no_list_of_statistics_is_refused(statistics, message):
    with pytest.raises(ModelError, match=message):
        as_source(statistics, (4, 3))


def test_arrays_that_do_not_fit_together_are_refused():
    with pytest.raises(ModelError, match=r"expected \(U, C\), \(U, C, D\) and \(U,\)"):
        StackedStats(np.ones((2, 4)), np.ones((2, 3, 3)), np.ones(2, int))
    with pytest.raises(ModelError, match=r"second-order statistics of shape \(4, 2\); expected \(4, 3\)"):
        StackedStats(np.ones((2, 4)), np.ones((2, 4, 3)), np.ones(2, int), np.ones((4, 2)))
