"""Band, level and noise of recordings. Expected values follow from how the signals are made."""

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from speechgmm.audio.condition import (
    Condition,
    ConditionMeter,
    measure_condition,
    unusual_measures,
    usual_condition,
)
from speechgmm.audio.noise_ratio import QUIET_BELOW

RATE = 16000
FRAME = 512  # 32 ms


def noise(rng, rate, seconds=4.0, scale=0.1):
    return rng.normal(scale=scale, size=round(seconds * rate)).astype(np.float32)


def words(rng, *, speech, background, rate=RATE):
    """Noise at one level in dB of full scale for half of the time, and at another for the other half."""
    samples = noise(rng, rate, 8.0, 1.0)
    samples[: len(samples) // 2] *= np.float32(10 ** (speech / 20))
    samples[len(samples) // 2 :] *= np.float32(10 ** (background / 20))
    return samples


def condition(**changes):
    return Condition(**{"low": 100.0, "high": 8000.0, "level": -20.0, "snr": 30.0} | changes)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize(("speech", "background"), [(-20, -50), (-20, -30), (-40, -80)])
def test_level_and_noise_are_those_of_the_loud_and_the_quiet_part(rng, rate, speech, background):
    measured = measure_condition(words(rng, speech=speech, background=background, rate=rate), rate)
    assert measured.level == pytest.approx(speech, abs=1.5)  # a frame of 256 samples spreads by 0.4 dB
    assert measured.snr == pytest.approx(speech - background, abs=2)
    assert measured.high == rate / 2


def test_levels_are_percentiles_of_the_frames_levels(rng):
    samples = noise(rng, RATE, 20.0) * np.repeat(rng.uniform(0.001, 1, 200), RATE // 10).astype(np.float32)
    levels = [10 * np.log10(np.var(samples[start : start + FRAME])) for start in range(0, 625 * FRAME, FRAME)]
    loud = np.quantile(levels, 0.95, method="inverted_cdf")
    assert measure_condition(samples, RATE).level == pytest.approx(loud, abs=0.25 + 1e-3)  # in steps of half a decibel


def band_powers(samples):
    """The power of bands of 16 bins (T, 15), from the first bin on, of frames: one band after another."""
    spectra = [np.fft.rfft((frame - frame.mean()) * np.blackman(FRAME)) for frame in samples.reshape(-1, FRAME)]
    return np.array(
        [[np.sum(np.abs(spectrum[1 + b * 16 : 17 + b * 16]) ** 2) for b in range(15)] for spectrum in spectra]
    )


def test_the_ratio_to_noise_is_the_mean_of_that_in_each_band(rng):
    swelling = noise(rng, RATE, 20.0) * np.repeat(rng.uniform(0.001, 1, 200), RATE // 10)
    low = sosfiltfilt(butter(8, 2000, fs=RATE, output="sos"), noise(rng, RATE, 20.0) * np.repeat([1, 0.01], RATE * 10))
    samples = (swelling + low)[: 625 * FRAME].astype(np.float32)
    quiet, loud = np.quantile(10 * np.log10(band_powers(samples)), [0.10, 0.95], axis=0, method="inverted_cdf")
    expected = np.mean(loud - quiet) - QUIET_BELOW
    assert measure_condition(samples, RATE).snr == pytest.approx(expected, abs=0.1)  # each in steps of half a decibel


def test_the_quiet_frames_of_steady_noise_are_as_far_below_its_mean_as_stated(rng):
    power = band_powers(noise(rng, RATE, 8000 * FRAME / RATE))
    below = 10 * np.log10(power.mean(axis=0) / np.quantile(power, 0.10, axis=0))
    assert below.mean() == pytest.approx(QUIET_BELOW, abs=0.03)


def test_speech_without_a_pause_has_one_in_each_band(rng):
    """Bursts of low and of high noise in turn: some frame is quiet in each band, and none as a whole."""
    low, high = (
        sosfiltfilt(butter(8, [2000, 6000], kind, fs=RATE, output="sos"), noise(rng, RATE, 8.0))
        for kind in ("bandstop", "bandpass")
    )
    turns = np.arange(8 * RATE) // (RATE // 4) % 2
    spoken = np.where(turns, low, high) + noise(rng, RATE, 8.0, 0.03)
    above = 10 * np.log10(1 + (0.1 / 0.03) ** 2)
    assert measure_condition(spoken.astype(np.float32), RATE).snr == pytest.approx(above, abs=1)


@pytest.mark.parametrize(("low", "high"), [(300, 3400), (150, 5500), (500, 7000)])
def test_a_band_begins_and_ends_where_a_filter_cuts_it(rng, low, high):
    filtered = sosfiltfilt(butter(20, [low, high], "bandpass", fs=RATE, output="sos"), noise(rng, RATE))
    measured = measure_condition(filtered.astype(np.float32), RATE)
    assert measured.low == pytest.approx(low, abs=63)  # two bins of the spectrum
    assert measured.high == pytest.approx(high, abs=400)  # 65 dB down
    assert measure_condition(noise(rng, RATE), RATE).low <= 63


def test_a_constant_offset_changes_nothing(rng):
    speech = sosfiltfilt(
        butter(8, [300, 3400], "bandpass", fs=RATE, output="sos"), words(rng, speech=-20, background=-50)
    )
    plain = measure_condition(speech.astype(np.float32), RATE)
    moved = measure_condition((speech + 0.01).astype(np.float32), RATE)
    assert (moved.low, moved.high) == (plain.low, plain.high)
    assert moved.level == pytest.approx(plain.level, abs=0.5)
    assert moved.snr == pytest.approx(plain.snr, abs=0.5)


@pytest.mark.parametrize("size", [1, 500, 512, 4097, 100_000])
def test_blocks_of_any_size_have_the_condition_of_the_whole(rng, size):
    samples = words(rng, speech=-20, background=-45)[: 100 * FRAME + 77 if size == 1 else None]
    meter = ConditionMeter(RATE)
    for start in range(0, len(samples), size):
        meter.push(samples[start : start + size])
    assert meter.finish() == measure_condition(samples, RATE)


@pytest.mark.parametrize("size", [700, 65_536, 999_999])
def test_blocks_of_a_long_recording_have_the_condition_of_the_whole(size):
    samples = np.tile(bursts(0.3), 12)
    meter = ConditionMeter(RATE)
    for start in range(0, len(samples), size):
        meter.push(samples[start : start + size])
    assert meter.finish() == measure_condition(samples, RATE)
    assert meter.finish().decay == pytest.approx(0.3, rel=0.05)


def test_later_parts_of_a_long_recording_count_too(rng):
    sound = noise(rng, RATE, 900.0)
    faded = np.tile(bursts(0.3), 86)
    assert measure_condition(np.concatenate([sound[: 40 * RATE], faded]), RATE).decay == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("n", [1, 100, 511, 513, 3000])
def test_few_samples_and_silence_are_measured_too(rng, n):
    measured = measure_condition(noise(rng, RATE)[:n], RATE)
    assert 0 < measured.low < measured.high <= RATE / 2
    silent = measure_condition(np.zeros(n, np.float32), RATE)
    assert (silent.level, silent.snr, silent.high) == (-100, 0, RATE / 2)


def test_a_usual_measure_is_that_of_nine_recordings_in_ten():
    usual = usual_condition([condition(level=float(level)) for level in range(-40, -19)])["level"]
    assert (usual.median, usual.least, usual.most) == (-30, -39, -21)
    outside = [level for level in range(-60, 0) if usual.is_outside(level)]
    assert outside == [*range(-60, -39), *range(-20, 0)]
    far = [level for level in range(-60, 0) if usual.is_far_outside(level)]
    assert far == [*range(-60, -45), *range(-14, 0)]


def test_values_outside_a_narrow_range_but_near_its_median_are_not_outside():
    usual = usual_condition([condition()] * 20)["high"]
    assert not usual.is_outside(7250)  # a difference of less than a tenth
    assert usual.is_outside(7150)


@pytest.mark.parametrize(
    ("changes", "measures"),
    [
        ({}, set()),
        ({"low": 280.0, "high": 3600.0}, {"low", "high"}),
        ({"high": 7300.0}, set()),
        ({"level": -40.0}, {"level"}),
        ({"level": -5.0}, {"level"}),
        ({"snr": 12.0}, {"snr"}),
        ({"snr": 45.0}, {"snr"}),
    ],
)
def test_one_recording_is_compared_with_many(changes, measures):
    assert unusual_measures(condition(**changes), usual_condition([condition()] * 20)) == measures


def test_more_than_40_db_above_the_noise_is_clean_whatever_the_number():
    clean = usual_condition([condition(snr=40.0)] * 20)
    assert unusual_measures(condition(snr=90.0), clean) == set()
    assert unusual_measures(condition(snr=30.0), usual_condition([condition(snr=90.0)] * 20)) == {"snr"}


FADING = (400, 650, 1000, 1500, 2000, 3000)  # Hz, one in each band whose fades are measured


def bursts(seconds_of_60_db, rate=RATE):
    """Tones that begin each second, and fade by 60 dB in the given time."""
    time = np.arange(10 * rate) / rate
    tones = np.sum([np.sin(2 * np.pi * frequency * time) for frequency in FADING], axis=0)
    return (0.1 * tones * 10 ** (-3 * (time % 1) / seconds_of_60_db)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.6, 0.9])
def test_an_exponential_fade_has_its_time(seconds, rate):
    assert measure_condition(bursts(seconds, rate), rate).decay == pytest.approx(seconds, rel=0.07)  # half a decibel


@pytest.mark.parametrize("rate", [4000, 16000])
def test_steady_sound_has_no_fades(rng, rate):
    assert measure_condition(noise(rng, rate), rate).decay is None


def test_a_band_that_is_silent_in_some_frames_has_holes(rng):
    samples = noise(rng, RATE, 8.0)[: 249 * FRAME].reshape(-1, FRAME)
    spectra = np.fft.rfft(samples[2::5])
    spectra[:, 64:129] = 0  # 2,000 to 4,000 Hz: 16 bands of 125 Hz of the 56 above 1 kHz
    samples[2::5] = np.fft.irfft(spectra)
    share = len(samples[2::5]) / 247 * 16 / 56
    assert share - 2 / 56 / 5 - 1e-3 <= measure_condition(samples.reshape(-1), RATE).holes <= share
    assert measure_condition(noise(rng, RATE), RATE).holes < 1e-3


def test_silent_bands_beyond_the_end_of_the_sound_are_no_holes(rng):
    filtered = sosfiltfilt(butter(20, 3400, fs=RATE, output="sos"), noise(rng, RATE))
    assert measure_condition(filtered.astype(np.float32), RATE).holes < 2e-3


def test_a_sine_has_the_level_of_its_effective_value():
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert measure_condition(sine.astype(np.float32), RATE).level == pytest.approx(-9.03, abs=0.3)


@pytest.mark.parametrize("snr", [0, 5, 10, 20, 30])
def test_white_noise_has_its_distance_from_the_sound_above_it(rng, snr):
    samples = words(rng, speech=-20, background=-120) + noise(rng, RATE, 8.0, 10 ** ((-20 - snr) / 20))
    above = 10 * np.log10(1 + 10 ** (snr / 10))  # speech with the noise over the noise
    assert measure_condition(samples, RATE).snr == pytest.approx(above, abs=1.5)


def test_less_of_a_flaw_is_never_unusual():
    rough = condition(clipped=0.02, decay=0.5, holes=0.02)
    usual = usual_condition([rough] * 20)
    assert unusual_measures(condition(clipped=0.0, decay=0.1, holes=0.0), usual) == set()
    assert unusual_measures(rough, usual_condition([condition(clipped=0.0, decay=0.1, holes=0.0)] * 20)) == {
        "clipped", "decay", "holes",
    }  # fmt: skip


def test_what_an_earlier_version_measured_is_compared_as_far_as_it_goes():
    usual = usual_condition([condition()] * 20)
    assert usual.keys() == {"low", "high", "level", "snr"}
    assert unusual_measures(condition(clipped=0.5, snr=10.0), usual) == {"snr"}
    mixed = usual_condition([condition()] * 20 + [condition(decay=0.2)] * 20)
    assert mixed["decay"].median == 0.2


@pytest.mark.parametrize(("background", "speech"), [(-50, 0.5), (-21, 0.0)])
def test_speech_is_what_is_far_above_the_quiet_and_near_the_loud(rng, background, speech):
    meter = ConditionMeter(RATE)
    meter.push(words(rng, speech=-20, background=background))
    assert meter.speech_share() == pytest.approx(speech, abs=0.02)
