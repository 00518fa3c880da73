"""Frames, weights, shards and model files that are odd or wrong: a finite result, or one error that says why."""

import json
import struct

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from helpers.models import draw, random_gmm
from speechgmm import (
    DiagonalGMM,
    accumulate,
    impute,
    llr,
    load_gmm,
    log_likelihood,
    map_adapt,
    posteriors,
    save_gmm,
    train,
)
from speechgmm.errors import ModelError
from speechgmm.gmm.density import classify
from speechgmm.gmm.storage import load_speakers, read_header, save_speakers
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update

N_FEATURES = 3
FUNCTIONS = {
    "accumulate": lambda gmm, frames: accumulate(gmm, frames).second,
    "log_likelihood": log_likelihood,
    "posteriors": posteriors,
    "classify": classify,
    "impute": impute,
    "llr": lambda gmm, frames: llr(gmm, gmm, frames),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
TAKES_MISSING = {"log_likelihood": log_likelihood, "posteriors": posteriors, "classify": classify}
TWO = TrainingConfig(n_components=2, n_iterations=3)


@pytest.fixture
def gmm(rng):
    return random_gmm(rng, n_features=N_FEATURES)


@pytest.fixture
def frames(rng, gmm):
    return draw(rng, gmm, 400)


# Values of frames


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1023, 1024, 2499])
@every_function
def test_a_frame_that_is_not_finite_is_refused_by_its_row(function, row, value, dtype, gmm):
    frames = np.zeros((2500, N_FEATURES), dtype)
    frames[[row, 2499], 1] = value
    if function is impute and np.isnan(value):
        assert np.isfinite(impute(gmm, frames)).all()  # that is what it is for
        return
    with pytest.raises(ModelError, match=rf"frame {row} holds .*infinity; features must be finite"):
        function(gmm, frames)


@pytest.mark.parametrize("function", TAKES_MISSING.values(), ids=TAKES_MISSING)
def test_missing_features_are_asked_for_and_infinity_is_never_one(function, gmm):
    frames = np.zeros((5, N_FEATURES))
    frames[2, 0] = np.nan
    assert np.isfinite(function(gmm, frames, missing=True)).all()
    frames[3, 1] = -np.inf
    with pytest.raises(ModelError, match="frame 3 holds infinity; features must be finite, or NaN where missing"):
        function(gmm, frames, missing=True)


@pytest.mark.parametrize("function", TAKES_MISSING.values(), ids=TAKES_MISSING)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.longdouble])
def test_features_may_be_missing_from_frames_of_any_type(function, dtype, gmm, frames):
    odd = frames.astype(dtype)
    odd[::3, 0] = odd[1::2, 2] = np.nan
    expected = function(gmm, odd.astype(np.float64), missing=True)
    np.testing.assert_allclose(function(gmm, odd, missing=True), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("initial_frames", [5, 100_000])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_training_refuses_what_is_not_finite_wherever_it_is(frames, value, initial_frames):
    bad = frames.copy()
    bad[-1, 2] = value
    with pytest.raises(ModelError, match=r"shard 1: frame 399 holds NaN or infinity; features must be .*finite"):
        train([frames, bad], TWO.model_copy(update={"initial_frames": initial_frames}))


@every_function
def test_frames_as_large_as_single_precision_holds_have_finite_results(function, gmm):
    for largest in (3e38, -3e38):
        frames = np.full((4, N_FEATURES), largest, np.float32)
        assert np.isfinite(function(gmm, frames)).all()


# Types, layouts and shapes of frames


def big_endian(frames):
    return frames.astype(frames.dtype.newbyteorder(">"))


def read_only(frames):
    fixed = frames.copy()
    fixed.flags.writeable = False
    return fixed


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every other row": lambda frames: np.repeat(frames, 2, axis=0)[::2],
    "every other column": lambda frames: np.repeat(frames, 2, axis=1)[:, ::2],
    "backwards": lambda frames: frames[::-1].copy()[::-1],
    "transposed": lambda frames: frames.T.copy().T,
    "not aligned": lambda frames: (
        np.frombuffer(b"x" + frames.tobytes(), np.uint8)[1:].view(frames.dtype).reshape(-1, 3)
    ),
    "read-only": read_only,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_function
def test_the_layout_of_frames_does_not_change_a_bit(function, dtype, layout, gmm, frames):
    plain = frames.astype(dtype)
    odd = layout(plain)
    assert np.array_equal(odd, plain)
    assert np.array_equal(function(gmm, odd), function(gmm, plain))
    assert np.array_equal(odd, plain)  # and nothing was written to it


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), big_endian], ids=[*LAYOUTS, "big-endian"])
def test_the_layout_of_a_shard_does_not_change_a_bit_of_the_model(layout, frames):
    plain = frames.astype(np.float32)
    expected, found = train([plain], TWO).gmm, train([layout(plain)], TWO).gmm
    # What is not native is computed in double precision.
    tolerance = 1e-5 if layout is big_endian else 0
    np.testing.assert_allclose(found.means, expected.means, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.variances, expected.variances, rtol=tolerance)


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "<i2", ">i2", "i4", "u8", "f2", ">f2", ">f4", ">f8", np.longdouble, bool], ids=str
)
@every_function
def test_any_type_of_real_numbers_is_taken_for_its_values(function, dtype, gmm, frames):
    odd = np.clip(np.round(frames), 0, 100).astype(dtype)
    expected = function(gmm, odd.astype(np.float64))
    np.testing.assert_allclose(function(gmm, odd), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(function(gmm, odd.tolist()), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_mapped_files_of_any_type_and_order_are_frames_and_shards(tmp_path, dtype, order, gmm, frames):
    values = np.round(4 * frames).astype(dtype)
    np.save(tmp_path / "frames.npy", np.array(values, order=order))
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    expected = values.astype(np.float64)
    np.testing.assert_allclose(log_likelihood(gmm, mapped), log_likelihood(gmm, expected), rtol=1e-5)
    np.testing.assert_allclose(accumulate(gmm, mapped).second, accumulate(gmm, expected).second, rtol=1e-5, atol=1e-5)
    found = train([tmp_path / "frames.npy"], TWO).gmm
    np.testing.assert_allclose(found.means, train([expected], TWO).gmm.means, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 2), (5, 4), (5, 0), (0, 0), (3,), (1, 5, 3), (5, 3, 1)])
