"""What the fuzzing found, and reading the readers for it, as small as it can be: now an error of ours that says why."""

import io
import json
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load, save, save_file

import seeds
from speechgmm import read_audio
from speechgmm.audio.reading import audio_blocks
from speechgmm.audio.samples import resample
from speechgmm.corpus.formats.tables import CsvConfig
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.scored.trial_speakers import read_manifest
from speechgmm.errors import AudioError, CorpusError, GalleryError, ModelError, RecipeError
from speechgmm.features.formats.reading import read_features, read_place
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import read_calibration
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.speakers import load_speaker
from speechgmm.gmm.storage import load_gmm
from speechgmm.gmm.training.checkpoint import load_state
from speechgmm.recipe.reading.loader import load_recipe
from targets import signed_speaker

LONG = "9" * 5000


@pytest.fixture
def written(tmp_path):
    """Write a file, and give its path."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def wav(rate, n_samples=100, channels=1):
    """Give an 8-bit WAV file, whatever its rate."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels & 0xFFFFFFFF, channels, 8)
    n_bytes = n_samples * channels
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", n_bytes) + bytes(n_bytes)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


# Audio


@pytest.mark.parametrize("rate", [1, 159, 1_600_001, 2**31 - 1])
def test_a_rate_that_would_blow_audio_up_is_refused(written, rate):
    path = written("a.wav", wav(rate))
    assert len(read_audio(path)[0]) == 100
    for read in (read_audio, audio_blocks):
        with pytest.raises(AudioError, match=rf"a\.wav: sample rate {rate} Hz, and 16000 Hz is wanted; expected rates"):
            read(path, sample_rate=16000)
    with pytest.raises(AudioError, match=r"^sample rate 1 Hz, and 2147483647 Hz is wanted"):
        resample(np.zeros(1, np.float32), 1, 2**31 - 1)  # which ended the process


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
def test_a_chunk_that_is_larger_than_any_file_does_not_hide_the_next(written, size):
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(100), 16000, "PCM_16", format="W64")
    data = stream.getvalue()
    at = data.index(b"data")
    junk = b"junk" + data[at + 4 : at + 16] + struct.pack("<Q", size)
    assert len(read_audio(written("a.w64", data[:at] + junk + data[at:]))[0]) == 100  # libsndfile's view


def peak_of(read):
    """Give the most memory that numpy took, in bytes."""
    tracemalloc.start()
    try:
        read()
    except AudioError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_memory_follows_what_a_file_holds_not_rates_channels_and_lengths_of_its_header(written):
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros((100, 8)), 655_350, "PCM_16", format="FLAC")
    data = bytearray(stream.getvalue())
    data[21:26] = bytes([data[21] | 0x0F, 255, 255, 255, 255])  # STREAMINFO's number of samples, 36 bits
    path = written("a.flac", bytes(data))
    assert peak_of(lambda: list(audio_blocks(path, channel=0)[0])) < 2**26
    assert peak_of(lambda: read_audio(path, channel="mean")) < 2**26


# Lists


@pytest.mark.parametrize("path", [".", "/", "./", "//"])
def test_a_path_that_names_no_file_has_an_id_all_the_same(written, path):
    table = written("t.csv", f"path,speaker\n{path},anna\n".encode())
    assert list(read_manifest(table)) == [{"./": ".", "//": "//"}.get(path, path)]
    with pytest.raises(CorpusError, match="expected two or more to enrol"):
        read_corpus(CsvConfig(root=str(table.parent), table="t.csv"))


def test_a_channel_of_thousands_of_digits_is_none(written):
    table = written("t.csv", f"path,speaker,channel\na.wav,anna,{LONG}\n".encode())
    with pytest.raises(CorpusError, match=r"t\.csv:2: channel '9+'; expected a number from 0 on, or mean"):
        read_corpus(CsvConfig(root=str(table.parent), table="t.csv"))


def test_a_row_of_a_manifest_without_id_and_path_is_named(written):
    with pytest.raises(CorpusError, match=r"t\.csv:3: no id and no path"):
        read_manifest(written("t.csv", b"id,sex\nu1,f\n,m\n"))


# Features


def test_rows_of_thousands_of_digits_are_refused(written):
    ark = written("b.ark", b"u1 \0BFM \4\1\0\0\0\4\1\0\0\0\0\0\0\0")
    with pytest.raises(CorpusError, match=r"b\.ark.*Exceeds the limit"):
        read_place(f"{ark}:3[0:{LONG}]")


def test_a_signalling_nan_is_refused_without_a_warning(written):
    path = written("a.ark", b"u1 \0BDM \4\1\0\0\0\4\1\0\0\0" + struct.pack("<Q", 0x7FF0000000000001))
    with pytest.raises(CorpusError, match=r"a\.ark: u1: frame 0, feature 0 is nan; expected finite float32"):
        list(read_features(path))


