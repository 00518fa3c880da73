"""Reading audio."""

import numpy as np
import pytest
import soundfile

from speechgmm import read_audio
from speechgmm.audio import check_samples, duration, resample
from speechgmm.errors import AudioError


def tone(rate, seconds=1.0, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "ogg"])
def test_common_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(16000), 16000)
    samples, rate = read_audio(path)
    assert (samples.dtype, samples.shape, rate) == (np.float32, (16000,), 16000)
    np.testing.assert_allclose(samples, tone(16000), atol=2e-2 if suffix == "ogg" else 1e-4)


def test_integers_are_scaled_to_one(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([-32768, 0, 16384, 32767], np.int16), 8000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], [-1, 0, 0.5, 32767 / 32768])


@pytest.mark.parametrize(("from_rate", "to_rate"), [(16000, 8000), (44100, 16000), (8000, 16000)])
def test_a_resampled_tone_is_the_tone(tmp_path, from_rate, to_rate):
    soundfile.write(tmp_path / "a.wav", tone(from_rate), from_rate, subtype="FLOAT")
    samples, rate = read_audio(tmp_path / "a.wav", sample_rate=to_rate)
    assert rate == to_rate
    inside = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(samples[inside], tone(to_rate)[inside], atol=1e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    assert np.abs(resample(tone(16000, hertz=6000.0), 16000, 8000)[400:-400]).max() < 1e-3


def test_duration_comes_from_the_header(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(8000, 2.5), 8000)
    assert duration(tmp_path / "a.flac") == 2.5
    assert duration(tmp_path / "missing.flac") is None
    (tmp_path / "text.wav").write_text("no")
    assert duration(tmp_path / "text.wav") is None


def test_bad_files_are_named(tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav: no such audio file"):
        read_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="no such audio file"):
        read_audio(tmp_path)
    (tmp_path / "text.wav").write_text("this is not audio")
    with pytest.raises(AudioError, match=r"text\.wav: not readable as audio"):
        read_audio(tmp_path / "text.wav")
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(AudioError, match=r"a\.raw: not readable as audio"):
        read_audio(tmp_path / "a.raw")
    assert duration(tmp_path / "a.raw") is None
    for name in ("x" * 300 + ".wav", "nul\0.wav"):
        with pytest.raises(AudioError, match=r"no such audio file|not readable as audio"):
            read_audio(tmp_path / name)
    soundfile.write(tmp_path / "two.wav", np.zeros((10, 2)), 8000)
    with pytest.raises(AudioError, match=r"two\.wav: 2 channels; expected a mono file"):
        read_audio(tmp_path / "two.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(AudioError, match=r"empty\.wav: holds no samples"):
        read_audio(tmp_path / "empty.wav")
    broken = tone(8000)
    broken[[7, 9]] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan\.wav: 2 of 8000 samples are NaN or infinite, the first is sample 7"):
        read_audio(tmp_path / "nan.wav")


def test_bad_arrays_are_refused():
    with pytest.raises(AudioError, match=r"shape \(3, 2\)"):
        check_samples(np.zeros((3, 2)))
    with pytest.raises(AudioError, match=r"samples up to 1e\+30; expected full scale at 1"):
        check_samples(np.array([0.0, -1e30]))
    with pytest.raises(AudioError, match="type int16"):
        check_samples(np.zeros(3, np.int16))
