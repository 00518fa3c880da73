"""The presets against the programs that they are named after, on a file of real speech."""

import librosa
import numpy as np
import pytest
import python_speech_features
import soundfile

from helpers.paths import GOLDEN
from speechgmm import FeatureConfig, extract
from speechgmm.features.extract import analyse
from speechgmm.features.presets import PRESETS

STATIC = {"energy": "c0"}
SRE = {"sample_rate": 8000, "high_frequency": 3700.0, "n_cepstra": 20, "snip_edges": False}
BANK = {"kind": "logmel", "energy": "c0"}
UNLIFTED = {"window": "hamming", "lifter": 0.0, "energy": "windowed", "remove_dc": False}


@pytest.mark.parametrize(
    ("name", "changes", "tolerance"),
    [
        ("mfcc16_default", {}, 2e-3),
        ("mfcc16_energyfloor1", {"energy_floor": 1.0}, 2e-3),
        ("mfcc16_noenergy", STATIC, 2e-3),
        ("mfcc16_20ceps", {"n_cepstra": 20}, 2e-3),
        ("mfcc16_20ceps_noenergy", {"n_cepstra": 20} | STATIC, 2e-3),
        ("mfcc16_hamming_nolifter_rawenergyfalse", UNLIFTED, 2e-3),
        ("mfcc16_np2", {"n_fft": 400}, 6e-3),  # where Kaldi is least precise
        ("mfcc8_default", {"sample_rate": 8000}, 2e-3),
        ("mfcc8_sre10", SRE, 2e-3),
        ("mfcc8_sre10_noenergy", SRE | STATIC, 2e-3),
        ("fbank16_default", BANK, 1e-3),
        ("fbank16_mag", BANK | {"spectrum": "magnitude"}, 1e-3),
        ("spec16_default", {"kind": "spectrogram"}, 0.1),  # 0.09 in bins near zero, where single precision ends
    ],
)
def test_kaldi_gives_kaldis_numbers(name, changes, tolerance):
    config = FeatureConfig.preset("kaldi", **changes)
    frames = extract(GOLDEN / f"a{config.sample_rate // 1000}k.wav", config)
    np.testing.assert_allclose(frames, np.load(GOLDEN / f"{name}.npy"), rtol=0, atol=tolerance)


def test_the_spectrogram_is_kaldis_wherever_there_is_sound():
    frames = extract(GOLDEN / "a16k.wav", FeatureConfig.preset("kaldi", kind="spectrogram"))
    expected = np.load(GOLDEN / "spec16_default.npy")
    loud = expected > np.log(1e4)
    assert loud.mean() > 0.7
    np.testing.assert_allclose(frames[loud], expected[loud], rtol=0, atol=1e-3)


def test_filters_without_logarithm_are_kaldis():
    frames = extract(GOLDEN / "a16k.wav", FeatureConfig.preset("kaldi", **BANK, log="none"))
    np.testing.assert_allclose(frames, np.load(GOLDEN / "fbank16_linear.npy"), rtol=2e-4)


def test_htk_gives_what_kaldi_calls_compatible():
    changes = {"n_filters": 23, "low_frequency": 20.0, "spectrum": "power", "remove_dc": True, "log_floor": 2.0**-23}
    frames = extract(GOLDEN / "a16k.wav", FeatureConfig.preset("htk", **changes))
    np.testing.assert_allclose(frames, np.load(GOLDEN / "mfcc16_htk.npy"), rtol=0, atol=2e-3)


def htk_book(samples, n_filters=26, n_cepstra=12):
    """MFCC_0 of one frame, each step as chapter 5 of the HTK book states it."""
    n = len(samples)
    emphasised = [samples[0] * (1 - 0.97)] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, n)]
    windowed = [s * (0.54 - 0.46 * np.cos(2 * np.pi * i / (n - 1))) for i, s in enumerate(emphasised)]
    magnitude = np.abs(np.fft.rfft(windowed, 512))
    mel = 2595 * np.log10(1 + np.arange(257) * 16000 / 512 / 700)
    centres = [2595 * np.log10(1 + 8000 / 700) * k / (n_filters + 1) for k in range(n_filters + 2)]
    logs = []
    for low, centre, high in zip(centres, centres[1:], centres[2:], strict=False):
        weights = [min((m - low) / (centre - low), (high - m) / (high - centre)) for m in mel]
        logs.append(np.log(max(sum(w * a for w, a in zip(weights, magnitude, strict=True) if w > 0), 1.0)))
    cepstra = [
        np.sqrt(2 / n_filters) * sum(m * np.cos(np.pi * i / n_filters * (j + 0.5)) for j, m in enumerate(logs))
        for i in range(n_cepstra + 1)
    ]
    return [(1 + 11 * np.sin(np.pi * i / 22)) * cepstra[i] for i in range(1, n_cepstra + 1)] + [cepstra[0]]


