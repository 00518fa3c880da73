"""The container of arrays that models, states, speakers and cohorts share."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save, save_file

from speechgmm.errors import GalleryError, ModelError
from speechgmm.tensors import FileFormat, content_digest, load_arrays, load_header, refuse_damage, save_arrays
from speechgmm.version import __version__

PLAIN = FileFormat("thing", ModelError, unreadable="not readable as a thing", foreign="not a thing of speechgmm")
SIGNED = replace(PLAIN, digest=content_digest)
BARE = replace(PLAIN, version=None, key="things", digest=content_digest)
FORMATS = {"plain": PLAIN, "signed": SIGNED, "bare": BARE}

ARRAYS = {"b": np.arange(6.0).reshape(2, 3), "a": np.float32([1.5, -2.5]), "n": np.array([7], np.int64)}
METADATA = {"zoë": [1, None, "x"], "about": {"y": 0.1, "x": 2}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def texts(path):
    """Read the metadata of a safetensors file."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def rewrite(path, file_format, **changes):
    """Change keys of a header, and leave the rest of the file."""
    header = json.loads(texts(path)[file_format.key]) | changes
    header = {key: value for key, value in header.items() if value is not ...}
    path.write_bytes(save(load(path.read_bytes()), {file_format.key: json.dumps(header)}))


@pytest.mark.parametrize("durably", [False, True])
@pytest.mark.parametrize("file_format", FORMATS.values(), ids=FORMATS)
def test_arrays_and_header_come_back(path, file_format, durably):
    save_arrays(path, file_format, METADATA, ARRAYS, kind="first", durably=durably)
    header, arrays = load_arrays(path, file_format, kind="first")
    versioned = {"format_version": 1, "kind": "first", "package_version": __version__}
    assert header == METADATA | ({} if file_format is BARE else versioned)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])
    assert load_header(path, file_format).items() >= header.items()


def test_the_header_is_one_text_of_sorted_keys(path):
    save_arrays(path, PLAIN, METADATA, ARRAYS, kind="first")
    assert texts(path) == {
        "speechgmm": '{"about": {"x": 2, "y": 0.1}, "format_version": 1, "kind": "first", '
        f'"package_version": "{__version__}", "zoë": [1, null, "x"]}}'
    }


@pytest.mark.parametrize("file_format", FORMATS.values(), ids=FORMATS)
def test_the_order_of_keys_and_arrays_does_not_change_the_bytes(path, tmp_path, file_format):
    save_arrays(path, file_format, METADATA, ARRAYS, kind="first")
    turned = {"about": {"x": 2, "y": 0.1}, "zoë": [1, None, "x"]}
    save_arrays(tmp_path / "b", file_format, turned, dict(reversed(ARRAYS.items())), kind="first")
    assert path.read_bytes() == (tmp_path / "b").read_bytes()


def test_another_kind_is_refused(path):
    save_arrays(path, PLAIN, METADATA, ARRAYS, kind="first")
    with pytest.raises(ModelError, match=r"file: holds 'first'; expected 'second'$"):
        load_arrays(path, PLAIN, kind="second")


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_format_version_is_refused_before_the_rest_is_read(path, version):
    save_arrays(path, SIGNED, METADATA, ARRAYS, kind="first")
    rewrite(path, SIGNED, format_version=version, package_version="9.0", kind=...)
    message = rf"file: thing of format version {version}, written by speechgmm 9\.0; this speechgmm reads version 1$"
    for read in (load_header, load_arrays):
        with pytest.raises(ModelError, match=message):
            read(path, SIGNED)


@pytest.mark.parametrize("file_format", FORMATS.values(), ids=FORMATS)
def test_a_file_that_is_cut_anywhere_is_refused(path, file_format):
    save_arrays(path, file_format, METADATA, ARRAYS, kind="first")
    whole = path.read_bytes()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"file: not readable as a thing \("):
            load_arrays(path, file_format, kind="first")


@pytest.mark.parametrize("file_format", [SIGNED, BARE], ids=["signed", "bare"])
def test_a_flipped_bit_is_refused_or_changes_nothing(path, file_format):
    save_arrays(path, file_format, METADATA, ARRAYS, kind="first")
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(ModelError):
            header, arrays = load_arrays(path, file_format, kind="first")
            assert header.items() >= METADATA.items()
            assert all(np.array_equal(array, arrays[name]) for name, array in ARRAYS.items())
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"file: damaged: its digest is not that of its content$"):
        load_arrays(path, file_format, kind="first")