def test_a_lie_about_the_length_of_a_numpy_header_takes_no_memory(written):
    path = written("a.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff{}")
    tracemalloc.start()
    with pytest.raises(CorpusError, match=r"a\.npy: damaged"):
        list(read_features(path))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("descr", [b"'<f4'", b"'>f8'"])
def test_arrays_that_python_2_wrote_are_read_without_a_warning(written, descr):
    width = int(descr[3:4])
    head = b"{'descr': %s, 'fortran_order': False, 'shape': (2L, 1L)}\n" % descr
    path = written("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(2 * width))
    [(_, frames)] = read_features(path)
    np.testing.assert_array_equal(frames, np.zeros((2, 1)))


@pytest.mark.parametrize(("packing", "number"), [(zipfile.ZIP_BZIP2, 12), (zipfile.ZIP_LZMA, 14)])
def test_archives_packed_as_numpy_never_does_are_refused(written, packing, number):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        archive.writestr("u1.npy", b"\x93NUMPY")
    with pytest.raises(CorpusError, match=rf"a\.npz: u1: packed by ZIP's method {number}; numpy stores or deflates"):
        list(read_features(written("a.npz", stream.getvalue())))


def test_a_chunk_of_hdf5_larger_than_can_be_packed_in_the_file_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        item = file.create_dataset("u1", (8, 3), "f4", maxshape=(None, 3), chunks=(2**26, 3), compression="gzip")
        item.id.write_direct_chunk((0, 0), b"x")
    with pytest.raises(CorpusError, match=r"a\.h5: u1: 805306368 bytes announced, 1 in the file"):
        list(read_features(path))


def test_an_hdf5_name_that_is_no_text_is_refused(written, tmp_path):
    data = seeds.hdf5(tmp_path)[0]
    at = data.index(b"u1\0") - 3
    with pytest.raises(CorpusError, match=r"b\.h5: damaged, or not what the suffix says"):
        list(read_features(written("b.h5", data[:at] + b"\xff" * 8 + data[at + 8 :])))


# Models

UNKNOWN_TYPES = {"BF16": 2, "F8_E4M3": 1}


def retyped(data, dtype, size):
    """Make every array of a safetensors file one of a type that numpy does not have."""
    end = 8 + int.from_bytes(data[:8], "little")
    entries, at = json.loads(data[8:end]), 0
    for name in entries:
        if name != "__metadata__":
            n_bytes = int(np.prod(entries[name]["shape"])) * size
            entries[name] = {**entries[name], "dtype": dtype, "data_offsets": [at, at + n_bytes]}
            at += n_bytes
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(at)


@pytest.mark.parametrize(("dtype", "size"), UNKNOWN_TYPES.items())
def test_types_that_numpy_does_not_have_are_refused(written, tmp_path, dtype, size):
    cohort, state, speaker = seeds.models(tmp_path)[-1], seeds.states(tmp_path)[0], seeds.speakers(tmp_path)[0]
    for read, data, message in (
        (load_cohort, cohort, "damaged cohort"),
        (lambda path: load_state(path, "abc"), state, "not readable as the state of a training"),
        (lambda path: load_speaker(path, "abc"), speaker, "damaged, or not an enrolled speaker"),
    ):
        with pytest.raises(ModelError if read is not None and data is not speaker else GalleryError, match=message):
            read(written("m", retyped(data, dtype, size)))


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": np.zeros((17, 3))},
        {"frames": np.zeros(17, np.float32)},
        {"lengths": np.array([8.0, 2.0, 7.0])},
        {"lengths": np.array([[8, 2, 7]])},
        {"lengths": np.array([8, 2])},
        {"lengths": np.array([8, 0, 9])},
        {"lengths": np.array([8, -2, 11])},
        {"lengths": np.array([8, 2, 6])},
        {"lengths": np.array([2**62, 2**62, 2**63 - 1])},
        {"lengths": np.zeros(0, np.int64), "speakers": np.zeros(0, np.int64)},
        {"speakers": np.array([0.0, 1.0, 0.0])},
        {"speakers": np.array([0, 1, 2])},
        {"speakers": np.array([0, 1, -1])},
    ],
    ids=str,
)
def test_arrays_that_make_no_cohort_are_refused(tmp_path, changes):
    data = seeds.models(tmp_path)[-1]
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    whole = load(data)
    assert len(whole["frames"]) == 8 + 2 + 5
    whole = {**whole, "frames": np.zeros((17, 3), np.float32), "lengths": np.array([8, 2, 7])}
    save_file(whole, tmp_path / "c", metadata)
    assert [len(each) for each in load_cohort(tmp_path / "c").frames] == [8, 2, 7]
    save_file({**whole, **changes}, tmp_path / "c", metadata)
    with pytest.raises(ModelError, match="c: damaged cohort"):
        load_cohort(tmp_path / "c")


