"""A recording of another kind after the end of a file is reported for every kind; tags, padding and text are not."""

import numpy as np
import pytest
import soundfile

from helpers.containers import encode
from speechgmm import read_audio
from speechgmm.audio.following import find_recording, recording_at
from speechgmm.audio.reading import audio_warnings, duration
from speechgmm.errors import AudioWarning

RATE = 16000
VOICE = (0.2 * np.sin(np.cumsum(0.02 + 0.01 * np.sin(np.arange(20000) / 900)))).astype(np.float32)
KINDS = ("wav", "aiff", "au", "w64", "caf", "rf64", "flac", "ogg", "mp3", "m4a", "webm", "wma")
ID3 = b"ID3\3\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0"


def make(folder, kind):
    path = folder / f"one.{kind}"
    if kind in {"m4a", "webm", "wma"}:
        codec = {"m4a": "aac", "webm": "libopus", "wma": "wmav2"}[kind]
        return encode(path, VOICE[:, None], RATE, codec).read_bytes()
    soundfile.write(path, VOICE, RATE, format=kind.upper())
    return path.read_bytes()


@pytest.mark.parametrize("second", ["wav", "aiff", "flac", "ogg", "mp3", "m4a"])
@pytest.mark.parametrize("first", KINDS)
def test_a_recording_after_the_end_is_reported(tmp_path, first, second, capfd):
    one, other = make(tmp_path, first), make(tmp_path, second)
    path = tmp_path / f"both.{first}"
    for between in (b"", ID3):
        path.write_bytes(one)
        alone, _ = read_audio(path)
        path.write_bytes(one + between + other)
        with pytest.warns(AudioWarning, match=r"both\.\w+: (another recording of|2 recordings were joined)") as caught:
            samples, rate = read_audio(path)
        assert len(caught) == 1
        assert audio_warnings(path) == (str(caught[0].message).removeprefix(f"{path}: "),)
        assert duration(path) == len(samples) / rate
        np.testing.assert_array_equal(samples[: len(alone)], alone)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [b"TAG" + b"title".ljust(125), bytes(600), ID3, b"<html>not found</html>"])
def test_other_bytes_after_the_end_are_not_taken_for_a_recording(tmp_path, kind, tail):
    content = make(tmp_path, kind)
    assert not recording_at(content + tail, len(content))
    if tail.startswith(b"<"):  # of what has a size, the rest is reported as such
        return
    path = tmp_path / f"tagged.{kind}"
    path.write_bytes(content + tail)
    assert audio_warnings(path) == ()


def test_a_recording_behind_several_tags_is_found():
    ape = b"APETAGEX\xd0\x07\0\0\x40\0\0\0\0\0\0\0\0\0\0\xa0" + bytes(8) + bytes(32) + b"APETAGEX" + bytes(24)
    content = bytes(10) + ID3 + ape + b"RIFF\0\1\0\0WAVEfmt "
    assert recording_at(content, 10)
    assert not recording_at(content, 0)
    assert find_recording(content, 0) == 10
    assert find_recording(content, 11) == content.index(b"RIFF")
    assert find_recording(b"RIFFABCDnone ID3 ftyp" * 50, 0) is None


@pytest.mark.parametrize("n_files", [2, 3])
def test_flac_files_joined_end_to_end_are_seen_whatever_their_lengths(tmp_path, n_files):
    path = tmp_path / "a.flac"
    soundfile.write(path, VOICE, RATE)
    one = path.read_bytes()
    first = b"fLaC" + bytes([one[4] | 0x80]) + one[5:42] + one[one.index(b"\xff\xf8") :]  # without other blocks
    path.write_bytes(first + one * (n_files - 1))
    with pytest.warns(AudioWarning, match=f"another recording of {len(one) * (n_files - 1):,} bytes follows"):
        assert len(read_audio(path)[0]) == len(VOICE)
