"""The front end on audio that comes in pieces: the frames of the whole, bit for bit, as soon as they are determined."""

import itertools
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.paths import GOLDEN
from speechgmm import FeatureConfig, FeatureStream, extract
from speechgmm.errors import AudioError
from speechgmm.features.frames.vad import VadConfig, speech_frames
from speechgmm.features.spectral.cepstra import cepstra

NONE = {"vad": {"method": "none"}}
PLAIN = NONE | {"normalisation": {"mean": 0.0}}
STATIC = PLAIN | {"deltas": {"order": 0}}
ENERGY = {"method": "energy", "mean_scale": 0.0, "threshold": 18.0, "context": 3}
RUNS = ENERGY | {"close_gaps": 0.07, "min_speech": 0.1}
SLIDING = {"mean": 1.0, "window": 40, "min_window": 15}
CENTRED = {"mean": 1.0, "c0_mean": 0.3, "window": 41, "center": True, "variance": True}
EVERYTHING = CENTRED | {"rasta": True, "warp": 30}
NORMALISATIONS = {
    "nothing": {"mean": 0.0},
    "rasta": {"mean": 0.0, "rasta": True},
    "sliding": SLIDING,
    "sliding-variance": SLIDING | {"variance": True, "mean": 0.0},
    "centred": CENTRED,
    "centred-even": {"window": 10, "center": True},
    "beyond-the-end": {"window": 3000, "min_window": 700},
    "centred-beyond-the-end": {"window": 3000, "center": True},
    "warp": {"mean": 0.0, "warp": 31},
    "warp-even": {"mean": 0.0, "warp": 8, "rasta": True},
    "everything": EVERYTHING,
}
ORDERS = list(itertools.permutations(["deltas", "normalisation", "selection"]))
NOT_FOR_OVER_SPEECH = ("normalisation", "deltas", "selection")


