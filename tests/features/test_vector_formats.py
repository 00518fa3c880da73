"""Vectors of recordings in files: what is written comes back by name, other programs read it, damage is refused."""

import csv
import io
import struct
import time
import tracemalloc
import zipfile
from contextlib import suppress

import h5py
import kaldiio
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechgmm.errors import CorpusError, SpeechGMMError
from speechgmm.features.formats.vectors import VECTOR_SUFFIXES, check_vector_file, read_vectors, write_vectors

DOUBLES = (".npz", ".h5", ".csv")
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text("aB7.-_:[]|é你\u0301'\",/ ", min_size=1, max_size=5).filter(
    lambda name: not {"", ".", ".."}.intersection(name.split("/"))
)
TWO = {"ann-1": np.array([0.1, -1e-300, 3.0]), "bob/1": np.array([1e30, 1 / 3, -0.0])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vectors")


def write(path, vectors):
    write_vectors(path, list(vectors), vectors.values())
    return path


def same(found, expected):
    """Whether vectors are those expected, bit for bit, in any order."""
    return found.keys() == expected.keys() and all(
        np.asarray(found[name]).dtype == np.float64
        and np.asarray(found[name]).tobytes() == np.asarray(each, np.float64).tobytes()
        for name, each in expected.items()
    )


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(NAMES, unique=True, max_size=4),
    vectors=hnp.arrays(np.float64, st.tuples(st.just(4), st.integers(1, 3)), elements=FLOATS),
    suffix=st.sampled_from(DOUBLES),
)
def test_what_is_written_comes_back_to_the_last_bit(folder, names, vectors, suffix):
    path = folder / f"many{suffix}"
    assume(suffix != ".h5" or not any(other.startswith(f"{name}/") for name in names for other in names))
    write_vectors(path, names, vectors[: len(names)])
    found = read_vectors(path)
    assert same(found, dict(zip(names, vectors, strict=False)))
    if suffix != ".h5":
        assert list(found) == names


@settings(max_examples=20, deadline=None)
@given(
    vectors=hnp.arrays(
        np.float32, st.tuples(st.integers(0, 4), st.integers(1, 3)), elements=st.floats(-(2.0**127), 2.0**127, width=32)
    )
)
def test_archives_hold_single_precision(folder, vectors):
    names = [f"r{n}" for n in range(len(vectors))]
    write_vectors(folder / "many.ark", names, vectors)
    assert same(read_vectors(folder / "many.ark"), dict(zip(names, vectors, strict=True)))
    write_vectors(folder / "rounded.ark", names, vectors.astype(np.float64) * (1 + 1e-12))
    assert (folder / "rounded.ark").read_bytes() == (folder / "many.ark").read_bytes()


def test_other_programs_read_what_is_written(tmp_path):
    with np.load(write(tmp_path / "a.npz", TWO)) as archive:
        assert same({name: archive[name] for name in archive.files}, TWO)
    with h5py.File(write(tmp_path / "a.hdf5", TWO), "r") as file:
        assert same({name: file[name][()] for name in TWO}, TWO)
    with write(tmp_path / "a.csv", TWO).open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["id", "1", "2", "3"]
    assert same({row[0]: [float(word) for word in row[1:]] for row in rows}, TWO)
    path = write(tmp_path / "a.ark", TWO)
    singles = {name: vector.astype(np.float32) for name, vector in TWO.items()}
    for found in (dict(kaldiio.load_ark(str(path))), dict(kaldiio.load_scp(str(path.with_suffix(".scp"))))):
        assert found.keys() == singles.keys()
        assert all(found[name].dtype == np.float32 and np.array_equal(found[name], singles[name]) for name in singles)


def test_archives_of_other_programs_are_read(tmp_path):
    kaldiio.save_ark(str(tmp_path / "double.ark"), TWO)
    assert same(read_vectors(tmp_path / "double.ark"), TWO)
    np.savez_compressed(tmp_path / "packed.npz", **{name.replace("/", "-"): TWO[name] for name in TWO})
    assert len(read_vectors(tmp_path / "packed.npz")) == 2
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file.create_dataset("a", data=np.arange(5), compression="gzip")
    assert same(read_vectors(tmp_path / "packed.h5"), {"a": np.arange(5.0)})
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbfid,1,2\r\na,1,-2e3\r\n")
    assert same(read_vectors(tmp_path / "mark.csv"), {"a": [1.0, -2000.0]})


