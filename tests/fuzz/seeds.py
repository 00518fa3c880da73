"""Valid files of every kind that the package reads, as small as they can be: what inputs of the fuzzing are made of."""

import io
import json
import struct
import zipfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import soundfile

from mutations import with_ogg_checksums
from speechgmm import DiagonalGMM, FeatureConfig, SufficientStats, save_gmm
from speechgmm.configuration import fingerprint
from speechgmm.features.formats.common import Matrix
from speechgmm.features.formats.vectors import write_vectors
from speechgmm.features.formats.writing import write_features
from speechgmm.gallery.cohort import Cohort, save_cohort
from speechgmm.gallery.config_file import OneSystemConfig
from speechgmm.gallery.speakers import EnrolledSpeaker, Recording, save_speaker
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import save_independent, save_speakers
from speechgmm.gmm.training.checkpoint import TrainingState, save_state
from speechgmm.gmm.training.history import Iteration
from speechgmm.scoring.calibration import LinearCalibration
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.subspace.backend.chain import fit_backend
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.storage import save_backend, save_enrolled
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.session.storage import save_joint_factors
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.storage import save_total_variability
from speechgmm.subspace.vectors import Vectors

ROOT = Path(__file__).parents[2]
BETWEEN = b"\n%%%%\n"
"""Between the files of an input that stands for several."""

# Audio

AUDIO_FORMATS = {
    "WAV": ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"),
    **{"WAVEX": ("PCM_U8",), "RF64": ("PCM_16",), "W64": ("DOUBLE",), "AIFF": ("PCM_16",), "AU": ("ALAW",)},
    **{"NIST": ("PCM_16",), "CAF": ("PCM_16",), "FLAC": ("PCM_16",), "OGG": ("VORBIS", "OPUS")},
    "MP3": ("MPEG_LAYER_III",),
}


def audio(_: Path) -> list[bytes]:
    """Write a tone in every format, and one in stereo."""
    tone = 0.3 * np.sin(np.arange(900) / 5)
    stereo = np.stack([tone, -tone], 1)
    kinds = [(container, subtype) for container, subtypes in AUDIO_FORMATS.items() for subtype in subtypes]
    return [*(_audio_file(tone, *kind) for kind in kinds), _audio_file(stereo, "WAV", "PCM_16")]


def _audio_file(samples: np.ndarray, container: str, subtype: str) -> bytes:
    """Write audio; an OGG stream's number is not drawn."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, 16000, subtype, format=container)
    return with_ogg_checksums(stream.getvalue(), 1)


# Texts


def recipes(_: Path) -> list[bytes]:
    """Take every recipe with a corpus that comes with the package, and one of odd YAML."""
    shipped = [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.yaml"))]
    return [ODD_RECIPE, *(each for each in shipped if b"\ncorpus:" in each)]


ODD_RECIPE = rb"""%YAML 1.2
--- # odd, but right
"name": &a "\x6fdd"
corpus: {kind: synthetic, n_speakers: 3, "seed": 0x1F, sample_rate: 8000}
features: {base: base.yaml, vad: {method: none}, dither: .0}
ubm: &b
  n_components: 0o4
  tolerance: 1.e-3
