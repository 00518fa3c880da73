"""In what a recording is unlike those that models have seen."""

import json
from dataclasses import replace

import pytest

from speechgmm.audio.condition import Condition, unusual_measures, usual_condition
from speechgmm.audio.seen import SeenConditions, distance, distances, summarise, unlike

USUAL = Condition(low=100.0, high=8000.0, level=-20.0, snr=30.0, clipped=0.0, decay=0.16, holes=0.0)
SEEN = summarise([replace(USUAL, snr=float(snr)) for snr in range(18, 39)], 16000)


def test_nothing_is_said_of_what_was_seen():
    assert unlike(USUAL, SEEN) == ()
    assert distance(USUAL, SEEN) == 0
    assert distances(replace(USUAL, snr=17.5), SEEN)["snr"] == pytest.approx(0.5)  # 19 dB at least, margin 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"snr": 9.0}, "noise: SNR 9 dB; the models know 19 to 37 dB; record closer to the microphone, or in a quieter "
                       "place"),
        ({"high": 3400.0}, "band: sound ends at 3,400 Hz; the models know 8,000 Hz; compare it with recordings of the "
                           "same channel, or record with the whole band"),
        ({"level": -52.0}, "level: speech at -52 dB of full scale; the models know -20 dB of full scale; adjust the "
                           "recording level"),
        ({"clipped": 0.034}, "clipping: clipped samples 3.4 %; the models know 0.0 %; record at a lower level"),
        ({"decay": 0.41}, "reverberation: sound fades in 0.41 s; the models know 0.00 to 0.16 s; record closer to the "
                          "microphone, or in a damped room"),
        ({"holes": 0.008}, "codec: silent bands 0.8 %; the models know 0.0 %; use the recording before compression"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_was_found_what_is_known_and_what_to_do(change, sentence):
    strange = replace(USUAL, **change)
    assert unlike(strange, SEEN) == (sentence,)
    assert distance(strange, SEEN) > 1


def test_both_ends_of_the_band_are_one_sentence():
    assert [each.partition(":")[0] for each in unlike(replace(USUAL, low=300.0, high=3400.0, snr=5.0), SEEN)] == [
        "band", "noise",
    ]  # fmt: skip


def test_nothing_is_said_of_fades_in_noise():
    assert distances(replace(USUAL, decay=0.5, snr=5.0), SEEN).keys() == SEEN.measures.keys() - {"decay"}


def test_far_is_what_runs_call_unusual():
    usual = usual_condition([USUAL] * 20)
    seen = summarise([USUAL] * 20, 16000)
    for snr in (5.0, 23.9, 24.0, 36.0, 36.1, 60.0):
        recording = replace(USUAL, snr=snr)
        assert {name for name, far in distances(recording, seen).items() if far > 1} == unusual_measures(
            recording, usual
        )


def test_a_summary_is_json_data():
    data = json.loads(json.dumps(SEEN.to_json()))
    assert SeenConditions.from_json(data) == SEEN
    assert data["measures"]["snr"] == {"median": 28.0, "least": 19.0, "most": 37.0}
    assert (data["sample_rate"], data["n_recordings"]) == (16000, 21)
    data["measures"]["colour"] = {"median": 1.0, "least": 0.0, "most": 2.0}  # of a later version
    assert SeenConditions.from_json(data) == SEEN


@pytest.mark.parametrize("broken", [{"median": 5.0}, {"median": 50.0, "least": 18.0, "most": 38.0}])
def test_a_damaged_summary_is_refused(broken):
    with pytest.raises((KeyError, ValueError)):
        SeenConditions.from_json(SEEN.to_json() | {"measures": {"snr": broken}})


def test_measures_that_one_side_lacks_are_not_compared():
    earlier = Condition(100.0, 8000.0, -20.0, 30.0)
    assert distances(earlier, SEEN).keys() == {"low", "high", "level", "snr"}
    assert unlike(replace(USUAL, decay=0.5), summarise([earlier] * 3, 16000)) == ()
