"""What is fuzzed: for each kind of file, what reads it, valid ones to begin with, and words of the format.

Whatever the bytes, a reader may give a value or raise an error of ours, and nothing else.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

import seeds
from mutations import mutate, odd_header, odd_texts, with_header_length, with_ogg_checksums
from seeds import BETWEEN
from speechgmm import load_gmm
from speechgmm.audio.reading import audio_blocks, audio_warnings, duration, load_audio
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.formats.tables import CsvConfig
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.scored.score_files import read_scored_trials
from speechgmm.corpus.scored.trial_speakers import read_manifest
from speechgmm.corpus.trials import parse_trials
from speechgmm.errors import SpeechGMMError
from speechgmm.features.formats.reading import read_features, read_place
from speechgmm.features.formats.vectors import read_vectors
from speechgmm.features.frames.label_formats import read_labels, read_segments
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import read_calibration
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.speakers import load_speaker
from speechgmm.gmm.storage import load_independent, load_speakers, read_header
from speechgmm.gmm.training.checkpoint import load_state
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.subspace.backend.storage import load_backend, load_enrolled
from speechgmm.subspace.session.storage import load_joint_factors
from speechgmm.subspace.total_variability.storage import load_total_variability
from speechgmm.tensors import content_digest

OUT_OF_MEMORY = re.compile(r"malloc|memory alloc|annot allocate")
"""What libraries say."""


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Parameters
    ----------
    files : sequence of str
        What the input is called on disk; the files that it is the parts of, if there are several.
    readers : sequence of callable
        Read it, given the first file's path. Each is called.
    seeds : callable
        Gives valid inputs, each read by one of the readers at least. It may write to the folder that it is given.
    words : sequence of bytes
        What such files are made of.
    fault : callable, optional
        Makes a fault that knows the format.
    repair : callable, optional
        Makes lengths and checksums right again, so that a reader goes on to what is wrong.
    beside : mapping of str to bytes, optional
        Files that the input may refer to.
    """

    files: Sequence[str]
    readers: Sequence[Callable[[Path], object]]
    seeds: Callable[[Path], Sequence[bytes]]
    words: Sequence[bytes] = ()
    fault: Callable[[bytes, np.random.Generator], bytes] | None = None
    repair: Callable[[bytes], bytes] | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def prepare(self, folder: Path) -> Sequence[bytes]:
        """Put the files that inputs may refer to into the folder where they are read, and give valid ones."""
        valid = self.seeds(folder)
        for name, content in self.beside.items():
            (folder / name).write_bytes(content)
        return valid

    def change(self, data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
        """Make faults in an input, those that know the format every other time, as are repairs."""
        knowing = self.fault is not None and rng.integers(2)
        data = self.fault(data, rng) if knowing else mutate(data, rng, others, self.words)
        return self.repair(data) if self.repair and rng.integers(2) else data

    def attempt(self, data: bytes, folder: Path) -> int:
        """Read an input in every way; count those in which it can be read, and raise what is no error of ours."""
        parts = data.split(BETWEEN) if len(self.files) > 1 else [data]
        for name, part in zip(self.files, parts, strict=False):
            (folder / name).write_bytes(part)
        return sum(self._reads(reader, folder / self.files[0]) for reader in self.readers)

    def _reads(self, reader: Callable[[Path], object], path: Path) -> bool:
        """Tell whether a file can be read; that memory ran out counts, though there is an error of ours above it."""
        try:
            reader(path)
        except SpeechGMMError as error:
            below: BaseException | None = error
            while below := below.__cause__ or below.__context__:
                if isinstance(below, MemoryError) or OUT_OF_MEMORY.search(str(below)):
                    raise MemoryError(f"below {error}") from below
            return False
        return True


# Audio


def _read_audio(path: Path) -> None:
    """Read audio whole, at its rate and another one; what is given is usable, and as long as was said."""
    seconds, remarks = duration(path), audio_warnings(path)
    samples, rate, same_remarks = load_audio(path, channel="mean")
    assert seconds == len(samples) / rate
    assert remarks == same_remarks
    samples, rate, _ = load_audio(path, channel="mean", sample_rate=16000)
    assert rate == 16000
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()


def _read_blocks(path: Path) -> None:
    """Read audio by blocks, from somewhere on."""
    for block in audio_blocks(path, channel=0, start=0.01)[0]:
        assert len(block)
        assert np.isfinite(block).all()


# Texts


def _kaldi(**keys: object) -> Callable[[Path], object]:
    """Make a reader of data directories."""
    return lambda path: read_corpus(KaldiConfig(root=str(path.parent), **keys))


KALDI_READERS = (
    _kaldi(background=None, enrol=".", test=".", trials=("trials.txt",), allow_commands=True),
    _kaldi(data=".", protocol={"n_enrol": 1, "background": 0}),
    _kaldi(data=".", trials=("trials.txt",), input="features"),
)


def _csv(**keys: object) -> Callable[[Path], object]:
    """Make a reader of tables."""
    return lambda path: read_corpus(CsvConfig(root=str(path.parent), table=path.name, **keys))


def _read_trials(path: Path) -> None:
    """Read a trial list."""
    problems = Problems()
    parse_trials(path, problems)
    problems.check()


def _scores(*, allow: bool) -> Callable[[Path], object]:
    """Make a reader of scores with their trial list."""
    return lambda path: read_scored_trials(path, path.with_name("list.txt"), allow_missing=allow, allow_extra=allow)


# Features


def _read_features(path: Path) -> None:
    """Read features; what is given is finite."""
    for _, frames in read_features(path):
        assert frames.dtype == np.float32
        assert np.isfinite(frames).all()


def _read_places(path: Path) -> None:
    """Read each of an index's places alone."""
    for line in path.read_text("utf-8", "replace").split("\n"):
        if line.strip():
            read_place(line.split(None, 1)[-1])


# Models


def _read_vectors(path: Path) -> None:
    """Read vectors as files of each format."""
    content = path.read_bytes()
    errors = []
    for suffix in (".npz", ".h5", ".csv", ".ark"):
        other = path.with_suffix(suffix)
        other.write_bytes(content)
        try:
            read_vectors(other)
        except SpeechGMMError as error:
            errors.append(error)
    if len(errors) == 4:
        raise errors[0]


def _read_model(path: Path) -> None:
    """Read a model as what it says it is."""
    match read_header(path).kind:
        case "speakers":
            load_speakers(path)
        case "independent":
            load_independent(path)
        case "cohort":
            cohort = load_cohort(path)
            assert len(cohort.speakers) == len(cohort.frames)
            assert all(len(each) and each.dtype == np.float32 and each.ndim == 2 for each in cohort.frames)
        case _:
            load_gmm(path)


def signed_speaker(data: bytes) -> bytes:
    """Make a speaker's file whole again, its digest too, where it can be read that far."""
    data = with_header_length(data)
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8:end])["__metadata__"]["speechgmm"])
        tensors = load(data)
        header.pop("digest", None)
        header["digest"] = content_digest(header, tensors)
        return save(tensors, {"speechgmm": json.dumps(header)})
    except Exception:  # noqa: BLE001  # whatever is wrong is for the reader to say
        return data


