"""PLDA for tests: Kaldi's models and input, and small ones drawn at random."""

import numpy as np

from helpers.paths import GOLDEN
from speechgmm.subspace.backend.plda_model import Plda


def kaldis(name):
    """A model that Kaldi has written."""
    arrays = np.load(GOLDEN / "subspace" / "plda_kaldi.npz")
    return Plda(*(arrays[f"{name}_{part}"] for part in ("mean", "transform", "psi")))


def kaldis_input():
    """Vectors of training, their speakers, those of adaptation, and those of 12 speakers by 3."""
    arrays = np.load(GOLDEN / "subspace" / "input.npz")
    speakers = [str(number) for number in arrays["emb_speaker"]]
    test = arrays["emb_test"].reshape(12, 3, 6)
    return arrays["emb"].astype(np.float64), speakers, arrays["emb_adapt"].astype(np.float64), test


def assert_same_model(model, expected, rtol):
    """Compare two models relative to the largest value of each array; rows may have the other sign."""

    def close(found, wanted):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=rtol * np.abs(wanted).max())

    close(model.mean, expected.mean)
    close(model.psi, expected.psi)
    signs = np.sign((model.transform * expected.transform).sum(axis=1))
    close(model.transform * signs[:, None], expected.transform)


def draw_speakers(rng, counts, n_dimensions, between=1.0):
    """Vectors of speakers with so many recordings each, and their names."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    mixing = rng.normal(size=(n_dimensions, n_dimensions))
    vectors = between * rng.normal(size=(len(counts), n_dimensions))[numbers] + rng.normal(size=(len(numbers), 1)) @ (
        rng.normal(size=(1, n_dimensions))
    )
    vectors += rng.normal(size=vectors.shape) @ mixing
    return vectors + 3, [f"speaker {number}" for number in numbers]


def some_model(rng, n_dimensions=4):
    """A model of random parameters."""
    psi = np.sort(rng.uniform(0, 6, n_dimensions))[::-1]
    return Plda(rng.normal(size=n_dimensions), rng.normal(size=(n_dimensions, n_dimensions)), psi)