@every_function
def test_frames_of_another_shape_are_refused_with_both(function, shape, gmm):
    message = rf"frames of shape {np.zeros(shape).shape}; the model expects (T, 3)"
    if function is FUNCTIONS["llr"] and shape[0] == 0:
        message = "an utterance of no frames has no score"
    with pytest.raises(ModelError) as caught:
        function(gmm, np.zeros(shape))
    assert str(caught.value) == message


WRONG = {
    "complex": (np.zeros((5, 3), complex), "frames of type complex128; expected real numbers"),
    "objects": (np.zeros((5, 3), object), "frames of type object; expected real numbers"),
    "texts": (np.full((5, 3), "1"), "frames of type <U1; expected real numbers"),
    "dates": (np.zeros((5, 3), "M8[s]"), r"frames of type datetime64\[s\]; expected real numbers"),
    "records": (np.zeros(5, [("a", float)]), "frames of type .*; expected real numbers"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], "frames of rows that differ in length; expected an array of real numbers"),
    "masked": (np.ma.masked_greater(np.eye(3), 0.5), "frames with masked values; expected numbers, or NaN"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
@every_function
def test_what_are_no_real_numbers_is_refused_by_its_type(function, wrong, message, gmm):
    with pytest.raises(ModelError, match=f"^{message}"):
        function(gmm, wrong)


@pytest.mark.parametrize("function", [*TAKES_MISSING.values(), accumulate, impute])
@pytest.mark.parametrize("wrong", [None, 3.0, np.float64(3)], ids=repr)
def test_what_is_no_array_at_all_is_refused(function, wrong, gmm):
    with pytest.raises(ModelError, match=r"^frames of (type object|shape \(\)); "):
        function(gmm, wrong)


def test_an_array_with_nothing_masked_is_an_array(gmm, frames):
    assert np.array_equal(log_likelihood(gmm, np.ma.array(frames)), log_likelihood(gmm, frames))


@pytest.mark.parametrize("dtype", [np.float16, np.int64, complex, np.longdouble])
def test_another_precision_than_single_or_double_is_refused(dtype, gmm, frames):
    for function in (log_likelihood, posteriors, classify, accumulate):
        with pytest.raises(ValueError, match=rf"dtype {np.dtype(dtype)}: expected float32 or float64"):
            function(gmm, frames, dtype=dtype)


# Few and equal frames


@pytest.mark.parametrize(
    "frames",
    [
        np.ones((1, 3)),
        np.full((20, 3), 7.0),
        np.column_stack([np.linspace(-1, 1, 20), np.full(20, 5.0), np.zeros(20)]),
        np.repeat(np.eye(3), 7, axis=0),
        np.zeros((0, 3)),
    ],
    ids=["one frame", "constant", "constant columns", "duplicates", "none"],
)
def test_few_and_equal_frames_have_finite_statistics_and_models(frames, gmm):
    stats = accumulate(gmm, frames)
    assert stats.n_frames == len(frames)
    assert stats.zeroth.sum() == pytest.approx(len(frames), rel=1e-6)
    assert np.isfinite(stats.log_likelihood)
    for relevance_factor in (0.0, 16.0):
        adapted = map_adapt(gmm, stats, relevance_factor=relevance_factor, adapt=("weights", "means", "variances"))
        assert np.isfinite(log_likelihood(adapted, frames)).all()
    if len(frames):
        assert np.isfinite(log_likelihood(ml_update(stats, gmm, TrainingConfig(n_components=5)), frames)).all()


@pytest.mark.parametrize("n_frames", [0, 1, 4])
def test_fewer_frames_than_components_are_refused_with_both_numbers(n_frames):
    with pytest.raises(ModelError, match=f"n_components 5 is more than the {n_frames} frames to train on"):
        train([np.eye(4, 3)[:n_frames]], TrainingConfig(n_components=5))


def test_as_many_frames_as_components_are_enough(rng):
    found = train([rng.normal(size=(5, 3))], TrainingConfig(n_components=5)).gmm
    assert np.isfinite(log_likelihood(found, np.zeros((1, 3)))).all()


# Shards


def test_an_empty_shard_among_others_changes_nothing(frames):
    frames = frames.astype(np.float32)
    parts, empty = [frames[:150], frames[150:]], frames[:0]
    expected = train(parts, TWO)
    found = train([empty, parts[0], empty, parts[1], empty], TWO)
    assert np.array_equal(found.gmm.means, expected.gmm.means)
    assert np.array_equal(found.gmm.variances, expected.gmm.variances)
    assert found.n_frames == expected.n_frames == len(frames)


def test_empty_shards_alone_are_refused(frames):
    with pytest.raises(ModelError, match="n_components 2 is more than the 0 frames"):
        train([frames[:0], frames[:0]], TWO)


@pytest.mark.parametrize("shards", [[], [(5, 3), (5, 4)], [(5, 3), (5,)], [(2, 5, 3)]])
def test_shards_that_do_not_fit_are_refused_with_their_shapes(shards):
    with pytest.raises(ModelError, match=r"shards of shapes .*expected a list of .* with one D"):
        train([np.zeros(shape) for shape in shards], TWO)


# Weights of frames


@pytest.mark.parametrize(
    "weights",
    [[-1.0, 1.0], [np.nan, 1.0], [np.inf, 1.0], [1.0], [1.0, 1.0, 1.0], [[1.0], [1.0]], []],
    ids=str,
)
def test_weights_of_frames_that_mean_nothing_are_refused(weights, gmm):
    with pytest.raises(ValueError, match=r"^weights.*expected (\(2,\)|finite numbers, not negative)$"):
        accumulate(gmm, np.zeros((2, 3)), weights=np.array(weights))


def test_weights_that_are_all_zero_are_the_weights_of_no_frames(gmm, frames):
    stats = accumulate(gmm, frames, weights=np.zeros(len(frames)))
    assert not stats.zeroth.any()
    assert stats.log_likelihood == 0
    np.testing.assert_allclose(map_adapt(gmm, stats).means, gmm.means, rtol=1e-12)
    with pytest.raises(ValueError, match="statistics of no frames"):
        ml_update(stats, gmm, TrainingConfig(n_components=5))


def test_whole_weights_of_any_type_repeat_frames(gmm, frames):
    counts = np.arange(len(frames)) % 3
    expected = accumulate(gmm, np.repeat(frames, counts, axis=0)).second
    for dtype in (np.int64, np.uint8, np.float16, ">f4"):
        np.testing.assert_allclose(accumulate(gmm, frames, weights=counts.astype(dtype)).second, expected, rtol=1e-5)


# Parameters of models


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([-0.5, 1.5], r"weights from -0\.5 with sum 1; expected all above 0 and a sum of 1"),
        ([0.0, 1.0], "weights from 0 with sum 1; expected all above 0"),
        ([0.0, 0.0], "weights from 0 with sum 0; expected all above 0"),
        ([0.5, 0.6], r"with sum 1\.1; expected"),
        ([np.nan, 1.0], "weights hold NaN or infinity"),
        ([1.0], r"weights \(1,\) and means \(2, 3\); expected \(C,\) and \(C, D\)"),
        ([[0.5], [0.5]], r"weights \(2, 1\) and means \(2, 3\); expected"),
        ([0.5 + 0j, 0.5], "weights of type complex128; expected real numbers"),
        (["0.5", "0.5"], "weights of type <U3; expected real numbers"),
        ([0.5, None], "weights of type object; expected real numbers"),
        ([[0.5], [0.2, 0.3]], "weights of rows that differ in length; expected"),
    ],
)
def test_weights_of_components_that_mean_nothing_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        DiagonalGMM(weights, np.zeros((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("means", "variances"),
    [([1e39, 1e39], 1.0), ([-1e200, 1e200], 1.0), ([0.0, 0.0], 1e-320)],
    ids=["all 1e39", "1e200", "variance 1e-320"],
)
@pytest.mark.parametrize("missing", [False, True])
def test_parameters_that_overflow_are_refused_by_their_values(means, variances, missing):
    gmm = DiagonalGMM([0.5, 0.5], np.array([means]).T, [[variances], [1.0]])
    for dtype in (np.float32, np.float64):
        with pytest.raises(ModelError, match=r"means from .* with variances from .*: expected numbers whose squares"):
            log_likelihood(gmm, np.zeros((2, 1)), dtype=dtype, missing=missing)


# Files


HEADER = {"format_version": 1, "kind": "gmm", "package_version": "1", "front_end": None, "names": []}


def arrays(gmm):
    return {name: np.array(getattr(gmm, name)) for name in ("weights", "means", "variances")}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_model_file_cut_anywhere_is_refused(gmm, tmp_path, share):
    save_gmm(tmp_path / "m", gmm)
    whole = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"m: not readable as a model file"):
        load_gmm(tmp_path / "m")


def test_a_damaged_byte_gives_a_model_or_our_error(gmm, tmp_path):
    save_gmm(tmp_path / "m", gmm)
    whole = (tmp_path / "m").read_bytes()
    rng = np.random.default_rng(0)
    refusals = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "m").write_bytes(damaged)
        try:
            assert np.isfinite(load_gmm(tmp_path / "m").means).all()
        except ModelError as error:
            refusals.append(str(error))
    assert refusals
    assert all(message.startswith(f"{tmp_path / 'm'}: ") for message in refusals)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_lie_about_the_length_of_the_header_takes_no_memory(gmm, tmp_path, length):
    save_gmm(tmp_path / "m", gmm)
    (tmp_path / "m").write_bytes(struct.pack("<Q", length) + (tmp_path / "m").read_bytes()[8:])
    with pytest.raises(ModelError, match=r"m: not readable as a model file"):
        load_gmm(tmp_path / "m")


