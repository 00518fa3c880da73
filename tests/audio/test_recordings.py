"""The report on recordings. Expected values follow from how the signals are made."""

import numpy as np
import pytest
import soundfile

from speechgmm.audio import recordings
from speechgmm.audio.condition import measure_condition
from speechgmm.audio.reading import audio_blocks
from speechgmm.audio.recordings import RecordingReport, UnreadableRecording, report
from speechgmm.audio.seen import summarise

RATE = 16000


def words(rng, rate=RATE, seconds=6.0):
    """Half a second of sound and half a second of near silence in turn."""
    time = np.arange(round(seconds * rate)) / rate
    return np.where(time % 1 < 0.5, 0.1, 0.0005) * rng.normal(size=len(time)).clip(-3, 3)


def test_a_recording_is_measured_at_its_own_rate(tmp_path, rng):
    samples = words(rng)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    (found,) = report([tmp_path / "a.wav"])
    assert (found.sample_rate, found.n_channels, found.seconds) == (RATE, 1, 6)
    assert found.speech_seconds == pytest.approx(3, abs=0.3)
    assert found.condition == measure_condition(samples.astype(np.float32), RATE)
    assert (found.remarks, found.unlike, found.distance) == ((), (), None)


def test_any_rate_and_number_of_channels_is_measured_as_what_was_seen(tmp_path, rng):
    seen = summarise([measure_condition(words(rng).astype(np.float32), RATE)] * 20, RATE)
    one = words(rng, 44100) * np.sqrt(44100 / RATE)  # as loud as the others below 8 kHz
    soundfile.write(tmp_path / "two.flac", np.column_stack([one * 1.5, one / 2]), 44100)
    soundfile.write(tmp_path / "narrow.wav", words(rng, 8000), 8000)
    two, narrow = report([tmp_path / "two.flac", tmp_path / "narrow.wav"], seen)
    assert (two.sample_rate, two.n_channels, two.unlike, two.distance) == (44100, 2, (), 0)
    assert two.condition.high == 8000
    assert narrow.condition.high == pytest.approx(4000, abs=130)
    assert narrow.remarks == ()  # its rate allows no more
    assert narrow.distance > 1
    assert narrow.unlike[0].startswith("band: sound ends at ")


def test_clipping_is_that_of_the_file_whatever_rate_is_compared(tmp_path, rng):
    seen = summarise([measure_condition(words(rng).astype(np.float32), RATE)] * 20, RATE)
    clipped = np.clip(words(rng, 22050), -0.05, 0.05)
    share = np.mean(np.abs(clipped) == 0.05)
    soundfile.write(tmp_path / "a.wav", clipped, 22050, subtype="FLOAT")
    (found,) = report([tmp_path / "a.wav"], seen)
    assert 0.5 * share < found.condition.clipped < share  # in runs of two and more
    assert f"clipped: {found.condition.clipped:.1%}" in found.remarks
    assert any(each.startswith("clipping: ") for each in found.unlike)


def test_what_cannot_be_used_is_listed_with_the_reason_and_the_rest_is_measured(tmp_path, rng):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "a.wav", words(rng), RATE)
    found = list(report(tmp_path / name for name in ("broken.wav", "gone.wav", "silent.wav", "a.wav")))
    assert [type(each) for each in found] == [UnreadableRecording] * 3 + [RecordingReport]
    assert found[0].reason.startswith("not readable as audio")
    assert [each.reason for each in found[1:3]] == [
        "no such audio file", "nothing but silence: all 16000 samples are 0",
    ]  # fmt: skip


def test_a_long_recording_is_read_in_blocks(tmp_path, rng, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.tile(words(rng), 30), RATE)  # 180 s
    lengths = []

    def counted(*args, **kwargs):
        blocks, rate = audio_blocks(*args, **kwargs)
        return (block for block in blocks if lengths.append(len(block)) is None), rate

    monkeypatch.setattr(recordings, "audio_blocks", counted)
    (found,) = report([tmp_path / "a.wav"])
    assert found.seconds == 180
    assert max(lengths) <= 60 * RATE


def test_remarks_are_made_of_poor_recordings(tmp_path, rng):
    soundfile.write(tmp_path / "a.wav", 0.01 * words(rng, seconds=2.0), RATE, subtype="FLOAT")
    (found,) = report([tmp_path / "a.wav"])
    assert [remark.partition(":")[0] for remark in found.remarks] == ["little speech", "faint"]
    soundfile.write(tmp_path / "a.wav", words(rng) + 0.05 * rng.normal(size=6 * RATE), RATE, subtype="FLOAT")
    (found,) = report([tmp_path / "a.wav"])
    assert [remark.partition(":")[0] for remark in found.remarks] == ["noisy"]
