"""Files as recorders, pipes and careless tools leave them: read to their real end, with a warning, or refused."""

import struct
import warnings

import kaldiio
import numpy as np
import pytest
import soundfile

from helpers.containers import encode
from speechgmm import FeatureConfig, extract, read_audio
from speechgmm.audio.headers import finished
from speechgmm.audio.reading import audio_blocks, audio_file, audio_warnings, duration
from speechgmm.errors import AudioError, AudioWarning

RATE = 16000
RNG = np.random.default_rng(0)
NOISE = RNG.integers(-8000, 8000, 24001).astype(np.int16)
ALL_FRAMES = FeatureConfig.preset("kaldi")
SAMPLES = NOISE.astype(np.float32) / 2**15


def written(path, samples=NOISE, rate=RATE, **how):
    soundfile.write(path, samples, rate, **how)
    return path


def read_with_warning(path, match):
    with pytest.warns(AudioWarning, match=match):
        samples, rate = read_audio(path)
    assert duration(path) == len(samples) / rate  # what check, init and plans use agrees with what is read
    with pytest.warns(AudioWarning, match=match):
        assert len(extract(path, ALL_FRAMES)) > 0
    assert len(audio_warnings(path)) == 1
    return samples


def read_silently(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples, rate = read_audio(path)
    assert (duration(path), audio_warnings(path)) == (len(samples) / rate, ())
    return samples


def replaced(path, place, other):
    content = path.read_bytes()
    path.write_bytes(content[:place] + other + content[place + len(other) :])
    return path


def size_place(content, name, n_name=4):
    return content.index(name) + n_name


@pytest.mark.parametrize(
    ("container", "zeros"),
    [
        ("WAV", [(b"data", 4, 4)]),
        ("RF64", [(b"ds64", 16, 8)]),
        ("AIFF", [(b"SSND", 4, 4), (b"COMM", 10, 4)]),
        ("AU", [(b".snd", 8, 4)]),
        ("CAF", [(b"data", 4, 8)]),
        ("W64", [(b"data", 16, 8)]),
    ],
)
def test_a_length_that_was_never_written_is_found(tmp_path, container, zeros):
    path = written(tmp_path / "a.bin", format=container, subtype="PCM_16")
    for name, offset, size in zeros:
        replaced(path, path.read_bytes().index(name) + offset, bytes(size))
    if container == "RF64":
        replaced(path, path.read_bytes().index(b"data") + 4, b"\xff" * 4)
    samples = read_with_warning(path, r"a\.bin: the header was never finished")
    np.testing.assert_array_equal(samples, SAMPLES)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(path, block_seconds=0.1)[0])), SAMPLES)
    np.testing.assert_array_equal(load_segment(path, 0.5, 1.0), SAMPLES[8000:16000])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_a_header_can_be_finished(tmp_path, size):
    path = written(tmp_path / "a.wav", NOISE[:-1])
    content = path.read_bytes()
    assert finished(content) == content
    assert finished(replaced(path, 40, size.to_bytes(4, "little")).read_bytes()) == content


def load_segment(path, start, stop):
    with pytest.warns(AudioWarning):
        return read_audio(path, start=start, stop=stop)[0]


@pytest.mark.parametrize(("container", "counted"), [("WAV", 44), ("WAV", 36), ("AU", 24), ("AIFF", 8)])
def test_a_size_that_counts_the_header_is_seen(tmp_path, container, counted):
    path = written(tmp_path / "a.bin", format=container, subtype="PCM_16")
    place, order = {"WAV": (40, "little"), "AU": (8, "big"), "AIFF": (None, "big")}[container]
    place = size_place(path.read_bytes(), b"SSND") if place is None else place
    size = int.from_bytes(path.read_bytes()[place : place + 4], order)
    replaced(path, place, (size + counted).to_bytes(4, order))
    np.testing.assert_array_equal(read_with_warning(path, f"announces {counted} bytes more than there are"), SAMPLES)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "AU", "AIFF", "FLAC", "W64", "NIST", "CAF"])
def test_files_joined_end_to_end_are_seen(tmp_path, container):
    path = written(tmp_path / "a.bin", NOISE[:-1], format=container, subtype="PCM_16")
    path.write_bytes(2 * path.read_bytes())
    samples = read_with_warning(path, "another recording of .* bytes follows after its end")
    np.testing.assert_array_equal(samples, SAMPLES[:-1])