def test_htk_is_the_htk_book_to_the_letter():
    samples = soundfile.read(GOLDEN / "a16k.wav", dtype="int16")[0].astype(float)
    frames = extract(GOLDEN / "a16k.wav", FeatureConfig.preset("htk"))
    assert frames.shape == (1 + (len(samples) - 400) // 160, 13)
    for t in (0, 100, 350):
        np.testing.assert_allclose(frames[t], htk_book(samples[160 * t : 160 * t + 400]), atol=1e-3)


def test_the_chain_of_a_speaker_recogniser_is_kaldis():
    config = FeatureConfig.preset(
        "kaldi",
        **SRE,
        deltas={"order": 2, "window": 3},
        vad={"method": "energy", "threshold": 5.5},
        normalisation={"mean": 1.0, "window": 300, "center": True, "over": "all"},
    )
    result = analyse(GOLDEN / "a8k.wav", config)
    np.testing.assert_allclose(result.frames, np.load(GOLDEN / "chain_sre.npy"), rtol=0, atol=2e-3)


@pytest.mark.parametrize("sample_rate", [22050, 16000, 11025])
@pytest.mark.parametrize("htk", [False, True])
def test_librosa_gives_librosas_numbers(sample_rate, htk):
    samples, _ = soundfile.read(GOLDEN / "a16k.wav", dtype="float32")
    samples[:30000] *= np.float32(1e-5)  # so that the limit of 80 dB below the loudest filter is met
    expected = librosa.feature.mfcc(y=samples, sr=sample_rate, htk=htk).T
    changes = {"filter_scale": "mel"} if htk else {}
    frames = extract(samples, FeatureConfig.preset("librosa", sample_rate=sample_rate, **changes))
    np.testing.assert_allclose(frames, expected, rtol=0, atol=1e-4)
    unlimited = extract(samples, FeatureConfig.preset("librosa", sample_rate=sample_rate, top_db=None, **changes))
    assert np.abs(unlimited - expected).max() > 1


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        (
            {"n_fft": 1024, "frame_length": 551 / 16000, "frame_shift": 200 / 16000, "n_filters": 40},
            {"n_fft": 1024, "win_length": 551, "hop_length": 200, "n_mels": 40},
        ),
        (
            {"window": "blackman", "filter_norm": "peak", "low_frequency": 50.0, "high_frequency": 7000.0},
            {"window": "blackman", "norm": None, "fmin": 50, "fmax": 7000},
        ),
        ({"spectrum": "magnitude"}, {"power": 1.0}),
    ],
)
def test_other_keys_of_librosa_have_their_counterparts(changes, keys):
    samples, _ = soundfile.read(GOLDEN / "a16k.wav", dtype="float32")
    frames = extract(samples, FeatureConfig.preset("librosa", sample_rate=16000, **changes))
    spectrogram = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=16000, **keys))
    np.testing.assert_allclose(frames, librosa.feature.mfcc(S=spectrogram, sr=16000).T, rtol=0, atol=5e-4)


@pytest.mark.parametrize("rate", [16000, 8000, 11025])
@pytest.mark.parametrize("n_samples", [113600, 4001, 400, 200, 57])
def test_psf_gives_the_numbers_of_python_speech_features(rate, n_samples):
    samples = soundfile.read(GOLDEN / "a16k.wav", dtype="int16")[0][40000:][:n_samples]
    expected = python_speech_features.mfcc(samples, rate)
    frames = extract(samples / 32768, FeatureConfig.preset("psf", sample_rate=rate))
    np.testing.assert_allclose(frames, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_names_a_program_and_a_version(name):
    assert any(character.isdigit() for character in PRESETS[name].program)
    config = FeatureConfig.preset(name)
    assert config.sample_rate == PRESETS[name].sample_rate
    assert config.n_features == config.n_static


def test_keys_of_a_preset_can_be_overridden():
    config = FeatureConfig.preset("kaldi", sample_rate=8000, n_cepstra=20, deltas={"order": 1}, vad={"range_db": 30.0})
    assert (config.n_features, config.top_frequency, config.deltas.window) == (40, 4000, 3)
    assert (config.vad.method, config.vad.range_db) == ("none", 30)
    with pytest.raises(ValueError, match="preset 'kladi': expected one of kaldi, htk, librosa, psf"):
        FeatureConfig.preset("kladi")
    with pytest.raises(ValueError, match="n_ceps"):
        FeatureConfig.preset("kaldi", n_ceps=20)


def test_digital_silence_is_where_each_program_puts_its_floor():
    samples = np.zeros(8000, np.float32)
    samples[4000:] = soundfile.read(GOLDEN / "a16k.wav", dtype="float32")[0][8000:12000]
    for name, expected in (
        ("psf", python_speech_features.mfcc((samples * 32768).astype(np.int16), 16000)),
        ("librosa", librosa.feature.mfcc(y=samples, sr=16000).T),
    ):
        frames = extract(samples, FeatureConfig.preset(name, sample_rate=16000))
        np.testing.assert_allclose(frames, expected, rtol=0, atol=2e-4)
    bank = extract(samples, FeatureConfig.preset("kaldi", **BANK))
    np.testing.assert_allclose(bank[0], np.log(np.finfo(np.float32).eps), rtol=1e-6)  # Kaldi: std::numeric_limits
    assert extract(samples, FeatureConfig.preset("kaldi"))[0, 0] == pytest.approx(-15.942385)  # log of the same
    assert extract(samples, FeatureConfig.preset("kaldi", energy_floor=1.0))[0, 0] == 0
    htk = extract(samples, FeatureConfig.preset("htk", energy="raw"))
    np.testing.assert_allclose(htk[0], 0, atol=1e-6)  # HTK: the least filter output is 1


def test_a_preset_refuses_a_rate_that_is_none():
    for wrong in ("8000", 0, -1, 8000.0, 2_000_000):
        with pytest.raises(ValueError, match=r"sample_rate .*: expected a whole number of Hz from 1 to 1,000,000"):
            FeatureConfig.preset("kaldi", sample_rate=wrong)
