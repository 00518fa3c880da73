"""Bands, noise, rooms and codecs, each against what its definition says of tones, noise and clicks."""

import numpy as np
import pytest
import soundfile
from scipy import signal

from speechgmm import (
    AugmentConfig,
    add_noise,
    augment,
    band_limit,
    coloured_noise,
    encode_and_decode,
    reverberate,
    room_response,
)
from speechgmm.errors import AudioError

RATE = 16000
CODECS = ("mp3", "opus", "vorbis", "gsm", "mulaw")


def tone(frequency: float, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def level_change_db(before: np.ndarray, after: np.ndarray) -> float:
    """The change of a tone's level, away from the ends."""
    middle = slice(len(before) // 4, -len(before) // 4)
    return float(10 * np.log10(np.mean(after[middle] ** 2) / np.mean(before[middle] ** 2)))


def speech_like(rng: np.random.Generator, seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise below 3 kHz that comes in syllables: neither periodic nor steady, so that shifts show."""
    n = round(seconds * rate)
    sound = signal.sosfilt(signal.butter(4, [200, 3000], "bandpass", fs=rate, output="sos"), rng.standard_normal(n))
    envelope = np.abs(np.sin(2 * np.pi * 2.3 * np.arange(n) / rate)) ** 2 + 0.01
    return 0.2 * sound * envelope / np.std(sound)


def delay(before: np.ndarray, after: np.ndarray) -> int:
    """The shift of the greatest cross-correlation, in samples."""
    correlation = signal.correlate(after, before, mode="full", method="fft")
    return int(np.argmax(correlation)) - (len(before) - 1)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize(
    ("frequency", "low", "high"),
    [
        (300, -6.2, -5.8),
        (3400, -6.2, -5.8),
        (400, -0.02, 0.02),
        (3300, -0.02, 0.02),
        (200, -200, -59),
        (3500, -200, -59),
    ],
)
def test_a_band_keeps_what_is_inside_and_drops_what_is_outside(frequency, low, high, rate):
    sound = tone(frequency, rate)
    assert low < level_change_db(sound, band_limit(sound, rate, 300, 3400)) < high


def test_a_band_from_zero_passes_low_tones_and_one_up_to_the_top_high_tones():
    low, high = tone(20), tone(7900)
    assert level_change_db(low, band_limit(low, RATE, 0, 4000)) == pytest.approx(0, abs=0.02)
    assert level_change_db(high, band_limit(high, RATE, 4000, 9000)) == pytest.approx(0, abs=0.02)
    np.testing.assert_array_equal(band_limit(high, RATE, 0, 8000), high.astype(np.float32))


def test_a_band_leaves_no_delay(rng):
    sound = speech_like(rng, 1.0)
    assert delay(sound, band_limit(sound, RATE, 300, 3400)) == 0


@pytest.mark.parametrize(("low", "high"), [(4000, 6000), (500, 500), (-1, 300)])
def test_a_band_that_has_nothing_of_the_recording_is_refused(low, high):
    with pytest.raises(AudioError, match=f"band from {low} to {high} Hz at sample rate 8000"):
        band_limit(tone(1000, 8000), 8000, low, high)


@pytest.mark.parametrize("snr_db", [-5, 5, 17.3, 40])
def test_noise_is_added_at_the_stated_ratio(snr_db, rng):
    sound, noise = speech_like(rng, 1.0), 7 * coloured_noise(RATE, RATE, 1.0, rng)
    added = add_noise(sound, noise, snr_db).astype(np.float64) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.1)


def test_noise_leaves_silence_alone_and_is_left_out_where_it_is_silent(rng):
    silence, sound = np.zeros(100), speech_like(rng, 0.1)
    np.testing.assert_array_equal(add_noise(silence, rng.standard_normal(100), 10), silence)
    np.testing.assert_array_equal(add_noise(sound, np.zeros(len(sound)), 10), sound.astype(np.float32))


def test_noise_of_another_length_is_refused():
    with pytest.raises(AudioError, match="3 samples of noise for 4 samples"):
        add_noise(np.ones(4), np.ones(3), 10)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_the_density_of_coloured_noise_falls_with_the_stated_exponent(exponent, rng):
    noise = coloured_noise(60 * RATE, RATE, exponent, rng)
    frequencies, density = signal.welch(noise, RATE, nperseg=1024)
    falling = (frequencies >= 200) & (frequencies <= 7000)
    slope = np.polyfit(np.log10(frequencies[falling]), np.log10(density[falling]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)
    assert np.mean(noise.astype(np.float64) ** 2) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rt60", [0.2, 0.5, 1.2])
def test_a_room_decays_by_60_db_in_its_reverberation_time(rt60, rng):
    response = room_response(rt60, 0.0, RATE, rng)
    reflections = response[round(0.005 * RATE) :].astype(np.float64)
    energy = 10 * np.log10(np.cumsum(reflections[::-1] ** 2)[::-1])  # Schroeder's integration
    energy -= energy[0]
    fitted = (energy < -5) & (energy > -25)
    slope = np.polyfit(np.flatnonzero(fitted) / RATE, energy[fitted], 1)[0]
    assert -60 / slope == pytest.approx(rt60, rel=0.1)


@pytest.mark.parametrize("drr_db", [-3.0, 0.0, 12.0])
def test_a_room_has_the_stated_ratio_of_direct_sound(drr_db, rng):
    response = room_response(0.4, drr_db, RATE, rng).astype(np.float64)
    assert 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) == pytest.approx(drr_db, abs=1e-3)


def test_a_recording_in_a_room_is_the_convolution_aligned_with_the_direct_sound_and_as_loud(rng):
    sound, response = speech_like(rng, 0.3), rng.standard_normal(400) * np.exp(-np.arange(400) / 50)
    response[30] = 5.0
    wet = np.convolve(sound, response)[30 : 30 + len(sound)]
    wet *= np.sqrt(np.mean(sound**2) / np.mean(wet**2))
    np.testing.assert_allclose(reverberate(sound, response), wet, atol=1e-6)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100])
def test_a_codec_keeps_length_place_and_most_of_the_sound(codec, rate, rng):
    sound = speech_like(rng, 1.0, rate)
    decoded = encode_and_decode(sound, rate, codec)
    assert (len(decoded), decoded.dtype) == (len(sound), np.float32)
    assert abs(delay(sound, decoded)) <= np.ceil(1e-4 * rate)
    assert np.corrcoef(sound, decoded)[0, 1] > (
        0.9 if codec in ("mp3", "vorbis", "mulaw") else 0.5
    )  # the others model voices
    assert not np.array_equal(decoded, sound.astype(np.float32))


def test_mp3_loses_nothing_where_a_sound_begins_in_a_longer_recording(rng, capfd):
    """A loud onset takes bits that quiet frames before it have saved: decoding must not start again between them."""
    for onset in range(2**16 - 3000, 2**16, 500):
        sound = 0.3 * rng.standard_normal(80000) * np.repeat([0.001, 1.0], [onset, 80000 - onset])
        decoded = encode_and_decode(sound, RATE, "mp3")
        assert capfd.readouterr().err == ""  # libmpg123 prints what it lacks
        begin = slice(onset, onset + 2000)
        assert np.std(decoded[begin]) == pytest.approx(np.std(decoded[onset + 4000 : -1000]), rel=0.3)


def test_mulaw_gives_the_values_of_its_table():
    """The decoder output values of G.711 (Table 2a), for a ramp through all intervals."""
    table = (
        np.sort(
            [
                sign * ((((2 * step + 33) << chord) - 33) * 4)
                for sign in (-1, 1)
                for chord in range(8)
                for step in range(16)
            ]
        )
        / 2**15
    )
    decoded = encode_and_decode(np.linspace(-0.98, 0.98, 20001), RATE, "mulaw")
    assert set(np.unique(decoded.astype(np.float64))) <= {*table}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("n_samples", [1, 2, 100, 1105])
def test_a_codec_takes_the_shortest_recordings(codec, n_samples, rng):
    for rate in (8000, 44100):
        decoded = encode_and_decode(0.1 * rng.standard_normal(n_samples), rate, codec)
        assert len(decoded) == n_samples
        assert np.isfinite(decoded).all()


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="codec 'aac'; expected one of mp3, opus, vorbis, gsm, mulaw"):
        encode_and_decode(np.ones(10), RATE, "aac")


def test_a_codec_that_libsndfile_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(AudioError, match=r"codec opus: libsndfile .* does not write it"):
        encode_and_decode(np.ones(10), RATE, "opus")


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("n_samples", [1, 7, 400, 12345])
@pytest.mark.parametrize("silent", [True, False])
def test_all_effects_together_give_finite_samples_of_the_same_length(rate, n_samples, silent, rng):
    config = AugmentConfig(band=[[300, 3400], [0, 3000]], codec=CODECS, noise={}, reverb={}, level_db=[-20, 30])
    samples = np.zeros(n_samples) if silent else 0.5 * rng.standard_normal(n_samples)
    for seed in range(8):
        copy = augment(samples, rate, config, np.random.default_rng(seed))
        assert (copy.shape, copy.dtype) == (samples.shape, np.float32)
        assert np.isfinite(copy).all()
        assert np.abs(copy).max() <= 1


def test_half_of_the_telephone_bands_pass_through_a_telephones_rate(rng):
    sound = 0.1 * rng.standard_normal(2 * RATE)
    copies = [
        augment(sound, RATE, AugmentConfig(band=[[300, 3400]]), np.random.default_rng(seed)) for seed in range(40)
    ]
    above = [np.square(np.abs(np.fft.rfft(copy * np.blackman(len(copy))))[2 * 4200 :]).mean() for copy in copies]
    speech = np.square(np.abs(np.fft.rfft(copies[0] * np.blackman(2 * RATE)))[2 * 400 : 2 * 3300]).mean()
    rest = 10 * np.log10(np.array(above) / speech)
    nothing = rest < -100  # a filter leaves 80 dB on average
    assert 12 <= nothing.sum() <= 28
    assert (rest[~nothing] > -90).all()
    plain = band_limit(sound, RATE, 300, 3400)
    assert all(np.array_equal(copy, plain) != empty for copy, empty in zip(copies, nothing, strict=True))
    assert all(np.corrcoef(copy, plain)[0, 1] > 0.999 for copy in copies)  # without a delay


@pytest.mark.parametrize(("rate", "band"), [(8000, [300, 3400]), (16000, [300, 7000]), (7000, [300, 3000])])
def test_other_bands_and_rates_stay_as_they_are(rate, band, rng):
    sound = 0.1 * rng.standard_normal(rate)
    for seed in range(8):
        copy = augment(sound, rate, AugmentConfig(band=[band]), np.random.default_rng(seed))
        np.testing.assert_array_equal(copy, band_limit(sound, rate, *band))


def test_a_gain_is_within_its_range_and_clips_at_full_scale():
    sound = tone(100)
    louder = augment(sound, RATE, AugmentConfig(level_db=[20, 20]), np.random.default_rng(0))
    np.testing.assert_allclose(louder, np.clip(10 * sound, -1, 1 - 2**-15), atol=1e-6)
    quieter = augment(sound, RATE, AugmentConfig(level_db=[-20, -10]), np.random.default_rng(0))
    assert -20 <= 20 * np.log10(np.abs(quieter).max() / np.abs(sound).max()) <= -10


def test_folders_give_the_noise_and_the_rooms(tmp_path, rng):
    (tmp_path / "noise" / "deep").mkdir(parents=True)
    (tmp_path / "rooms").mkdir()
    hum = tone(50, 8000, 0.2)
    soundfile.write(tmp_path / "noise" / "deep" / "hum.wav", hum, 8000, "FLOAT")
    soundfile.write(tmp_path / "rooms" / "echo.wav", np.array([0, 1, 0, 0.5]), RATE, "FLOAT")
    sound = tone(1000)
    noisy = augment(sound, RATE, AugmentConfig(noise={"snr_db": [10, 10], "folder": str(tmp_path / "noise")}), rng)
    spectrum = np.abs(np.fft.rfft(noisy - sound))
    assert np.argmax(spectrum) == 50
    wet = augment(sound, RATE, AugmentConfig(reverb={"folder": str(tmp_path / "rooms")}), rng)
    expected = np.convolve(sound, [1, 0, 0.5])[: len(sound)]
    expected *= np.sqrt(np.mean(sound**2) / np.mean(expected**2))
    np.testing.assert_allclose(wet, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "message"), [("none", "no such folder"), ("empty", "no audio in it")])
def test_a_folder_without_recordings_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    config = AugmentConfig(noise={"folder": str(tmp_path / name)})
    with pytest.raises(AudioError, match=message):
        augment(tone(100), RATE, config, np.random.default_rng(0))
