"""The front end: against Kaldi's numbers, against literal formulas, and on bad audio."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_info, threadpool_limits

import naive
from helpers.paths import GOLDEN
from speechgmm import FeatureConfig, FeatureStream, extract
from speechgmm.audio.reading import audio_blocks
from speechgmm.errors import AudioError
from speechgmm.features.extract import analyse
from speechgmm.features.frames.deltas import DeltaConfig, append_deltas
from speechgmm.features.frames.normalisation import NormalisationConfig, normalise_frames
from speechgmm.features.frames.vad import VadConfig, speech_frames
from speechgmm.features.spectral.cepstra import cepstra
from speechgmm.features.spectral.config import BLOCK_FRAMES, empty_filters, filter_bank, frame_count
from speechgmm.features.store.store import open_store
from speechgmm.features.store.writing import Source, plan_shards, write_store


def voice(seconds=1.0, rate=16000, seed=0):
    """Make something with loud and quiet stretches."""
    rng = np.random.default_rng(seed)
    n_samples = int(seconds * rate)
    envelope = 0.02 + np.abs(np.sin(np.arange(n_samples) / rate * 2 * np.pi * 2))
    return (0.1 * envelope * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("static", "name", "config"),
    [
        ("mfcc8_sre10", "deltas_w3o2", DeltaConfig(order=2, window=3)),
        ("mfcc16_default", "deltas_w2o1", DeltaConfig(order=1, window=2)),
        ("mfcc16_default", "deltas_w2o2", DeltaConfig(order=2, window=2)),
    ],
)
def test_deltas_agree_with_kaldi(static, name, config):
    frames = append_deltas(np.load(GOLDEN / f"{static}.npy"), config)
    np.testing.assert_allclose(frames, np.load(GOLDEN / f"{name}.npy"), rtol=0, atol=5e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 5, 30])
def test_first_deltas_are_the_literal_regression(rng, n_frames):
    frames = rng.normal(size=(n_frames, 3)).astype(np.float32)
    both = append_deltas(frames, DeltaConfig(order=1, window=3))
    np.testing.assert_array_equal(both[:, :3], frames)
    np.testing.assert_allclose(both[:, 3:], naive.deltas(frames, 3), atol=1e-6)


def test_deltas_of_a_ramp_are_its_slope():
    ramp = (0.25 * np.arange(40, dtype=np.float32))[:, None]
    frames = append_deltas(ramp, DeltaConfig(order=2, window=2))
    np.testing.assert_allclose(frames[4:-4], np.column_stack([ramp, np.full(40, 0.25), np.zeros(40)])[4:-4], atol=1e-6)


@pytest.mark.parametrize("kind", ["mfcc", "lfcc", "logmel", "spectrogram"])
@pytest.mark.parametrize("energy", ["c0", "raw", "windowed", "none"])
def test_every_kind_has_the_stated_width(kind, energy):
    config = FeatureConfig(kind=kind, energy=energy)
    frames = extract(voice(), config)
    assert frames.shape[1] == config.n_features
    assert frames.dtype == np.float32
    assert np.isfinite(frames).all()


def test_a_tone_lights_up_the_filter_at_its_frequency():
    config = FeatureConfig(kind="logmel", filter_scale="linear", low_frequency=0.0, high_frequency=8000.0, n_filters=31)
    tone = np.sin(2 * np.pi * 2000 * np.arange(16000) / 16000).astype(np.float32)
    frames, _ = cepstra(tone, config)
    # Filters are centred every 250 Hz, the first at 250 Hz.
    assert (frames[10:-10].argmax(axis=1) == 7).all()


def test_the_zeroth_cepstrum_is_the_scaled_mean_of_the_log_filters():
    logmel, _ = cepstra(voice(), FeatureConfig(kind="logmel"))
    mfcc, _ = cepstra(voice(), FeatureConfig())
    np.testing.assert_allclose(mfcc[:, 0], logmel.sum(axis=1) / np.sqrt(30), rtol=1e-5, atol=1e-5)


def test_twice_the_amplitude_moves_the_log_energy_by_log_four_and_the_other_cepstra_not_at_all():
    (soft, soft_energy), (loud, loud_energy) = (cepstra(voice() * gain, FeatureConfig()) for gain in (1, 2))
    np.testing.assert_allclose(loud_energy - soft_energy, np.log(4), atol=1e-4)
    np.testing.assert_allclose(loud[:, 1:], soft[:, 1:], atol=2e-3)


def framed(samples, config):
    """Every frame by the definition of its padding, one sample at a time."""
    length, shift, n = config.frame_samples, config.shift_samples, len(samples)
    frames, t = [], 0
    while True:
        match config.padding:
            case "centre":
                first, more = t * shift - length // 2, t * shift <= n
            case "end":
                first, more = t * shift, t == 0 or (t - 1) * shift + length < n
        if not more:
            return np.array(frames)
        frames.append([samples[i] if 0 <= i < n else 0 for i in range(first, first + length)])
        t += 1


@pytest.mark.parametrize("padding", ["centre", "end"])
@pytest.mark.parametrize(("length", "shift"), [(400, 160), (100, 160), (64, 64)])
@pytest.mark.parametrize("n_samples", [1, 63, 64, 159, 160, 161, 399, 400, 401, 800, 5000])
def test_frames_beyond_the_edges_hold_zeros(padding, length, shift, n_samples):
    config = FeatureConfig(
        frame_length=length / 16000, frame_shift=shift / 16000, padding=padding, remove_dc=False, preemphasis=0.0,
        window="rectangular", log_floor=1e-37,
    )  # fmt: skip
    samples = voice(n_samples / 16000)
    expected = (framed(samples, config).astype(np.float64) ** 2).sum(axis=1)
    _, log_energy = cepstra(samples, config)
    np.testing.assert_allclose(log_energy, np.log(np.maximum(expected, 1e-37)), rtol=1e-5)


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("n_samples", [0, 399, 400, 401, 559, 560, 16000])
def test_frames_are_counted_as_kaldi_does(snip_edges, n_samples):
    config = FeatureConfig(snip_edges=snip_edges)
    expected = 0
    if n_samples >= 400:
        expected = (n_samples - 400) // 160 + 1 if snip_edges else (n_samples + 80) // 160
    assert frame_count(n_samples, config) == expected
    assert len(cepstra(voice()[:n_samples], config)[0]) == expected


def test_a_frame_does_not_depend_on_how_much_follows():
    config = FeatureConfig(snip_edges=True)
    samples = voice(2 * BLOCK_FRAMES * 0.01)
    whole, _ = cepstra(samples, config)
    for n_frames in (1, 10, BLOCK_FRAMES + 3):
        part, _ = cepstra(samples[: 400 + 160 * (n_frames - 1)], config)
        assert np.array_equal(part, whole[:n_frames])


def test_speech_is_what_stands_out():
    quiet, loud = np.full(50, np.log(1e-7), np.float32), np.full(50, np.log(1e-2), np.float32)
    assert speech_frames(np.concatenate([quiet, loud]), VadConfig()).tolist() == [False] * 50 + [True] * 50
    middling = np.full(50, np.log(1e-4), np.float32)  # 20 dB below the loud
    three = np.concatenate([quiet, middling, loud])
    assert speech_frames(three, VadConfig(range_db=30)).sum() == 100
    assert speech_frames(three, VadConfig(range_db=10)).sum() == 50
    assert speech_frames(three, VadConfig(method="none")).all()
    ramp = np.linspace(0, 100, 1001, dtype=np.float32) * np.float32(np.log(10) / 10)  # 0 to 100 dB
    # The threshold is 40 dB below the 95th percentile, or 60 dB above the 5th.
    assert speech_frames(ramp, VadConfig()).sum() == pytest.approx(450, abs=1)
    assert speech_frames(ramp, VadConfig(margin_db=60)).sum() == pytest.approx(350, abs=1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_stated_share_of_the_mean_is_subtracted(rng, share):
    frames = rng.normal(3, 1, size=(100, 4)).astype(np.float32)
    speech = np.arange(100) < 60
    over_speech = normalise_frames(frames, speech, NormalisationConfig(mean=share))
    np.testing.assert_allclose(over_speech[speech].mean(axis=0), (1 - share) * frames[speech].mean(axis=0), atol=1e-5)
    over_all = normalise_frames(frames, speech, NormalisationConfig(mean=share, over="all"))
    np.testing.assert_allclose(over_all.mean(axis=0), (1 - share) * frames.mean(axis=0), atol=1e-5)


def test_the_mean_is_subtracted_last_from_the_deltas_too():
    frames = extract(voice(), FeatureConfig(normalisation={"mean": 1.0}))
    assert len(frames) < 100
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize(("rate", "frame", "shift"), [(8000, 200, 80), (11025, 275, 110), (44100, 1102, 441)])
def test_frames_are_whole_samples_as_kaldi_counts_them(rate, frame, shift):
    config = FeatureConfig(sample_rate=rate, high_frequency=3700.0)
    assert (config.frame_samples, config.shift_samples) == (frame, shift)
    result = analyse(voice(rate=rate), config)
    assert result.speech_seconds == pytest.approx(len(result.frames) * shift / rate)


def test_a_filter_without_a_bin_is_named():
    assert empty_filters(FeatureConfig()) == ()
    assert empty_filters(FeatureConfig(kind="spectrogram", n_filters=400)) == ()
    config = FeatureConfig(kind="logmel", n_filters=128, deltas={"order": 0}, vad={"method": "none"})
    *named, rest = empty_filters(FeatureConfig(kind="logmel", n_filters=200))
    assert len(named) == 5
    assert (
        rest
        == f"{np.count_nonzero(~filter_bank(FeatureConfig(n_filters=200)).any(axis=0)) - 5} more filters have no bin"
    )
    (warning,) = empty_filters(config)
    assert warning.startswith("filter 2 of 128, around 48 Hz, has no bin of a transform of 512 points")
    constant = np.flatnonzero(np.ptp(cepstra(voice(), config)[0], axis=0) == 0)
    assert constant.tolist() == [1]


def test_every_step_changes_the_features():
    plain = extract(voice())
    for changes in (
        {"remove_dc": False},
        {"preemphasis": 0.0},
        {"window": "hann"},
        {"window": "blackman"},
        {"window": "rectangular"},
        {"n_fft": 1024},
        {"filter_scale": "slaney"},
        {"filter_norm": "area"},
        {"lifter": 0.0},
        {"low_frequency": 300.0},
        {"dither": 1e-3},
        {"sample_scale": 10.0, "energy": "raw"},
        {"padding": "centre"},
        {"padding": "end"},
        {"preemphasis_over": "signal", "window": "hamming"},
        {"periodic_window": True},
        {"filter_shape": "hertz"},
        {"filter_shape": "bins"},
        {"log": "decibel"},
        {"log": "decibel", "top_db": 20.0},
        {"kind": "logmel", "log": "none"},
        {"dct_norm": "htk"},
        {"energy": "raw", "energy_floor": 100.0},
        {"energy": "spectrum"},
        {"energy_last": True},
        {"order": ["selection", "deltas", "normalisation"]},
        {"log_floor": 1e-2},
        {"normalisation": {"mean": 1.0}},
        {"normalisation": {"over": "all"}},
        {"deltas": {"window": 2}},
        {"snip_edges": True},
        {"spectrum": "magnitude"},
        {"spectrum": "periodogram"},
        {"energy": "raw"},
        {"energy": "windowed"},
        {"kind": "lfcc"},
        {"n_filters": 40},
        {"n_cepstra": 13},
        {"frame_length": 0.02},
        {"frame_shift": 0.005},
        {"high_frequency": 4000.0},
        {"vad": {"range_db": 10.0}},
        {"vad": {"margin_db": 10.0}},
    ):
        changed = extract(voice() + np.float32(0.01), FeatureConfig(**changes))
        assert changed.shape != plain.shape or not np.allclose(changed, extract(voice() + np.float32(0.01))), changes


def test_two_extractions_give_the_same_bits_even_with_dither():
    config = FeatureConfig(dither=1e-4)
    assert np.array_equal(extract(voice(), config), extract(voice(), config))


def test_a_file_and_its_samples_give_the_same(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(), 16000, subtype="FLOAT")
    assert np.array_equal(extract(tmp_path / "a.wav"), extract(voice()))
    assert np.array_equal(extract(str(tmp_path / "a.wav")), extract(voice(), sample_rate=16000))


def test_audio_of_another_rate_is_resampled_or_refused():
    high, low = voice(rate=32000), voice(rate=8000)
    with pytest.raises(
        AudioError, match=r"sample rate 32000 Hz.* is 16000 Hz; set the key resample to true, or sample_rate"
    ):
        extract(high, sample_rate=32000)
    assert np.isfinite(extract(high, FeatureConfig(resample=True), sample_rate=32000)).all()
    with pytest.raises(AudioError, match="sample rate 8000 Hz is too low for filters up to 7600 Hz"):
        extract(low, sample_rate=8000)
    assert extract(low, FeatureConfig(sample_rate=8000)).shape[1] == 72


def test_the_seconds_of_audio_and_speech_are_told():
    silence = np.zeros(8000, np.float32)
    result = analyse(np.concatenate([voice(), silence]))
    assert result.seconds == 1.5
    assert result.speech_seconds == pytest.approx(len(result.frames) * 0.01)
    assert result.speech_seconds < 1.05


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16000, np.float32), "nothing but silence: all 16000 samples are 0"),
        (np.full(16000, 0.25, np.float32), "nothing but silence: all 16000 samples are 0.25"),
        (voice()[:399], "0.0249 s of audio is shorter than one frame of 0.025 s"),
        (voice()[:1], "nothing but silence"),
        (np.array([], np.float32), "holds no samples"),
        (np.full(800, np.nan, np.float32), "NaN"),
    ],
)
def test_unusable_audio_is_refused(samples, message):
    with pytest.raises(AudioError, match=message):
        extract(samples)


def test_audio_without_speech_is_refused():
    with pytest.raises(AudioError, match="no speech: none of 100 frames"):
        extract(voice(), FeatureConfig(vad={"margin_db": 80.0}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deltas": {"order": 0, "sdc": {"n": 25}}}, "25"),
        ({"n_fft": 256}, "n_fft 256 is shorter than the frame of 400 samples"),
        ({"high_frequency": 9000.0}, "filters from 20 to 9000 Hz"),
        ({"low_frequency": 7700.0}, "filters from 7700 to 7600 Hz"),
        ({"low_frequency": 7599.5}, "at least 1 Hz more"),
        ({"frame_length": 60.0, "sample_rate": 1_000_000}, "a transform of 67108864 samples; at most"),
        ({"n_fft": 2**20, "n_filters": 40}, "too many"),
        ({"log": "none"}, "kind mfcc needs a logarithm"),
        ({"top_db": 80.0}, "top_db 80.0 is for log decibel, and log is natural"),
        ({"snip_edges": True, "padding": "end"}, "padding end has no effect"),
        (
            {"energy": "none", "energy_last": True},
            "energy_last: kind mfcc with energy none has no energy or c0 to put last",
        ),
        ({"kind": "logmel", "energy_last": True}, "kind logmel with energy c0 has no energy"),
        ({"energy_last": True, "normalisation": {"c0_mean": 1.0}}, "c0 is not there"),
        ({"order": ["deltas", "selection"]}, "expected each of deltas, normalisation, selection once"),
        ({"order": ["deltas", "deltas", "selection"]}, "once"),
        ({"kind": "mfcc", "filter_scale": "linear"}, "lfcc needs linear, mfcc mel or slaney"),
        ({"kind": "lfcc", "filter_scale": "mel"}, "lfcc needs linear, mfcc mel or slaney"),
        ({"n_cepstra": 31}, "n_cepstra 31 from n_filters 30"),
        ({"n_cepstra": 30, "energy": "none"}, "too few filters"),
        ({"frame_shift": 1e-6}, "too short for 16000 Hz"),
        ({"preemphasis": 1.0}, "less than 1"),
        ({"n_ceps": 13}, "n_ceps"),
        ({"frame_length": "25ms"}, "valid number"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FeatureConfig(**changes)


def write_files(folder, lengths):
    sources = []
    for number, seconds in enumerate(lengths):
        path = folder / f"u{number}.wav"
        soundfile.write(path, voice(seconds, seed=number), 16000)
        sources.append(Source(f"u{number}", str(path)))
    return sources


def test_a_store_gives_back_what_was_extracted(tmp_path):
    sources = write_files(tmp_path, [1.0, 0.5, 2.0])
    sources.insert(1, Source("gone", str(tmp_path / "gone.wav")))
    assert list(write_store(tmp_path / "store", sources, FeatureConfig()))[-1] == 4
    store = open_store(tmp_path / "store")
    assert [stored.utterance for stored in store.utterances] == ["u0", "u1", "u2"]
    for source in (sources[0], sources[2], sources[3]):
        assert np.array_equal(store.frames(source.utterance), extract(source.path))
    assert [(each.utterance, "no such audio file" in each.reason) for each in store.unusable] == [("gone", True)]
    assert "gone" not in store
    assert store.n_frames == sum(len(np.load(shard)) for shard in store.shards())
    with pytest.raises(KeyError, match="gone"):
        store.frames("gone")


def test_shards_follow_from_the_lengths_alone(tmp_path, monkeypatch):
    sources = write_files(tmp_path, [1.0] * 7)
    monkeypatch.setattr("speechgmm.features.store.writing.SHARD_SECONDS", 3.0)
    assert [len(shard) for shard in plan_shards(sources)] == [3, 3, 1]
    unreadable = [Source("x", str(tmp_path / "none.wav")), *sources]
    assert [len(shard) for shard in plan_shards(unreadable)] == [4, 3, 1]


def test_a_store_of_nothing_usable_is_empty(tmp_path):
    list(write_store(tmp_path / "store", [Source("a", "nowhere.wav")], FeatureConfig()))
    store = open_store(tmp_path / "store")
    assert (store.n_frames, store.shards(), len(store.unusable)) == (0, (), 1)


def test_labels_take_the_place_of_speech_detection():
    config = FeatureConfig(normalisation={"mean": 0.0})
    everything = extract(voice(), FeatureConfig(normalisation={"mean": 0.0}, vad={"method": "none"}))
    vector = np.zeros(100)
    vector[20:30] = 1
    assert np.array_equal(extract(voice(), config, speech=vector), everything[20:30])
    assert np.array_equal(extract(voice(), config, speech=[(0.2, 0.3)]), everything[20:30])
    with pytest.raises(AudioError, match="none of 100 frames is labelled as speech"):
        extract(voice(), config, speech=[(7.0, 8.0)])
    for wrong in (np.zeros(99), np.full(100, 0.5)):
        with pytest.raises(ValueError, match="expected a truth value for each of 100 frames"):
            extract(voice(), config, speech=wrong)


def test_the_order_of_the_steps_is_the_configurations():
    frames, log_energy = cepstra(voice(), FeatureConfig())
    speech = speech_frames(log_energy, VadConfig())
    orders = {
        ("selection", "deltas", "normalisation"): lambda: normalise_frames(
            append_deltas(frames[speech], DeltaConfig()), np.ones(speech.sum(), bool), NormalisationConfig()
        ),
        ("normalisation", "selection", "deltas"): lambda: append_deltas(
            normalise_frames(frames, speech, NormalisationConfig())[speech], DeltaConfig()
        ),
    }
    assert 0 < speech.sum() < 100
    for order, literal in orders.items():
        assert np.array_equal(extract(voice(), FeatureConfig(order=order)), literal())


def test_channels_and_segments_of_a_file(tmp_path):
    both = np.column_stack([voice(seed=1), voice(seed=2)])
    soundfile.write(tmp_path / "stereo.wav", both, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="2 channels"):
        extract(tmp_path / "stereo.wav")
    assert np.array_equal(extract(tmp_path / "stereo.wav", channel=1), extract(voice(seed=2)))
    part = extract(tmp_path / "stereo.wav", channel=0, start=0.25, stop=0.75)
    assert np.array_equal(part, extract(voice(seed=1)[4000:12000]))
    with pytest.raises(ValueError, match="channel, start and stop are for files"):
        extract(voice(), start=0.25)


def test_clipped_samples_are_counted_as_they_were_recorded():
    loud = np.clip(voice(rate=32000) * 20, -1, 1)
    share = np.mean(np.abs(loud) == 1)
    result = analyse(loud, FeatureConfig(resample=True), sample_rate=32000)
    assert 0.02 < result.clipped <= share
    assert analyse(voice()).clipped == 0


def test_too_loud_samples_are_refused_before_they_overflow():
    config = FeatureConfig(sample_scale=1e6, n_fft=2**17)
    with pytest.raises(AudioError, match=r"samples up to .*e\+09; expected full scale at 1"):
        extract(voice() * np.float32(5e9), config)


LONG = {
    "normalisation": {"mean": 1.0, "window": 50, "center": True, "over": "all"},
    "vad": {"method": "none"},
    "resample": True,
}


def test_long_files_are_extracted_in_blocks_as_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("speechgmm.features.store.writing.SHARD_SECONDS", 2.0)
    monkeypatch.setattr("speechgmm.features.store.writing.audio_blocks", partial(audio_blocks, block_seconds=0.7))
    loud = np.clip(20 * voice(3.0, 44100, seed=1), -1, 1)
    broken = voice(4.0, seed=3)
    broken[-5] = np.nan
    files = {
        "short": (voice(0.5), 16000),
        "stereo": (np.column_stack([voice(3.0, 44100, seed=2), loud]), 44100),
        "before": (voice(0.5, seed=7), 16000),
        "broken": (broken, 16000),
        "constant": (np.full(3 * 44100, 0.25), 44100),
        "slow": (voice(3.0, 8000), 8000),
        "labelled": (voice(3.0, seed=4), 16000),
        "last": (voice(2.5, seed=5), 16000),
    }
    config = FeatureConfig(**LONG)
    sources = []
    for name, (samples, rate) in files.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT")
        speech = ((0.5, 1.5),) if name == "labelled" else None
        sources.append(Source(name, str(tmp_path / f"{name}.wav"), 1 if name == "stereo" else None, speech))
    pushed = []
    push = FeatureStream.push
    monkeypatch.setattr(FeatureStream, "push", lambda self, samples: pushed.append(len(samples)) or push(self, samples))
    list(write_store(tmp_path / "store", sources, config))
    assert sum(pushed) == (3 + 5 * 0.7 + 3 + 2.5) * 16000  # stereo, broken as far as it goes, constant, last
    store = open_store(tmp_path / "store")
    reasons = {each.utterance: each.reason for each in store.unusable}
    for source in sources:
        expected = None
        try:
            expected = analyse(source.path, config, channel=source.channel, speech=source.speech, measured=True)
        except AudioError as error:
            whole = str(error).removeprefix(f"{source.path}: ")
            assert reasons[source.utterance].split(";")[0] == whole.split(";")[0] or "NaN" in whole
        else:
            (stored,) = [each for each in store.utterances if each.utterance == source.utterance]
            assert np.array_equal(store.frames(source.utterance), expected.frames)
            assert np.array_equal(np.concatenate(list(store.blocks(source.utterance))), expected.frames)
            assert (stored.seconds, stored.speech_seconds) == (expected.seconds, expected.speech_seconds)
            assert stored.clipped == pytest.approx(expected.clipped, rel=1e-3)
            assert stored.condition == expected.condition
    assert list(reasons) == ["broken", "constant", "slow"]
    assert store.utterances[1].clipped > 0.02


def test_a_store_of_a_version_that_measured_less_stays_readable(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(2.0), 16000)
    list(write_store(tmp_path / "store", [Source("a", str(tmp_path / "a.wav"))], FeatureConfig()))
    new = open_store(tmp_path / "store").utterances[0].condition
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    for name in ("clipped", "decay", "holes"):
        del index["utterances"][0]["condition"][name]
    (tmp_path / "store" / "index.json").write_text(json.dumps(index))
    old = open_store(tmp_path / "store").utterances[0].condition
    assert (old.low, old.high, old.level, old.snr) == (new.low, new.high, new.level, new.snr)
    assert (old.clipped, old.decay, old.holes) == (None, None, None)


def test_threads_may_extract_at_once_and_leave_blas_as_it_was():
    before = [(library["filepath"], library["num_threads"]) for library in threadpool_info()]
    config = FeatureConfig.preset("librosa", sample_rate=16000)
    alone = [extract(voice(seed=n), config) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: extract(voice(seed=n), config), range(12)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert [(library["filepath"], library["num_threads"]) for library in threadpool_info()] == before


def test_the_frames_are_those_of_one_blas_thread():
    config = FeatureConfig.preset("librosa", sample_rate=16000)
    with threadpool_limits(limits=1, user_api="blas"):
        alone = extract(voice(20.0), config)
    with threadpool_limits(limits=2, user_api="blas"):
        assert np.array_equal(extract(voice(20.0), config), alone)


def test_any_array_of_samples_is_read_as_numbers():
    samples = voice(0.5)
    frames, _ = cepstra(samples, FeatureConfig())
    for same in (samples.astype(np.float64), np.repeat(samples, 2)[::2], samples[::-1].copy()[::-1]):
        assert np.array_equal(cepstra(same, FeatureConfig())[0], frames)
    assert np.array_equal(extract([float(sample) for sample in samples]), extract(samples))
    with pytest.raises(TypeError, match=r"config 'kaldi': expected a FeatureConfig, such as FeatureConfig.preset"):
        extract(samples, "kaldi")


def test_the_frame_before_a_limit_in_decibels_keeps_its_energy():
    config = FeatureConfig(log="decibel", top_db=20.0, energy="raw", deltas={"order": 0}, vad={"method": "none"},
                           normalisation={"mean": 0.0})  # fmt: skip
    frames, log_energy = cepstra(voice(), config)
    np.testing.assert_allclose(frames[:, 0], 10 / np.log(10) * log_energy, rtol=1e-5)


def test_the_mean_is_removed_after_preemphasis_of_the_signal_too():
    keys = {"preemphasis_over": "signal", "window": "rectangular", "padding": "end", "energy": "windowed"}
    keys |= {"kind": "logmel", "deltas": {"order": 0}, "vad": {"method": "none"}, "normalisation": {"mean": 0.0}}
    samples = voice(0.05) + np.float32(0.3)
    emphasised = samples.astype(float) - 0.97 * np.concatenate([[0], samples[:-1]])
    for remove, expected in ((True, emphasised[160:560] - emphasised[160:560].mean()), (False, emphasised[160:560])):
        frames, _ = cepstra(samples, FeatureConfig(**keys, remove_dc=remove))
        assert frames[1, 0] == pytest.approx(np.log((expected**2).sum()), abs=1e-4)


def test_a_rate_that_the_highest_filter_just_fits_is_enough():
    config = FeatureConfig(resample=True, high_frequency=4000.0)
    assert len(extract(voice(rate=8000), config, sample_rate=8000))
    with pytest.raises(AudioError, match=r"too low for filters up to 4000\.5 Hz"):
        extract(voice(rate=8000), FeatureConfig(resample=True, high_frequency=4000.5), sample_rate=8000)


def test_a_sample_just_below_the_loudest_gives_finite_filters_however_narrow():
    config = FeatureConfig(
        kind="logmel", filter_norm="area", low_frequency=1000.0, high_frequency=1001.0, n_filters=1, log="none",
        n_fft=2**15, filter_shape="hertz", window="rectangular", preemphasis=0.0, remove_dc=False,
    )  # fmt: skip
    assert config.max_amplitude < FeatureConfig(n_fft=2**15).max_amplitude / 1.2
    tone = np.cos(2 * np.pi * 1000.5 * np.arange(800) / 16000).astype(np.float32)
    frames, _ = cepstra(tone * np.float32(config.max_amplitude), config)
    assert np.isfinite(frames).all()
    assert frames.max() > 1e30