def test_a_pickle_under_another_name_is_not_run(tmp_path):
    path = tmp_path / "model.safetensors"
    # What unpickling would end the process by.
    for run_by_loading in (b"cbuiltins\nexit\n(tR.", b"\x80\x04cbuiltins\nexit\n)R."):
        path.write_bytes(run_by_loading)
        for read in (load_gmm, load_speakers, read_header):
            with pytest.raises(ModelError, match="not readable as a model file"):
                read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variances": -np.ones((5, 3))}, "least variance -1; expected all above 0"),
        ({"variances": np.zeros((5, 3))}, "least variance 0; expected all above 0"),
        ({"means": np.full((5, 3), np.nan)}, "means hold NaN or infinity"),
        ({"variances": np.full((5, 3), np.inf)}, "variances hold NaN or infinity"),
        ({"weights": np.full(5, 0.3)}, r"with sum 1\.5; expected .* a sum of 1"),
        ({"weights": np.array(1.0)}, r"weights \(1,\) and means \(5, 3\); expected"),
        ({"means": np.zeros((5, 2))}, r"variances \(5, 3\); expected \(5, 2\), as the means"),
        ({"means": np.zeros((1, 5, 3))}, r"weights \(5,\) and means \(1, 5, 3\); expected"),
        ({"means": np.zeros((0, 3)), "weights": np.zeros(0), "variances": np.zeros((0, 3))}, r"expected \(C,\)"),
        ({"means": np.zeros((5, 3), np.float32)}, r"holds arrays means \(F32\), variances \(F64\), .*each F64"),
        ({"means": np.zeros((5, 3), np.int64)}, r"holds arrays means \(I64\)"),
        ({"means": np.zeros((5, 3), bool)}, r"holds arrays means \(BOOL\)"),
        ({"means": np.zeros((5, 3), np.complex64)}, r"holds arrays means \(C64\)"),
        ({"bias": np.zeros(5)}, r"holds arrays bias \(F64\), means \(F64\).*expected weights, means, variances"),
        ({"means": None}, r"holds arrays variances \(F64\), weights \(F64\); expected weights, means, variances"),
    ],
)
def test_arrays_that_make_no_model_are_refused_by_file_and_value(gmm, tmp_path, changes, message):
    tensors = {name: array for name, array in {**arrays(gmm), **changes}.items() if array is not None}
    try:
        save_file(tensors, tmp_path / "m", {"speechgmm": json.dumps(HEADER)})
    except SafetensorError as error:
        pytest.skip(f"this version of safetensors cannot write it: {error}")
    with pytest.raises(ModelError, match=rf"m: {message}|m: .*{message}"):
        load_gmm(tmp_path / "m")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "U64"])