sweep: {grid: {ubm.n_components: [2, 4], name: [*a, 'b']}}
...
"""

YAML_WORDS = (
    *(
        b"!!python/object:os.system ",
        b"!!binary aGk=",
        b"&a ",
        b"*a",
        b"<<: ",
        b"? ",
        b"- ",
        b"---\n",
        b"...\n",
        b"|2-\n",
    ),
    *(
        b"%YAML 1.1\n",
        b"%TAG ! x\n",
        b"${HOME}",
        b"${X:-y}",
        b"base: base.yaml\n",
        b"base: fuzzed.yaml\n",
        b"0o7",
        b".inf",
    ),
)

KALDI = BETWEEN.join(
    [
        b"r1 a/b.wav\nr2 sox c.wav -t wav - |\nr3 d.flac\n",
        b"u1 anna\nu2 ben\nu3 anna\nu4 ben\n",
        b"anna f\nben m\n",
        b"u1 r1 0.0 1.5\nu2 r2 1 2.25 A\nu3 r3 0 -1 B\nu4 r3 1e0 2\n",
        b"anna u2 target\nben u1 nontarget\nanna u1 nontarget\n",
        b"u1 f.ark:12\nu2 f.ark:2[0:3]\nu3 f.ark\nu4 g.ark:9\n",
    ]
)

TABLES = [
    b"id,path,speaker,role,sex,session,start,end,channel,model\nu1,a.wav,anna,enrol,f,s1,0,1.5,0,m1\n"
    b'u2,"b, c.wav",anna,test,f,s2,,,mean,\nu3,d.flac,ben,background,,,1,,,\n',
    b"path;speaker\na/1.wav;anna\na/2.wav;anna\nb/1.wav;ben\nb/2.wav;ben\n",
    b"\xef\xbb\xbfpath\tspeaker\tchannel\r\n1.wav\tanna\t1\r\n2.wav\tben\t\r\n",
]

TRIALS = [
    b"anna u1 target\nben u1 nontarget\n\nanna u2 nontarget\r\n",
    b"1 id1/a.wav id2/b.wav\n0 id1/a.wav id3/c.wav\n",
    b"anna u1 tgt\nben u1 imp\nanna u3 1\nben u3 0\n",
]

SCORES = [
    BETWEEN.join([b"anna u1 1.5\nben u1 -2e-1\nanna u2 nan\n", TRIALS[0]]),
    BETWEEN.join([b"0.5\n-1\n", TRIALS[1]]),
    BETWEEN.join([b"model,test,llr\nanna,u1,3\nben,u1,-3\n", b"model,test,label,sex\nanna,u1,target,f\nben,u1,0,m\n"]),
    *(
        BETWEEN.join([scores, b"anna\tu1.wav\ttarget\nben\tu1.wav\tnontarget\n"])
        for scores in (
            *(
                b"anna u1 1 3.5\nben u1 0 -2\n",
                b"anna u1.wav 3.5 target\nben u1.wav -2 nontarget\n",
                b"anna anna u1 3\n",
            ),
            *(b"F anna 1 u1 3.5\nF ben 0 u1 -2\n", b"3.5 anna u1\n-2 ben u1\n", b"# score\n3.5\n-2\n"),
        )
    ),
    BETWEEN.join(
        [
            b"modelid\tsegmentid\tside\tLLR\nanna\tu1\ta\t3\nben\tu1\ta\t-3\n",
            b"modelid\tsegmentid\tside\ttargettype\nanna\tu1\ta\ttarget\nben\tu1\ta\tnontarget\n",
        ]
    ),
]

LABELS = [
    b";; a comment\nSPEAKER r1 1 0.5 2.25 <NA> <NA> anna <NA> <NA>\nSPEAKER r1 1 2 1 <NA> <NA> ben <NA>\n"
    b"SPKR-INFO r1 1 <NA> <NA> <NA> unknown anna <NA>\n",
    b"u1 r1 0.0 1.5\nu2 r1 1 2.25\nu3 r2 0 -1\n",
    b"u1 r1 0.0 1.5 A\nu2 r1 1 2.25 1\n",
    b"r1 1 0.5 0.25 word 0.9\nr1 A 0.75 1 <eps>\n",
    b"0.5\t1.5\tspeech\n\\\t100\t4000\n2\t3\n",
    b"0 5000000 sil\n5000000 20000000 a -1.5 word\n",
    b'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n1\n'
    b'"IntervalTier"\n"a"\n0\n2\n1\n0\n2\n"b"\n',
]


# Features

FRAMES = np.arange(24, dtype=np.float32).reshape(8, 3) / 3


def features(folder: Path, suffix: str) -> bytes:
    """Write features as `speechgmm features` would."""
    path = folder / f"seed{suffix}"
    write_features(path, [Matrix.from_array("u1", FRAMES)])
    return path.read_bytes()


def archives(folder: Path) -> list[bytes]:
    """Write archives: binary, of doubles, compressed in each way, and text."""
    int32 = (3).to_bytes(4, "little")
    size = b"\4" + (8).to_bytes(4, "little") + b"\4" + int32
    doubles = b"u2 \0BDM " + size + FRAMES.astype("<f8").tobytes()
    packed = np.array([0, 8], "<f4").tobytes() + (8).to_bytes(4, "little") + int32
    columns = np.array([[0, 9, 99, 999]] * 3, "<u2").tobytes()
    compressed = b"u3 \0BCM " + packed + columns + bytes(range(24))
    compressed_2 = b"u4 \0BCM2 " + packed + bytes(range(48))
    compressed_3 = b"u5 \0BCM3 " + packed + bytes(range(24))
    text = b"u6  [\n  1 2 3.5\n  -1e-3 5 6 ]\nu7 [ ]\n"
    plain = features(folder, ".ark")
    return [plain, doubles, compressed, compressed_2, compressed_3, text, plain + doubles + text]


def htk(folder: Path) -> list[bytes]:
    """Write HTK's format, and the compressed one."""
    return [features(folder, ".htk"), HTK_COMPRESSED]