def test_the_same_vectors_are_the_same_bytes_at_another_time(tmp_path):
    first = {suffix: write(tmp_path / f"a{suffix}", TWO).read_bytes() for suffix in VECTOR_SUFFIXES}
    time.sleep(1.1)  # HDF5 counts seconds
    assert {suffix: write(tmp_path / f"a{suffix}", TWO).read_bytes() for suffix in VECTOR_SUFFIXES} == first


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".ark"])
def test_memory_does_not_grow_with_the_number_of_vectors(tmp_path, suffix):
    def peak(n):
        vectors = (np.full(5000, row / 2) for row in range(n))
        tracemalloc.start()
        write_vectors(tmp_path / f"a{suffix}", [str(row) for row in range(n)], vectors)
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(2)
    assert peak(120) - peak(20) < 100 * 40_000 / 4


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_a_failure_leaves_what_was_there(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", TWO)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def broken():
        yield [1.0]
        raise RuntimeError("the extraction ends")

    with pytest.raises(RuntimeError):
        write_vectors(path, ["a", "b"], broken())
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "names", "vectors", "message"),
    [
        ("a.txt", ["a"], [[1.0]], "suffix '.txt'; vectors are written to .npz, .h5, .hdf5, .csv, .ark"),
        ("a", ["a"], [[1.0]], "suffix ''"),
        ("a.npz", ["a", "a"], [[1.0], [2.0]], "recording 'a' is given twice"),
        ("a.npz", ["../a"], [[1.0]], "expected a name without"),
        ("a.h5", ["a", "a/b"], [[1.0], [2.0]], "recordings 'a' and 'a/b': HDF5 cannot hold both"),
        ("a.csv", ["a\nb"], [[1.0]], "expected printable characters"),
        ("a.csv", [""], [[1.0]], "expected printable characters"),
        ("a.ark", ["a b"], [[1.0]], "expected a name without white space"),
        ("a\n.ark", ["a"], [[1.0]], "cannot stand in a Kaldi index"),
        ("a.csv", ["a", "b"], [[1.0], [2.0, 3.0]], "b: 2 numbers, and a has 1; expected as many"),
        ("a.csv", ["a"], [[1.0, np.nan]], "a: number 2 is nan; expected finite numbers"),
        ("a.npz", ["a"], [[[1.0]]], "shape (1, 1); expected a vector of numbers"),
        ("a.npz", ["a"], [[]], "shape (0,); expected a vector of numbers"),
        ("a.npz", ["a"], [["1"]], "expected a vector of numbers"),
        ("a.npz", ["a"], [[1j]], "expected a vector of numbers"),
        ("a.ark", ["a"], [[1.0, 1e39]], "number 2 is 1e+39; expected float32, which ends at 3.4e38"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, name, names, vectors, message):
    with pytest.raises(CorpusError) as error:
        write_vectors(tmp_path / name, names, vectors)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_as_many_vectors_as_names(tmp_path):
    for vectors in ([[1.0]], [[1.0]] * 3):
        with pytest.raises(ValueError, match="vectors for 2 names; expected as many") as error:
            write_vectors(tmp_path / "a.npz", ["a", "b"], vectors)
        assert not isinstance(error.value, SpeechGMMError)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_refused_beforehand(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(CorpusError, match="a folder; expected the name of a file"):
        check_vector_file(tmp_path / "a.npz", [])


def npz(*members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def announced(shape, content=b"", descr="<f8"):
    """A numpy file whose header says more than there is."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


ARK = b"a \0BFV \4\2\0\0\0" + struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv:1: column ''; expected id"),
        ("a.csv", b"name,1\na,2\n", "column 'name'; expected id"),
        ("a.csv", b"id,1\na,2\nb\n", "a.csv:3: 1 columns; expected 2"),
        ("a.csv", b"id,1\na,2\na,3\n", "recording 'a' is in it twice"),
        ("a.csv", b"id,1\na,0.12", "the last line has no end"),
        ("a.csv", b"id,1\na,1_000\n", "a.csv:2: column 2: '1_000'; expected a number"),
        ("a.csv", b"id,1\na,inf\n", "a: number 1 is inf; expected finite numbers"),
        ("a.csv", b"id\na\n", "shape (0,); expected a vector"),
        ("a.csv", b'id,1\n"a"b,2\n', "no row of a table"),
        ("a.csv", b'id,1\n"' + b"a" * 200_000 + b'",2\n', "no row of a table"),
        ("a.csv", b"id,1\n\xff,2\n", "damaged, or not what the suffix says"),
        ("a.npz", b"PK", "damaged, or not what the suffix says"),
        ("a.npz", npz(("a.npy", npy(np.ones((2, 2))))), "a: an array of float64, shape (2, 2); expected a vector"),
        ("a.npz", npz(("a.npy", npy(np.array(["x"])))), "a: an array of <U1, shape (1,); expected a vector"),
        ("a.npz", npz(("a.npy", announced((10**15,)))), "a: 8000000000000000 bytes announced, 0 in the file"),
        ("a.npz", npz(("a.npy", announced((1,), b"pickle", "|O"))), "expected a vector of numbers"),
        ("a.npz", npz(("a.npy", b"\x93NUMPY\1\0\xff\xff{")), "a: damaged"),
        ("a.npz", npz(("a.npy", npy([1.0])), ("b.npy", npy([1.0, 2.0]))), "b: 2 numbers, and a has 1"),
        ("a.npz", npz(("a.npy", npy(np.zeros(3_000_000)))), "24000128 bytes announced"),
        ("a.ark", b"a", "byte 0: expected a name and a vector"),
        ("a.ark", ARK[:-1], "a: 2 numbers announced, but the file ends before them"),
        ("a.ark", ARK[:8], "a: expected a binary Kaldi vector at byte 2; cut short"),
        ("a.ark", ARK.replace(b"\2\0\0\0", b"\xff\xff\xff\xff"), "-1 numbers announced"),
        ("a.ark", ARK.replace(b"FV", b"FM"), "expected a binary Kaldi vector"),
        ("a.ark", ARK[:-4] + b"\1\0\xa0\x7f", "a: number 2 is nan; expected finite numbers"),  # a signalling one
        ("a.ark", ARK + ARK, "recording 'a' is in it twice"),
        ("a.ark", b"a [ 1 2 ]\n", "expected a binary Kaldi vector"),
        ("a.ark", b"\xff" + ARK, "damaged, or not what the suffix says"),
        ("a.ark", b"a \0BFV \4\0\0\0\0", "shape (0,); expected a vector"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "a.h5: not readable"),
        ("a.scp", b"a a.ark:2\n", "suffix '.scp'; vectors are read from"),
    ],
)
def test_damage_is_refused_with_the_file_and_the_recording(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as error:
        read_vectors(tmp_path / name)
    assert message in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.npz: not readable \(No such file"):
        read_vectors(tmp_path / "none.npz")


def hdf5_with(path, what):
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(2)
        match what:
            case "matrix":
                file["b"] = np.ones((2, 2))
            case "text":
                file["b"] = "text"
            case "empty":
                file["b"] = h5py.Empty("f8")
            case "type":
                file["b"] = np.dtype("f8")
            case "link":
                file["b"] = h5py.ExternalLink("/etc/passwd", "/")
            case "outside":
                file.create_dataset("b", (2,), "f8", external=[(str(path), 0, 16)])
            case "unwritten":
                file.create_dataset("b", (10**12,), "f8", chunks=(1000,))
            case "bomb":
                file.create_dataset("b", data=np.zeros(3_000_000), compression="gzip")
    return path


@pytest.mark.parametrize("what", ["matrix", "text", "empty", "type", "link", "outside", "unwritten", "bomb"])
def test_hdf5_that_holds_something_else_is_refused(tmp_path, what):
    with pytest.raises(CorpusError, match=r"a\.h5: b: "):
        read_vectors(hdf5_with(tmp_path / "a.h5", what))


def test_more_numbers_than_a_file_can_hold_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.ones(10_000)
        for n in range(300):
            file[f"a{n}"] = file["a"]  # the same values under many names
    with pytest.raises(CorpusError, match="more than 100 times as many numbers as fit"):
        read_vectors(tmp_path / "a.h5")


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_whatever_the_bytes_nothing_else_is_raised(tmp_path, suffix, rng):
    path = write(tmp_path / f"a{suffix}", TWO)
    valid = path.read_bytes()
    for _ in range(150):
        content = bytearray(valid)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content)))
            match int(rng.integers(3)):
                case 0:
                    content[at] = int(rng.integers(256))
                case 1:
                    del content[at : at + int(rng.integers(1, 9))]
                case 2:
                    content[at:at] = bytes(rng.integers(256, size=int(rng.integers(1, 9)), dtype=np.uint8))
            if not content:
                break
        path.write_bytes(content)
        with suppress(CorpusError):
            assert all(np.isfinite(vector).all() for vector in read_vectors(path).values())
