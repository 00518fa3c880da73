"""The table of E-step kernels: all names, one signature, and the same sums."""

import inspect
from importlib.util import find_spec
from typing import get_args

import numpy as np
import pytest

import naive
from helpers.models import draw, random_gmm
from speechgmm import accumulate
from speechgmm.errors import ModelError
from speechgmm.gmm.blocks import FrameBlocks, model_coefficients
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.choice import E_STEPS, check_available, choose_e_step
from speechgmm.gmm.kernels.dense import Kernel

WITHOUT_TORCH = find_spec("torch") is None


def available(name):
    """Whether this kernel can run here: its package and, for a card, the device."""
    try:
        check_available("numpy" if name == "skipping" else name, 0.1 if name == "skipping" else 0.0)
    except ModelError:
        return False
    return True


def test_every_name_has_a_kernel_and_one_more_skips():
    assert set(E_STEPS) == {*get_args(Kernel), "skipping"}


@pytest.mark.parametrize("name", E_STEPS)
def test_every_kernel_has_three_arguments(name):
    assert len(inspect.signature(E_STEPS[name]).parameters) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", E_STEPS)
def test_every_kernel_adds_the_literal_sums_to_the_moments(rng, name, dtype):
    if not available(name):
        pytest.skip(f"kernel {name} is not available")
    gmm = random_gmm(rng)
    frames, counts = draw(rng, gmm, 1500), rng.uniform(0, 2, 1500)
    coefficients = model_coefficients(gmm, dtype)
    moments = np.ones((5, 7))
    log_likelihood, skipped = E_STEPS[name](FrameBlocks(gmm, frames, counts, 1e-9), coefficients, moments)
    zeroth, first, second, expected = naive.accumulate(frames, gmm.weights, gmm.means, gmm.variances, counts)
    raw = dense.raw_moments(moments - 1, coefficients.reference)
    for sums, literal in zip(raw, (zeroth, first, second), strict=True):
        precision = 1e-9 if coefficients.product.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(sums, literal, rtol=0, atol=precision * np.abs(literal).max())
    assert log_likelihood == pytest.approx(expected, rel=1e-5)
    assert isinstance(log_likelihood, float)
    assert 0 <= skipped <= 1e-9 * 5 * counts.sum()
    assert skipped == 0 or name == "skipping"


@pytest.mark.parametrize("name", E_STEPS)
def test_no_kernel_uses_a_frame_that_is_not_finite(rng, name):
    if not available(name):
        pytest.skip(f"kernel {name} is not available")
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 1500)
    frames[1234, 1] = np.nan
    keys = {"skip_below": 1e-9} if name == "skipping" else {"kernel": name}
    with pytest.raises(ModelError, match="frame 1234 holds NaN or infinity"):
        accumulate(gmm, frames, **keys)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_a_threshold_chooses_the_kernel_that_skips(kernel):
    assert choose_e_step(kernel) is E_STEPS[kernel]
    assert choose_e_step(kernel, 1e-6) is E_STEPS["skipping"]


def test_blocks_are_the_frames_in_order_with_their_counts(rng):
    gmm = random_gmm(rng)
    frames, counts = draw(rng, gmm, 2500), rng.uniform(0, 2, 2500)
    blocks = list(FrameBlocks(gmm, frames, counts))
    assert [len(block) for block, _ in blocks] == [1024, 1024, 452]
    for number, whole in enumerate((frames, counts)):
        np.testing.assert_array_equal(np.concatenate([pair[number] for pair in blocks]), whole)


@pytest.mark.skipif(not WITHOUT_TORCH, reason="PyTorch is installed")
@pytest.mark.parametrize("kernel", ["torch", "cuda"])
def test_a_kernel_without_its_package_names_the_extra(rng, kernel):
    message = rf"kernel {kernel} needs the package torch: pip install 'speechgmm\[torch\]'"
    with pytest.raises(ModelError, match=message):
        check_available(kernel)
    with pytest.raises(ModelError, match=message):
        accumulate(random_gmm(rng), np.zeros((4, 3)), kernel=kernel)