HTK_COMPRESSED = struct.pack(">iihH2f2f4h", 6, 100_000, 4, 6 | 0o2000, 2, 3, -4, 5, 10, -3, 7, 8)


def arrays(_: Path) -> list[bytes]:
    """Write numpy's format in its versions, types and orders."""
    seeds = []
    for array, version in (
        *((FRAMES, (1, 0)), (FRAMES.astype(">f8"), (2, 0)), (np.asfortranarray(FRAMES), (3, 0))),
        (FRAMES.astype(np.int16), (1, 0)),
    ):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, version)
        seeds.append(stream.getvalue())
    return seeds


def npz(folder: Path) -> list[bytes]:
    """Write archives of arrays, packed or not."""
    seeds = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", packing) as archive:
            for number, array in enumerate(arrays(folder)[:2]):
                archive.writestr(zipfile.ZipInfo(f"u{number}.npy"), array, packing)
        seeds.append(stream.getvalue())
    return seeds


def hdf5(folder: Path) -> list[bytes]:
    """Write HDF5 as we do, packed, in groups, of both layouts, and as SIDEKIT does."""
    seeds = [features(folder, ".h5")]
    for version in ("earliest", "latest"):
        with h5py.File(folder / "other.h5", "w", libver=version) as file:
            file.create_dataset("a/u1", data=FRAMES, chunks=(4, 3), compression="gzip")
            file.create_dataset("u2", data=FRAMES.astype(">i2"), chunks=(4, 3), shuffle=True, fletcher32=True)
            file["a"].attrs["rate"] = 16000
        seeds.append((folder / "other.h5").read_bytes())
    for code, beside in (
        (1, {"_comp": [2.0, -1.0]}),
        (2, {"_min_range": [0.0, 9.0], "_header": [[0, 9, 99, 65535]] * 3}),
    ):
        with h5py.File(folder / "sidekit.h5", "w") as file:
            file["compression"] = code
            file["s1/cep"], file["s1/vad"] = FRAMES.astype(np.int16), np.ones(8, np.int8)
            for suffix, values in beside.items():
                file[f"s1/cep{suffix}"] = values
        seeds.append((folder / "sidekit.h5").read_bytes())
    return seeds


# Models

GMM = DiagonalGMM([0.25, 0.75], [[0.0, 1.0], [2.0, -3.5]], [[1.0, 2.0], [0.5, 0.25]])
JSON_WORDS = tuple(b'null true [] {} -1 1e400 NaN "" \\"a\\" "F32" "BF16" "F8_E4M3" "I64" "BOOL"'.split())
MODEL_WORDS = (*JSON_WORDS, b'"gmm"', b'\\"speakers\\"', b'\\"cohort\\"', b'"data_offsets"', b'"shape":[', b'"weights"')


