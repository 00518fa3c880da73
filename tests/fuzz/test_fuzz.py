"""Readers over files with random faults: a value, or an error of ours. `make fuzz` tries many more."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets import TARGETS

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one: paths in inputs lead there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@every_target
def test_what_inputs_are_made_of_is_read(target, folder):
    for data in target.prepare(folder):
        assert target.attempt(data, folder)


@every_target
def test_whatever_a_file_holds_it_is_read_or_refused_and_so_again(target, folder):
    valid = target.prepare(folder)

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(0, 2**32 - 1))
    def attempt(number):
        rng = np.random.default_rng(number)
        data = target.change(valid[rng.integers(len(valid))], valid, rng)
        assert target.attempt(data, folder) == target.attempt(data, folder)

    attempt()


@every_target
@settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_so_again(target, folder, data):
    assert target.attempt(data, folder) == target.attempt(data, folder)