@pytest.mark.parametrize("container", ["WAV", "AU", "AIFF"])
def test_samples_after_the_announced_ones_are_seen(tmp_path, container):
    path = written(tmp_path / "a.bin", NOISE[:-1], format=container, subtype="PCM_16")
    with path.open("ab") as file:
        file.write(NOISE.tobytes())
    with pytest.warns(AudioWarning, match="48,002 bytes follow after the samples that the header announces"):
        np.testing.assert_array_equal(read_audio(path)[0], SAMPLES[:-1])


@pytest.mark.parametrize(
    "tail",
    [
        b"LIST" + (4).to_bytes(4, "little") + b"INFO",
        b"id3 " + (6).to_bytes(4, "little") + b"abcdef",
        b"TAG" + bytes(125),
        b"ID3\4\0\0\0\0\0\0",
        bytes(4096),
    ],
)
def test_chunks_tags_and_padding_after_the_samples_are_no_news(tmp_path, tail):
    path = written(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + tail)
    np.testing.assert_array_equal(read_silently(path), SAMPLES)


def test_an_empty_recording_stays_empty(tmp_path):
    path = written(tmp_path / "a.wav", np.zeros(0, np.int16))
    for tail in (b"", b"LIST" + (4).to_bytes(4, "little") + b"INFO"):
        path.write_bytes(path.read_bytes() + tail)
        with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
            read_audio(path)


def mp3(path, samples=NOISE, rate=RATE, mode="VARIABLE"):
    with soundfile.SoundFile(path, "w", rate, 1, format="MP3", bitrate_mode=mode, compression_level=0.5) as file:
        file.write(samples)
    return path


def speech_like():
    """Loud and soft in turn, so that the bit rate varies."""
    return (NOISE * (np.arange(len(NOISE)) // 4000 % 2) + NOISE // 100).astype(np.int16)


def without_length_tag(path):
    """Cut the first frame of an MP3 file, which is the length tag; return the number of frames that it counted."""
    content = path.read_bytes()
    place = max(content.find(b"Xing"), content.find(b"Info"))
    n_frames = int.from_bytes(content[place + 8 : place + 12], "big")
    path.write_bytes(content[content.index(content[:2], 2) :])  # the next frame begins as the first one
    return n_frames


def test_an_mp3_file_of_variable_bit_rate_without_a_length_tag_is_read_whole(tmp_path, capfd):
    path = mp3(tmp_path / "a.mp3", speech_like())
    tagged = read_silently(path)
    n_frames = without_length_tag(path)
    whole = read_silently(path)
    assert len(whole) == 576 * n_frames
    # The tag says how many samples the encoder added before the first one; LAME's decoder adds 529 more.
    delay = np.argmax([np.dot(tagged[:8000], whole[k : k + 8000]) for k in range(2400)])
    np.testing.assert_allclose(whole[delay : delay + 20000], tagged[:20000], atol=1e-3)
    np.testing.assert_array_equal(read_audio(path, start=0.5, stop=1.0)[0], whole[8000:16000])
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks(path, block_seconds=0.01)[0])), whole)
    assert capfd.readouterr().err == ""  # the MP3 decoder speaks to the terminal if it is left to guess


