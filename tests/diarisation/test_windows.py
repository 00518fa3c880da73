"""Windows over speech: which there are, and the vector of each."""

import numpy as np
import pytest

from helpers.models import draw, random_gmm
from speechgmm import (
    DiarisationConfig,
    DiarisationModels,
    FeatureConfig,
    TotalVariability,
    accumulate,
    fit_backend,
    ivectors,
)
from speechgmm.diarisation import windows
from speechgmm.diarisation.windows import voice_windows
from speechgmm.errors import ModelError

CONFIG = DiarisationConfig(window=1.0, hop=0.25)


@pytest.fixture
def models(rng):
    """Small models: 4 components over 3 features, 2 factors, PLDA that changes the vectors."""
    ubm = random_gmm(rng, 4)
    factors = TotalVariability(ubm.means, 0.3 * rng.normal(size=(4, 3, 2)), ubm.variances)
    voices = np.repeat(rng.normal(size=(6, 2)), 3, axis=0) + 0.3 * rng.normal(size=(18, 2))
    backend = fit_backend(["center", "length", "plda"], voices, [str(number // 3) for number in range(18)])
    return DiarisationModels(FeatureConfig(n_cepstra=3, deltas={"order": 0}), ubm, factors, backend)


def test_a_window_has_the_vector_of_its_frames(rng, models, monkeypatch):
    times = np.arange(500) / 100 + 0.0125
    times = times[(times < 1.6) | (times > 3.1)]  # a pause longer than a window
    frames = draw(rng, models.ubm, len(times)).astype(np.float32)
    monkeypatch.setattr(windows, "RECORDINGS_AT_ONCE", 4)  # more than one block
    found = voice_windows(frames, times, models, CONFIG)
    starts = [start for start in np.arange(18) * 0.25 if ((start <= times) & (times < start + 1)).sum() >= 20]
    np.testing.assert_allclose(found.centres, np.array(starts) + 0.5)
    assert len(starts) == 14  # those from 1.5, 1.75 and 2.0 s on have too little speech
    for start, vector in zip(starts, found.vectors, strict=True):
        inside = frames[(start <= times) & (times < start + 1)]
        expected = models.project(ivectors(models.factors, [accumulate(models.ubm, inside, dtype=np.float64)]).values)
        np.testing.assert_allclose(vector, expected[0], atol=1e-3)


def test_a_recording_shorter_than_a_window_is_one(rng, models):
    found = voice_windows(draw(rng, models.ubm, 40), np.arange(40) / 100, models, CONFIG)
    assert found.centres.tolist() == [0.5]
    assert found.vectors.shape == (1, 2)


def test_windows_without_overlap_use_each_frame_once(rng, models):
    config = DiarisationConfig(window=0.5, hop=0.5)
    found = voice_windows(draw(rng, models.ubm, 200), np.arange(200) / 100, models, config)
    assert found.centres.tolist() == [0.25, 0.75, 1.25, 1.75]


def test_too_little_speech_is_an_error(rng, models):
    with pytest.raises(ModelError, match=r"no window of 1 s has 0\.2 s of speech"):
        voice_windows(draw(rng, models.ubm, 10), np.arange(10) / 100, models, CONFIG)
