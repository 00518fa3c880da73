"""Reading audio."""

import itertools
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgmm import read_audio
from speechgmm.audio.reading import RawFormat, audio_blocks, duration
from speechgmm.audio.samples import check_samples, clipped_share, resample
from speechgmm.errors import AudioError, AudioWarning


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
    with pytest.raises(AudioError, match="type int64; expected floating point"):
        check_samples(np.zeros(3, np.int64))


def written(path, samples, rate=8000, **how):
    soundfile.write(path, samples, rate, **how)
    return path


def joined(source, **how):
    blocks, rate = audio_blocks(source, **how)
    return np.concatenate(list(blocks)), rate


RAMP = np.array([-1.0, -0.5, 0.0, 0.25, 0.5], np.float32)
"""Values that every integer format writes exactly."""
CUTTABLE = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST"]


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        *itertools.product([*CUTTABLE, "RAW"], ["PCM_16", "PCM_24", "PCM_32"]),
        *itertools.product(["FLAC"], ["PCM_16", "PCM_24"]),
    ],
)
def test_integer_full_scale_is_one(tmp_path, container, subtype):
    raw = RawFormat(8000, 1, subtype, "LITTLE") if container == "RAW" else None
    path = written(tmp_path / "a.bin", RAMP, format=container, subtype=subtype, endian="LITTLE" if raw else None)
    samples, rate = read_audio(path, raw=raw)
    np.testing.assert_array_equal(samples, RAMP)
    assert (samples.dtype, rate) == (np.float32, 8000)


@pytest.mark.parametrize(
    ("container", "subtype", "step"),
    [
        ("WAV", "PCM_U8", 1 / 127),
        ("WAV", "FLOAT", 0.0),
        ("WAV", "DOUBLE", 0.0),
        ("AIFF", "FLOAT", 0.0),
        ("WAV", "ULAW", 1 / 32),
        ("WAV", "ALAW", 1 / 32),
        ("NIST", "ULAW", 1 / 32),
        ("NIST", "ALAW", 1 / 32),
        ("AU", "ULAW", 1 / 32),
    ],
)
def test_a_tone_comes_back_within_the_step_of_its_format(tmp_path, container, subtype, step):
    samples = read_audio(written(tmp_path / "a.bin", tone(8000), format=container, subtype=subtype))[0]
    np.testing.assert_allclose(samples, tone(8000), rtol=0, atol=step)


def test_the_codes_of_the_telephone_formats_are_those_of_g711(tmp_path):
    (tmp_path / "a.ul").write_bytes(bytes([0x80, 0x00, 0xFF, 0x7F]))  # mu-law: the extremes, and its two zeros
    samples = read_audio(tmp_path / "a.ul", raw=RawFormat(8000, 1, "ULAW", "LITTLE"))[0]
    np.testing.assert_array_equal(samples * 32768, [32124, -32124, 0, 0])
    (tmp_path / "a.al").write_bytes(
        bytes([0xAA, 0x2A, 0xD5, 0x55])
    )  # A-law: the extremes, and plus and minus half a step
    samples = read_audio(tmp_path / "a.al", raw=RawFormat(8000, 1, "ALAW", "LITTLE"))[0]
    np.testing.assert_array_equal(samples * 32768, [32256, -32256, 8, -8])


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_compressed_tones_are_tones(tmp_path, container, subtype):
    samples = read_audio(written(tmp_path / "a.bin", tone(16000), 16000, format=container, subtype=subtype))[0]
    assert samples.shape == (16000,)
    np.testing.assert_allclose(samples[1600:-1600], tone(16000)[1600:-1600], atol=0.05)


