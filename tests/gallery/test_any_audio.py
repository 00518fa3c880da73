"""A gallery that meets audio of another rate, several channels or a narrow band. Frames come from `extract`."""

import shutil
import warnings

import numpy as np
import pytest
import soundfile

from helpers.voices import enrolment, spoken
from speechgmm import FeatureConfig, extract, load_gmm, save_gmm
from speechgmm.audio.samples import resample
from speechgmm.errors import AudioWarning
from speechgmm.gallery.enrolled_recordings import enrolled_recordings
from speechgmm.gallery.enrolment import create_gallery, enrol, record_each
from speechgmm.gallery.gallery import Gallery, hear
from speechgmm.gallery.recognition import identify_recordings, identify_speaker, verify_recordings
from speechgmm.gallery.timeline import make_timeline
from speechgmm.scoring.identification import IdentificationConfig

CLOSED = IdentificationConfig(p_unknown=0.0)


@pytest.fixture(scope="module")
def filled(voices, tmp_path_factory):
    gallery = create_gallery(tmp_path_factory.mktemp("any") / "gallery", voices / "results" / "ubm.safetensors")
    for speaker in ("f001", "m002"):
        enrol(gallery, speaker, [gallery.record(path) for path in enrolment(voices, speaker)])
    return gallery


@pytest.fixture
def gallery(filled, tmp_path):
    return Gallery(shutil.copytree(filled.folder, tmp_path / "gallery"))


@pytest.fixture
def samples(voices):
    return soundfile.read(spoken(voices, "f001")[0], dtype="float32")[0]


