"""Models of speaker and session factors as values and as files."""

import copy

import numpy as np
import pytest

from helpers.session import draw_model, parameters, ubm_of
from speechgmm import save_gmm
from speechgmm.errors import ModelError
from speechgmm.gmm.storage import check_front_end, read_header
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.session.storage import load_joint_factors, save_joint_factors


@pytest.mark.parametrize("ranks", [(2, 3), (4, 0)])
def test_a_model_is_read_back_bit_for_bit_with_its_front_end(rng, tmp_path, ranks):
    model = draw_model(rng, session_rank=ranks[0], speaker_rank=ranks[1])
    file = tmp_path / "model.safetensors"
    save_joint_factors(file, model, front_end={"n_ceps": 13})
    read = load_joint_factors(file)
    for array, expected in zip(parameters(read), parameters(model), strict=True):
        assert array.shape == expected.shape
        assert array.tobytes() == expected.tobytes()
    assert (read.session_rank, read.speaker_rank) == ranks
    assert read_header(file).kind == "joint_factors"
    with pytest.raises(ModelError, match="n_ceps 13 there, 20 here"):
        check_front_end(file, {"n_ceps": 20})


def test_files_of_other_models_and_no_files_are_refused(rng, tmp_path):
    model = draw_model(rng)
    file = tmp_path / "model.safetensors"
    with pytest.raises(ModelError, match="no such model file"):
        load_joint_factors(file)
    save_gmm(file, ubm_of(model))
    with pytest.raises(ModelError, match="holds 'gmm'; expected 'joint_factors'"):
        load_joint_factors(file)


def test_arrays_are_read_only_also_after_pickling(rng):
    model = draw_model(rng)
    assert model.whitened.session.rank == 2
    for array in parameters(copy.deepcopy(model)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"means": np.full((6, 3), np.nan)}, "means of a joint factor model: NaN or infinity"),
        ({"session": np.full((6, 3, 2), np.inf)}, "session of a joint factor model: NaN or infinity"),
        ({"variances": np.zeros((6, 3))}, "least variance 0; expected all above 0"),
        ({"residual": np.zeros((5, 3))}, r"residual \(5, 3\); expected \(C, D\) of each"),
        ({"speaker": np.zeros((6, 2, 1))}, r"speaker loadings of shape \(6, 2, 1\); expected \(6, 3, R\)"),
        ({"session": np.zeros((18, 2))}, r"session loadings of shape \(18, 2\); expected \(6, 3, R\)"),
    ],
)
def test_impossible_models_are_refused(rng, changed, message):
    names = ("means", "variances", "session", "speaker", "residual")
    values = dict(zip(names, parameters(draw_model(rng)), strict=True))
    with pytest.raises(ModelError, match=message):
        JointFactorModel(**{**values, **changed})


def test_loadings_whose_squares_overflow_are_refused():
    means, residual, speaker = np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1, 0))
    model = JointFactorModel(means, np.full((2, 1), 1e-200), np.full((2, 1, 1), 1e60), speaker, residual)
    with pytest.raises(ModelError, match=r"loadings of up to 1e\+160 standard deviations; expected about one or less"):
        _ = model.whitened
    with pytest.raises(ModelError, match=r"session of a joint factor model: 1e\+76; expected at most 1e\+75"):
        JointFactorModel(means, np.ones((2, 1)), np.full((2, 1, 1), 1e76), speaker, residual)