def test_a_raw_file_is_what_its_format_says(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(np.array([[-32768, 0], [16384, 1]], ">i2").tobytes())
    samples, rate = read_audio(path, raw=RawFormat(11025, 2, "PCM_16", "BIG"), channel=0)
    assert (samples.tolist(), rate) == ([-1.0, 0.5], 11025)
    assert joined(path, raw=RawFormat(11025, 2, "PCM_16", "BIG"), channel=1)[0].tolist() == [0, 1 / 32768]
    with pytest.raises(AudioError, match=r"a\.raw: .*expected its rate, channels and sample format, as in --raw"):
        read_audio(path)
    with pytest.raises(AudioError, match=r"a\.raw: 8 bytes; expected a multiple of 3"):
        read_audio(path, raw=RawFormat(8000, 1, "PCM_24"))
    with pytest.raises(AudioError, match=r"a\.raw: raw subtype 'GSM610'; expected one of PCM_U8"):
        read_audio(path, raw=RawFormat(8000, 1, "GSM610"))
    with pytest.raises(AudioError, match=r"a\.raw: raw 0 channels at 8000 Hz"):
        read_audio(path, raw=RawFormat(8000, 0))
    with pytest.raises(AudioError, match=r"a\.raw: not readable as audio \(Unknown endian-ness: 'MIDDLE'\)"):
        read_audio(path, raw=RawFormat(8000, 1, "PCM_16", "MIDDLE"))


def test_a_channel_is_chosen(tmp_path):
    path = written(tmp_path / "three.wav", np.outer([1.0, -1.0], [0.5, 0.25, -0.5]))
    for channel, expected in ((0, 0.5), (1, 0.25), (2, -0.5), ("mean", 0.25 / 3)):
        np.testing.assert_array_equal(read_audio(path, channel=channel)[0], np.float32([expected, -expected]))
    for channel in (3, -1):
        with pytest.raises(
            AudioError, match=rf"three\.wav: has no channel {channel}; it has 3, counted from 0, and their mean"
        ):
            read_audio(path, channel=channel)
    with pytest.raises(AudioError, match=r"three\.wav: has no channel 'left'; it has 3"):
        read_audio(path, channel="left")
    with pytest.raises(AudioError, match=r"three\.wav: 3 channels; expected .* channel: 0 to 2, or mean"):
        audio_blocks(path)
    mono = written(tmp_path / "mono.wav", RAMP)
    for channel in (0, "mean"):
        np.testing.assert_array_equal(read_audio(mono, channel=channel)[0], RAMP)
    opposed = written(tmp_path / "inf.wav", np.array([[np.inf, -np.inf], [0, 0]]), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"inf\.wav: 1 of 2 samples are NaN or infinite, the first is sample 0"):
        read_audio(opposed, channel="mean")


@pytest.mark.parametrize("container", [*CUTTABLE, "FLAC", "OGG"])
def test_a_segment_is_the_slice_of_the_whole(tmp_path, container):
    path = written(tmp_path / "a.bin", tone(8000), format=container)
    whole = read_audio(path)[0]
    for start, stop in ((None, 0.25), (0.25, None), (0.1, 0.3), (0.0, 1.0), (0.50004, 0.50017)):
        first, last = round((start or 0) * 8000), round((1 if stop is None else stop) * 8000)
        np.testing.assert_array_equal(read_audio(path, start=start, stop=stop)[0], whole[first:last])
        np.testing.assert_array_equal(joined(path, start=start, stop=stop, block_seconds=0.03)[0], whole[first:last])


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (1.0, None), (0, 1.1), (np.nan, 1), (0, np.nan), (0, np.inf), (0.5, 0.50001)],
)
def test_a_segment_that_is_not_there_is_refused(tmp_path, start, stop):
    path = written(tmp_path / "a.wav", tone(8000))
    for read in (read_audio, audio_blocks):
        with pytest.raises(AudioError, match=r"a\.wav: has no segment from .* s to .*; it is 1 s long"):
            read(path, start=start, stop=stop)


def test_segments_of_audio_without_places_to_enter_are_read_from_its_beginning(tmp_path):
    path = written(tmp_path / "a.wav", tone(8000), subtype="GSM610")
    whole = read_audio(path)[0]
    np.testing.assert_array_equal(read_audio(path, start=0.5, stop=0.75)[0], whole[4000:6000])
    np.testing.assert_array_equal(joined(path, start=0.5, block_seconds=0.03)[0], whole[4000:])