def at_rate(path, samples, rate):
    soundfile.write(path, resample(samples, 16000, rate), rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_audio_of_a_higher_rate_is_resampled(filled, samples, tmp_path, rate):
    path = at_rate(tmp_path / "a.wav", samples, rate)
    read = filled.read(path)
    np.testing.assert_array_equal(read.frames, extract(path, FeatureConfig(resample=True)))
    assert read.audio.sample_rate == rate
    assert read.seconds == pytest.approx(len(samples) / 16000, abs=1e-3)
    assert identify_speaker(filled, read.frames, CLOSED).answer == "f001"


@pytest.mark.parametrize(("rate", "bound"), [(8000, "4.0"), (11025, "5.5")])
def test_audio_of_a_rate_too_low_for_the_filters_is_resampled_and_warned_of(filled, samples, tmp_path, rate, bound):
    path = at_rate(tmp_path / "a.wav", samples, rate)
    message = rf"a\.wav: holds sound up to {bound} kHz only, and the features of this gallery reach 7.6 kHz"
    with pytest.warns(AudioWarning, match=message):
        read = filled.read(path)
    with pytest.warns(AudioWarning, match=message):
        filled.record(path)
    again = resample(soundfile.read(path, dtype="float32")[0], rate, 16000)
    np.testing.assert_array_equal(read.frames, extract(again))
    assert (len(read.warnings), read.seconds) == (1, pytest.approx(len(samples) / 16000, abs=1e-3))


def test_a_narrow_band_in_a_file_of_the_right_rate_is_warned_of(filled, samples, tmp_path):
    narrow = resample(resample(samples, 16000, 8000), 8000, 16000)
    soundfile.write(tmp_path / "a.wav", narrow, 16000)
    with pytest.warns(AudioWarning, match=r"holds sound up to (3\.9|4\.\d) kHz only"):
        filled.read(tmp_path / "a.wav")


def test_audio_that_fits_gives_the_same_frames_and_no_warning(voices, filled):
    for speaker in ("f001", "m002", "f003", "m004"):
        for path in (*enrolment(voices, speaker), *spoken(voices, speaker)):
            read = filled.read(path)
            np.testing.assert_array_equal(read.frames, extract(path))
            assert (read.warnings, read.audio.channel, read.audio.sample_rate) == ((), None, 16000)


def test_a_gallery_for_the_telephone_takes_wide_audio_without_a_warning(voices, tmp_path, samples):
    front_end = FeatureConfig(sample_rate=8000, high_frequency=3700)
    path = voices / "results" / "ubm.safetensors"
    save_gmm(tmp_path / "ubm", load_gmm(path), front_end=front_end.model_dump(mode="json"))
    gallery = create_gallery(tmp_path / "g", tmp_path / "ubm")
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    assert gallery.read(tmp_path / "a.wav").warnings == ()
    np.testing.assert_array_equal(
        gallery.read(tmp_path / "a.wav").frames, extract(resample(in_file(tmp_path / "a.wav"), 16000, 8000), front_end)
    )


def in_file(path):
    return soundfile.read(path, dtype="float32")[0]


def test_every_way_to_read_takes_any_audio_and_says_what_it_made_of_it(gallery, samples, tmp_path):
    two = np.stack([resample(samples, 16000, 8000)] * 2, axis=1)
    soundfile.write(tmp_path / "two.wav", two, 8000, subtype="FLOAT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recordings, unusable = record_each(gallery, [tmp_path / "two.wav"])
        answers = identify_recordings(gallery, [tmp_path / "two.wav"], CLOSED)
        decisions = verify_recordings(gallery, "f001", [tmp_path / "two.wav"])
        heard = hear(gallery, tmp_path / "two.wav")
    assert not unusable
    assert answers.answers[0].audio == decisions.decisions[0].audio == heard.audio == recordings[0].audio
    assert (heard.audio.sample_rate, heard.audio.channel, heard.audio.bandwidth) == (8000, "mean", 4000)
    assert answers.answers[0].warnings == decisions.decisions[0].warnings == heard.warnings
    assert make_timeline(gallery, heard, 60.0, CLOSED).answers == (answers.answers[0].name,)
    enrol(gallery, "Ann", recordings)
    assert gallery.speaker("Ann").recordings[0].audio is None


def test_names_with_the_same_recordings_tie_and_are_no_answer(voices, gallery):
    recordings = [gallery.record(path) for path in enrolment(voices, "f001")]
    enrol(gallery, "again", recordings[::-1])
    test = spoken(voices, "f001")[0]
    read = gallery.read(test)
    found = identify_speaker(gallery, read.frames, CLOSED)
    assert (found.answer, found.tied) == (None, ("again", "f001"))
    (answer,) = identify_recordings(gallery, [test], IdentificationConfig(threshold=0.0)).answers
    assert (answer.decided, answer.name, answer.tied) == (True, None, ("again", "f001"))
    timeline = make_timeline(gallery, read, 60.0, CLOSED)
    assert (timeline.answers, timeline.tied) == (("unknown",), (("again", "f001"),))
    other = identify_speaker(gallery, gallery.read(spoken(voices, "m002")[0]).frames, CLOSED)
    assert (other.answer, other.tied) == ("m002", ())
    shared = {names for names in enrolled_recordings(gallery).speakers.values() if len(names) > 1}
    assert shared == {("again", "f001")}


def test_windows_are_scored_in_blocks_with_the_same_scores(filled, voices, monkeypatch):
    read = filled.read(spoken(voices, "f001")[0])
    whole = make_timeline(filled, read, 0.2, CLOSED)
    seen = []
    monkeypatch.setattr("speechgmm.gallery.recognition.TESTS_AT_ONCE", 3)
    pieces = make_timeline(filled, read, 0.2, CLOSED, on_scored=lambda *numbers: seen.append(numbers))
    np.testing.assert_array_equal(pieces.scores, whole.scores)
    n = int(np.isfinite(whole.scores[:, 0]).sum())
    assert [done for done, _ in seen] == [*range(3, n, 3), n]
    assert {total for _, total in seen} == {n}


def test_a_recording_in_an_archive_has_a_digest_of_its_own(filled, voices, tmp_path):
    from speechgmm.gallery.audio import audio_digest

    places, data = [], b""
    for speaker in ("f001", "m002"):
        soundfile.write(tmp_path / "one.wav", in_file(spoken(voices, speaker)[0]), 16000)
        data += f"{speaker} ".encode()
        places.append(tmp_path / f"wav.ark:{len(data)}")
        data += (tmp_path / "one.wav").read_bytes()
    (tmp_path / "wav.ark").write_bytes(data)
    assert len({audio_digest(place) for place in places}) == 2
    (answer,) = identify_recordings(filled, places[1:], CLOSED).answers
    assert answer.name == "m002"
