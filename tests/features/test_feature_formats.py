"""Features in the files of other programs."""

import io
import math
import struct
import sys
import tracemalloc
import zipfile
from itertools import pairwise

import h5py
import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.cases import case
from speechgmm.errors import CorpusError, SpeechGMMError
from speechgmm.features.formats.common import ONE_UTTERANCE, READABLE, WRITABLE, Matrix
from speechgmm.features.formats.reading import read_features
from speechgmm.features.formats.writing import write_features

MANY = tuple(suffix for suffix in WRITABLE if suffix not in ONE_UTTERANCE)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
FRAMES = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=FLOATS)
NAMES = st.text("aB7.-_:[]|é你\u0301'\"", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))


def ramp(n_frames=3, n_features=2, start=0.0):
    return (np.arange(n_frames * n_features, dtype=np.float32).reshape(n_frames, n_features) + start) / 4


def same(found, expected):
    """Say whether utterances are those expected, bit for bit."""
    return [name for name, _ in found] == [name for name, _ in expected] and all(
        a.dtype == np.float32 and a.shape == b.shape and np.array_equal(a, b)
        for (_, a), (_, b) in zip(found, expected, strict=True)
    )


def write(path, frames_by_name):
    write_features(path, [Matrix.from_array(name, frames) for name, frames in frames_by_name.items()])


