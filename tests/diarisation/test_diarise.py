"""Who speaks when, in noises of different colours that stand for voices."""

import numpy as np
import pytest
import soundfile

from speechgmm import (
    DiagonalGMM,
    DiarisationConfig,
    DiarisationModels,
    FeatureConfig,
    IVectorConfig,
    TotalVariability,
    TrainingConfig,
    accumulate,
    diarise,
    extract,
    fit_backend,
    ivectors,
    train,
    train_total_variability,
)
from speechgmm.diarisation.diarise import _segments
from speechgmm.errors import AudioError, ModelError

FRONT_END = FeatureConfig(normalisation={"mean": 0.0})


def noise(rng, colour, seconds):
    """Draw noise of a colour from -1 to 1, which swells and ebbs."""
    samples = np.convolve(0.1 * rng.normal(size=round(16000 * seconds)), [1, colour], "same")
    return samples * (1.2 + np.sin(2 * np.pi * 4 * np.arange(len(samples)) / 16000))


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(1)
    colours = np.linspace(-0.9, 0.9, 10).repeat(4)
    background = [extract(noise(rng, colour, 1), FRONT_END) for colour in colours]
    ubm = train(background, TrainingConfig(n_components=2)).gmm
    statistics = [accumulate(ubm, frames) for frames in background]
    factors = train_total_variability(ubm, statistics, IVectorConfig(rank=3)).model
    backend = fit_backend(["plda"], ivectors(factors, statistics), [f"{colour:.1f}" for colour in colours])
    return DiarisationModels(FRONT_END, ubm, factors, backend)


def meeting(rng, *turns, pause=1.0):
    """Join turns, each a colour and its seconds, with pauses of silence; return also the truth, in seconds."""
    parts, truth, now = [], [], 0.0
    for colour, seconds in turns:
        parts += [noise(rng, colour, seconds), 1e-4 * rng.normal(size=round(16000 * pause))]
        truth.append((now, now + seconds))
        now += seconds + pause
    return np.concatenate(parts), truth


TURNS = (0.9, 5), (-0.9, 4), (0.9, 3), (0.0, 6), (-0.9, 5)
NAMES = ["speaker1", "speaker2", "speaker1", "speaker3", "speaker2"]


@pytest.mark.parametrize("n_speakers", [None, 3])
def test_speakers_are_found_and_named_by_their_first_words(rng, models, n_speakers):
    samples, truth = meeting(rng, *TURNS)
    found = diarise(samples, models, n_speakers=n_speakers)
    assert [segment.speaker for segment in found.segments] == NAMES
    np.testing.assert_allclose([segment[:2] for segment in found.segments], truth, atol=0.15)
    assert found.seconds == len(samples) / 16000
    assert found.speakers == pytest.approx({"speaker1": 8, "speaker2": 9, "speaker3": 6}, abs=0.5)


def test_turns_without_pauses_end_within_half_a_window(rng, models):
    samples, truth = meeting(rng, (0.9, 5), (-0.9, 4), (0.9, 5), pause=0.0)
    found = diarise(samples, models, n_speakers=2)
    assert [segment.speaker for segment in found.segments] == ["speaker1", "speaker2", "speaker1"]
    np.testing.assert_allclose([segment[:2] for segment in found.segments], truth, atol=0.75)


def test_one_speaker_is_one_speaker(rng, models):
    samples, _ = meeting(rng, (0.5, 6), (0.5, 6))
    assert list(diarise(samples, models).speakers) == ["speaker1"]


@pytest.mark.parametrize("n_speakers", [1, 2])
def test_no_more_speakers_are_found_than_asked_for(rng, models, n_speakers):
    samples, _ = meeting(rng, *TURNS)
    assert len(diarise(samples, models, n_speakers=n_speakers).speakers) == n_speakers


def test_files_of_other_rates_are_resampled(rng, models, tmp_path):
    samples, truth = meeting(rng, *TURNS)
    soundfile.write(tmp_path / "meeting.wav", np.repeat(samples, 2) / 4, 32000)
    found = diarise(tmp_path / "meeting.wav", models, n_speakers=3)
    np.testing.assert_allclose(next(segment[:2] for segment in found.segments), truth[0], atol=0.15)


def test_the_same_recording_has_the_same_segments(rng, models):
    samples, _ = meeting(rng, *TURNS)
    assert diarise(samples, models).segments == diarise(samples.copy(), models).segments


def test_segments_end_at_long_pauses_and_changes_of_speaker():
    times = np.array([0.0, 0.01, 0.02, 0.5, 0.51, 1.2, 1.21, 1.22])
    answers = np.array([4, 4, 4, 4, 4, 4, 4, 1])
    found = _segments(times, answers, 0.01, pause=0.5, seconds=1.222)
    assert [segment.speaker for segment in found] == ["speaker1", "speaker1", "speaker2"]
    np.testing.assert_allclose([each[:2] for each in found], [(0, 0.515), (1.195, 1.215), (1.215, 1.222)])


def test_bad_requests_are_refused(rng, models, tmp_path):
    samples, _ = meeting(rng, *TURNS)
    with pytest.raises(ModelError, match="0 speakers; expected 1 or more"):
        diarise(samples, models, n_speakers=0)
    with pytest.raises(AudioError, match="no such audio file"):
        diarise(tmp_path / "missing.wav", models)
    with pytest.raises(ValueError, match=r"hop 2 s is longer than window 1\.5 s"):
        DiarisationConfig(hop=2.0)
    with pytest.raises(ValueError, match=r"turn 0\.1 s is not longer than hop 0\.25 s"):
        DiarisationConfig(turn=0.1)


def test_parts_that_do_not_fit_are_refused(models):
    ubm, factors, backend = models.ubm, models.factors, models.backend
    with pytest.raises(ModelError, match="front end of 13 features; expected 72"):
        DiarisationModels(FeatureConfig.preset("kaldi"), ubm, factors, backend)
    with pytest.raises(ModelError, match="factors of shape"):
        DiarisationModels(FRONT_END, DiagonalGMM([1.0], ubm.means[:1], ubm.variances[:1]), factors, backend)
    background = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 1.0], [1.0, 1.0, 0.0]])
    cosine = fit_backend(["center", "cosine"], background, list("aabb"))
    with pytest.raises(ModelError, match="ends in cosine; expected plda"):
        DiarisationModels(FRONT_END, ubm, factors, cosine)
    other = TotalVariability(factors.means, factors.loadings[:, :, :2], factors.variances)
    with pytest.raises(ModelError, match="dimensions"):
        DiarisationModels(FRONT_END, ubm, other, backend)
