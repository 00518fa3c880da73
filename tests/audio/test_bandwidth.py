"""The real bandwidth of recordings. Expected values follow from how the signals are made."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from helpers.voices import spoken
from speechgmm.audio.bandwidth import real_bandwidth
from speechgmm.audio.samples import resample

RATE = 16000


def noise(rng, rate, seconds=2.0, scale=0.1):
    return rng.normal(scale=scale, size=round(seconds * rate)).astype(np.float32)


def in_16_bits(samples):
    return (np.round(samples * 32768) / 32768).astype(np.float32)


@pytest.fixture(params=["f001", "m002", "f003", "m004"])
def voice(request, voices):
    return soundfile.read(spoken(voices, request.param)[0], dtype="float32")[0]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_noise_reaches_half_the_rate(rng, rate):
    assert real_bandwidth(noise(rng, rate), rate) == rate / 2


@pytest.mark.parametrize(("low", "high"), [(8000, 16000), (11025, 16000), (16000, 44100), (22050, 48000)])
def test_what_is_resampled_keeps_its_bandwidth(rng, low, high):
    samples = resample(noise(rng, low), low, high)
    assert real_bandwidth(samples, high) == pytest.approx(low / 2, rel=0.05)


@pytest.mark.parametrize("decibels", [0, -20, -30])
def test_a_quiet_recording_that_was_resampled_is_narrow_and_one_that_was_not_is_whole(voice, decibels):
    quiet = voice * np.float32(10 ** (decibels / 20))
    narrow = in_16_bits(resample(resample(quiet, RATE, 8000), 8000, RATE))
    assert 3500 <= real_bandwidth(narrow, RATE) <= 4250
    assert real_bandwidth(in_16_bits(quiet), RATE) >= 7000


def test_a_spectrum_that_falls_slowly_is_whole(rng):
    """Second-order filters fall by 12 dB an octave; one that falls as steeply as a codec's is an end."""
    slow = sosfilt(butter(2, 300, fs=RATE, output="sos"), noise(rng, RATE)).astype(np.float32)
    assert real_bandwidth(slow, RATE) == RATE / 2
    steep = sosfilt(butter(20, 5000, fs=RATE, output="sos"), noise(rng, RATE)).astype(np.float32)
    assert 5000 <= real_bandwidth(steep, RATE) <= 7500


def test_silence_between_words_makes_no_difference(voice):
    padded = np.concatenate([voice, np.zeros(30 * len(voice), np.float32)])
    narrow = resample(resample(padded, RATE, 8000), 8000, RATE)
    assert real_bandwidth(padded, RATE) >= 7000
    assert real_bandwidth(narrow, RATE) <= 4250


@pytest.mark.parametrize("n", [1, 5, 100, 511, 513, 3000])
def test_few_samples_are_enough(rng, n):
    assert 0 < real_bandwidth(noise(rng, RATE)[:n], RATE) <= RATE / 2
    assert real_bandwidth(np.zeros(n, np.float32), RATE) == RATE / 2


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        (("-b:a", "24k", "narrow.mp3"), 5000, 6250),
        (("-ar", "8000", "-c:a", "pcm_mulaw", "narrow.wav"), 4000, 4000),
        (("-ar", "8000", "-b:a", "16k", "narrow.ogg"), 3000, 4000),
        (("-af", "highpass=f=300,lowpass=f=3400,aresample=8000,aresample=16000", "narrow.flac"), 3400, 4750),
        (("-b:a", "128k", "whole.mp3"), 7000, 8000),
    ],
)
def test_codecs_leave_what_their_bits_allow(voices, tmp_path, options, low, high):
    source, made = spoken(voices, "f001")[0], tmp_path / options[-1]
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options[:-1], made], check=True)
    assert low <= real_bandwidth(*soundfile.read(made, dtype="float32")) <= high


@pytest.mark.parametrize("corpus", ["libri", "so762"])
def test_real_recordings_are_whole_and_narrow_once_they_are_resampled(speech_data, corpus):
    paths = sorted((speech_data / corpus).glob("*/*.flac"))[::25]
    samples = [soundfile.read(path, dtype="float32")[0] for path in paths]
    assert np.mean([real_bandwidth(each, RATE) < 6840 for each in samples]) <= 0.05
    narrow = [in_16_bits(resample(resample(each, RATE, 8000), 8000, RATE)) for each in samples]
    assert max(real_bandwidth(each, RATE) for each in narrow) <= 4250