def models(folder: Path) -> list[bytes]:
    """Write models of each kind."""
    path = folder / "seed.safetensors"
    seeds = []
    for write in (
        lambda: save_gmm(path, GMM),
        lambda: save_gmm(path, GMM, front_end={"kind": "mfcc"}),
        lambda: save_speakers(path, GMM, {"anna": GMM, "ben": GMM}),
        lambda: save_speakers(path, GMM, {"anna": GMM, "ben": DiagonalGMM([0.5, 0.5], GMM.means + 1, GMM.variances)}),
        lambda: save_independent(path, {"anna": GMM, "ben": DiagonalGMM([1.0], [[0.0, 0.0]], [[1.0, 1.0]])}),
        lambda: save_cohort(path, Cohort(("anna", "ben", "anna"), (FRAMES, FRAMES[:2], FRAMES[3:])), {"kind": "mfcc"}),
    ):
        write()
        seeds.append(path.read_bytes())
    return seeds


def subspaces(folder: Path) -> list[bytes]:
    """Write factors, back ends and enrolled vectors."""
    path = folder / "seed.safetensors"
    rng = np.random.default_rng(0)
    background, speakers = Vectors(rng.normal(size=(8, 3))), [f"s{n // 2}" for n in range(8)]
    lists = (["center", "length", "plda"], [{"nap": 1}, {"lda": 2}, "cosine"], ["whiten", {"efr": 1}, "svm"])
    fitted = [fit_backend(steps, background, speakers) for steps in lists]
    enrolled = EnrolledVectors.stack([fitted[0].enrol(Vectors(background.values[:2]))] * 2)
    loadings = rng.normal(size=(2, 2, 1))
    factors = JointFactorModel(GMM.means, GMM.variances, loadings, loadings[:, :, :0], np.ones((2, 2)))
    seeds = []
    for write in (
        lambda: save_total_variability(path, TotalVariability(GMM.means, loadings, GMM.variances)),
        lambda: save_joint_factors(path, factors),
        *(partial(save_backend, path, backend) for backend in fitted),
        lambda: save_enrolled(path, ("anna", "ben"), enrolled),
    ):
        write()
        seeds.append(path.read_bytes())
    return seeds


def vectors(folder: Path) -> list[bytes]:
    """Write vectors of recordings in each format, each beginning with the suffix that it has."""
    seeds = []
    for suffix in (".npz", ".h5", ".csv", ".ark"):
        write_vectors(folder / f"seed{suffix}", ["u1", "u2"], np.arange(6.0).reshape(2, 3))
        seeds.append((folder / f"seed{suffix}").read_bytes())
    return seeds


def states(folder: Path) -> list[bytes]:
    """Write the state of a training."""
    path = folder / "state"
    save_state(path, TrainingState(GMM, GMM, (Iteration(1, True, 2, -3.5), Iteration(2, False, 2, -3.0, -4.0))), "abc")
    return [path.read_bytes()]


STATISTICS = SufficientStats([1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]], -12.5, 3)


def speakers(folder: Path) -> list[bytes]:
    """Write an enrolled speaker."""
    path = folder / "anna.safetensors"
    recordings = tuple(Recording(f"{n}.wav", "0" * 64, 2.0, 1.0, (STATISTICS,)) for n in range(2))
    save_speaker(path, EnrolledSpeaker("anna", recordings), "abc")
    return [path.read_bytes()]


def galleries(_: Path) -> list[bytes]:
    """Write what a gallery says, and a calibration."""
    front_end = FeatureConfig(deltas={"order": 0}).model_dump(mode="json")
    config = OneSystemConfig(
        front_end=front_end,
        fingerprint=fingerprint(front_end),
        adaptation=AdaptationConfig(),
        scoring=ScoringConfig(),
        digests={"ubm.safetensors": "0" * 64},
    )
    linear = LinearCalibration(weights=(1.5,), side_weights=(0.1,), offset=-2.0).model_dump(mode="json")
    pav = {"kind": "pav", "version": 1, "scores": [-1.0, 1.0], "llrs": [-2.0, 3.0]}
    facts = {"duration": True, "n_target": 4, "n_nontarget": 5}
    return [
        BETWEEN.join([config.model_dump_json().encode(), json.dumps({"calibration": each, **facts}).encode()])
        for each in (linear, pav)
    ]
