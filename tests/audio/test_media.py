"""Sound that PyAV decodes: the samples of the ffmpeg program, or an error or a warning where something is odd."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
import soxr

from helpers.containers import amr_wideband, encode, encode_video, nist_header, shorten
from speechgmm.audio.headers import UNKNOWN_LENGTH
from speechgmm.audio.media import MediaFile, open_media
from speechgmm.audio.reading import audio_warnings, duration, read_audio
from speechgmm.errors import AudioError

RATE = 16000
LOSSY = [  # file, encoder, rate, channels, greatest lag behind the original in seconds
    ("a.m4a", "aac", 16000, 1, 0.0),
    ("b.m4a", "aac", 44100, 2, 0.0),
    ("c.mp4", "aac", 22050, 2, 0.0),
    ("d.mov", "aac", 48000, 1, 0.0),
    ("e.aac", "aac", 16000, 1, 0.064),
    ("f.aac", "aac", 44100, 2, 0.024),
    ("g.mkv", "aac", 16000, 1, 0.064),
    ("h.webm", "libopus", 16000, 1, 0.0),
    ("i.webm", "libopus", 48000, 2, 0.0),
    ("j.mka", "libopus", 8000, 1, 0.0),
    ("k.webm", "vorbis", 44100, 2, 0.0),
    ("l.wma", "wmav2", 16000, 1, 0.064),
    ("m.wma", "wmav2", 44100, 2, 0.047),
    ("n.amr", "libopencore_amrnb", 8000, 1, 0.006),
    ("o.3gp", "libopencore_amrnb", 8000, 1, 0.006),
    ("p.ac3", "ac3", 48000, 2, 0.006),
    ("q.eac3", "eac3", 48000, 6, 0.006),
    ("r.avi", "libmp3lame", 16000, 1, 0.08),
    ("s.flv", "aac", 44100, 1, 0.024),
]
OLD = ("g.mkv", "k.webm")  # ffmpeg 5 does not drop AAC's delay in MKV; it decodes stereo of FFmpeg's encoder wrongly
LOSSLESS = [
    ("a.m4a", "alac", 16000, 2),
    ("b.mkv", "flac", 44100, 1),
    ("c.mkv", "pcm_s16le", 8000, 2),
    ("d.tta", "tta", 16000, 1),
    ("e.wv", "wavpack", 48000, 2),
    ("f.mov", "pcm_s16be", 16000, 1),
    ("g.wma", "pcm_s16le", 16000, 1),
]


def voice(n_channels: int = 1, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """Make sound below 3 kHz that has no period, the same at every rate, in exact 16-bit steps."""
    time = np.arange(round(seconds * rate))[:, None] / rate
    pitch = 150 + 40 * np.arange(n_channels)
    phase = 2 * np.pi * (pitch * time + 30 * time**2)
    tones = sum(np.sin(k * phase + k * k) / k for k in range(1, 13))
    level = 0.08 + 0.05 * np.sin(2 * np.pi * 3.1 * time)
    return (np.round(level * tones * 2**15) / 2**15).astype(np.float32)


def read(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    with open_media(path) as file:
        pieces = []
        while len(piece := file.read(7000)):
            pieces.append(piece)
        return np.concatenate(pieces), file.warnings


def fault(path: Path) -> str | None:
    try:
        read(path)
    except AudioError as error:
        return str(error)
    return None


def by_ffmpeg(path: Path, n_channels: int) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    run = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(run.stdout, np.float32).reshape(-1, n_channels)


def best_lag(decoded: np.ndarray, original: np.ndarray, rate: int) -> tuple[int, float]:
    """Find the lag with the greatest correlation, up to 0.1 s, and that correlation."""
    x = decoded[: len(original)] - decoded.mean()
    spectrum = np.fft.rfft(x, 2 * len(original)) * np.conj(np.fft.rfft(original, 2 * len(original)))
    products = np.fft.irfft(spectrum)
    lags = np.arange(-rate // 10, rate // 10)
    lag = int(lags[np.argmax(products[lags])])
    a, b = decoded[max(0, lag) :], original[max(0, -lag) :]
    n = min(len(a), len(b))
    return lag, float(np.corrcoef(a[:n], b[:n])[0, 1])


def media(folder: Path, name: str, codec: str, rate: int = RATE, n_channels: int = 1) -> Path:
    return encode(folder / name, voice(n_channels, rate), rate, codec)


@pytest.mark.parametrize(("name", "codec", "rate", "n_channels", "lag"), LOSSY)
def test_lossy_sound_is_the_original_but_for_the_codecs_delay(tmp_path, name, codec, rate, n_channels, lag):
    path = media(tmp_path, name, codec, rate, n_channels)
    samples, warnings = read(path)
    with open_media(path) as file:
        decoded_rate = file.samplerate
        assert (file.channels, file.frames) == (n_channels, UNKNOWN_LENGTH)
    assert decoded_rate == rate  # Opus is decoded at 48 kHz, and has the rate before encoding
    assert warnings == ()
    original = voice(n_channels, decoded_rate)
    assert samples.dtype == np.float32
    assert abs(len(samples) / decoded_rate - 1) < 0.15
    for channel in range(n_channels if n_channels < 6 else 3):
        found, correlation = best_lag(samples[:, channel], original[:, channel], decoded_rate)
        assert min(-0.002, -lag) * decoded_rate <= found <= lag * decoded_rate + 2  # FFmpeg drops a frame of WMA
        assert correlation > (0.5 if "amr" in codec else 0.9)  # a telephone's codec


@pytest.mark.parametrize(("name", "codec", "rate", "n_channels"), LOSSLESS)
def test_lossless_sound_is_the_original(tmp_path, name, codec, rate, n_channels):
    samples, warnings = read(media(tmp_path, name, codec, rate, n_channels))
    np.testing.assert_array_equal(samples, voice(n_channels, rate))
    assert warnings == ()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize(
    ("name", "codec", "rate", "n_channels"), [row[:4] for row in LOSSY if row[0] not in OLD] + LOSSLESS
)
def test_samples_are_those_of_the_ffmpeg_program(tmp_path, name, codec, rate, n_channels):
    path = media(tmp_path, name, codec, rate, n_channels)
    samples, _ = read(path)
    expected = by_ffmpeg(path, n_channels)
    if codec == "libopus" and rate != 48000:
        expected = soxr.resample(expected, 48000, rate, quality="HQ")
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, rtol=0, atol=2e-6)


def test_integers_are_scaled_as_libsndfile_scales_them(tmp_path):
    rng = np.random.default_rng(0)
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "DOUBLE", "ULAW"):
        path = tmp_path / f"{subtype}.wav"
        values = rng.integers(-(2**31), 2**31, (1000, 2)).astype(np.int32)
        soundfile.write(path, values, RATE, subtype=subtype)
        samples, _ = read(path)  # the same file by both
        np.testing.assert_array_equal(samples, soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("big_endian", [True, False])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_shortened_sphere_is_read_exactly(tmp_path, n_channels, big_endian):
    values = (voice(n_channels) * 2**15).astype(np.int16)
    path = tmp_path / "a.sph"
    order = "10" if big_endian else "01"
    header = nist_header(len(values), n_channels, RATE, "pcm,embedded-shorten-v2.00", order)
    path.write_bytes(header + shorten(values, big_endian=big_endian))
    np.testing.assert_array_equal(read(path)[0], values / np.float32(2**15))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(AudioError, match=r"a\.sph: cut short or damaged: 16000 samples expected, only \d+ can be read"):
        read(path)


def test_a_shortened_wav_file_is_read_exactly(tmp_path):
    values = (voice(2) * 2**15).astype(np.int16)
    n_bytes = values.nbytes
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    header = struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE") + form + struct.pack("<4sI", b"data", n_bytes)
    path = tmp_path / "a.shn"
    path.write_bytes(shorten(values, big_endian=False, header=header))
    np.testing.assert_array_equal(read(path)[0], values / np.float32(2**15))


def test_what_no_program_here_decodes_is_refused_with_advice(tmp_path):
    path = tmp_path / "a.sph"
    path.write_bytes(nist_header(1000, 1, 8000, "ulaw,embedded-shorten-v2.00") + b"ajkg\x02" + bytes(1000))
    with pytest.raises(
        AudioError, match=r"a\.sph: holds sound of a codec that FFmpeg does not read; convert it to WAV"
    ):
        open_media(path)


def test_wideband_amr_has_320_samples_a_frame(tmp_path):
    path = tmp_path / "a.awb"
    path.write_bytes(amr_wideband(25, np.random.default_rng(3)))
    with open_media(path) as file:
        assert (file.samplerate, file.channels, file.subtype) == (16000, 1, "amrwb")
        assert file.seek(UNKNOWN_LENGTH) == 25 * 320


def test_opus_in_webm_starts_at_the_sound_at_any_rate(tmp_path):
    for rate in (8000, 16000, 24000, 48000):
        samples, _ = read(media(tmp_path, f"{rate}.webm", "libopus", rate))
        assert best_lag(samples[:, 0], voice(1, rate)[:, 0], rate)[0] in (-1, 0, 1)
        assert len(samples) == pytest.approx(rate, abs=0.02 * rate)


@pytest.mark.parametrize(("name", "codec", "rate"), [("a.caf", "alac", 40960), ("b.wav", "g722", 16000)])
def test_encodings_that_libsndfile_lacks_in_containers_that_it_knows_are_read(tmp_path, name, codec, rate):
    path = media(tmp_path, name, codec, rate)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.SoundFile(path)
    samples, found = read_audio(path)
    assert (found, duration(path), audio_warnings(path)) == (rate, len(samples) / rate, ())
    np.testing.assert_array_equal(read_audio(path, start=0.25, stop=0.5)[0], samples[rate // 4 : rate // 2])
    if codec == "alac":
        np.testing.assert_array_equal(samples, voice(1, rate)[:, 0])
    assert best_lag(samples, voice(1, rate)[:, 0], rate)[1] > 0.9


def iff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", len(body)) + body


def voc_block(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<I", len(body))[:3] + body


def test_files_of_which_libsndfile_reads_other_samples_are_read_right(tmp_path):
    values = np.round(voice(2) * 2**7).astype(np.int8)
    form = iff_chunk(b"VHDR", struct.pack(">IIIHBBI", len(values), 0, 0, RATE, 1, 0, 65536))
    form += iff_chunk(b"CHAN", struct.pack(">I", 6)) + iff_chunk(b"BODY", values.T.tobytes())
    (tmp_path / "a.8svx").write_bytes(iff_chunk(b"FORM", b"8SVX" + form))
    for channel in (0, 1):  # which stand one after the other
        samples, rate = read_audio(tmp_path / "a.8svx", channel=channel)
        np.testing.assert_array_equal((rate, *samples), (RATE, *(values[:, channel] / np.float32(2**7))))
    mono = np.round(voice() * 2**15).astype("<i2")
    first = struct.pack("<IBBHI", RATE, 16, 1, 4, 0) + mono[:3000].tobytes()
    content = b"Creative Voice File\x1a\x1a\0\x0a\1\x29\x11" + voc_block(9, first)
    (tmp_path / "a.voc").write_bytes(content + voc_block(2, mono[3000:].tobytes()) + b"\0")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.voc")[0], mono[:, 0] / np.float32(2**15))
    assert audio_warnings(tmp_path / "a.voc") == ()


def test_sound_of_a_video_is_read(tmp_path):
    path = encode_video(tmp_path / "a.mp4", voice(), RATE)
    samples, warnings = read(path)
    lag, correlation = best_lag(samples[:, 0], voice()[:, 0], RATE)
    assert (lag, correlation > 0.9, warnings) == (0, True, ())
    for name in ("a.mkv", "a.wmv", "a.avi"):  # the pictures last longer
        _, warnings = read(encode_video(tmp_path / name, voice(seconds=0.3), RATE))
        assert warnings == ()


def test_a_file_without_sound_is_refused(tmp_path):
    path = encode_video(tmp_path / "a.mp4", None, RATE)
    with pytest.raises(AudioError, match=r"a\.mp4: holds no sound; expected an audio stream"):
        open_media(path)


def test_of_several_streams_the_first_is_read_with_a_warning(tmp_path):
    path = encode(tmp_path / "a.m4a", voice(), RATE, "aac", n_streams=2)
    samples, warnings = read(path)
    assert warnings == ("holds 2 audio streams; the first is read",)
    np.testing.assert_array_equal(samples, read(media(tmp_path, "b.m4a", "aac"))[0])


def test_reads_and_seeks_give_the_same_samples_as_one_read(tmp_path):
    path = media(tmp_path, "a.m4a", "aac")
    with open_media(path) as file:
        whole = file.read(10**6)
        assert file.tell() == len(whole)
        assert file.read(5).shape == (0, 1)
        for first in (5000, 300, 300, 12345):
            assert file.seek(first) == file.tell() == first
            np.testing.assert_array_equal(file.read(1000), whole[first : first + 1000])
        assert file.seek(10**7) == len(whole)
    np.testing.assert_array_equal(read(path)[0], whole)


@pytest.mark.parametrize("name", ["a.m4a", "b.webm", "c.wma", "d.aac", "e.amr", "f.mkv", "g.ac3"])
def test_the_duration_is_that_of_what_is_read(tmp_path, name):
    codec = {".webm": "libopus", ".wma": "wmav2", ".amr": "libopencore_amrnb", ".mkv": "flac", ".ac3": "ac3"}
    rate = {".amr": 8000, ".ac3": 48000}.get(Path(name).suffix, RATE)
    path = media(tmp_path, name, codec.get(Path(name).suffix, "aac"), rate)
    with open_media(path) as file:
        assert duration(path) == len(read(path)[0]) / file.samplerate
    assert duration(tmp_path / "none.m4a") is None


CUT = {
    "a.m4a": r"cut short: \d+ bytes expected, only \d+ are there",
    "b.webm": r"cut short: \d+ bytes expected, only \d+ are there",
    "c.mkv": r"cut short: \d+ bytes expected, only \d+ are there",
    "d.wma": r"cut short: \d+ bytes expected, only \d+ are there",
    "e.amr": r"cut short: its last frame ends at byte \d+, only \d+ are there",
    "f.aac": r"damaged after sample \d+",
    "g.ac3": r"damaged after sample \d+",
    "h.avi": r"cut short: \d+ bytes expected, only \d+ are there",
    "i.tta": r"damaged after sample \d+",
    "j.flv": r"cut short: \d+ bytes expected, only \d+ are there",
}
CODECS = {
    **{".m4a": "aac", ".webm": "libopus", ".mkv": "flac", ".wma": "wmav2", ".amr": "libopencore_amrnb", ".aac": "aac"},
    **{".ac3": "ac3", ".avi": "libmp3lame", ".tta": "tta", ".flv": "aac", ".mp4": "alac"},
}


def make(folder: Path, name: str, rate: int | None = None) -> Path:
    suffix = Path(name).suffix
    return media(folder, name, CODECS[suffix], rate or {".amr": 8000, ".ac3": 48000, ".flv": 44100}.get(suffix, RATE))


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_was_cut_is_refused(tmp_path, name):
    path = make(tmp_path, name)
    data = path.read_bytes()
    for share in (0.9, 0.61):
        path.write_bytes(data[: round(share * len(data)) | 1])
        with pytest.raises(AudioError, match=rf"{name}: {CUT[name]}"):
            read(path)
        assert duration(path) is None


def test_an_mp4_file_without_its_index_is_refused(tmp_path):
    path = make(tmp_path, "a.m4a")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(
        AudioError, match=r"a\.m4a: has no index \(moov\); expected one: the recording was never finish"
    ):
        open_media(path)


def test_a_file_cut_between_its_parts_is_read_with_a_warning(tmp_path):
    path = make(tmp_path, "a.flv")
    data = path.read_bytes()
    position = 13
    while position < len(data) // 3:  # along its tags
        position += 15 + int.from_bytes(data[position + 1 : position + 4], "big")
    path.write_bytes(data[:position])
    _, warnings = read(path)
    assert audio_warnings(path) == warnings  # which only reading to the end shows
    assert len(warnings) == 1
    assert warnings[0].startswith("its sound lasts 0.")
    assert "but the file announces 1.0" in warnings[0]


@pytest.mark.parametrize(("name", "muxer"), [("a.wma", "asf"), ("b.avi", "avi")])
def test_a_header_that_was_never_finished_is_a_warning(tmp_path, name, muxer):
    path = tmp_path / name
    with path.open("wb") as stream:
        pipe = SimpleNamespace(write=stream.write)  # cannot seek
        with av.open(pipe, "w", format=muxer) as container:
            encoder = container.add_stream(CODECS[path.suffix], rate=RATE, layout="mono")
            encoder.bit_rate = 96000
            frame = av.AudioFrame.from_ndarray(voice().T.copy(), format="flt", layout="mono")
            frame.sample_rate = RATE
            for packet in (*encoder.encode(frame), *encoder.encode(None)):
                container.mux(packet)
    samples, warnings = read(path)
    assert best_lag(samples[:, 0], voice()[:, 0], RATE)[1] > 0.9
    assert warnings == ("the header was never finished; read to the end of the file",)


@pytest.mark.parametrize("name", ["a.m4a", "b.mp4", "c.wma", "d.amr", "e.tta", "f.flv"])
def test_a_joined_file_of_which_the_first_is_read_warns_of_the_other(tmp_path, name):
    path = make(tmp_path, name)
    alone, _ = read(path)
    path.write_bytes(2 * path.read_bytes())
    samples, warnings = read(path)
    np.testing.assert_array_equal(samples, alone)
    assert len(warnings) == 1
    assert warnings[0].startswith("another recording ")


@pytest.mark.parametrize("name", ["a.aac", "b.ac3", "c.mkv", "d.webm", "e.avi"])
def test_other_joined_files_are_read_to_their_end(tmp_path, name):
    path = make(tmp_path, name)
    n_alone = len(read(path)[0])
    path.write_bytes(2 * path.read_bytes())
    samples, warnings = read(path)
    assert 2 * n_alone <= len(samples) < 2 * n_alone + 1200
    assert warnings == ()


@pytest.mark.parametrize("name", ["a.m4a", "b.webm", "c.wma", "d.aac", "e.amr", "f.mkv", "g.ac3", "h.tta"])
def test_a_tag_at_the_end_changes_nothing(tmp_path, name):
    path = make(tmp_path, name)
    alone, _ = read(path)
    path.write_bytes(path.read_bytes() + b"TAG" + b"A title".ljust(125))
    samples, warnings = read(path)
    np.testing.assert_array_equal(samples, alone)
    assert warnings == ()


def test_a_live_recording_that_gives_no_sizes_is_read(tmp_path):
    with av.open(str(tmp_path / "a.webm"), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(voice(1, 48000).T.copy(), format="flt", layout="mono")
        frame.sample_rate = 48000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    samples, warnings = read(tmp_path / "a.webm")
    assert best_lag(samples[:, 0], voice(1, 48000)[:, 0], 48000)[1] > 0.9
    assert warnings == ()


def test_a_rate_that_changes_is_refused(tmp_path):
    data = make(tmp_path, "a.aac").read_bytes() + make(tmp_path, "b.aac", 44100).read_bytes()
    (tmp_path / "c.aac").write_bytes(data)
    match = r"c\.aac: changes to 1 channels at 44100 Hz after sample \d+; expected 1 at 16000 Hz throughout"
    with pytest.raises(AudioError, match=match):
        read(tmp_path / "c.aac")


def test_no_file_makes_another_one_be_opened(tmp_path):
    sound = make(tmp_path, "a.aac")
    lists = {
        "hls.m4a": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{sound}\n#EXT-X-ENDLIST\n",
        "concat.m4a": f"ffconcat version 1.0\nfile {sound}\n",
        "session.m4a": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "concat:a.aac": "nothing",
        "http:": "nothing",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="not readable as audio"):
            open_media(tmp_path / name)


def test_a_name_that_is_not_text_is_no_hindrance(tmp_path):
    path = Path(str(tmp_path) + "/a\udcff: b.m4a")
    make(tmp_path, "a.m4a").rename(path)
    assert len(read(path)[0]) > 15000


@pytest.mark.parametrize("data", [b"", b"x", bytes(5000), b"#!AMR\n", b"\x1aE\xdf\xa3", b"RIFF", b"\0\0\0\0ftyp"])
def test_a_file_of_next_to_nothing_is_refused(tmp_path, data):
    path = tmp_path / "a.m4a"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.m4a: "):
        open_media(path)
    with pytest.raises(AudioError, match=r"missing\.m4a: not readable \(No such file"):
        open_media(tmp_path / "missing.m4a")


def test_without_the_extra_the_message_names_it_and_another_way(tmp_path, monkeypatch):
    path = make(tmp_path, "a voice.m4a")
    monkeypatch.setitem(sys.modules, "av", None)
    message = (
        f"{path}: not readable here: M4A needs the extra media (pip install 'speechgmm[media]'), "
        "or convert it: ffmpeg -i FILE NEW.wav"
    )
    with pytest.raises(AudioError) as error:
        open_media(path)
    assert str(error.value) == message


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path, capfd):
    rng = np.random.default_rng(5)
    originals = [make(tmp_path, f"a{suffix}").read_bytes() for suffix in CODECS]
    path = tmp_path / "damaged"
    n_refused = 0
    for k in range(220):
        data = bytearray(originals[k % len(originals)])
        where = rng.integers(0, (len(data), 400)[k % 2], rng.choice([1, 10, 100]))
        for place in where:
            data[place] = rng.choice([0, 127, 255, rng.integers(256)])
        if k % 3 == 0:
            del data[where[0] : where[0] + 200]
        path.write_bytes(data)
        error = fault(path)
        assert error is None or error.startswith(f"{path}: ")
        n_refused += error is not None
    assert 50 < n_refused < 220
    assert capfd.readouterr() == ("", "")  # FFmpeg prints nothing


def test_other_uses_of_pyav_keep_their_settings(tmp_path):
    level = av.logging.get_level()
    read(make(tmp_path, "a.m4a"))
    assert av.logging.get_level() == level


def test_only_float32_in_two_dimensions_is_given(tmp_path):
    with MediaFile(make(tmp_path, "a.m4a")) as file, pytest.raises(TypeError, match="int16 samples"):
        file.read(10, dtype="int16")