@pytest.mark.parametrize("container", CUTTABLE)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9999])
def test_a_file_that_was_cut_is_refused(tmp_path, container, share):
    path = written(tmp_path / "a.bin", tone(16000), 16000, format=container, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    found = soundfile.info(path).frames
    for read in (read_audio, audio_blocks):
        with pytest.raises(AudioError, match=rf"a\.bin: cut short.*: 16000 samples expected, only {found} can be read"):
            read(path)


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_a_cut_in_compressed_audio_shows_when_it_is_reached(tmp_path, container, subtype, capfd):
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, 32000).astype(np.float32)
    path = written(tmp_path / "a.bin", noise, 16000, format=container, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.bin: cut short.*: 32000 samples expected, only 1\d{4} can be read"):
        read_audio(path)
    blocks = audio_blocks(path, block_seconds=0.25)[0]
    assert len(next(blocks)) == 4000
    with pytest.raises(AudioError, match=r"a\.bin: cut short.*: 32000 samples expected, only 1\d{4} can be read"):
        list(blocks)
    if container == "FLAC":
        np.testing.assert_allclose(read_audio(path, stop=0.5)[0], noise[:8000], atol=2**-15)
    capfd.readouterr()  # the MP3 decoder speaks to the terminal


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_an_ogg_file_without_its_end_is_refused(tmp_path, subtype, share):
    path = written(tmp_path / "a.ogg", tone(16000, 5), 16000, format="OGG", subtype=subtype)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(AudioError, match=r"a\.ogg: cut short: \d+ samples can be read, then its end is missing"):
        read_audio(path)


def test_compressed_blocks_in_wav_that_were_cut_are_refused(tmp_path):
    path = written(tmp_path / "a.wav", tone(16000), 16000, subtype="IMA_ADPCM")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.wav: cut short.*: 1\d{4} samples expected, only \d{4} can be read"):
        read_audio(path)


def with_size(path, size):
    content = path.read_bytes()
    assert content[36:40] == b"data"
    path.write_bytes(content[:40] + size.to_bytes(4, "little") + content[44:])


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_file_that_was_written_into_a_pipe_is_read_to_its_end(tmp_path, size):
    path = written(tmp_path / "a.wav", RAMP)
    with_size(path, size)
    with pytest.warns(AudioWarning, match=r"a\.wav: the header was never finished"):
        samples = read_audio(path)[0]
    np.testing.assert_array_equal(samples, RAMP)


def with_total(path, total):
    content = bytearray(path.read_bytes())
    packed = int.from_bytes(content[18:26], "big") >> 36 << 36 | total  # STREAMINFO: the last 36 of these 64 bits
    content[18:26] = packed.to_bytes(8, "big")
    path.write_bytes(content)


def test_a_header_that_lies_costs_no_memory(tmp_path):
    wav, flac = written(tmp_path / "a.wav", RAMP), written(tmp_path / "a.flac", tone(8000))
    with_size(wav, 0x6FFFFFFE)
    with_total(flac, 2**36 - 1)
    tracemalloc.start()
    with pytest.raises(AudioError, match=r"a\.wav: cut short.*: 939524095 samples expected, only 5 can be read"):
        read_audio(wav)
    with pytest.raises(AudioError, match=r"a\.flac: cut short.*: 68719476735 samples expected, only 8000 can be read"):
        read_audio(flac)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_a_header_without_a_length_is_read_to_the_end(tmp_path):
    path = written(tmp_path / "a.flac", tone(8000))
    whole = read_audio(path)[0]
    with_total(path, 0)
    assert duration(path) == 1.0  # by decoding
    np.testing.assert_array_equal(read_audio(path)[0], whole)
    np.testing.assert_array_equal(joined(path, start=0.5, block_seconds=0.1)[0], whole[4000:])
    with pytest.raises(AudioError, match=r"a\.flac: cut short or damaged: 16000 samples expected, only 8000"):
        read_audio(path, stop=2)
    with pytest.raises(AudioError, match=r"a\.flac: has no segment from 3 s to 2 s; it is of unknown length"):
        read_audio(path, start=3, stop=2)


@given(block=st.integers(1, 5000), container=st.sampled_from([*CUTTABLE, "FLAC", "OGG", "MP3"]))
@settings(max_examples=40, deadline=None)
def test_blocks_are_the_whole_bit_for_bit(files, block, container):
    path, whole = files[container]
    blocks, rate = audio_blocks(path, block_seconds=block / 8000)
    blocks = list(blocks)
    assert (rate, {len(part) for part in blocks[:-1]} - {block}) == (8000, set())
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@given(block=st.integers(1, 5000), to_rate=st.sampled_from([4000, 8000, 11025, 16000, 44100]))
@settings(max_examples=25, deadline=None)
def test_resampled_blocks_are_the_resampled_whole_bit_for_bit(files, block, to_rate):
    path, whole = files["WAV"]
    samples, rate = joined(path, block_seconds=max(block, 50) / 8000, sample_rate=to_rate)
    expected = whole if to_rate == 8000 else resample(whole, 8000, to_rate)
    assert (rate, samples.dtype) == (to_rate, np.float32)
    np.testing.assert_array_equal(samples, expected)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    rng = np.random.default_rng(1)
    noise = rng.uniform(-0.9, 0.9, 12345)
    paths = {name: written(folder / name, noise, format=name) for name in (*CUTTABLE, "FLAC", "OGG", "MP3")}
    return {name: (path, read_audio(path)[0]) for name, path in paths.items()}


def test_a_file_of_several_chunks_is_read_whole(tmp_path, monkeypatch):
    path = written(tmp_path / "a.wav", np.column_stack([tone(8000), -tone(8000)]), subtype="FLOAT")
    monkeypatch.setattr("speechgmm.audio.reading.READ_SAMPLES", 999)
    np.testing.assert_array_equal(read_audio(path, channel=1)[0], -tone(8000))


def test_blocks_check_what_they_read(tmp_path):
    broken = tone(8000)
    broken[[5000, 5001]] = np.nan
    path = written(tmp_path / "a.wav", broken, subtype="FLOAT")
    blocks = audio_blocks(path, block_seconds=0.5)[0]
    np.testing.assert_array_equal(next(blocks), broken[:4000])
    with pytest.raises(AudioError, match=r"a\.wav: 2 of 4000 samples are NaN or infinite, the first is sample 5000"):
        next(blocks)
    with pytest.raises(AudioError, match=r"a\.wav: 2 of 1600 samples .* the first is sample 5000"):
        read_audio(path, start=0.6, stop=0.8)
    for length in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(AudioError, match=r"a\.wav: blocks of .* s; expected a positive length"):
            audio_blocks(path, block_seconds=length)
    with pytest.raises(AudioError, match=r"missing\.wav: no such audio file"):
        audio_blocks(tmp_path / "missing.wav")
    empty = written(tmp_path / "empty.wav", np.zeros(0))
    with pytest.raises(AudioError, match=r"empty\.wav: holds no samples"):
        list(audio_blocks(empty)[0])


def test_an_mp3_file_without_a_length_tag_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.mp3"
    with soundfile.SoundFile(path, "w", 16000, 1, bitrate_mode="CONSTANT", compression_level=0.5) as file:
        file.write(tone(16000))
    content = path.read_bytes()
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[content[2] >> 4]
    path.write_bytes(content[72 * kilobits // 16 :])  # the tag has the first frame, of 576 samples, to itself
    assert b"Info" not in path.read_bytes()
    assert len(read_audio(path)[0]) >= 16000


def test_an_mp3_file_may_begin_with_a_tag_of_text(tmp_path, capfd):
    path = written(tmp_path / "a.mp3", tone(16000, 3), 16000)
    path.write_bytes(b"ID3\3\0\0" + bytes([0, 0, 2, 44]) + bytes(300) + path.read_bytes())
    assert read_audio(path)[0].shape == (48000,)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.mp3: cut short or damaged: 48000 samples expected"):
        read_audio(path)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ([], 0.0),
        ([1.0], 0.0),
        ([0.0, 1.0, 0.0, -1.0], 0.0),
        ([1.0, -1.0, 1.0, -1.0], 0.0),
        ([0.0, 1.0, 1.0, 0.0], 0.5),
        ([-1.0, -1.0, -1.0, 0.5], 0.75),
        ([32767 / 32768, 32767 / 32768, 32766 / 32768, 32766 / 32768], 0.5),
        ([1.5, 1.0, -1.0, -2.0], 1.0),
    ],
)
def test_clipping_is_the_share_of_samples_in_runs_at_an_extreme(samples, share):
    assert clipped_share(np.array(samples, np.float32)) == share


def test_the_clipped_share_of_an_overdriven_tone_is_that_of_theory():
    overdriven = np.clip(2 * np.sin(2 * np.pi * np.arange(100_000) / 1000), -1, 1)
    assert clipped_share(overdriven) == pytest.approx(2 / 3, abs=0.01)  # |sin| > 1/2
