"""The parts of a trial list."""

import pytest

from speechgmm.evaluation.breakdown import binned


@pytest.mark.parametrize("name", ["1_0", "infinity", "\uff11", "x", ""])
def test_what_is_no_plain_number_makes_no_bins(name):
    values = [*map(str, range(20)), name]
    assert binned(values) == values
    assert binned([*values[:-1], "1e1"])[-1] == "2: 6 to 10"