def _read_calibration(path: Path) -> None:
    """Read the calibration beside what a gallery says."""
    read_calibration(path.with_name("calibration.json"))


TARGETS: dict[str, Target] = {
    "audio": Target(
        *(("input.wav",), (_read_audio, _read_blocks), seeds.audio),
        words=(b"data", b"fmt ", b"LIST", b"ds64", b"OggS", b"ID3", b"Xing", b"RIFF", b"FORM", b"SSND"),
        repair=with_ogg_checksums,
    ),
    "recipes": Target(
        *(("fuzzed.yaml",), (lambda path: dump_recipe(load_recipe(path)),), seeds.recipes, seeds.YAML_WORDS),
        beside={"base.yaml": b"sample_rate: 8000\nhigh_frequency: 3700\n"},
    ),
    "Kaldi lists": Target(
        ("wav.scp", "utt2spk", "spk2gender", "segments", "trials.txt", "feats.scp"),
        *(KALDI_READERS, lambda _: [seeds.KALDI], (b" |", b" -1", b" A", b"anna", b"u1", b"target")),
    ),
    "tables": Target(
        ("table.csv",),
        (_csv(), _csv(protocol={"n_enrol": 1}), read_manifest),
        *(lambda _: seeds.TABLES, (b'"', b'""', b",", b";", b"mean", b"role", b"/,")),
    ),
    "trial lists": Target(("trials.txt",), (_read_trials,), lambda _: seeds.TRIALS, (b"target", b"1 ", b" 0")),
    "score files": Target(
        ("scores.txt", "list.txt"),
        (_scores(allow=False), _scores(allow=True), lambda path: read_scored_trials(path, None)),
        *(lambda _: seeds.SCORES, (b"model", b"test", b"llr", b",", b"\t", b"label", b"#", b" 1 ", b"-1,5")),
    ),
    "labels": Target(
        ("labels.rttm",),
        (read_labels, lambda path: read_labels(path, channel=0), read_segments),
        *(lambda _: seeds.LABELS, (b"SPEAKER", b"<NA>", b" -1", b";;", b"\t", b" A ", b"size = ", b'"')),
    ),
    "Kaldi archives": Target(
        ("a.ark",), (_read_features,), seeds.archives, (b"\0B", b"FM ", b"CM ", b"CM2 ", b" [", b"]", b"\4")
    ),
    "Kaldi indices": Target(
        ("a.scp",),
        (_read_features, _read_places),
        lambda _: [b"u1 b.ark:3\nu2 b.ark:3[0:3]\nu3 b.ark:3[:]\n"],
        words=(b":", b"[0:1]", b"[1:", b"b.ark", b" | "),
        beside={"b.ark": b"u1 \0BFM \4\x08\0\0\0\4\3\0\0\0" + seeds.FRAMES.tobytes()},
    ),
    "HTK files": Target(("a.htk",), (_read_features,), seeds.htk),
    "npy files": Target(
        ("a.npy",), (_read_features,), seeds.arrays, (b"'<f8'", b"'|O'", b"True", b"(2, 12)", b"-1", b"'|V8'")
    ),
    "npz files": Target(("a.npz",), (_read_features,), seeds.npz, (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"../u0.npy")),
    "HDF5 files": Target(
        ("a.h5",), (_read_features,), seeds.hdf5, (b"TREE", b"HEAP", b"SNOD", b"OHDR", b"FRHP", b"BTHD")
    ),
    "models": Target(
        ("m.safetensors",), (_read_model,), seeds.models, seeds.MODEL_WORDS, odd_header, with_header_length
    ),
    "subspaces": Target(
        ("s.safetensors",),
        (load_total_variability, load_joint_factors, load_backend, load_enrolled),
        *(seeds.subspaces, (*seeds.MODEL_WORDS, b'"step"', b'"plda"', b'"nap"'), odd_header, with_header_length),
    ),
    "vectors": Target(
        ("v.npz",),
        (_read_vectors,),
        *(seeds.vectors, (b"FV ", b"DV ", b"\0B", b"id,1,2", b"PK\1\2", b"HEAP", b"'<f8'")),
    ),
    "states": Target(
        ("state",),
        (lambda path: load_state(path, "abc"),),
        seeds.states,
        seeds.MODEL_WORDS,
        odd_header,
        with_header_length,
    ),
    "speakers": Target(
        ("anna.safetensors",),
        (lambda path: load_speaker(path, "abc").recordings,),
        *(seeds.speakers, seeds.MODEL_WORDS, odd_header, signed_speaker),
    ),
    "galleries": Target(
        ("gallery.json", "calibration.json"),
        (lambda path: Gallery(path.parent).front_end, _read_calibration),
        *(seeds.galleries, seeds.JSON_WORDS, partial(odd_texts, BETWEEN)),
    ),
}
"""By the name that the table has."""