def signed(tmp_path, change_header=len, **tensors):
    """Write a speaker's file whose digest is right, whatever else is not."""
    data = seeds.speakers(tmp_path)[0]
    header = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["speechgmm"])
    change_header(header)
    path = tmp_path / "anna.safetensors"
    path.write_bytes(signed_speaker(save({**load(data), **tensors}, {"speechgmm": json.dumps(header)})))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("background"), "damaged header .'background'"),
        (lambda header: header.pop("name"), "damaged header .'name'"),
        (lambda header: header.update(name=["anna"]), r"holds the speaker \['anna'\]"),
        (lambda header: header.update(recordings=[]), "0 recordings; expected one or more, and statistics of each"),
        (lambda header: header["recordings"].pop(), "1 recordings; expected one or more, and statistics of each"),
        (lambda header: header["recordings"][0].update(seconds="2"), "seconds"),
        (lambda header: header["recordings"][0].pop("file"), "file"),
    ],
)
def test_a_speaker_whose_header_lies_is_refused_though_its_digest_is_right(tmp_path, change, message):
    with pytest.raises(GalleryError, match=rf"(?s)anna\.safetensors: .*{message}"):
        load_speaker(signed(tmp_path, change), "abc")


@pytest.mark.parametrize("name", ["zeroth", "second", "log_likelihood", "n_frames", "skipped"])
def test_statistics_of_another_type_are_refused(tmp_path, name):
    array = load(seeds.speakers(tmp_path)[0])[name].astype(np.float16)
    with pytest.raises(GalleryError, match=rf"damaged header \({name} of type float16\)"):
        load_speaker(signed(tmp_path, **{name: array}), "abc")
    assert [each.statistics[0].n_frames for each in load_speaker(signed(tmp_path), "abc").recordings] == [3, 3]


def test_infinity_in_a_gallerys_front_end_is_refused(written, tmp_path):
    [config, _] = seeds.galleries(tmp_path)[0].split(seeds.BETWEEN)
    changed = json.loads(config)
    changed["front_end"]["dither"] = float("inf")
    written("gallery.json", json.dumps(changed).encode())
    with pytest.raises(GalleryError, match=r"front_end.dither.*finite number"):
        Gallery(tmp_path)


def test_json_too_deep_to_be_read_is_refused(written, tmp_path):
    deep = b'{"format_version": ' + b"[" * 100_000
    for read, name in ((lambda path: Gallery(path.parent), "gallery.json"), (read_calibration, "calibration.json")):
        with pytest.raises(GalleryError, match=name):
            read(written(name, deep))
    save_file({"zeroth": np.zeros(1)}, tmp_path / "anna.safetensors", {"speechgmm": deep.decode()})
    with pytest.raises(GalleryError, match="damaged, or not an enrolled speaker"):
        load_speaker(tmp_path / "anna.safetensors", "abc")


# Recipes

SMALL = "corpus: {kind: synthetic, n_speakers: 3}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"seed: 0x{'f' * 5000}\n", r"r\.yaml:2:1: seed: 0xf{38}\.\.\.: 5002 digits"),
        (f"features: {LONG}.yaml\n", r"r\.yaml:2:1: features: no such file: .*9\.yaml"),
        ('features: "a\\0b"\n', r"r\.yaml:2:1: features: no such file: .*a\0b"),
        (f"systems: [{LONG}.yaml]\n", r"r\.yaml:2:\d+: systems: no such file"),
        ("[" * 2000, "more than 10000 keys or 50 levels"),  # which took seconds
    ],
)
def test_what_is_too_long_or_deep_is_named(written, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(written("r.yaml", (SMALL + text).encode()))


def test_an_anchor_that_is_used_again_stands_for_the_last_value_without_a_warning(written):
    text = SMALL + "ubm: {n_components: &a 4, n_iterations: *a}\nseed: &a 7\nspeakers: {relevance_factor: *a}\n"
    recipe = load_recipe(written("r.yaml", text.encode()))
    assert (recipe.ubm.n_iterations, recipe.seed, recipe.speakers.relevance_factor) == (4, 7, 7)


def test_roots_and_models_whose_names_are_too_long_are_refused():
    with pytest.raises(CorpusError, match="no such folder; it is the root of the corpus"):
        read_corpus(CsvConfig(root=f"/{LONG}"))
    with pytest.raises(ModelError, match="not readable"):
        load_gmm(LONG)