def test_types_that_numpy_does_not_know_are_refused_by_name(gmm, tmp_path, dtype):
    # safetensors for numpy cannot write them
    size = {"BF16": 2, "F8_E4M3": 1, "U64": 8}[dtype]
    entries, end = {"__metadata__": {"speechgmm": json.dumps(HEADER)}}, 0
    for name, array in arrays(gmm).items():
        start, end = end, end + array.size * size
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(header)) + header + bytes(end))
    with pytest.raises(ModelError, match=rf"holds arrays means \({dtype}\)"):
        load_gmm(tmp_path / "m")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {**HEADER, "format_version": 2, "package_version": "3.1"},
            r"format version 2, written by speechgmm 3\.1; this",
        ),
        ({**HEADER, "format_version": "1"}, "format version 1"),
        ({**HEADER, "kind": [1]}, r"holds \[1\]; expected 'gmm'"),
        ({**HEADER, "front_end": "mfcc"}, "damaged header .front_end 'mfcc'; expected keys and values, or null"),
        ({**HEADER, "front_end": [1]}, r"damaged header .front_end \[1\]"),
        ({**HEADER, "names": 3}, "damaged header .names; expected a list of texts"),
        ({**HEADER, "names": "ab"}, "damaged header .names; expected a list of texts"),
        ({**HEADER, "names": [["a"]]}, "damaged header .names; expected a list of texts"),
        ({**HEADER, "names": ["a", "b", "a"]}, "damaged header .one name twice"),
    ],
)
def test_headers_that_make_no_sense_are_refused(gmm, tmp_path, header, message):
    save_file(arrays(gmm), tmp_path / "m", {"speechgmm": json.dumps(header)})
    with pytest.raises(ModelError, match=message):
        load_gmm(tmp_path / "m")


