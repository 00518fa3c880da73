"""Models and states of a training on disk."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.models import draw, random_gmm
from speechgmm import accumulate, load_gmm, map_adapt, save_gmm
from speechgmm.errors import CheckpointError, ModelError
from speechgmm.gmm.storage import check_front_end, load_speakers, read_header, save_speakers
from speechgmm.gmm.training.checkpoint import TrainingState, load_state, save_state
from speechgmm.gmm.training.history import Iteration


def test_a_model_comes_back_bit_for_bit(rng, tmp_path):
    gmm = random_gmm(rng)
    save_gmm(tmp_path / "a.safetensors", gmm, front_end={"n_cepstra": 24})
    again = load_gmm(tmp_path / "a.safetensors")
    for name in ("weights", "means", "variances"):
        assert np.array_equal(getattr(again, name), getattr(gmm, name))
    header = read_header(tmp_path / "a.safetensors")
    assert (header.kind, header.front_end) == ("gmm", {"n_cepstra": 24})


@pytest.mark.parametrize("adapt", [("means",), ("weights", "means", "variances")])
def test_speakers_come_back_in_order(rng, tmp_path, adapt):
    ubm = random_gmm(rng)
    speakers = {
        name: map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 100)), adapt=adapt) for name in ("zoë", "Ann Lee", "b")
    }
    save_speakers(tmp_path / "s.safetensors", ubm, speakers)
    again = load_speakers(tmp_path / "s.safetensors")
    assert list(again) == list(speakers)
    for name, gmm in speakers.items():
        assert np.array_equal(again[name].means, gmm.means)
        assert np.array_equal(again[name].variances, gmm.variances)
        assert np.array_equal(again[name].weights, gmm.weights)


def test_the_same_model_gives_the_same_bytes(rng, tmp_path):
    gmm = random_gmm(rng)
    for name in ("a", "b"):
        save_gmm(tmp_path / name, gmm, front_end={"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_not_a_model_is_refused(rng, tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        load_gmm(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match="text: not readable as a model file"):
        load_gmm(tmp_path / "text")
    save_file({"x": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(ModelError, match="other: a safetensors file, but not a model of speechgmm"):
        load_gmm(tmp_path / "other")
    gmm = random_gmm(rng)
    save_speakers(tmp_path / "speakers", gmm, {"a": gmm})
    with pytest.raises(ModelError, match="holds 'speakers'; expected 'gmm'"):
        load_gmm(tmp_path / "speakers")
    save_gmm(tmp_path / "cut", gmm)
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-8])
    with pytest.raises(ModelError, match="not readable"):
        load_gmm(tmp_path / "cut")


def test_a_newer_format_is_refused_by_its_version(tmp_path):
    header = {"format_version": 99, "package_version": "9.9.9", "something": "else"}
    save_file({"x": np.zeros(3)}, tmp_path / "new", {"speechgmm": json.dumps(header)})
    with pytest.raises(ModelError, match=r"format version 99, written by speechgmm 9\.9\.9"):
        load_gmm(tmp_path / "new")


@pytest.mark.parametrize("text", ["3", "[]", "{", '"x"', '{"format_version": 1}'])
def test_a_damaged_header_is_refused(tmp_path, text):
    save_file({"x": np.zeros(3)}, tmp_path / "odd", {"speechgmm": text})
    with pytest.raises(ModelError, match="not a model of speechgmm"):
        load_gmm(tmp_path / "odd")
    save_file({"x": np.zeros(3)}, tmp_path / "odd", {"speechgmm": '{"format_version": 1, "package_version": "1"}'})
    with pytest.raises(ModelError, match="damaged header"):
        load_gmm(tmp_path / "odd")


def test_a_model_of_another_front_end_is_refused(rng, tmp_path):
    path = tmp_path / "m"
    save_gmm(path, random_gmm(rng), front_end={"n_cepstra": 24, "lifter": 22.0})
    check_front_end(path, {"lifter": 22.0, "n_cepstra": 24})
    with pytest.raises(ModelError, match=r"another front end: n_cepstra 24 there, 20 here$"):
        check_front_end(path, {"n_cepstra": 20, "lifter": 22.0})
    save_gmm(path, random_gmm(rng))
    check_front_end(path, {"n_cepstra": 20})


def test_a_failed_write_leaves_the_old_file(rng, tmp_path, monkeypatch):
    path = tmp_path / "m"
    gmm = random_gmm(rng)
    save_gmm(path, gmm)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        save_gmm(path, random_gmm(rng, 2))
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["m"]


def test_a_state_that_an_earlier_version_wrote_is_resumed_from(rng, tmp_path):
    """Its keys were not sorted; everything else is as it was."""
    path = tmp_path / "state"
    first, best = random_gmm(rng), random_gmm(rng)
    save_state(path, TrainingState(first, best, (Iteration(1, True, 3, -2.5, seconds=0.5),)), "this training")
    arrays = load_file(path)
    loaded = load_state(path, "this training")
    header = {"training": "this training", "history": [vars(each) for each in loaded.history]}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(hashlib.sha256(text.encode()).hexdigest().encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode() + arrays[name].tobytes())
    save_file(arrays, tmp_path / "old", {"speechgmm_training": json.dumps(header | {"digest": digest.hexdigest()})})
    old = load_state(tmp_path / "old", "this training")
    assert old.history == loaded.history
    for name in ("weights", "means", "variances"):
        assert np.array_equal(getattr(old.gmm, name), getattr(first, name))
        assert np.array_equal(getattr(old.best, name), getattr(best, name))


def test_a_state_that_cannot_be_used_names_its_file_and_what_to_do(rng, tmp_path):
    path = tmp_path / "state"
    assert load_state(path, "this training") is None
    gmm = random_gmm(rng)
    save_state(path, TrainingState(gmm, gmm, ()), "this training")
    with pytest.raises(CheckpointError, match=r"state: the state of another training; name .*, or remove it to start"):
        load_state(path, "that training")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"damaged: its digest is not that of its content; remove it to start"):
        load_state(path, "this training")
    save_gmm(path, gmm)
    with pytest.raises(CheckpointError, match=r"not readable as the state of a training; remove it to start again$"):
        load_state(path, "this training")
