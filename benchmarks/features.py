"""MFCC with the options of Kaldi: the preset here and other packages on one thread, then one worker and two."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import kaldi_native_fbank
import librosa
import numpy as np
import python_speech_features
import scipy.fft
import soundfile
from side_by_side import seconds, show
from spafe.features.mfcc import mfcc as spafe_mfcc
from spafe.utils.preprocessing import SlidingWindow

from speechgmm import FeatureConfig
from speechgmm.features.extract import extract
from speechgmm.features.spectral.cepstra import cepstra
from speechgmm.features.store.writing import Source, write_store
from speechgmm.parallel.engine import Engine

SECONDS = 600
FILES, FILE_SECONDS = 60, 30
RATE = 16000
KALDI = FeatureConfig.preset("kaldi")
BLOCK = 128


def speech_like(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise with a changing level."""
    level = 0.05 + np.abs(np.sin(np.arange(n_samples) / RATE * 4))
    return (0.1 * level * rng.standard_normal(n_samples)).astype(np.float32)


def native_fbank(samples: np.ndarray) -> np.ndarray:
    """Compute the frames with kaldi-native-fbank, which has Kaldi's own code."""
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0
    online = kaldi_native_fbank.OnlineMfcc(options)
    online.accept_waveform(RATE, samples)
    online.input_finished()
    return np.array([online.get_frame(t) for t in range(online.num_frames_ready)])


def librosa_mfcc(samples: np.ndarray) -> np.ndarray:
    """Compute what librosa has of it: no DC removal, pre-emphasis or lifter."""
    return librosa.feature.mfcc(
        y=samples, sr=RATE, n_mfcc=13, n_mels=23, n_fft=512, win_length=400, hop_length=160, fmin=20, htk=True
    )


def packages() -> dict[str, Callable[[np.ndarray], object]]:
    """List the functions that compute 13 cepstra of 23 filters, 400 samples every 160, 512-point transforms."""
    window = SlidingWindow(0.025, 0.01, "hamming")
    return {
        "speechgmm": lambda samples: cepstra(samples, KALDI),
        "librosa": librosa_mfcc,
        "python_speech_features": lambda samples: python_speech_features.mfcc(samples, RATE, nfilt=23),
        "kaldi-native-fbank": native_fbank,
        "spafe": lambda samples: spafe_mfcc(samples, fs=RATE, num_ceps=13, nfilts=23, nfft=512, window=window),
    }


def bare_transforms(samples: np.ndarray) -> dict[str, Callable[[], object]]:
    """List the transforms alone, of frames that are cut beforehand: all at once, and in blocks that fit the cache."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160].copy()

    def in_blocks() -> None:
        """Transform block after block, and store nothing."""
        for start in range(0, len(frames), BLOCK):
            scipy.fft.rfft(frames[start : start + BLOCK], 512)

    return {"bare rfft of all frames": lambda: scipy.fft.rfft(frames, 512), "bare rfft, in blocks": in_blocks}


def one_recording() -> None:
    """Compare on ten minutes in memory."""
    samples = speech_like(SECONDS * RATE, np.random.default_rng(0))
    calls = {name: lambda each=function: each(samples) for name, function in packages().items()}
    show("MFCC of 10 minutes", "x real time", SECONDS, seconds(calls | bare_transforms(samples)))


def many_files(folder: Path) -> None:
    """Compare on files that are read from disk, then one worker with two."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.wav" for number in range(FILES)]
    for path in paths:
        soundfile.write(path, speech_like(FILE_SECONDS * RATE, rng), RATE)
    calls: dict[str, Callable[[], object]] = {
        name: lambda each=function: [each(soundfile.read(path, dtype="float32")[0]) for path in paths]
        for name, function in packages().items()
    }
    calls["speechgmm"] = lambda: [extract(path, KALDI) for path in paths]
    show("MFCC of 60 files of 30 s", "x real time", FILES * FILE_SECONDS, seconds(calls, 3))

    sources = [Source(f"{path.stem}-{time}", str(path)) for time in range(20) for path in paths]
    engines = {"one worker": Engine("serial"), "two workers": Engine("processes", 2)}
    stores = {
        name: lambda engine=engine: list(write_store(folder / "store", sources, KALDI, engine))
        for name, engine in engines.items()
    }
    amount = len(sources) * FILE_SECONDS
    show("Feature store of 10 hours in 1,200 files", "x real time", amount, seconds(stores, 3), "two workers")


def main() -> None:
    """Print all tables."""
    warnings.simplefilter("ignore")  # of the other packages
    one_recording()
    with tempfile.TemporaryDirectory() as folder:
        many_files(Path(folder))


if __name__ == "__main__":
    main()
