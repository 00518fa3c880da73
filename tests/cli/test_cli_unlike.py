"""Recordings unlike those of the models: `identify`, `timeline` and `listen` say it, and ratios are smaller."""

import json

import numpy as np
import pytest
import soundfile

from helpers.colours import COLOURS, LOCAL, noise
from helpers.commands import message_of, speechgmm
from speechgmm import TrainingConfig, create_gallery, enrol, extract, save_gmm, train
from speechgmm.audio.condition import Condition, measure_condition
from speechgmm.audio.seen import distance, summarise
from speechgmm.gallery.config_file import config_text
from speechgmm.gallery.gallery import Gallery, hear
from speechgmm.gallery.recognition import identify_recordings
from speechgmm.gallery.timeline import make_timeline
from speechgmm.scoring.calibration import LinearCalibration
from speechgmm.scoring.identification import IdentificationConfig

CLOSED = IdentificationConfig(p_unknown=0.0)
SEEN = summarise([Condition(low=62.5, high=8000.0, level=-5.0, snr=60.0)], 16000)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A gallery that knows loud recordings only, the same without that knowledge, and a meeting that is not as loud."""
    folder, rng = tmp_path_factory.mktemp("unlike"), np.random.default_rng(5)
    for name, colour in COLOURS.items():
        soundfile.write(folder / f"{name}.wav", noise(rng, colour, 4), 16000)
    ubm = train([extract(folder / f"{name}.wav", LOCAL) for name in COLOURS],
                TrainingConfig(n_components=2, n_iterations=2)).gmm  # fmt: skip
    save_gmm(folder / "ubm", ubm, front_end=LOCAL.model_dump(mode="json"))
    map_ = LinearCalibration(weights=(3.0,), offset=0.0).model_dump(mode="json")
    (folder / "calibration.json").write_text(json.dumps({"calibration": map_}))
    for kind in ("plain", "known"):
        gallery = create_gallery(folder / kind, folder / "ubm", calibration=folder / "calibration.json")
        for name in COLOURS:
            enrol(gallery, name, [gallery.record(folder / f"{name}.wav")])
    facts = {"recorded": SEEN.to_json(), "trained": SEEN.to_json()}
    recogniser = gallery.config.first_recogniser.model_copy(update=facts)
    config = gallery.config.model_copy(update={"recognisers": {"": recogniser}})
    (folder / "known" / "gallery.json").write_text(config_text(config))
    turns = [noise(rng, COLOURS[name], 4) for name in ("ann", "bo", "ann", "bo")]
    soundfile.write(folder / "meeting.wav", np.concatenate(turns), 16000)
    return folder


@pytest.fixture(autouse=True)
def _in_the_room(room, monkeypatch):
    monkeypatch.chdir(room)


def timeline(gallery):
    return make_timeline(gallery, hear(gallery, "meeting.wav"), 1.5, CLOSED, hop=0.5)


def test_a_timeline_is_as_doubtful_as_one_answer(tmp_path):
    known, plain = Gallery("known"), Gallery("plain")
    far = distance(measure_condition(soundfile.read("meeting.wav", dtype="float32")[0], 16000), SEEN)
    assert hear(known, "meeting.wav").audio.distance == far > 1.5
    weak, usual = timeline(known), timeline(plain)
    np.testing.assert_allclose(weak.scores, usual.scores / far)
    np.testing.assert_array_equal(weak.ranks, usual.ranks)
    (answer,), (doubted,) = (identify_recordings(each, ["meeting.wav"], CLOSED).answers for each in (plain, known))
    assert doubted.candidates[0].llr == pytest.approx(answer.candidates[0].llr / far)
    out = tmp_path / "meeting.json"
    done = speechgmm("gallery", "timeline", "known", "meeting.wav", "--json", "--out", out)
    assert done.stderr == speechgmm("gallery", "identify", "known", "meeting.wav").stderr
    assert done.stderr == f"warning: meeting.wav: {doubted.warnings[0]}\n"
    assert json.loads(done.stdout)["warnings"] == json.loads(out.read_text())["warnings"] == list(doubted.warnings)
    done = speechgmm("gallery", "timeline", "plain", "meeting.wav", "--json", "--out", out)
    assert (done.stderr, "warnings" in json.loads(done.stdout)) == ("", False)


def test_listening_warns_once_and_ratios_come_closer_to_those_of_the_timeline(tmp_path):
    """Hops that are answered before 10 s are those of a timeline that knows nothing, and the last ones its own."""
    out = tmp_path / "live.json"
    done = speechgmm(
        *("gallery", "listen", "known", "--file", "meeting.wav", "--closed-set", "--lag", "0", "--json", "--out", out)
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: meeting.wav: level: speech at -")
    assert [f"warning: meeting.wav: {each}" for each in json.loads(out.read_text())["warnings"]] == warnings
    known, plain = timeline(Gallery("known")), timeline(Gallery("plain"))
    names = [line["speaker"] for line in lines]
    assert {"ann", "bo"} == set(names)
    columns = [known.names.index(name) for name in names]
    scores = np.array([line["score"] for line in lines])
    rows = np.arange(len(scores))
    early, last = np.array([line["end"] for line in lines]) < 9.0, len(lines) - 1
    np.testing.assert_allclose(scores[early], plain.scores[rows, columns][early], atol=1e-6)
    assert scores[last] == pytest.approx(known.scores[last, columns[last]], abs=1e-6)
    assert scores[last] < plain.scores[last, columns[last]] / 1.5


def test_listening_to_silence_warns_of_nothing():
    silence = np.zeros(12 * 16000)
    soundfile.write("silence.wav", silence, 16000)
    done = speechgmm("gallery", "listen", "known", "--file", "silence.wav")
    assert (done.exit_code, message_of(done)) == (0, "heard: 0:00:12.0, no speech")