def test_a_header_that_was_changed_is_refused_by_its_digest(path):
    save_arrays(path, SIGNED, METADATA, ARRAYS, kind="first")
    rewrite(path, SIGNED, about={})
    with pytest.raises(ModelError, match="its digest is not that of its content"):
        load_arrays(path, SIGNED, kind="first")
    rewrite(path, SIGNED, digest=...)
    with pytest.raises(ModelError, match=r"not readable as a thing \('digest'\)"):
        load_arrays(path, SIGNED, kind="first")


def test_a_digest_covers_names_types_shapes_and_values(path):
    save_arrays(path, SIGNED, METADATA, ARRAYS, kind="first")
    text = texts(path)["speechgmm"]
    header = json.loads(text)
    digest = hashlib.sha256(text.replace(f'"digest": "{header["digest"]}", ', "").encode())
    for name, described in (("a", "a <f4 (2,)"), ("b", "b <f8 (2, 3)"), ("n", "n <i8 (1,)")):
        digest.update(described.encode() + ARRAYS[name].tobytes())
    assert header["digest"] == digest.hexdigest()


@pytest.mark.parametrize("data", [b"", b"text", b"{}", bytes(8), b"\x80\x04cbuiltins\nexit\n)R."])
def test_what_is_not_safetensors_is_refused(path, data):
    path.write_bytes(data)
    for read in (load_header, load_arrays):
        with pytest.raises(ModelError, match=r"file: not readable as a thing \("):
            read(path, PLAIN)


@pytest.mark.parametrize("text", ["", "{", "3", "[]", "null", '"x"', "{}", '{"format_version": 1}', "[" * 100_000])
def test_safetensors_of_others_are_refused(path, text):
    for metadata in ({"speechgmm": text}, {"speechgmm_other": "{}"}, None):
        save_file({"x": np.zeros(3)}, path, metadata)
        for read in (load_header, load_arrays):
            with pytest.raises(ModelError, match=r"file: not a thing of speechgmm$"):
                read(path, PLAIN)


def test_a_header_without_a_kind_is_damaged(path):
    save_arrays(path, PLAIN, METADATA, ARRAYS, kind="first")
    rewrite(path, PLAIN, kind=...)
    with pytest.raises(ModelError, match=r"file: damaged header \('kind'\)"):
        load_arrays(path, PLAIN, kind="first")


def test_expected_arrays_are_checked_by_name_and_type(path):
    doubles = {name: np.ones(2) for name in ("means", "weights")}
    save_arrays(path, PLAIN, {}, doubles)
    assert list(load_arrays(path, PLAIN, names=("weights", "means"))[1]) == ["weights", "means"]
    for other in (doubles | {"means": np.ones(2, np.float32)}, doubles | {"bias": np.ones(1)}, {"means": np.ones(2)}):
        save_arrays(path, PLAIN, {}, other)
        with pytest.raises(ModelError, match=r"file: holds arrays .*; expected weights, means, each F64$"):
            load_arrays(path, PLAIN, names=("weights", "means"))


def test_a_file_that_is_not_there_or_not_a_file_has_its_own_error(path, tmp_path):
    for missing in (path, path / "below", tmp_path / "nul\0"):
        (tmp_path / "file").touch() if missing == path / "below" else path.unlink(missing_ok=True)
        for read in (load_header, load_arrays):
            with pytest.raises(FileNotFoundError):
                read(missing, PLAIN)
    with pytest.raises(ModelError, match=r": not readable \(not a file\)"):
        load_arrays(tmp_path, PLAIN)
    with pytest.raises(ModelError, match=r": not readable \(File name too long\)"):
        load_arrays(tmp_path / ("x" * 300), PLAIN)


def test_a_nan_in_a_header_is_a_bug_and_leaves_the_old_file(path):
    save_arrays(path, PLAIN, METADATA, ARRAYS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_arrays(path, PLAIN, {"x": float("nan")}, ARRAYS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("durably", [False, True])
def test_only_durable_files_are_flushed_to_the_disk(path, monkeypatch, durably):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    save_arrays(path, PLAIN, METADATA, ARRAYS, durably=durably)
    assert bool(flushed) is durably


def test_damage_becomes_one_error_and_errors_of_that_kind_pass():
    with pytest.raises(GalleryError, match=r"^x: damaged \(least\)$"), refuse_damage(GalleryError, "x: damaged"):
        raise ModelError("least")
    with pytest.raises(GalleryError, match=r"^least$"), refuse_damage(GalleryError, "x: damaged"):
        raise GalleryError("least")
    with pytest.raises(FileNotFoundError), refuse_damage(GalleryError, "x: damaged"):
        raise FileNotFoundError
    with pytest.raises(MemoryError), refuse_damage(GalleryError, "x: damaged"):
        raise MemoryError
