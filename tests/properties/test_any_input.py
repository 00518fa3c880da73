"""Whatever the samples and whatever the configuration: finite features of the predicted shape, or an error of ours."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from speechgmm import FeatureConfig, extract
from speechgmm.errors import AudioError
from speechgmm.features.presets import PRESETS
from speechgmm.features.spectral.config import CepstraConfig, frame_count

RATES = (100, 8000, 11025, 16000, 44100)
CHOICES = {
    "snip_edges": st.booleans(),
    "padding": st.sampled_from(["mirror", "centre", "end"]),
    "remove_dc": st.booleans(),
    "preemphasis": st.sampled_from([0.0, 0.5, 0.97, 0.999999]),
    "preemphasis_over": st.sampled_from(["frame", "signal"]),
    "window": st.sampled_from(["povey", "hamming", "hann", "blackman", "rectangular"]),
    "periodic_window": st.booleans(),
    "spectrum": st.sampled_from(["power", "magnitude", "periodogram"]),
    "filter_shape": st.sampled_from(["scale", "hertz", "bins"]),
    "filter_norm": st.sampled_from(["peak", "area"]),
    "log": st.sampled_from(["natural", "decibel", "none"]),
    "top_db": st.sampled_from([None, None, 80.0, 1e-3]),
    "kind": st.sampled_from(["mfcc", "lfcc", "logmel", "spectrogram"]),
    "dct_norm": st.sampled_from(["orthonormal", "htk"]),
    "lifter": st.sampled_from([0.0, 22.0, 0.5, 1e6]),
    "energy": st.sampled_from(["c0", "raw", "windowed", "spectrum", "none"]),
    "energy_last": st.booleans(),
    "sample_scale": st.sampled_from([1.0, 32768.0, 1e-6, 1e6]),
    "dither": st.sampled_from([0.0, 0.0, 1e-5, 1.0, 1e6]),
    "log_floor": st.sampled_from([1e-10, 1e-37, 1e37]),
    "energy_floor": st.sampled_from([0.0, 1.0, 1e37]),
    "n_filters": st.integers(1, 60),
    "n_cepstra": st.integers(1, 30),
    "low_frequency": st.sampled_from([0.0, 20.0, 3000.0]),
    "n_fft": st.sampled_from([None, None, 512, 551, 1024, 2048]),
    "frame_length": st.sampled_from([0.025, 0.0251, 0.02, 0.001]),
    "frame_shift": st.sampled_from([0.010, 0.025, 0.03, 0.0007]),
    "sample_rate": st.sampled_from(RATES),
}
ORDERS = st.permutations(["deltas", "normalisation", "selection"])
VADS = st.fixed_dictionaries(
    {"method": st.sampled_from(["none", "percentile", "energy", "gaussians"])},
    optional={"close_gaps": st.just(0.05), "min_speech": st.just(0.01), "context": st.integers(0, 5)},
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"order": st.integers(0, 4), "window": st.integers(1, 12)}),
    st.fixed_dictionaries({"order": st.just(0), "sdc": st.fixed_dictionaries({"n": st.integers(1, 8)})}),
)
NORMALISATIONS = st.fixed_dictionaries(
    {"mean": st.sampled_from([0.0, 0.5, 1.0])},
    optional={
        "variance": st.booleans(),
        "over": st.sampled_from(["speech", "all"]),
        "window": st.integers(2, 20),
        "center": st.just(True),
        "warp": st.integers(3, 11),
        "rasta": st.booleans(),
    },
)


@st.composite
def configurations(draw):
    """Draw a configuration that is valid: the keys that differ from the defaults or a preset, and a few sections."""
    keys = draw(st.sets(st.sampled_from(sorted(CHOICES)), max_size=8))
    changes = {key: draw(CHOICES[key]) for key in sorted(keys)}
    changes |= {"order": draw(ORDERS), "vad": draw(VADS), "deltas": draw(DELTAS), "normalisation": draw(NORMALISATIONS)}
    try:
        if draw(st.booleans()):
            return FeatureConfig(**changes)
        return FeatureConfig.preset(draw(st.sampled_from(sorted(PRESETS))), **changes)
    except ValidationError:
        assume(False)


@st.composite
def waveforms(draw, config):
    """Draw up to ten frames of anything: ordinary noise with some extreme samples, or arbitrary bits."""
    whole = st.integers(0, 9).map(lambda n: config.frame_samples + n * config.shift_samples + n % 3)
    n_samples = draw(st.one_of(whole, whole, whole, st.integers(0, config.frame_samples + 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    if draw(st.integers(0, 9)) == 9:
        elements = st.floats(width=32 if dtype is np.float32 else 64, allow_subnormal=True)
        return draw(arrays.arrays(dtype, min(n_samples, 300), elements=elements))
    scale = draw(st.sampled_from([0.1, 1.0, 1e-5, 32768.0, 1e-20, 1e-42, 1e12]))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    samples = scale * rng.uniform(-1, 1, n_samples)
    samples *= np.linspace(1, 1e-3, n_samples)  # so that some frames are louder than others
    if n_samples and draw(st.integers(0, 3)) == 3:
        odd = draw(st.sampled_from([0.0, 1e-45, 1e12, -1e12, np.nan, np.inf, 1e300 if dtype is np.float64 else 3e38]))
        samples[draw(st.integers(0, n_samples - 1))] = odd
    return samples.astype(dtype)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_features_are_finite_and_of_the_predicted_shape_or_refused(data):
    config = data.draw(configurations())
    samples = data.draw(waveforms(config))
    try:
        frames = extract(samples, config)
    except AudioError:
        return
    assert frames.dtype == np.float32
    assert frames.shape[1] == config.n_features
    assert 1 <= len(frames) <= frame_count(len(samples), config)
    if config.vad.method == "none" and not config.vad.min_speech:
        assert len(frames) == frame_count(len(samples), config)
    assert np.isfinite(frames).all()


def test_every_key_is_drawn():
    chosen = {"high_frequency", "filter_scale"}  # follow from others here
    assert set(CepstraConfig.model_fields) == set(CHOICES) | chosen
