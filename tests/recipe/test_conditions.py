"""Warnings about roles that were recorded in another condition than the background."""

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfiltfilt

from helpers.recipes import synthetic_corpus, write_recipe
from speechgmm import run
from speechgmm.audio.condition import Condition, measure_condition
from speechgmm.features.store.store import StoredUtterance, open_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.running.conditions import condition_warnings, differences

RATE = 16000
CLEAN = Condition(low=100.0, high=8000.0, level=-20.0, snr=30.0)
PHONE = replace(CLEAN, low=281.0, high=3500.0)


def store(conditions, kind=None):
    utterances = [StoredUtterance(f"u{n}", "", 0, 1, 1.0, 1.0, 0.0, (), each) for n, each in enumerate(conditions)]
    return SimpleNamespace(utterances=tuple(utterances), front_end={} if kind is None else {"kind": kind})


def roles(background, enrol, test):
    return {"": {"background": store(background), "enrol": store(enrol), "test": store(test)}}


def through_telephone(samples):
    return sosfiltfilt(butter(6, [300, 3400], "bandpass", fs=RATE, output="sos"), samples)


def through_mp3(samples):
    """24 kb/s: the bitrates at this sample rate are 160 kb/s down to 8."""
    coded = io.BytesIO()
    soundfile.write(coded, samples, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=136 / 152)
    coded.seek(0)
    return soundfile.read(coded)[0]


def at_10_db(rng, samples):
    noise = rng.normal(size=len(samples))
    power = np.square(samples).reshape(-1)
    speech = power[power > np.mean(power) / 100]
    return samples + noise * np.sqrt(np.mean(speech) / 10)


def test_each_difference_is_one_sentence():
    tests = [PHONE] * 5 + [CLEAN] * 5
    meaning = "calibration and error rates hold for recordings like the background's: add such recordings to it"
    assert condition_warnings(roles([CLEAN] * 20, [CLEAN] * 4, tests)) == (
        "tests unlike the background in band: 5 of 10 recordings have sound from 281 to 3,500 Hz, the background's "
        f"from 100 to 8,000 Hz (medians); {meaning}",
    )
    quiet, noisy = replace(CLEAN, level=-41.0), replace(CLEAN, snr=9.0)
    assert condition_warnings(roles([CLEAN] * 20, [quiet] * 4, [noisy] * 3)) == (
        "enrolment unlike the background in level: 4 of 4 recordings have speech at -41 dB of full scale, the "
        f"background's at -20 dB of full scale (medians); {meaning}",
        "tests unlike the background in noise: 3 of 3 recordings have speech 9 dB above the noise, the background's "
        f"30 dB above the noise (medians); {meaning}",
    )


def test_flaws_are_differences_too():
    usual = replace(CLEAN, clipped=0.0, decay=0.12, holes=0.0)
    rough = [replace(usual, clipped=0.012, decay=0.24, holes=0.01)] * 4
    assert differences(rough, [usual] * 20) == {
        "clipping": "4 of 4 recordings have clipped samples: 1.2%, the background's 0.0% (medians)",
        "reverberation": "4 of 4 recordings have sound that fades in 0.24 s, the background's 0.12 s (medians)",
        "codecs": "4 of 4 recordings have silent bands: 1.0%, the background's 0.0% (medians)",
    }
    assert differences([usual] * 4, rough * 5) == {}
    assert list(differences([replace(each, snr=10.0, clipped=0.0, holes=0.0) for each in rough], [usual] * 20)) == [
        "noise"  # which hides fades
    ]


def test_flaws_that_an_earlier_version_did_not_measure_are_not_compared(caplog):
    rough = [replace(CLEAN, clipped=0.012, decay=0.24, holes=0.01)] * 4
    assert differences(rough, [CLEAN] * 20) == {}
    assert differences([CLEAN] * 4, rough * 5) == {}
    with caplog.at_level("INFO"):
        assert condition_warnings(roles([CLEAN] * 20, rough, rough)) == ()
    assert len(caplog.messages) == 1


def test_without_a_background_the_tests_are_compared_with_the_enrolment():
    (warning,) = condition_warnings(roles([], [CLEAN] * 20, [PHONE] * 4))
    assert warning.startswith("tests unlike the enrolment in band: 4 of 4 recordings have sound from 281 to 3,500 Hz")
    assert condition_warnings(roles([], [CLEAN] * 20, [CLEAN] * 4)) == ()