def voice(seconds=1.5, rate=16000, seed=0):
    """Make something with loud and quiet stretches, and one that is digital silence."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * rate)) / rate
    envelope = np.maximum(np.sin(2 * np.pi * 1.7 * at) + 0.5 * np.sin(2 * np.pi * 5.1 * at), 0) ** 2 + 0.002
    samples = 0.1 * envelope * rng.standard_normal(len(at))
    samples[len(at) // 2 : len(at) // 2 + rate // 20] = 0
    return samples.astype(np.float32)


def speech():
    return soundfile.read(GOLDEN / "a16k.wav", dtype="float32")[0][8000:48000]


def pieces(samples, rng):
    """Split anywhere, also into pieces of 0 and 1."""
    sizes = [0, 1, 0, 1, 1]
    while sum(sizes) < len(samples):
        sizes.append(int(rng.choice([0, 1, 7, 160, 161, 400, 3000, 9000])))
    return np.split(samples, np.minimum(np.cumsum(sizes), len(samples)))


def streamed(parts, config):
    stream = FeatureStream(config)
    frames = [stream.push(part) for part in parts]
    frames.append(stream.finish())
    assert all(part.shape[1] == config.n_features and part.dtype == np.float32 for part in frames)
    return np.concatenate(frames)


def assert_same(samples, config, n_splits=1):
    whole = extract(samples, config)
    for seed in range(n_splits):
        parts = pieces(samples, np.random.default_rng(seed))
        assert np.array_equal(streamed(parts, config), whole)


CEPSTRA = {
    "default": {},
    "snip": {"snip_edges": True},
    "centre": {"padding": "centre"},
    "end": {"padding": "end"},
    "centre-odd": {"padding": "centre", "n_fft": 405},
    "n_fft": {"n_fft": 600, "kind": "logmel"},
    "odd": {"sample_rate": 11025, "frame_length": 0.0237, "frame_shift": 0.0111},
    "gaps": {"frame_length": 0.01, "frame_shift": 0.03},
    "mirror-odd": {"frame_length": 0.0251, "frame_shift": 0.0101, "window": "rectangular"},
    "edges": {"window": "rectangular", "remove_dc": False, "preemphasis_over": "signal"},
    "signal": {"preemphasis_over": "signal", "energy": "raw"},
    "dither": {"dither": 1e-4},
    "spectrogram": {"kind": "spectrogram"},
    "lfcc": {"kind": "lfcc", "energy": "windowed", "energy_last": True, "spectrum": "magnitude"},
}


@pytest.mark.parametrize("name", CEPSTRA)
def test_every_framing_gives_the_frames_of_the_whole(name):
    config = FeatureConfig(**PLAIN | CEPSTRA[name])
    assert_same(voice(rate=config.sample_rate), config, 3)


@pytest.mark.parametrize("preset", ["kaldi", "htk", "librosa", "psf"])
@pytest.mark.parametrize("steps", [{}, {"deltas": {"order": 2}, "normalisation": SLIDING}])
def test_presets_give_the_frames_of_the_whole(preset, steps):
    config = FeatureConfig.preset(preset, sample_rate=16000, top_db=None, **steps)
    assert_same(speech(), config, 2)
    shifts = np.split(speech(), range(160, 40000, 160))  # a frame or so at a time
    assert np.array_equal(streamed(shifts, config), extract(speech(), config))


@pytest.mark.parametrize(
    "deltas",
    [
        {"order": 0},
        {"order": 1, "window": 1},
        {"order": 3, "window": 2},
        {"order": 4, "window": 2, "edges": "htk"},
        {"order": 0, "sdc": {}},
        {"order": 0, "sdc": {"n": 3, "d": 2, "p": 2, "k": 4}},
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_deltas_give_the_frames_of_the_whole(deltas, order):
    config = FeatureConfig(vad=RUNS, deltas=deltas, order=order, normalisation=SLIDING | {"over": "all"})
    assert_same(voice(), config)


@pytest.mark.parametrize("over", ["speech", "all"])
@pytest.mark.parametrize("vad", [NONE["vad"], {"method": "none", "min_speech": 0.2}, ENERGY, RUNS])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalisation_gives_the_frames_of_the_whole(name, vad, over):
    config = FeatureConfig(vad=vad, deltas={"order": 1}, normalisation=NORMALISATIONS[name] | {"over": over})
    assert_same(voice(2.5), config)
    assert_same(speech(), config)


@pytest.mark.parametrize("over", ["speech", "all"])
@pytest.mark.parametrize("vad", [NONE["vad"], RUNS])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_gives_the_frames_of_the_whole(order, vad, over):
    if (order, vad["method"], over) == (NOT_FOR_OVER_SPEECH, "energy", "speech"):
        return
    assert_same(voice(), FeatureConfig(vad=vad, order=order, normalisation=EVERYTHING | {"over": over}))


def test_these_signals_have_speech_and_others():
    # ... or the tests above would show little.
    for samples in (voice(), voice(2.5), speech()):
        _, log_energy = cepstra(samples, FeatureConfig())
        for vad in (ENERGY, RUNS):
            marked = speech_frames(log_energy, VadConfig(**vad))
            assert 0.2 < marked.mean() < 0.95
            assert np.count_nonzero(np.diff(marked)) >= 2


@st.composite
def configurations(draw):
    one_of = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    rate = one_of(1000, 1103)
    vad = one_of({"method": "none"}, {"method": "energy", "mean_scale": 0.0, "threshold": one_of(0.0, 17.0)})
    vad |= {"close_gaps": one_of(0.0, 0.03), "min_speech": one_of(0.0, 0.045), "context": one_of(0, 2)}
    order = one_of(*ORDERS)
    over = "all" if order == NOT_FOR_OVER_SPEECH else one_of("all", "speech")
    normalisation = {
        "mean": 0.0,
        "over": over,
        "rasta": one_of(False, True),
        "warp": one_of(None, 3, 4),
    } | one_of({}, {"window": 2, "min_window": 2, "mean": 1.0}, {"window": 5, "center": True, "variance": True})
    deltas = one_of({"order": 0}, {"order": 2, "window": 1}, {"order": 0, "sdc": {"n": 2, "k": 2}})
    framing = one_of({}, {"snip_edges": True}, {"padding": "centre"}, {"padding": "end"}, {"frame_shift": 0.06})
    return FeatureConfig(
        **framing
        | one_of({}, {"dither": 0.01}, {"preemphasis_over": "signal"})
        | one_of({}, {"window": "rectangular"}),
        sample_rate=rate,
        n_filters=5,
        n_cepstra=3,
        vad=vad,
        deltas=deltas,
        order=order,
        normalisation=normalisation,
    )


def outcome(function):
    """What a function gives, or the error that it raises."""
    try:
        return function()
    except AudioError as error:
        return f"AudioError: {error}"


@settings(deadline=None, max_examples=300)
@given(st.data(), configurations())
def test_any_split_of_any_short_audio_is_the_whole_or_the_same_error(data, config):
    value = st.floats(-1, 1, width=32) | st.sampled_from([0.0, 0.001, 0.5])
    n_repeated = data.draw(st.integers(1, 60))
    samples = np.repeat(np.array(data.draw(st.lists(value, max_size=12)), np.float32), n_repeated)
    samples *= data.draw(st.sampled_from([np.ones(1), np.resize([1, -1], len(samples))])).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=6)))
    expected = outcome(lambda: extract(samples, config))
    found = outcome(lambda: streamed(np.split(samples, cuts), config))
    assert type(expected) is type(found)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("n_frames", [0, 1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_the_shortest_audio(n_frames, order):
    config = FeatureConfig(**NONE, order=order, normalisation=EVERYTHING, snip_edges=True)
    samples = voice()[5000 : 5000 + 240 + 160 * n_frames]
    if n_frames:
        assert_same(samples, config)
        return
    stream = FeatureStream(config)
    assert stream.push(samples).shape == (0, config.n_features)
    with pytest.raises(AudioError, match=r"0\.0150 s of audio is shorter than one frame of 0\.025 s"):
        stream.finish()


@pytest.mark.parametrize(
    ("changes", "reach"),
    [
        (STATIC, 0),
        (PLAIN | {"deltas": {"order": 2, "window": 3}}, 6),
        (PLAIN | {"deltas": {"order": 0, "sdc": {"d": 2, "p": 3, "k": 4}}}, 11),
        (STATIC | {"normalisation": {"mean": 0.0, "rasta": True}}, 4),
        (STATIC | {"normalisation": {"mean": 0.0, "warp": 20}}, 9),
        (STATIC | {"normalisation": {"window": 50, "min_window": 1}}, 0),
    ],
)
@pytest.mark.parametrize("block", [40, 160, 1000])
def test_frames_come_as_soon_as_the_last_sample_that_they_see(changes, reach, block):
    stream = FeatureStream(FeatureConfig(**changes, snip_edges=True))
    samples = voice()[: 200 * block]
    n_given = 0
    for start in range(0, len(samples), block):
        n_given += len(stream.push(samples[start : start + block]))
        n = min(start + block, len(samples))
        assert n_given == max((n - 400) // 160 + 1 - reach, 0)
    assert stream.delay == pytest.approx(reach * 0.01)


@pytest.mark.parametrize(("padding", "first"), [("mirror", -120), ("centre", -200), ("end", 0)])
def test_padded_frames_come_with_the_last_sample_that_they_see(padding, first):
    stream = FeatureStream(FeatureConfig(**STATIC, padding=padding))
    samples, n_given = voice(0.1), 0
    for n in range(1, len(samples) + 1):
        n_given += len(stream.push(samples[n - 1 : n]))
        expected = max((n - first - 400) // 160 + 1, 0)
        assert n_given == (0 if padding == "mirror" and n < 400 else expected)


@pytest.mark.parametrize(
    ("changes", "n_frames"),
    [
        ({"normalisation": {"window": 30, "center": True}}, 29),  # the first frame waits for the first window
        ({"normalisation": {"window": 30, "min_window": 12}}, 11),
        ({"normalisation": {"window": 30, "center": True, "rasta": True}, "deltas": {"order": 2}}, 29 + 4 + 6),
        ({"normalisation": {"window": 5, "center": True, "warp": 30}}, 2 + 14),
        ({"normalisation": {"window": 30, "min_window": 4}, "deltas": {"order": 1}, "order": ORDERS[2]}, 3),
        ({"normalisation": {"window": 30, "min_window": 3}, "deltas": {"order": 1}, "order": ORDERS[2]}, 3),
        ({"vad": {"method": "none", "min_speech": 0.1}}, 9),
        ({"vad": ENERGY | {"threshold": -50.0}, "normalisation": CENTRED}, 43),
        ({"vad": ENERGY | {"threshold": -50.0}, "normalisation": {"window": 5, "min_window": 2, "over": "all"}}, 3),
    ],
)
def test_the_stated_delay_is_enough_and_needed(changes, n_frames):
    config = FeatureConfig(**STATIC | {"snip_edges": True} | changes)
    stream, samples = FeatureStream(config), voice()
    waits, n_given = [], 0
    for last in range((len(samples) - 400) // 160 + 1):  # with each push, one frame more has been heard to its end
        n_new = len(stream.push(samples[0 if last == 0 else 240 + 160 * last : 400 + 160 * last]))
        waits += [last - frame for frame in range(n_given, n_given + n_new)]
        n_given += n_new
    assert max(waits) == n_frames
    assert stream.delay == pytest.approx(n_frames * 0.01)


def tones(marks, n_samples=4):
    """Give one frame, loud or all but silent, for each mark."""
    return np.concatenate([np.resize([0.5, -0.5], n_samples) * (1 if mark else 1e-4) for mark in marks] or [[]])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=14), st.integers(0, 3), st.integers(0, 3))
def test_speech_comes_as_soon_as_no_continuation_could_change_it(marks, n_gap, n_speech):
    # One past the longest run that is turned over, in frames of 4 ms.
    rule = {"method": "energy", "mean_scale": 0.0, "threshold": 12.0}
    rule |= {"close_gaps": 0.004 * (n_gap + 1), "min_speech": 0.004 * (n_speech + 1)}
    config = FeatureConfig(
        **STATIC | {"vad": rule}, sample_rate=1000, frame_length=0.004, frame_shift=0.004, snip_edges=True,
        n_filters=1, n_cepstra=1, remove_dc=False,
    )  # fmt: skip
    reach = n_gap + n_speech
    futures = [list(f) for n in range(reach + 2) for f in itertools.product([False, True], repeat=n)]
    stream, n_given = FeatureStream(config), 0
    assert stream.delay == pytest.approx(0.004 * reach)
    for stop in range(1, len(marks) + 1):
        n_given += len(stream.push(tones(marks[stop - 1 : stop])))
        outcomes = np.array([decided(marks[:stop] + future, rule)[:stop] for future in futures])
        open_ = np.append(outcomes.any(axis=0) != outcomes.all(axis=0), True)
        n_determined = int(np.argmax(open_))
        assert n_determined >= stop - reach
        assert n_given == np.count_nonzero(outcomes[0, :n_determined])


def decided(marks, rule):
    return speech_frames(np.where(marks, 0.0, -18.0).astype(np.float32), VadConfig(**rule), frame_shift=0.004)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"vad\.method percentile derives its level from it: use energy with mean_scale 0, or none"),
        ({"vad": {"method": "gaussians"}}, r"vad\.method gaussians"),
        ({"vad": {"method": "energy"}}, r"vad\.mean_scale 0\.5 .*set it to 0"),
        (NONE, r"normalisation\.mean over all of it: give a window, or set to 0"),
        (
            NONE | {"normalisation": {"mean": 1.0, "c0_mean": 0.5, "variance": True}},
            r"normalisation\.mean and c0_mean and variance",
        ),
        (NONE | {"normalisation": {"mean": 0.5, "warp": 301}}, r"normalisation\.mean over all"),
        (PLAIN | {"log": "decibel", "top_db": 80.0}, r"top_db 80 .*leave it out"),
        (
            {"vad": ENERGY, "normalisation": SLIDING, "order": NOT_FOR_OVER_SPEECH},
            r"normalisation\.over speech, with deltas after it and selection last.*set it to all",
        ),
        ({"top_db": 60.0, "log": "decibel"}, r"top_db 60.*; vad\.method.*; normalisation\.mean"),  # all at once
    ],
)
def test_what_needs_the_whole_utterance_is_refused_with_a_way_out(changes, message):
    with pytest.raises(ValueError, match=rf"^these features need the whole utterance: .*{message}"):
        FeatureStream(FeatureConfig(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"deltas": {"order": 0}, "normalisation": SLIDING},
        {"normalisation": {"mean": 0.0, "rasta": True}},
        {"normalisation": SLIDING | {"over": "all"}},
        {"normalisation": SLIDING, "vad": NONE["vad"]},
    ],
)
def test_that_order_is_refused_only_where_something_has_to_wait(changes):
    assert_same(voice(), FeatureConfig(**{"vad": ENERGY, "order": NOT_FOR_OVER_SPEECH} | changes))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16000, np.float32),
        np.full(3, 0.25, np.float32),
        voice()[:399],
        voice()[:1],
        1e-5 * voice(),
        voice()[:0],
    ],
)
def test_what_extract_refuses_is_refused_at_the_end_in_the_same_words(samples):
    config = FeatureConfig(vad=RUNS, normalisation=SLIDING)
    with pytest.raises(AudioError) as whole:
        extract(samples, config)
    stream = FeatureStream(config)
    assert sum(len(stream.push(part)) for part in np.array_split(samples, 7)) == 0
    with pytest.raises(AudioError) as at_end:
        stream.finish()
    assert str(at_end.value) == str(whole.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([0, 1, np.nan], np.float32), r"1 of 3 samples are NaN or infinite, the first is sample 5002"),
        (np.array([np.inf, 0]), r"1 of 2 samples are NaN or infinite, the first is sample 5000"),
        (np.zeros((2, 2)), r"samples of shape \(2, 2\)"),
        (np.zeros((0, 2)), r"samples of shape \(0, 2\)"),
        (np.zeros(3, np.int64), "samples of type int64"),
        (np.array([1e13]), r"samples up to 1e\+13; expected full scale at 1"),
    ],
)
def test_a_bad_block_is_refused_and_the_stream_goes_on_without_it(bad, message):
    config = FeatureConfig(**PLAIN)
    stream, samples = FeatureStream(config), voice()
    frames = [stream.push(samples[:5000])]
    with pytest.raises(AudioError, match=message):
        stream.push(bad)
    frames += [stream.push(samples[5000:]), stream.finish()]
    assert np.array_equal(np.concatenate(frames), extract(samples, config))


def test_samples_too_loud_for_the_front_end_are_refused():
    config = FeatureConfig.preset("kaldi", n_fft=2**18)
    loud = np.array([1, -1], np.float32) * np.float32(2 * config.max_amplitude)
    with pytest.raises(AudioError, match=r"samples up to .*; expected full scale at 1"):
        FeatureStream(config).push(loud)


def test_nothing_comes_after_the_end():
    stream = FeatureStream(FeatureConfig(**PLAIN))
    stream.push(voice())
    stream.finish()
    for call in (stream.finish, lambda: stream.push(voice())):
        with pytest.raises(ValueError, match="has been finished: make a new one"):
            call()


def test_the_caller_may_reuse_its_buffer_and_write_to_the_frames():
    config = FeatureConfig(vad=RUNS, normalisation=EVERYTHING)
    stream, samples, buffer = FeatureStream(config), voice(), np.empty(1000, np.float32)
    frames = []
    for start in range(0, len(samples), 1000):
        buffer[:] = samples[start : start + 1000]
        given_frames = stream.push(buffer)
        frames.append(given_frames.copy())
        buffer[:] = given_frames[:] = np.nan
    frames.append(stream.finish())
    assert np.array_equal(np.concatenate(frames), extract(samples, config))


def test_doubles_are_taken_as_extract_takes_them():
    samples = voice().astype(np.float64) / 3
    config = FeatureConfig(**PLAIN)
    assert np.array_equal(streamed([samples[:777], samples[777:]], config), extract(samples, config))


@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[5]])
def test_memory_does_not_grow_with_the_stream(order):
    config = FeatureConfig(
        sample_rate=8000, vad=RUNS, deltas={"order": 1}, order=order, normalisation=EVERYTHING | {"warp": 5}
    )
    stream, samples = FeatureStream(config), voice(3.0, rate=8000)
    peaks = []
    for part in [*[samples] * 5, np.zeros_like(samples)]:  # warm: the sliding window is full
        stream.push(part)
    tracemalloc.start()
    try:
        for _ in range(4):
            tracemalloc.reset_peak()
            for part in [*[samples] * 3, *[np.zeros_like(samples)] * 3]:
                stream.push(part)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks[1:]) <= 1.02 * peaks[0] + 10_000