def test_bytes_between_the_frames_of_an_mp3_file_are_seen(tmp_path, capfd):
    path = mp3(tmp_path / "a.mp3", speech_like())
    without_length_tag(path)
    whole, content = read_silently(path), path.read_bytes()
    place = content.index(content[:2], len(content) // 2)  # the next frame from the middle on
    path.write_bytes(content[:place] + b"\1\2\3\4" * 25 + content[place:])
    samples = read_with_warning(path, "100 bytes between its frames are no audio and were skipped")
    assert len(samples) == len(whole)
    capfd.readouterr()


APE = b"APETAGEX\xd0\x07\0\0\x60\0\0\0\1\0\0\0\0\0\0\xa0" + bytes(8)


@pytest.mark.parametrize("before", [bytes(1000), b"\xff" * 99, APE + bytes(64) + b"APETAGEX" + bytes(24), "middle"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_an_mp3_file_that_does_not_begin_with_a_frame_is_read_whole(tmp_path, before, rate, capfd):
    path = mp3(tmp_path / "a.mp3", speech_like(), rate)
    without_length_tag(path)
    whole, content = read_silently(path), path.read_bytes()
    n_frame = 576 if rate < 32000 else 1152
    path.write_bytes(content[40:] if before == "middle" else before + content)  # a recording of a radio station
    assert len(read_silently(path)) == len(whole) - n_frame * (before == "middle")
    capfd.readouterr()


def test_a_length_tag_of_another_program_is_no_sound_and_no_hindrance(tmp_path):
    path = mp3(tmp_path / "a.mp3", speech_like())
    n_frames, frames = without_length_tag(path), path.read_bytes()
    whole = read_silently(path)
    tag = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 75, len(frames), n_frames, 0, 1, 2, 1)
    first = frames[:4] + bytes(32) + tag  # of Fraunhofer's encoder
    path.write_bytes(first.ljust(frames.index(frames[:2], 2), b"\0") + frames)
    samples = read_silently(path)
    assert len(samples) == len(whole)
    np.testing.assert_allclose(samples, whole, atol=1e-6)


@pytest.mark.parametrize("size", ["right", 0, 0xFFFFFFFF])
def test_mp3_in_wav_is_read_whole(tmp_path, size):
    path = mp3(tmp_path / "a.mp3", speech_like())
    without_length_tag(path)
    whole, frames = read_silently(path), path.read_bytes()
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8000, 1, 0, 12, 1, 2, 432, 1, 0)
    size = len(frames) if size == "right" else size
    head = b"RIFF" + struct.pack("<I", 50 + len(frames)) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    path = tmp_path / "a.wav"
    path.write_bytes(head + b"data" + struct.pack("<I", size) + frames)
    if size == len(frames):
        np.testing.assert_allclose(read_silently(path), whole, atol=1e-6)
    else:
        np.testing.assert_allclose(read_with_warning(path, "the header was never finished"), whole, atol=1e-6)


def test_files_that_macos_left_beside_others_are_no_hindrance(tmp_path):
    path = mp3(tmp_path / "a.mp3", speech_like())
    whole = read_silently(path)
    (tmp_path / "._a.mp3").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2\0\0\0\x09\0\0\0\x32" + bytes(400))
    np.testing.assert_array_equal(read_silently(path), whole)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_S8", "PCM_16", "PCM_24"])
def test_the_sizes_that_sox_writes_into_a_pipe_are_seen(tmp_path, subtype):
    container = "WAV" if subtype == "PCM_U8" else "AIFF"
    path = written(tmp_path / "a.bin", NOISE[:-1], format=container, subtype=subtype)
    whole, content = read_silently(path), path.read_bytes()
    width = {"PCM_16": 2, "PCM_24": 3}.get(subtype, 1)
    if container == "WAV":
        replaced(path, 40, struct.pack("<I", 0x7FFFF000))
    else:
        n_samples = 0x7F000000 // width
        replaced(path, size_place(content, b"SSND"), struct.pack(">I", 8 + n_samples * width))
        replaced(path, size_place(content, b"COMM") + 6, struct.pack(">I", n_samples))
    np.testing.assert_array_equal(read_with_warning(path, "that of a pipe"), whole)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_32"])
def test_w64_with_the_long_form_of_its_format_is_read_right(tmp_path, subtype):
    path = written(tmp_path / "a.w64", SAMPLES, format="W64", subtype=subtype)
    whole, content = read_silently(path), path.read_bytes()
    at = content.index(b"fmt ")
    size = int.from_bytes(content[at + 16 : at + 24], "little")
    form = content[at + 24 : at + size]
    long_form = b"\xfe\xff" + form[2:16] + struct.pack("<HHI", 22, 8 * (8 if subtype == "DOUBLE" else 4), 4) + form[:2]
    long_form += bytes.fromhex("000000001000800000aa00389b71")
    chunk = content[at : at + 16] + struct.pack("<Q", 24 + len(long_form)) + long_form
    path.write_bytes(content[:at] + chunk + content[at + size + -size % 8 :])  # as FFmpeg writes it
    np.testing.assert_array_equal(read_silently(path), whole)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24"])
def test_chunks_after_an_odd_number_of_bytes_are_known_with_and_without_padding(tmp_path, subtype):
    path = written(tmp_path / "a.wav", subtype=subtype)
    whole, content = read_silently(path), path.read_bytes()
    end = 44 + len(NOISE) * (3 if subtype == "PCM_24" else 1)
    for padding in (b"", b"\0"):
        path.write_bytes(content[:end] + padding + b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0")
        np.testing.assert_array_equal(read_silently(path), whole)


@pytest.mark.parametrize("n_files", [2, 3])
@pytest.mark.parametrize("tagged", [True, False])
def test_joined_mp3_files_are_read_one_after_the_other(tmp_path, n_files, tagged, capfd):
    path = mp3(tmp_path / "a.mp3", speech_like())
    if not tagged:
        without_length_tag(path)
    one = read_silently(path)
    path.write_bytes(n_files * (b"ID3\3\0\0\0\0\0\12" + bytes(10) + path.read_bytes() + b"TAG" + bytes(125)))
    if tagged:
        samples = read_with_warning(path, f"{n_files} recordings were joined end to end in it; all are read")
        np.testing.assert_array_equal(samples, np.tile(one, n_files))
    else:  # frames are frames, and a decoder goes on from what came before
        samples = read_silently(path)
        assert len(samples) == n_files * len(one)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_read_one_after_the_other(tmp_path, subtype):
    first, second = (written(tmp_path / name, NOISE[:n], format="OGG", subtype=subtype) for name, n in PARTS)
    expected = np.concatenate([read_silently(first), read_silently(second)])
    first.write_bytes(first.read_bytes() + second.read_bytes())
    samples = read_with_warning(first, "2 recordings were joined end to end in it; all are read")
    np.testing.assert_array_equal(samples, expected)
    np.testing.assert_array_equal(load_segment(first, 0.8, 1.2), expected[12800:19200])


PARTS = (("a.ogg", 16000), ("b.ogg", 9000))


@pytest.mark.parametrize("write", [mp3, lambda path, *what: written(path, *what, format="OGG")])
def test_of_joined_files_of_several_rates_the_first_is_read(tmp_path, write):
    first, second = write(tmp_path / "a", NOISE), write(tmp_path / "b", NOISE, 22050)
    expected = read_silently(first)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    samples = read_with_warning(first, "2 recordings were joined .*; 1 read, as the next has 1 channels at 22050 Hz")
    np.testing.assert_array_equal(samples, expected)


def ogg_checksum(page):
    """Compute the checksum of a page by the polynomial of RFC 3533, bit by bit."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_whose_last_page_is_not_marked_is_read(tmp_path, subtype):
    path = written(tmp_path / "a.ogg", format="OGG", subtype=subtype)
    expected, content = read_silently(path), bytearray(path.read_bytes())
    last = content.rindex(b"OggS")
    content[last + 5] &= ~4
    content[last + 22 : last + 26] = bytes(4)
    content[last + 22 : last + 26] = ogg_checksum(content[last:]).to_bytes(4, "little")
    path.write_bytes(content)
    samples = read_with_warning(path, "its last page is not marked as the end")
    np.testing.assert_array_equal(samples[: len(expected)], expected)


def ogg_pages(content):
    places = [k for k in range(len(content)) if content[k : k + 5] == b"OggS\0"]
    return [content[start:stop] for start, stop in zip(places, [*places[1:], len(content)], strict=True)]


def changed_page(page, *, number=None, unmarked=False):
    page = bytearray(page)
    page[5] &= 0xFB if unmarked else 0xFF
    page[14:18] = page[14:18] if number is None else number.to_bytes(4, "little")
    page[22:26] = bytes(4)
    page[22:26] = ogg_checksum(page).to_bytes(4, "little")
    return bytes(page)


OGG = ["VORBIS", "OPUS", "flac"]


def ogg(path, samples, codec):
    """Write by libsndfile, but FLAC in Ogg, which it does not read."""
    if codec == "flac":
        return encode(path, samples[:, None], RATE, codec)
    return written(path, samples, format="OGG", subtype=codec)


@pytest.mark.parametrize("codec", OGG)
def test_ogg_files_that_either_library_reads_are_joined_and_ended_alike(tmp_path, codec):
    path = ogg(tmp_path / "a.ogg", np.tile(SAMPLES, 4), codec)
    whole, pages = read_silently(path), ogg_pages(path.read_bytes())
    unmarked = [*pages[:-1], changed_page(pages[-1], unmarked=True)]
    other = [changed_page(page, number=77) for page in pages]
    path.write_bytes(b"".join(unmarked))
    samples = read_with_warning(path, "its last page is not marked as the end")
    np.testing.assert_array_equal(samples[: len(whole)], whole)
    for first in (pages, unmarked):
        path.write_bytes(b"".join(first + other))
        samples = read_with_warning(path, "2 recordings were joined end to end in it; all are read")
        np.testing.assert_array_equal(samples[-len(whole) :], whole)
        assert 0 <= len(samples) - 2 * len(whole) < 2000
    path.write_bytes(b"".join(pages)[:-9])
    with pytest.raises(AudioError, match=r"a\.ogg: cut short: .*its end is missing"):
        read_audio(path)


@pytest.mark.parametrize("codec", OGG)
def test_a_page_that_is_missing_is_seen(tmp_path, codec):
    path = ogg(tmp_path / "a.ogg", np.tile(SAMPLES, 8), codec)
    pages = ogg_pages(path.read_bytes())
    assert len(pages) > 6
    path.write_bytes(b"".join(pages[:4] + pages[5:]))
    assert audio_warnings(path) == ("pages that are missing in it: 1",)


def test_floats_in_the_units_of_integers_are_refused(tmp_path):
    for bits, scale in ((8, 2.0**7), (16, 2.0**15), (24, 2.0**23), (32, 2.0**31)):
        path = written(tmp_path / "a.wav", SAMPLES * 3.9 * scale, subtype="FLOAT")
        message = rf"samples up to .*; expected full scale at 1; they look like {bits}-bit integers: divide them"
        for source in (path, SAMPLES * 3.9 * scale):
            with pytest.raises(AudioError, match=message):
                extract(source)
    np.testing.assert_array_equal(read_silently(written(tmp_path / "b.wav", 8 * SAMPLES, subtype="FLOAT")), 8 * SAMPLES)


@pytest.mark.parametrize(
    ("integers", "scale"),
    [(NOISE, 2**15), (NOISE.astype(np.int32) * 65536, 2**31), ((NOISE >> 8).astype(np.int8), 2**7)],
)
def test_arrays_of_integers_are_scaled_by_their_type(integers, scale):
    floats = (integers / scale).astype(np.float32)
    expected = extract(floats, ALL_FRAMES)
    np.testing.assert_array_equal(extract(integers, ALL_FRAMES), expected)
    np.testing.assert_array_equal(extract(integers.astype(integers.dtype.newbyteorder()), ALL_FRAMES), expected)
    if integers.dtype == np.int8:
        unsigned = (integers.astype(int) + 128).astype(np.uint8)
        np.testing.assert_array_equal(extract(unsigned, ALL_FRAMES), expected)


def test_recordings_in_archives_are_read(tmp_path):
    archive = tmp_path / "wav.ark"
    with archive.open("wb") as file:
        for name, samples in (("rec0", NOISE), ("rec1", -NOISE)):
            file.write(f"{name} ".encode())
            soundfile.write(tmp_path / "one.wav", samples, RATE)
            file.write((tmp_path / "one.wav").read_bytes())
    second = 5 + 44 + 2 * len(NOISE) + 5
    np.testing.assert_array_equal(read_silently(f"{archive}:5"), SAMPLES)
    np.testing.assert_array_equal(read_silently(f"{archive}:{second}"), -SAMPLES)
    assert audio_file(f"{archive}:5") == archive
    for place, message in ((6, "not readable as audio"), (second + 10**6, "not readable as audio")):
        with pytest.raises(AudioError, match=rf"wav\.ark:{place}: {message}"):
            read_audio(f"{archive}:{place}")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(AudioError, match=rf"wav\.ark:{second}: cut short"):
        read_audio(f"{archive}:{second}")


def test_a_recording_in_an_archive_is_examined_like_a_file(tmp_path):
    compressed = mp3(tmp_path / "a.mp3", speech_like())
    without_length_tag(compressed)
    sound = encode(tmp_path / "a.m4a", SAMPLES[:, None], RATE, "aac")
    archive, places = tmp_path / "b.ark", {}
    with archive.open("wb") as file:
        for path in (compressed, sound, compressed):
            file.write(b"id ")
            places[file.tell()] = path
            file.write(b"AUDIO\4" + path.stat().st_size.to_bytes(4, "little") + path.read_bytes())
    for place, path in places.items():
        np.testing.assert_allclose(read_silently(f"{archive}:{place}"), read_silently(path), atol=1e-6)


@pytest.mark.parametrize("size", [0, 0x7FFFF024, 0xFFFFFFFF])
def test_a_wav_header_without_a_length_in_an_archive_is_refused(tmp_path, size):
    path = replaced(written(tmp_path / "a.wav"), 4, size.to_bytes(4, "little"))
    (tmp_path / "a.ark").write_bytes(b"a " + path.read_bytes() + b"b " + path.read_bytes())
    with pytest.raises(AudioError, match=r"a\.ark:2: the WAV header gives no length; expected one, as other record"):
        read_audio(f"{tmp_path / 'a.ark'}:2")


@pytest.mark.parametrize("container", ["RIFF", "WAV", "FLAC", "AU"])
def test_archives_by_kaldiio_are_read(tmp_path, container):
    how = {} if container == "RIFF" else {"write_function": "soundfile", "write_kwargs": {"format": container}}
    recordings = {"x": (RATE, NOISE), "y": (RATE, -NOISE)}
    kaldiio.save_ark(str(tmp_path / "a.ark"), recordings, str(tmp_path / "a.scp"), **how)
    places = dict(line.split() for line in (tmp_path / "a.scp").read_text().splitlines())
    np.testing.assert_array_equal(read_silently(places["x"]), SAMPLES)
    np.testing.assert_array_equal(read_silently(places["y"]), -SAMPLES)