@pytest.mark.parametrize(
    ("n_phone", "n_clean", "differ"), [(15, 85, True), (14, 86, False), (2, 8, False), (2, 0, True), (1, 0, True)]
)
def test_one_recording_in_seven_makes_a_difference_and_one_or_two_among_others_do_not(n_phone, n_clean, differ):
    assert bool(differences([PHONE] * n_phone + [CLEAN] * n_clean, [CLEAN] * 20)) == differ


def test_what_varies_as_much_in_the_background_is_no_difference():
    background = [replace(CLEAN, level=float(level)) for level in range(-45, -5)]
    assert differences([replace(CLEAN, level=-40.0)] * 10, background) == {}
    assert list(differences([replace(CLEAN, level=-44.5)] * 10, background)) == ["level"]
    assert list(differences(background, [CLEAN] * 20)) == ["level"]


def test_few_recordings_do_not_show_what_is_usual():
    assert differences([PHONE] * 10, [CLEAN] * 19) == {}
    assert differences([], [CLEAN] * 20) == {}


def test_a_difference_that_several_systems_see_is_said_once():
    one = roles([CLEAN] * 20, [CLEAN] * 4, [PHONE] * 4)[""]
    narrow = replace(CLEAN, high=4000.0)
    other = roles([narrow] * 20, [narrow] * 4, [replace(narrow, level=-50.0, low=281.0)] * 4)[""]
    aspects = [re.match("tests unlike the background in (.*?):", each)[1]
               for each in condition_warnings({"one": one, "other": other})]  # fmt: skip
    assert aspects == ["band", "level"]


def test_nothing_is_said_of_recordings_that_were_not_measured(caplog):
    imported = {role: store([None] * 30, "given") for role in ("background", "enrol", "test")}
    with caplog.at_level("INFO"):
        assert condition_warnings({"": imported}) == ()
        assert caplog.messages == []
        assert condition_warnings(roles([None] * 30, [CLEAN] * 20, [PHONE] * 20)) == ()
    assert caplog.messages == [
        "features that an earlier version stored lack some measures of recordings: --from features measures them"
    ]


def test_a_run_warns_of_tests_through_a_telephone(tmp_path):
    recipe = write_recipe(tmp_path, synthetic_corpus(n_background=10, n_enrol=1, seconds=1.5))
    clean = run(recipe, results=tmp_path, engine=Engine("serial"), until_stage="features")
    assert not [warning for warning in clean.warnings if "unlike" in warning]
    (made,) = (tmp_path / ".cache" / "corpus").iterdir()
    made.rename(tmp_path / "corpus")
    for path in (tmp_path / "corpus").glob("*/*-test-*.flac"):
        soundfile.write(path, through_telephone(soundfile.read(path)[0]), RATE)
    recipe = write_recipe(tmp_path, "corpus: {kind: kaldi, root: corpus}\n", "narrow.yaml")
    narrow = run(recipe, results=tmp_path, engine=Engine("serial"), until_stage="features")
    (warning,) = (warning for warning in narrow.warnings if "unlike" in warning)
    assert warning.startswith("tests unlike the background in band: 8 of 8 recordings ")
    assert warning in (narrow.folder / "log.txt").read_text()
    stored = open_store(next(each.folder for each in narrow.stages if each.title == "features of test"))
    assert max(each.condition.high for each in stored.utterances) < 5000


@pytest.mark.parametrize("corpus", ["so762", "libri"])
def test_degraded_copies_of_real_tests_are_noticed_and_the_tests_are_not(speech_data, corpus, rng):
    def samples_of(role, step):
        lines = (speech_data / corpus / "lists" / role / "wav.scp").read_text().splitlines()
        return [soundfile.read(speech_data / corpus / line.split()[1])[0] for line in lines[::step]]

    def conditions(recordings):
        return [measure_condition(samples.astype(np.float32), RATE) for samples in recordings]

    background, tests = conditions(samples_of("background", 4)), samples_of("test", 4)
    assert differences(conditions(tests), background) == {}
    assert differences(conditions(samples_of("enrol", 4)), background) == {}
    for aspect, degraded in {
        "band": [through_telephone(each) for each in tests],
        "level": [0.1 * each for each in tests],
        "noise": [at_10_db(rng, each) for each in tests],
    }.items():
        assert list(differences(conditions(degraded), background)) == [aspect]
    coded = conditions([through_mp3(each) for each in tests[:5]])
    assert list(differences(coded, background)) == ["band", "codecs"]