def read(path):
    return list(read_features(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("formats")


@settings(max_examples=40, deadline=None)
@given(utterances=st.dictionaries(NAMES, FRAMES, max_size=4), suffix=st.sampled_from(MANY))
def test_what_is_written_comes_back(folder, utterances, suffix):
    write(folder / f"many{suffix}", utterances)
    expected = utterances.items()
    if suffix == ".ark":
        # Kaldi's matrices have no columns if they have no rows.
        expected = [(name, frames if len(frames) else frames[:, :0]) for name, frames in expected]
        assert same(read(folder / "many.scp"), expected)
    if suffix in (".h5", ".hdf5"):
        expected = sorted(expected, key=lambda pair: pair[0].encode())
    assert same(read(folder / f"many{suffix}"), list(expected))


@settings(max_examples=30, deadline=None)
@given(frames=FRAMES, suffix=st.sampled_from(ONE_UTTERANCE))
def test_one_utterance_comes_back_under_the_name_of_its_file(folder, frames, suffix):
    write(folder / f"one{suffix}", {"some id": frames})
    assert same(read(str(folder / f"one{suffix}")), [("one", frames)])


def test_every_suffix_is_known(tmp_path):
    assert set(ONE_UTTERANCE) < set(WRITABLE) < set(READABLE)
    for suffix in WRITABLE:
        write(tmp_path / f"a{suffix.upper()}", {"a": ramp()})
        assert same(read(tmp_path / f"a{suffix.upper()}"), [("a", ramp())])
    (tmp_path / "a.wav").touch()
    with pytest.raises(CorpusError, match=r"suffix '\.wav'; features are read from \.ark, \.scp"):
        read(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match=r"suffix '\.scp'; features are written to \.ark, \.h5"):
        write(tmp_path / "b.scp", {})


def test_kaldiio_reads_our_archive_and_index(tmp_path, monkeypatch):
    utterances = {"ann-1": ramp(), "你好": ramp(1, 7, -3.0), "empty": ramp(0, 5), "z": ramp(300, 60)}
    write(tmp_path / "out 1.ark", utterances)
    for found in (kaldiio.load_ark(str(tmp_path / "out 1.ark")), kaldiio.load_scp(str(tmp_path / "out 1.scp")).items()):
        found = list(found)
        assert [name for name, _ in found] == list(utterances)
        assert all(
            np.array_equal(a, b) or a.shape == (0, 0) for (_, a), b in zip(found, utterances.values(), strict=True)
        )
    monkeypatch.chdir(tmp_path)
    write("near.ark", utterances)
    # "ann-1 " is 6 bytes; its matrix is 5 + 5 + 5 + 24, and "你好 " is 7.
    lines = (tmp_path / "near.scp").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["ann-1 near.ark:6", "你好 near.ark:52"]
    assert (tmp_path / "near.ark").read_bytes()[6:21] == b"\0BFM \4\3\0\0\0\4\2\0\0\0"
    assert same(read("near.scp")[:1], [("ann-1", ramp())])


@pytest.mark.parametrize("compression", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_we_read_what_kaldiio_wrote(rng, tmp_path, compression, dtype):
    utterances = {name: rng.normal(size=(n, 6)).astype(dtype) for name, n in (("a", 40), ("b", 1), ("c", 9))}
    ark, scp = str(tmp_path / "k.ark"), str(tmp_path / "k.scp")
    kaldiio.save_ark(ark, utterances, scp=scp, compression_method=compression)
    expected = [(name, np.asarray(frames, np.float32)) for name, frames in kaldiio.load_ark(ark)]
    assert same(read(ark), expected)
    assert same(read(scp), expected)
    for (_, frames), original in zip(expected, utterances.values(), strict=True):
        assert np.allclose(frames, original, rtol=0, atol=1e-6 if compression is None else np.ptp(original) / 60 + 1e-6)


def test_two_byte_compression_is_what_kaldi_says(tmp_path):
    # CM2: x = min + range * stored / 65535, row by row (Kaldi's compressed-matrix.h).
    header = b"u \0BCM2 " + struct.pack("<ffii", 1.0, 65535.0, 2, 2)
    (tmp_path / "a.ark").write_bytes(header + struct.pack("<4H", 0, 1, 2, 500))
    assert same(read(tmp_path / "a.ark"), [("u", np.array([[1, 2], [3, 501]], np.float32))])


def test_text_archives(tmp_path):
    path = tmp_path / "t.ark"
    path.write_bytes(b"a  [\n  0 0.5\n  1e-05 2 ]\nb  [ ]\nc  [\n  1\n  -2\n ]\n\n")
    expected = [
        ("a", np.array([[0, 0.5], [1e-5, 2]], np.float32)),
        ("b", np.empty((0, 0), np.float32)),
        ("c", np.array([[1], [-2]], np.float32)),
    ]
    assert same(read(path), expected)
    kaldiio.save_ark(str(path), {"a": ramp(), "b": ramp(4, 3)}, text=True)
    assert same(read(path), [("a", ramp()), ("b", ramp(4, 3))])
    for text, message in (
        (b"v  [ 1 2 3 ]\n", "v: a vector; expected a matrix"),
        (b"v  [\n 1 2\n 3 ]\n", r"t\.ark: v: damaged.*same shape"),
        (b"v  [\n 1 x ]\n", r"v: damaged.*could not convert"),
        (b"v  [\n 1 2\n", "v: a matrix without its closing bracket"),
        (b"v  [\n 1 nan ]\n", "v: frame 0, feature 1 is nan; expected finite float32"),
    ):
        path.write_bytes(text)
        with pytest.raises(CorpusError, match=message):
            read(path)


def test_index_ranges_are_inclusive(tmp_path):
    write(tmp_path / "a.ark", {"u": ramp(10)})
    place = (tmp_path / "a.scp").read_text().split()[1]
    kaldiio.save_mat(str(tmp_path / "bare.mat"), ramp(2))
    index = tmp_path / "b.scp"
    index.write_text(f"x {place}[2:4]\ny\t{place}[:]\nz  {place}[9:12]\nw {tmp_path / 'bare.mat'}\n")
    assert same(
        read(index), [("x", ramp(10)[2:5]), ("y", ramp(10)), ("z", ramp(10)[9:]), ("w", ramp(2))]
    )  # Kaldi lets a range end up to 3 frames late
    for rows in ("9:13", "10:10", "4:3"):
        index.write_text(f"x {place}[{rows}]\n")
        with pytest.raises(CorpusError, match=r"b\.scp:1: x: .*a\.ark: rows .* of 10; expected rows within the matrix"):
            read(index)


def test_nothing_that_is_read_is_run(tmp_path):
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self):
            return trap.touch, ()

    opcodes = f"cposix\nsystem\n(Vtouch {trap}\ntR."  # what a pickle that runs a command looks like
    (tmp_path / "p.ark").write_bytes(f"u PKL{opcodes}".encode())
    np.savez(tmp_path / "p.npz", u=np.array([[Trap()]]))
    np.save(tmp_path / "p.npy", np.array([[Trap()]]))
    (tmp_path / "p.scp").write_text(f"u touch {trap} |\n")
    (tmp_path / "q.scp").write_text(f"u | touch {trap}\n")
    for name, message in (
        ("p.ark", "u: expected a Kaldi matrix at byte 2"),
        ("p.npz", "u: an array of object"),
        ("p.npy", "an array of object"),
        ("p.scp", r"p\.scp:1: .*commands are not run"),
        ("q.scp", r"q\.scp:1: .*commands are not run"),
    ):
        with pytest.raises(CorpusError, match=message):
            read(tmp_path / name)
    assert not trap.exists()


def test_hdf5_and_numpy_read_ours(tmp_path):
    utterances = {"ann/1": ramp(), "ann/2": ramp(4, 3), "bob": ramp(0, 5), "é ü": ramp(1, 1), "x.npy": ramp(2)}
    write(tmp_path / "a.h5", utterances)
    write(tmp_path / "a.npz", utterances)
    write(tmp_path / "a.npy", {"u": ramp(4, 3)})
    with h5py.File(tmp_path / "a.h5") as file, np.load(tmp_path / "a.npz") as archive:
        assert archive.files == list(utterances)
        assert sorted(file) == ["ann", "bob", "x.npy", "é ü"]
        for name, frames in utterances.items():
            assert archive[name].dtype == file[name].dtype == np.float32
            assert np.array_equal(archive[name], frames)
            assert np.array_equal(file[name][()], frames)
            assert archive[name].shape == file[name].shape == frames.shape
            assert h5py.h5g.get_objinfo(file[name].id).mtime == 0
    stream = io.BytesIO()
    np.save(stream, ramp(4, 3))
    assert (tmp_path / "a.npy").read_bytes() == stream.getvalue()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_foreign_arrays_become_float32(tmp_path):
    arrays = {"f8": ramp().astype(">f8"), "i": np.arange(6).reshape(2, 3), "u1": np.eye(2, dtype=np.uint8)}
    arrays["fortran"] = np.asfortranarray(ramp(3, 4))
    expected = [(name, array.astype(np.float32)) for name, array in arrays.items()]
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    assert same(read(tmp_path / "a.npz"), expected)
    np.save(tmp_path / "fortran.npy", arrays["fortran"])
    assert same(read(tmp_path / "fortran.npy"), expected[-1:])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(f"deep/er/{name}", data=array, compression="gzip")
        file["again"] = file["deep/er/i"]
    names = ["again", "deep/er/f8", "deep/er/fortran", "deep/er/i", "deep/er/u1"]
    by_name = dict(expected) | {"again": arrays["i"].astype(np.float32)}
    assert same(read(tmp_path / "a.h5"), [(name, by_name[name.rpartition("/")[2]]) for name in names])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"an array of float64, shape \(3,\); expected numbers, frames x features"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((2, 0)), r"shape \(2, 0\)"),
        (np.float32(1), r"shape \(\)"),
        (np.zeros((1, 1), complex), "an array of complex128"),
        (np.array([["a"]], "S1"), r"an array of \|S1"),
        (np.array([[0, 1e39]]), r"frame 0, feature 1 is 1e\+39; expected finite float32"),
        (np.array([[0.0], [math.nan]]), "frame 1, feature 0 is nan"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", u=array)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = array
    for suffix, where in ((".npy", "npy"), (".npz", "npz: u"), (".h5", "h5: u")):
        with pytest.raises(CorpusError, match=rf"a\.{where}: .*{message}"):
            read(tmp_path / f"a{suffix}")
    with pytest.raises(CorpusError, match=rf"b\.ark: u: .*{message}"):
        write_features(tmp_path / "b.ark", [Matrix("u", 2, 2, lambda: [np.asarray(array)])])


def test_hdf5_files_that_point_elsewhere_or_nowhere_are_refused(tmp_path):
    def refused(message, fill):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            fill(file)
        with pytest.raises(CorpusError, match=rf"a\.h5: u: {message}"):
            read(tmp_path / "a.h5")

    (tmp_path / "secret").write_bytes(bytes(64))
    layout = h5py.VirtualLayout((2, 2), np.float32)
    layout[:] = h5py.VirtualSource("b.h5", "v", (2, 2))
    external = [(str(tmp_path / "secret"), 0, 16)]
    refused("a link to something else", lambda file: file.update(u=h5py.SoftLink("/v")))
    refused("a link to something else", lambda file: file.update(u=h5py.ExternalLink("b.h5", "/v")))
    refused(
        "its values are in other files; expected them in this one",
        lambda file: file.create_virtual_dataset("u", layout),
    )
    refused(
        "its values are in other files; expected them in this one",
        lambda file: file.create_dataset("u", (2, 2), np.float32, external=external),
    )
    refused("an array of float32, shape None", lambda file: file.update(u=h5py.Empty(np.float32)))
    refused("288000000000000 bytes announced, 0", lambda f: f.create_dataset("u", (10**12, 72), "<f4", chunks=(1, 72)))
    refused("damaged", lambda file: file.update(u=np.dtype(np.float32)))  # a type, not an array


def test_an_htk_file_byte_by_byte(tmp_path):
    for suffix in (".htk", ".mfc"):
        path = tmp_path / f"a{suffix}"
        write_features(path, [Matrix.from_array("u", ramp(3, 2, 1.0))], frame_shift=0.0125)
        # 3 samples, 125,000 units of 100 ns, 8 bytes each, kind USER; then big-endian floats.
        assert path.read_bytes() == struct.pack(">iihh6f", 3, 125000, 8, 9, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    values = struct.pack(">4f", 1.0, 2.0, 3.0, 4.0)
    expected = [("a", np.array([[1, 2], [3, 4]], np.float32))]
    for kind in (6, 6 | 0o100 | 0o400 | 0o20000, 9 - 2**15):  # MFCC, MFCC_E_D_0, USER_T
        path.write_bytes(struct.pack(">iihh", 2, 100000, 8, kind) + values)
        assert same(read(path), expected)
    path.write_bytes(struct.pack(">iihh", 2, 100000, 8, 6 | 0o10000) + values + b"\x12\x34")  # MFCC_K
    assert same(read(path), expected)
    for kind, what in ((0, "a waveform"), (5, "reflection coefficients"), (10, "vector quantisation")):
        path.write_bytes(struct.pack(">iihh", 2, 100000, 8, kind) + values)
        with pytest.raises(CorpusError, match=rf"a\.mfc: holds {what}"):
            read(path)


def test_compressed_htk_files(rng, tmp_path):
    # HTK book 3.4, section 5.10.1: A = 2 I / (max - min), B = (max + min) I / (max - min), I = 32767,
    # stored = A x - B; A and B come first, and nSamples counts them as 4 samples.
    original = rng.normal(size=(50, 3)) * [1, 20, 0.1] + [5, 0, -9]
    low, high = original.min(axis=0), original.max(axis=0)
    a, b = 2 * 32767 / (high - low), (high + low) * 32767 / (high - low)
    stored = np.rint(a * original - b).astype(">i2")
    data = struct.pack(">iihh", 54, 100000, 6, 6 | 0o2000 | 0o10000)
    data += a.astype(">f4").tobytes() + b.astype(">f4").tobytes() + stored.tobytes() + b"\0\0"
    (tmp_path / "c.htk").write_bytes(data)
    [(name, frames)] = read(tmp_path / "c.htk")
    assert (name, frames.shape) == ("c", (50, 3))
    assert (np.abs(frames - original) <= (high - low) / 65534 + 3e-7 * np.abs(b / a) + 1e-6).all()
    (tmp_path / "c.htk").write_bytes(struct.pack(">iihh2f2h", 6, 1, 2, 6 | 0o2000, 2.0, -4.0, 10, -3))
    assert same(read(tmp_path / "c.htk"), [("c", np.array([[3.0], [-3.5]], np.float32))])
    (tmp_path / "c.htk").write_bytes(struct.pack(">iihh2f2h", 6, 1, 2, 6 | 0o2000, 0.0, -4.0, 10, -3))
    with pytest.raises(CorpusError, match="frame 0, feature 0 is inf"):
        read(tmp_path / "c.htk")


def in_order(order, frames, kind=9, tail=b""):
    """Write an HTK file in a byte order: floats, or 16-bit numbers after a scale and an offset for each feature."""
    width = 2 if kind & 0o2000 else 4
    n = len(frames) + (4 if kind & 0o2000 else 0)
    head = struct.pack(f"{order}iihH", n, 100000, width * frames.shape[1], kind)
    if width == 4:
        return head + frames.astype(f"{order}f4").tobytes() + tail
    scale_and_offset = np.array([[2.0] * frames.shape[1], [4.0] * frames.shape[1]])
    values = frames * 2.0 - 4.0
    return head + scale_and_offset.astype(f"{order}f4").tobytes() + values.astype(f"{order}i2").tobytes() + tail


@pytest.mark.parametrize("suffix", [".htk", ".mfc", ".plp", ".fea", ".FEA"])
@pytest.mark.parametrize("kind", [9, 6 | 0o2000, 6 | 0o10000, 11 | 0o12000])
def test_htk_files_are_read_in_either_byte_order(tmp_path, suffix, kind):
    frames = np.arange(39 * 7, dtype=np.float32).reshape(7, 39)
    tail = b"\1\2" if kind & 0o10000 else b""
    for order in "<>":
        path = tmp_path / f"a{suffix}"
        path.write_bytes(in_order(order, frames, kind, tail))
        assert same(read(path), [("a", frames)])
        path.write_bytes(in_order(order, frames, kind, tail)[:-3])
        with pytest.raises(CorpusError, match=r"HTK header of .*; the file has"):
            read(path)


@pytest.mark.parametrize("n_frames", [0, 1, 65536])
def test_a_header_that_fits_in_both_byte_orders_is_that_of_features(tmp_path, n_frames):
    frames = np.arange(n_frames, dtype=np.float32)[:, None]
    for order in "<>":
        (tmp_path / "a.htk").write_bytes(in_order(order, frames))
        assert same(read(tmp_path / "a.htk"), [("a", frames)])


def test_other_things_with_htk_suffixes_are_refused(tmp_path):
    for content in (b"not HTK at all, but some text\n", bytes(10), struct.pack("<iihh2h", 2, 625, 2, 0, 1, 2)):
        (tmp_path / "a.fea").write_bytes(content)
        with pytest.raises(CorpusError, match=r"a\.fea: (HTK header of|damaged|holds a waveform)"):
            read(tmp_path / "a.fea")


def test_an_empty_htk_file_is_of_the_standard_byte_order(tmp_path):
    (tmp_path / "a.htk").write_bytes(struct.pack(">iihh", 0, 100000, 0, 9))
    assert [frames.shape for _, frames in read(tmp_path / "a.htk")] == [(0, 0)]


def write_sidekit(path, shows, code):
    """Write features as SIDEKIT does: floats, or packed by its two rules, beside what it computes with them."""
    packed = {"compression": "gzip", "fletcher32": True}
    with h5py.File(path, "w") as file:
        file["compression"] = code
        for name, frames in shows.items():
            if code == 0:
                file.create_dataset(name, data=frames, maxshape=(None, None), **packed)
            elif code == 1:
                span = frames.max() - frames.min()
                scale, offset = 2 * 32767.0 / span, (frames.max() + frames.min()) * 32767.0 / span
                file.create_dataset(f"{name}_comp", data=np.float32([scale, offset]), **packed)
                file.create_dataset(name, data=(scale * frames - offset).astype(np.int16), **packed)
            else:
                low, width = frames.min(), np.ptp(frames)
                quartiles = np.percentile(frames, [0, 25, 75, 100], axis=0, method="lower").T
                file.create_dataset(f"{name}_min_range", data=np.float32([low, width]), **packed)
                header = ((quartiles - low) / width * 65535 + 0.499).astype(int)
                file.create_dataset(f"{name}_header", data=header, **packed)
                steps = [
                    np.interp(column, row, (0, 64, 192, 255)) for column, row in zip(frames.T, quartiles, strict=True)
                ]
                file.create_dataset(name, data=np.stack(steps, axis=1).round().astype(np.uint8), **packed)
                file.create_dataset(f"{name.rpartition('/')[0]}/energy", data=np.zeros((len(frames), 1), np.uint8))
            group = name.rpartition("/")[0]
            file[f"{name}_mean"], file[f"{name}_std"] = frames.mean(0), frames.std(0)
            file[f"{group}/vad"] = np.arange(len(frames), dtype=np.int8) % 2
            if code != 2:
                file[f"{group}/energy"] = frames[:, 0]


@pytest.mark.parametrize(("code", "tolerance"), [(0, 0.0), (1, 2e-4), (2, 0.06)])
def test_files_of_sidekit_give_all_frames_of_their_features(rng, tmp_path, code, tolerance):
    shows = {f"{name}/{kind}": rng.normal(size=(60, 13)).astype(np.float32) for name, kind in
             (("s1", "cep"), ("spk/s2", "fb"), ("s3", "bnf"))}  # fmt: skip
    write_sidekit(tmp_path / "a.h5", shows, code)
    found = dict(read(tmp_path / "a.h5"))
    assert list(found) == sorted(shows)
    for name, frames in shows.items():
        assert np.abs(found[name] - frames).max() <= tolerance


def test_the_case_of_sidekit_is_read():
    [(name, frames)] = read(case("19_sidekit.h5"))
    assert (name, frames.shape) == ("s1/cep", (20, 4))
    np.testing.assert_allclose(frames[:2], [[1, 2, 3, 4], [1.82, -0.05, 0.09, -1.49]], atol=0.006)


def test_older_files_of_sidekit_say_nothing_of_packing(rng, tmp_path):
    frames = rng.normal(size=(60, 13)).astype(np.float32)
    write_sidekit(tmp_path / "a.h5", {"s1/cep": frames}, 0)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["compression"]
    assert same(read(tmp_path / "a.h5"), [("s1/cep", frames)])


def test_datasets_with_names_of_sidekit_are_only_read_as_they_are_elsewhere(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("a/cep", "a/cep_mean", "a/energy", "a/vad", "compression"):
            file[name] = ramp()
    names = ["a/cep", "a/cep_mean", "a/energy", "a/vad", "compression"]
    assert same(read(tmp_path / "a.h5"), [(name, ramp()) for name in names])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compression": 3}, "compression 3; expected 0, 1"),
        ({"compression": 0.5}, "compression None; expected 0, 1"),
        ({"s1/cep_comp": np.ones(3)}, r"s1/cep_comp: float64, shape \(3,\); expected"),
        ({"s1/cep_comp": None}, "s1/cep: damaged, or not what the suffix says"),
        ({"s1/cep_comp": np.zeros(2)}, "expected finite float32"),
        ({"s1/cep_comp": h5py.SoftLink("/compression")}, "s1/cep_comp: a link to something else"),
    ],
)
def test_damaged_files_of_sidekit_are_refused(rng, tmp_path, change, message):
    write_sidekit(tmp_path / "a.h5", {"s1/cep": rng.normal(size=(60, 13)).astype(np.float32)}, 1)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        for name, value in change.items():
            del file[name]
            if value is not None:
                file[name] = value
    with pytest.raises(CorpusError, match=message):
        read(tmp_path / "a.h5")


def test_text_matrices_hold_numbers_as_programs_write_them(tmp_path):
    for word in ("1_0", "\uff11", "1,5"):
        (tmp_path / "a.ark").write_text(f"u  [\n 1 {word} ]\n", encoding="utf-8")
        with pytest.raises(CorpusError, match=rf"a\.ark: u: '{word}'; expected a number"):
            read(tmp_path / "a.ark")


def samples(folder):
    """Make a small file of every kind; give each with what it holds."""
    two = {"first": ramp(2), "second": ramp(3, 2, 9.0)}
    for suffix in (".ark", ".h5", ".npz", ".npy", ".htk"):
        write(folder / f"a{suffix}", {"a": ramp()} if suffix in ONE_UTTERANCE else two)
        yield folder / f"a{suffix}"
    kaldiio.save_ark(str(folder / "text.ark"), two, text=True)
    kaldiio.save_ark(str(folder / "small.ark"), two, compression_method=2)
    np.savez_compressed(folder / "deflated.npz", **two)
    (folder / "c.htk").write_bytes(struct.pack(">iihh4f4h", 6, 1, 4, 6 | 0o12000, 2, 4, 1, 1, 1, 2, 3, 4) + b"\0\0")
    yield from (folder / name for name in ("text.ark", "small.ark", "deflated.npz", "c.htk"))


def read_up_to_our_error(path):
    """Read what comes before an error that names the file; let other errors out."""
    found = []
    try:
        found.extend(read_features(path))  # keeps what came before an error
    except CorpusError as error:
        if not str(error).startswith(f"{path}: "):
            raise
    return found


def test_a_file_cut_anywhere_gives_right_frames_or_our_error(tmp_path):
    for path in list(samples(tmp_path)):
        whole, expected = path.read_bytes(), read(path)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            found = read_up_to_our_error(path)
            assert same(found, expected[: len(found)])
            assert len(found) < len(expected) or path.suffix == ".ark"


def test_a_damaged_byte_gives_frames_or_our_error(tmp_path):
    for path in [path for path in samples(tmp_path) if path.suffix != ".h5"]:  # its library's own affair
        whole = path.read_bytes()
        for place in range(len(whole)):
            for value in (255, whole[place] ^ 1):
                path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
                found = read_up_to_our_error(path)
                assert all(frames.dtype == np.float32 and np.isfinite(frames).all() for _, frames in found)


def test_headers_that_lie_take_no_memory(tmp_path):
    many = 2**31 - 1
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (many, 1000)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("u.npy", header.getvalue() + bytes(8))
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(8))
    (tmp_path / "a.htk").write_bytes(struct.pack(">iihh", many, 1, 4000, 9) + bytes(8))
    (tmp_path / "a.ark").write_bytes(b"u \0BDM \4" + struct.pack("<ibi", many, 4, 1000) + bytes(8))
    (tmp_path / "b.ark").write_bytes(b"u \0BCM " + struct.pack("<ffii", 0, 1, 1, many) + bytes(99))
    (tmp_path / "c.ark").write_bytes(b"u \0BFM \4" + struct.pack("<ibi", -1, 4, -1) + bytes(8))
    tracemalloc.start()
    for name in ("a.npz", "a.npy", "a.htk", "a.ark", "b.ark", "c.ark"):
        with pytest.raises(CorpusError, match=rf"{name}: .*(announced|makes)"):
            read(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("gone.ark", "gone.scp", "gone.h5", "gone.npz", "gone.npy", "gone.htk"):
        with pytest.raises(CorpusError, match=rf"{name}: not readable \(No such file"):
            read(tmp_path / name)
    with pytest.raises(CorpusError, match=r"not readable \(Is a directory"):
        read(tmp_path / "folder.npz")
    (tmp_path / "a.scp").write_text("u gone.ark:7\n")
    with pytest.raises(CorpusError, match=r"a\.scp:1: u: gone\.ark: not readable \(No such file"):
        read(tmp_path / "a.scp")
    (tmp_path / "a.scp").write_text("alone\n")
    with pytest.raises(CorpusError, match=r"a\.scp:1: 'alone'; expected utterance and file"):
        read(tmp_path / "a.scp")


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    twice = [Matrix.from_array("u", ramp()), Matrix.from_array("u", ramp())]
    for suffix in MANY:
        with pytest.raises(CorpusError, match=rf"a{suffix}: utterance 'u' is given twice"):
            write_features(tmp_path / f"a{suffix}", twice)
    assert not list(tmp_path.iterdir())
    write(tmp_path / "a.ark", {"u": ramp()})
    (tmp_path / "b.ark").write_bytes(2 * (tmp_path / "a.ark").read_bytes())
    (tmp_path / "b.scp").write_text(2 * (tmp_path / "a.scp").read_text())
    for name in ("b.ark", "b.scp"):
        with pytest.raises(CorpusError, match=rf"{name}: utterance 'u' is in it twice"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        ("", MANY),
        ("a\nb", MANY),
        ("a\0b", MANY),
        ("\ud800", MANY),
        ("a b", (".ark",)),
        ("a\u3000b", (".ark",)),
        ("/a", (".h5", ".npz")),
        ("a//b", (".h5", ".npz")),
        ("a/./b", (".h5", ".npz")),
        ("../a", (".h5", ".npz")),
        ("a\\b", (".h5", ".npz")),
    ],
)
def test_ids_that_a_format_cannot_hold_are_refused(tmp_path, name, suffixes):
    for suffix in suffixes:
        with pytest.raises(CorpusError, match=rf"o{suffix}: utterance .*; expected printable characters"):
            write(tmp_path / f"o{suffix}", {"good": ramp(), name: ramp()})
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    for names in (["a", "a/b"], ["a/b", "a"]):
        with pytest.raises(CorpusError, match=rf"a\.h5: utterance '{names[1]}' beside the others"):
            write(tmp_path / "a.h5", dict.fromkeys(names, ramp()))
    for suffix in ONE_UTTERANCE:
        with pytest.raises(CorpusError, match=r"more than one utterance; such a file holds one"):
            write(tmp_path / f"a{suffix}", {"a": ramp(), "b": ramp()})
        with pytest.raises(CorpusError, match=r"no utterance; such a file holds one"):
            write(tmp_path / f"a{suffix}", {})
    with pytest.raises(CorpusError, match=r"a\.htk: a: 8192 features; HTK's files hold up to 8191"):
        write(tmp_path / "a.htk", {"a": np.zeros((1, 8192), np.float32)})
    for frame_shift in (0.0, math.nan, 4e-8, 300.0):
        with pytest.raises(ValueError, match="frame_shift"):
            write_features(tmp_path / "a.htk", [Matrix.from_array("a", ramp())], frame_shift=frame_shift)
    with pytest.raises(CorpusError, match="cannot stand in a Kaldi index"):
        write(tmp_path / "a\nb.ark", {"a": ramp()})
    for shape in ((-1, 2), (2, 0), (2**31, 2)):
        with pytest.raises(ValueError, match=r"u: n_frames .*, n_features "):
            Matrix("u", *shape, list)
    assert not list(tmp_path.iterdir())
    write(tmp_path / "a.htk", {"a": np.ones((1, 8191), np.float32)})
    assert same(read(tmp_path / "a.htk"), [("a", np.ones((1, 8191), np.float32))])


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_failed_write_leaves_the_old_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, {"old": ramp()})
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert set(before) == ({"a.ark", "a.scp"} if suffix == ".ark" else {path.name})

    def breaks():
        yield ramp(2)
        raise RuntimeError("the reader died")

    for blocks, error, message in (
        (breaks, RuntimeError, "the reader died"),
        (lambda: [ramp(2)], ValueError, "u: 2 frames; 3 were announced"),
        (lambda: [ramp(2), ramp(2)], ValueError, "u: 4 x 2 frames x features so far; 3 x 2 were announced"),
        (lambda: [ramp(3, 3)], ValueError, "u: 3 x 3 frames x features so far; 3 x 2 were"),
        (lambda: [np.full((3, 2), np.inf, np.float32)], CorpusError, "u: frame 0, feature 0 is inf"),
    ):
        with pytest.raises(error, match=message):
            write_features(path, [Matrix("u", 3, 2, blocks)])
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_full_disk_leaves_the_old_files(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    path = tmp_path / f"a{suffix}"
    write(path, {"old": ramp()})
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 10, 500, 3000, 50_000, 80_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                write_features(path, [Matrix("u", 10_000, 2, lambda: [ramp(1000)] * 10)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert caught.value.filename in (str(path), str(path.with_suffix(".scp")))
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", WRITABLE)
def test_blocks_make_the_bytes_of_the_whole(tmp_path, rng, suffix):
    frames = rng.normal(size=(20_000, 3)).astype(np.float32)
    cuts = [0, 0, 1, 700, 20_000]
    for folder, blocks in (("a", [frames]), ("b", [frames[i:j] for i, j in pairwise(cuts)])):
        write_features(tmp_path / folder / f"x{suffix}", [Matrix("x", 20_000, 3, lambda blocks=blocks: blocks)])
    write(tmp_path / "c" / f"x{suffix}", {"x": np.asfortranarray(frames, np.float64)})
    first, *others = ((tmp_path / folder / f"x{suffix}").read_bytes() for folder in "abc")
    assert others == [first, first]


@pytest.mark.parametrize("suffix", WRITABLE)
def test_long_utterances_take_no_memory(tmp_path, suffix):
    path = tmp_path / f"long{suffix}"
    block = np.ones((4096, 64), np.float32)  # 1 MiB
    write(path, {"warm": ramp()})
    tracemalloc.start()
    write_features(path, [Matrix("long", 64 * 4096, 64, lambda: (block for _ in range(64)))])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 64 * 2**20
    path.unlink()
    assert peak < 3 * 2**20


def test_missing_packages_are_named(tmp_path, monkeypatch):
    write(tmp_path / "a.ark", {"a": ramp()})
    write(tmp_path / "a.h5", {"a": ramp()})
    (tmp_path / "t.ark").write_text("a  [\n 1 2 ]\n")
    for name in ("kaldiio", "kaldiio.matio", "h5py"):
        monkeypatch.setitem(sys.modules, name, None)
    for name, package, extra in (
        ("a.ark", "kaldiio", "kaldi"),
        ("a.scp", "kaldiio", "kaldi"),
        ("a.h5", "h5py", "hdf5"),
    ):
        with pytest.raises(SpeechGMMError, match=rf"package {package}: pip install 'speechgmm\[{extra}\]'"):
            read(tmp_path / name)
    with pytest.raises(SpeechGMMError, match=r"speechgmm\[hdf5\]"):
        write(tmp_path / "b.h5", {"a": ramp()})
    write(tmp_path / "b.ark", {"a": ramp()})  # takes no package
    assert same(read(tmp_path / "t.ark"), [("a", np.array([[1, 2]], np.float32))])