def test_a_header_too_deep_to_be_read_is_refused(gmm, tmp_path):
    save_file(arrays(gmm), tmp_path / "m", {"speechgmm": "[" * 100_000})
    with pytest.raises(ModelError, match="not a model of speechgmm"):
        load_gmm(tmp_path / "m")


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_speakers_without_an_array_and_arrays_without_a_speaker_are_refused(gmm, tmp_path, n_rows):
    tensors = {**arrays(gmm), "means": np.zeros((n_rows, 5, 3))}
    header = {**HEADER, "kind": "speakers", "names": ["a", "b"]}
    save_file(tensors, tmp_path / "s", {"speechgmm": json.dumps(header)})
    with pytest.raises(ModelError, match=rf"s: means of shape \({n_rows}, 5, 3\); the header names 2 speakers"):
        load_speakers(tmp_path / "s")


def test_speakers_that_cannot_be_read_again_are_not_written(gmm, rng, tmp_path):
    with pytest.raises(ModelError, match="s: no speakers to write; expected one or more"):
        save_speakers(tmp_path / "s", gmm, {})
    other = random_gmm(rng, 4)
    for speakers in ({"b": other}, {"a": gmm, "b": other}):
        with pytest.raises(ModelError, match=r"s: model of 'b' of shape \(4, 3\); expected \(5, 3\)"):
            save_speakers(tmp_path / "s", gmm, speakers)
    assert not (tmp_path / "s").exists()
