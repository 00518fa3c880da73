"""``speechgmm gallery``, as a person and a program meet it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.commands import message_of, remarks_of
from helpers.paths import ROOT
from helpers.voices import enrolment, spoken
from speechgmm import FeatureConfig, extract, load_gmm, save_gmm
from speechgmm.cli import app
from speechgmm.cli.gallery_output import show_speakers, warn_of_short
from speechgmm.gallery.cohort import Cohort, save_cohort
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.recognition import identify_speaker, verify_speaker
from speechgmm.gallery.speakers import EnrolledSpeaker
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.scoring.calibration import LinearCalibration
from speechgmm.scoring.identification import IdentificationConfig


def gallery(*arguments):
    """Run the command in this process."""
    return CliRunner().invoke(app, ["gallery", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"})


def check_refused(done, message):
    assert done.exit_code == 2
    assert message in message_of(done)
    assert done.stdout == ""


@pytest.fixture(scope="module")
def filled(voices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "gallery"
    assert gallery("create", voices / "results", "--out", folder).exit_code == 0
    for name, speaker in (("Ann", "f001"), ("Bo", "m002"), ("Cat", "f003")):
        assert gallery("enrol", folder, name, *enrolment(voices, speaker)).exit_code == 0
    return folder


@pytest.fixture
def folder(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "gallery")


@pytest.fixture
def bad(voices, tmp_path):
    """Recordings that cannot be used, and what is said of each."""
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "still.wav", np.zeros(16000), 16000)
    return {
        tmp_path / "text.wav": "not readable as audio",
        tmp_path / "still.wav": "nothing but silence: all 16000 samples are 0",
        tmp_path / "none.wav": "no such audio file",
    }


def test_the_story(voices, tmp_path, monkeypatch):
    """Create, enrol three, identify a fourth as unknown, extend one, forget one."""
    monkeypatch.chdir(tmp_path)
    done = gallery("create", voices / "results", "--out", "team")
    assert done.stdout == (
        "team: gallery of 16 components over 72 features, audio at 16000 Hz; scores in nats per frame, not calibrated\n"
    )
    assert gallery("list", "team").stdout == "team: no speaker is enrolled\n"
    for name, speaker in (("Ann", "f001"), ("Bo", "m002"), ("Cat", "f003")):
        done = gallery("enrol", "team", name, *enrolment(voices, speaker))
        assert re.fullmatch(rf"{name}: enrolled with 3 recordings, \d+\.\d s of speech\n", done.stdout)
        assert (done.exit_code, remarks_of(done)) == (0, "")
    tests = [spoken(voices, speaker)[0] for speaker in ("f001", "m002", "f003", "m004")]
    done = gallery("identify", "team", *tests, "--threshold", 0.5, "--top", 1)
    answers = [line.split()[1] for line in done.stdout.splitlines()[2:6]]
    assert answers == ["Ann", "Bo", "Cat", "unknown"]
    assert "score: log-likelihood ratio, nats per frame, not calibrated\n" in done.stdout
    assert "answer: the best candidate from a score of +0.50 on\n" in done.stdout
    done = gallery("extend", "team", "Ann", spoken(voices, "f001")[1])
    assert done.stdout.startswith("Ann: 1 added, now 4 recordings, ")
    assert gallery("forget", "team", "Bo").stdout == "Bo: forgotten\n"
    assert [line.split()[:2] for line in gallery("list", "team").stdout.splitlines()[2:]] == [
        ["Ann", "4"],
        ["Cat", "3"],
    ]
    done = gallery("identify", "team", tests[1], "--threshold", 0.5)
    assert done.stdout.splitlines()[2].split()[1] == "unknown"


def test_documents_for_programs_hold_what_the_functions_give(voices, filled):
    opened = Gallery(filled)
    test = spoken(voices, "m002")[0]
    read = opened.read(test)
    done = gallery("identify", filled, test, "--threshold", 0.5, "--json", "--top", 2)
    assert (done.exit_code, remarks_of(done)) == (0, "")
    data = json.loads(done.stdout)
    expected = identify_speaker(opened, read.frames, IdentificationConfig(threshold=0.5))
    assert (data["calibrated"], data["score_unit"], data["threshold"]) == (False, "nats per frame, not calibrated", 0.5)
    (recording,) = data["recordings"]
    assert recording["answer"] == expected.answer == "Bo"
    assert recording["file"] == str(test)
    assert recording["speech_seconds"] == read.speech_seconds
    assert recording["p_unknown"] is None
    assert recording["candidates"] == [
        {"name": one.name, "score": one.llr, "posterior": None} for one in expected.candidates[:2]
    ]
    data = json.loads(gallery("verify", filled, "Bo", test, "--json").stdout)
    assert data["score"] == verify_speaker(opened, "Bo", read.frames).score
    assert (data["threshold"], data["accepted"], data["short"]) == (None, None, False)
    data = json.loads(gallery("list", filled, "--json").stdout)
    assert [speaker["name"] for speaker in data["speakers"]] == ["Ann", "Bo", "Cat"]
    assert [each["file"] for each in data["speakers"][0]["recordings"]] == [p.name for p in enrolment(voices, "f001")]


def test_without_a_threshold_there_is_a_ranking_and_no_answer(voices, filled):
    test = spoken(voices, "f001")[0]
    done = gallery("identify", filled, test)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split()[1:4] == ["-", "1", "Ann"]
    assert "no answers, because the gallery is not calibrated: give the least score" in done.stdout
    assert "with --threshold, or answer the best speaker with --closed-set" in done.stdout
    (recording,) = json.loads(gallery("identify", filled, test, "--json").stdout)["recordings"]
    assert (recording["decided"], recording["answer"], len(recording["candidates"])) == (False, None, 3)
    done = gallery("identify", filled, spoken(voices, "m004")[0], "--closed-set", "--top", 1)
    assert done.stdout.splitlines()[2].split()[1] in ("Ann", "Bo", "Cat")
    assert "no answers" not in done.stdout
    assert "no decision on Ann: log-likelihood ratio +" in gallery("verify", filled, "Ann", test).stdout


def test_a_decision_is_not_an_exit_status(voices, filled):
    test = spoken(voices, "f001")[0]
    done = gallery("verify", filled, "Ann", test, "--threshold", 0.5)
    assert (done.exit_code, "accepted as Ann" in done.stdout) == (0, True)
    assert done.stdout.endswith("threshold +0.50; nats per frame, not calibrated\n")
    done = gallery("verify", filled, "Bo", test, "--threshold", 0.5)
    assert (done.exit_code, "rejected as Bo" in done.stdout) == (0, True)


def test_a_calibrated_gallery_has_posteriors_and_needs_no_threshold(voices, results, tmp_path):
    calibration = LinearCalibration(weights=(5.0,), offset=-2.0)
    facts = {"trained_on": "others", "n_target": 20, "n_nontarget": 380}
    (results / "calibration.json").write_text(json.dumps({"calibration": calibration.model_dump(mode="json")} | facts))
    done = gallery("create", results, "--out", tmp_path / "g")
    first, rule = done.stdout.splitlines()
    assert first.endswith("scores in nats, calibrated")
    assert rule == (
        "verify accepts from +0.00 nats on, where a miss and a false alarm count the same: c_miss 1, c_fa 1, "
        "p_target 0.5 (decisions in gallery.json)"
    )
    for name, speaker in (("Ann", "f001"), ("Bo", "m002")):
        gallery("enrol", tmp_path / "g", name, *enrolment(voices, speaker))
    done = gallery("identify", tmp_path / "g", spoken(voices, "f001")[0], spoken(voices, "m004")[0])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[1] for line in lines if ".flac" in line[:1].__str__()] == ["Ann", "unknown"]
    assert "posterior: with a prior of 50% for unknown, the rest shared by all speakers" in done.stdout
    data = json.loads(gallery("identify", tmp_path / "g", spoken(voices, "f001")[0], "--json").stdout)
    (recording,) = data["recordings"]
    total = recording["p_unknown"] + sum(one["posterior"] for one in recording["candidates"])
    assert total == pytest.approx(1)
    said = gallery("verify", tmp_path / "g", "Ann", spoken(voices, "f001")[0]).stdout
    assert "accepted as Ann: " in said
    assert "of 100" not in said  # a calibration of an earlier version does not know
    data = json.loads(gallery("verify", tmp_path / "g", "Ann", spoken(voices, "m004")[0], "--json").stdout)
    assert (data["accepted"], data["threshold"]) == (False, 0)


@pytest.mark.parametrize(
    ("overrides", "facts", "said"),
    [
        (["decision.costs.c_fa=3"], {}, "+5.69 nats on, where decisions cost least: c_miss 1, c_fa 3, p_target 0.01 ("),
        (["decision.method=eer"], {"threshold": 1.5}, "+1.50 nats on, the threshold that the run has learnt ("),
    ],
)
def test_create_says_from_which_score_on_verify_accepts(results, tmp_path, overrides, facts, said):
    (results / "recipe.yaml").write_text(dump_recipe(load_recipe(results / "recipe.yaml", overrides)))
    calibration = LinearCalibration(weights=(5.0,)).model_dump(mode="json")
    (results / "calibration.json").write_text(json.dumps({"calibration": calibration} | facts))
    assert f"verify accepts from {said}" in gallery("create", results, "--out", tmp_path / "g").stdout


def test_verify_says_how_many_decisions_are_wrong(voices, results, tmp_path):
    calibration = LinearCalibration(weights=(5.0,), offset=-2.0).model_dump(mode="json")
    errors = {"thresholds": [-1.0, 1.0, 5.0], "p_miss": [0.0, 0.2, 0.6], "p_fa": [0.07, 0.01, 0.0]}
    facts = {"calibration": calibration, "n_target": 20, "n_nontarget": 380, "decision_errors": errors}
    (results / "calibration.json").write_text(json.dumps(facts))
    gallery("create", results, "--out", tmp_path / "g")
    gallery("enrol", tmp_path / "g", "Ann", *enrolment(voices, "f001"))
    test, stranger = spoken(voices, "f001")[0], spoken(voices, "m004")[0]

    def said(*words):
        return gallery("verify", tmp_path / "g", "Ann", *words).stdout.splitlines()[-1]

    expected = (
        "decisions: at c_miss 1, c_fa 1, p_target 0.5, of 100 recordings of the right speaker about 10 are rejected, "
        "of 100 of others about 4 are accepted (on the trials of the calibration)"
    )
    assert (said(test), said(test, stranger)) == (expected, expected)
    assert said(test, "--threshold", 4).startswith(
        "decisions: at this threshold, of 100 recordings of the right speaker about 50 are rejected, of 100 of others "
        "fewer than 1 is accepted ("
    )
    assert "of 100" not in said(test, "--threshold", 6)  # beyond the table
    assert json.loads(gallery("verify", tmp_path / "g", "Ann", test, "--json").stdout)["threshold"] == 0
    (results / "calibration.json").write_text(
        json.dumps(facts | {"decision_errors": {**errors, "p_miss": [0.5, 2, 3]}})
    )
    gallery("create", results, "--out", tmp_path / "bad")
    gallery("enrol", tmp_path / "bad", "Ann", *enrolment(voices, "f001"))
    done = gallery("verify", tmp_path / "bad", "Ann", test)
    assert done.exit_code == 2
    assert "calibration.json: decision_errors.p_miss.1: Input should be less than or equal to 1" in message_of(done)


def test_recordings_that_cannot_be_used_are_named_and_the_others_are(voices, folder, bad):
    good = enrolment(voices, "m004")[0]
    done = gallery("enrol", folder, "Dan", *bad, good)
    assert done.exit_code == 3
    assert done.stdout.startswith("Dan: enrolled with 1 recording, ")
    assert "error: 3 recordings could not be used:" in done.stderr
    for path, reason in bad.items():
        assert f"  {path}: {reason}" in done.stderr
    done = gallery("extend", folder, "Dan", enrolment(voices, "m004")[1], good)
    assert done.exit_code == 3
    assert f"{good}: the same recording as {good.name}, which is there already" in done.stderr
    assert len(Gallery(folder).speaker("Dan").recordings) == 2
    done = gallery("identify", folder, *bad, good, "--json", "--closed-set")
    assert done.exit_code == 3
    data = json.loads(done.stdout)
    assert [each["file"] for each in data["recordings"]] == [str(good)]
    assert [each["file"] for each in data["unusable"]] == [*map(str, bad)]


def test_where_none_can_be_used_nothing_is_done(voices, folder, bad):
    for arguments in (("enrol", folder, "Dan", *bad), ("extend", folder, "Ann", *bad), ("identify", folder, *bad)):
        done = gallery(*arguments)
        check_refused(done, "none of 3 recordings could be used:")
        assert "still.wav: nothing but silence" in message_of(done)
    check_refused(gallery("extend", folder, "Ann", enrolment(voices, "f001")[0]), "which is there already")
    for path, reason in bad.items():
        check_refused(gallery("verify", folder, "Ann", path, "--json"), reason)
        check_refused(gallery("timeline", folder, path), reason)
    assert Gallery(folder).names == ("Ann", "Bo", "Cat")


def test_where_none_can_be_identified_there_is_a_document_all_the_same(folder, bad):
    path = folder / "speakers" / "Bo.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    done = gallery("identify", folder, *bad, "--json")
    assert done.exit_code == 2
    assert "still.wav: nothing but silence" in message_of(done)
    data = json.loads(done.stdout)
    assert data["recordings"] == []
    assert [each["file"] for each in data["unusable"]] == [*map(str, bad)]
    assert [each["file"] for each in data["damaged"]] == [str(path)]


def test_a_damaged_speaker_is_named_and_the_others_are_used(voices, folder, tmp_path):
    path = folder / "speakers" / "Bo.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    test = spoken(voices, "f001")[0]
    for arguments in (
        ("list", folder),
        ("identify", folder, test),
        ("timeline", folder, test, "--out", tmp_path / "t.svg"),
    ):
        done = gallery(*arguments)
        assert done.exit_code == 3
        assert f"error: 1 speaker could not be used: {path}: damaged" in message_of(done)
        assert "Ann" in done.stdout
        done = gallery(*arguments, "--json")
        assert done.exit_code == 3
        assert [each["file"] for each in json.loads(done.stdout)["damaged"]] == [str(path)]
    assert gallery("verify", folder, "Ann", test).exit_code == 0
    check_refused(gallery("verify", folder, "Bo", test), f"{path}: damaged")
    assert gallery("forget", folder, "Bo").exit_code == 0
    assert gallery("list", folder).exit_code == 0


def test_little_speech_is_warned_of_flagged_and_scored(voices, folder, tmp_path):
    samples, rate = soundfile.read(spoken(voices, "f001")[0])
    soundfile.write(tmp_path / "short.wav", samples[:rate], rate)
    done = gallery("identify", folder, tmp_path / "short.wav", "--threshold", -9, "--top", 1)
    assert done.exit_code == 0
    assert re.search(
        r"warning: .*short\.wav: 0\.\d s of speech, less than the 2 s that this gallery asks for", message_of(done)
    )
    assert f"{tmp_path / 'short.wav'} (short)" in done.stdout
    done = gallery("identify", folder, tmp_path / "short.wav", "--json")
    assert json.loads(done.stdout)["recordings"][0]["short"] is True
    done = gallery("enrol", folder, "Dan", tmp_path / "short.wav")
    assert done.exit_code == 0
    assert "warning: Dan: 0." in done.stderr
    assert "less than 2 s" in gallery("list", folder).stdout


@pytest.mark.parametrize(("seconds", "written"), [(1.98, "1.98"), (1.9, "1.9"), (1.23, "1.2"), (1.9996, "1.9996")])
def test_speech_that_is_a_little_less_is_shown_to_be_less(filled, capsys, seconds, written):
    opened = Gallery(filled)
    warn_of_short(opened, {"Ann": seconds})
    assert capsys.readouterr().err == (
        f"warning: Ann: {written} s of speech, less than the 2 s that this gallery asks for\n"
    )
    recording = replace(opened.speaker("Ann").recordings[0], speech_seconds=seconds)
    show_speakers(opened, [EnrolledSpeaker("Ann", (recording,))])
    shown = capsys.readouterr().out.splitlines()[2].split()
    assert shown == ["Ann", "1", written, "s", "less", "than", "2", "s"]


def test_how_much_speech_is_little_is_configured(voices, results, tmp_path):
    gallery("create", results, "--out", tmp_path / "g", "--min-speech", 60)
    done = gallery("enrol", tmp_path / "g", "Ann", *enrolment(voices, "f001"))
    assert "less than the 60 s that this gallery asks for" in done.stderr


def test_one_recording_is_forgotten(voices, folder):
    done = gallery("list", folder, "Ann")
    digest = done.stdout.splitlines()[2].split()[-1]
    assert len(digest) == 12
    done = gallery("forget", folder, "Ann", "--recording", digest)
    assert done.stdout.startswith(f"Ann: {digest} forgotten, now 2 recordings, ")
    name = enrolment(voices, "f001")[1].name
    assert gallery("forget", folder, "Ann", "--recording", name).exit_code == 0
    check_refused(gallery("forget", folder, "Ann", "--recording", name), f"Ann has no recordings {name}; expected")


def test_a_name_is_text_whatever_is_in_it(voices, folder):
    name = "[red]王 :smile:"
    assert gallery("enrol", folder, name, enrolment(voices, "f001")[0]).stdout.startswith(f"{name}: enrolled")
    assert name in gallery("list", folder).stdout
    assert name in gallery("identify", folder, spoken(voices, "f001")[0]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nowhere"), "nowhere: no gallery (no such folder); expected a gallery's folder"),
        (("enrol", "DIR", "a/b", "x.wav"), "speaker name 'a/b': '/' in it"),
        (("enrol", "DIR", "Ann", "x.wav"), "Ann is already enrolled; extend adds recordings, forget removes"),
        (("enrol", "DIR", "ANN", "x.wav"), "ANN and Ann, who is enrolled, would be one file on some systems"),
        (("extend", "DIR", "Anne", "x.wav"), "no speaker is enrolled as Anne; did you mean Ann?"),
        (("verify", "DIR", "Anne", "x.wav"), "no speaker is enrolled as Anne; did you mean Ann?"),
        (("forget", "DIR", "Zed"), "no speaker is enrolled as Zed"),
        (("list", "DIR", "Zed"), "no speaker is enrolled as Zed"),
        (("identify", "DIR", "x.wav", "--threshold", "nan"), "nan; expected a finite number"),
        (("identify", "DIR", "x.wav", "--threshold", "1", "--closed-set"), "a closed set has no threshold"),
        (("identify", "DIR", "x.wav", "--top", "0"), "--top"),
        (("timeline", "DIR", "x.wav", "--window", "inf"), "inf; expected a finite number"),
        (("timeline", "DIR", "x.wav", "--turn", "0"), "--turn"),
        (("timeline", "DIR", "x.wav", "--pause", "-1"), "--pause"),
        (
            ("timeline", "DIR", "x.wav", "--out", "x.html"),
            "x.html: suffix '.html'; expected .rttm, .csv, .txt, .json for segments or .png, .svg, .pdf for a plot "
            "(--html writes a page, --windows a table of windows)",
        ),
        (("timeline", "DIR", "x.wav", "--html", "x.png"), "x.png: suffix '.png'; expected .html"),
        (("timeline", "DIR", "x.wav", "--windows", "x.png"), "x.png: suffix '.png'; expected .csv"),
        (("timeline", "DIR", "x.csv", "--out", "./x.csv"), "x.csv: the recording itself; expected another file"),
        (
            ("timeline", "DIR", "x.wav", "--out", "x.csv", "--windows", "x.csv"),
            "x.csv: given twice; expected different",
        ),
        (("timeline", "DIR", "x.ark:12", "--html", "x.html"), "x.ark:12: in an archive, which a page cannot play"),
        (
            ("create", "nowhere", "--out", "g"),
            "nowhere: no results folder (no such folder); expected the folder of a run",
        ),
        (("create", "RESULTS", "--out", "DIR"), "there already; expected a new or an empty folder"),
        (("create", "RESULTS", "--out", "g", "--min-speech", "-1"), "--min-speech"),
        (("create", "RESULTS", "--out", "g", "--min-speech", "inf"), "inf; expected a finite number"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(folder, results, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"DIR": folder, "RESULTS": results}
    check_refused(gallery(*(places.get(each, each) for each in arguments)), message)
    assert Gallery(folder).names == ("Ann", "Bo", "Cat")
    assert not (tmp_path / "g").exists()


def test_an_empty_gallery_identifies_no_speaker(voices, results, tmp_path):
    gallery("create", results, "--out", tmp_path / "g")
    check_refused(
        gallery("identify", tmp_path / "g", spoken(voices, "f001")[0]), "no speaker is enrolled in this gallery"
    )
    assert json.loads(gallery("list", tmp_path / "g", "--json").stdout)["speakers"] == []


def test_results_that_do_not_fit_each_other_are_refused(results, tmp_path):
    path = results / "ubm.safetensors"
    save_gmm(path, load_gmm(path), front_end=FeatureConfig(n_filters=40).model_dump(mode="json"))
    done = gallery("create", results, "--out", tmp_path / "g")
    check_refused(done, f"{path}: trained on features of another front end: n_filters 40 there, 30 here")
    path.unlink()
    check_refused(gallery("create", results, "--out", tmp_path / "g"), f"{path}: no such model file")


def test_results_of_normalised_scores_need_their_cohort(voices, results, tmp_path):
    recipe = load_recipe(results / "recipe.yaml", ["normalisation.method=s"])
    (results / "recipe.yaml").write_text(dump_recipe(recipe))
    done = gallery("create", results, "--out", tmp_path / "g")
    check_refused(done, "cohort.safetensors: no such file, and the scores of this run are normalised by a cohort")
    paths = sorted(voices.glob("bg-*/*.flac"))
    cohort = Cohort(tuple(path.parent.name for path in paths), tuple(extract(path) for path in paths))
    save_cohort(results / "cohort.safetensors", cohort, recipe.features.model_dump(mode="json"))
    done = gallery("create", results, "--out", tmp_path / "g")
    assert done.stdout.endswith("scores in deviations of the cohort's scores, not calibrated\n")
    gallery("enrol", tmp_path / "g", "Ann", *enrolment(voices, "f001"))
    assert "Ann" in gallery("identify", tmp_path / "g", spoken(voices, "f001")[0], "--threshold", 2).stdout


def test_a_calibration_without_nontargets_is_refused(results, tmp_path):
    data = {"calibration": LinearCalibration(weights=(1.0,)).model_dump(mode="json"), "n_target": 9, "n_nontarget": 0}
    (results / "calibration.json").write_text(json.dumps(data))
    done = gallery("create", results, "--out", tmp_path / "g")
    check_refused(done, "calibration.json: trained on no nontarget trials; calibration needs trials of both kinds")


@pytest.fixture
def meeting(voices, tmp_path, monkeypatch):
    """Two seconds each of one who is enrolled, a stranger, and another who is enrolled, in the current folder."""
    monkeypatch.chdir(tmp_path)
    parts = [soundfile.read(spoken(voices, name)[0])[0][8000:40000] for name in ("f001", "m004", "m002")]
    soundfile.write("a meeting.wav", np.concatenate(parts), 16000)
    return Path("a meeting.wav")


ONE_BY_ONE = ("--window", 2, "--hop", 2, "--pause", 2, "--threshold", 0.5)


def test_a_timeline_is_a_table_a_plot_and_a_summary(filled, meeting):
    done = gallery("timeline", filled, meeting, *ONE_BY_ONE)
    assert (done.exit_code, remarks_of(done)) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {row[0] for row in rows[2:5]} == {"Ann", "unknown", "Bo"}
    assert all(float(row[1]) == pytest.approx(2, abs=0.4) for row in rows[2:5])
    assert done.stdout.endswith(
        "a meeting.wav: 3 windows, 0 of them with too little speech\n"
        "not calibrated: each window has its own answer, and segments are not smoothed\n"
        "segments: a meeting.timeline.csv; plot: a meeting.timeline.png\n"
    )
    head, *rows = Path("a meeting.timeline.csv").read_text().splitlines()
    assert head == "start,end,speaker,score,posterior"
    assert [row.split(",")[2] for row in rows] == ["Ann", "unknown", "Bo"]
    assert Path("a meeting.timeline.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list(Path().iterdir())) == 3


def test_files_are_written_by_their_suffixes(filled, meeting):
    files = [each for suffix in ("rttm", "txt", "json", "svg") for each in ("--out", f"new/m.{suffix}")]
    done = gallery(
        "timeline", filled, meeting, *ONE_BY_ONE, *files, "--html", "new/m.html", "--windows", "new/windows.csv"
    )
    assert done.stdout.splitlines()[-1] == (
        "segments: new/m.rttm, new/m.txt, new/m.json; plot: new/m.svg; page: new/m.html; windows: new/windows.csv"
    )
    lines = [line.split() for line in Path("new/m.rttm").read_text().splitlines()]
    assert [(line[1], line[7], line[8]) for line in lines] == [
        ("a_meeting", name, "<NA>") for name in ("Ann", "unknown", "Bo")
    ]
    data = json.loads(Path("new/m.json").read_text())
    assert {key: data[key] for key in ("recording", "duration", "gallery", "calibrated", "window", "hop")} == {
        "recording": "a meeting.wav",
        "duration": 6.0,
        "gallery": str(filled),
        "calibrated": False,
        "window": 2.0,
        "hop": 2.0,
    }
    assert [each["speaker"] for each in data["segments"]] == ["Ann", "unknown", "Bo"]
    assert 'src="../a%20meeting.wav"' in Path("new/m.html").read_text()
    rows = Path("new/windows.csv").read_text().splitlines()
    assert rows[0] == "start,end,best,Ann,Bo,Cat"
    assert [row.split(",")[2] for row in rows[1:]] == ["Ann", "unknown", "Bo"]


def test_windows_overlap_and_the_set_is_closed_without_a_threshold(filled, meeting):
    done = gallery("timeline", filled, meeting)
    assert "a closed set: the answer is the best enrolled speaker" in done.stdout
    assert "a meeting.wav: 12 windows, 0 of them with too little speech" in done.stdout
    assert "a meeting.wav: 1 window, 0 of" in gallery("timeline", filled, meeting, "--window", 60, "--hop", 60).stdout
    check_refused(gallery("timeline", filled, meeting, "--hop", 2), "hop of 2 s; expected at least a frame's 0.01 s")
    data = json.loads(gallery("timeline", filled, meeting, *ONE_BY_ONE, "--json").stdout)
    assert [window["best"] for window in data["windows"]] == ["Ann", "unknown", "Bo"]
    assert set(data["seconds"]) == {"Ann", "Bo", "unknown"}
    assert [each["speaker"] for each in data["segments"]] == ["Ann", "unknown", "Bo"]


def test_names_that_rttm_cannot_hold_are_refused_before_the_recording_is_read(folder, voices):
    for name in ("Ann Lee", "Ann_Lee"):
        gallery("enrol", folder, name, *enrolment(voices, "f001"))
    done = gallery("timeline", folder, "none.wav", "--out", "m.rttm")
    check_refused(done, "Ann Lee and Ann_Lee are both Ann_Lee in RTTM, whose names have no spaces; use .csv")


def test_exit_statuses_are_in_the_help():
    text = " ".join(gallery("--help").stdout.split())
    assert "Exit status: 0 for success; 2 for an error that the user can correct" in text
    for command in ("enrol", "extend", "list", "identify", "timeline"):
        assert "Exit status 3" in " ".join(gallery(command, "--help").stdout.split())


PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def transcripts():
    """The console blocks of the page on galleries, as (command, what it prints)."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for each in block.split("$ ")[1:]:
            command, _, printed = each.partition("\n")
            yield command, printed


@pytest.mark.slow
def test_the_page_on_galleries_shows_what_the_commands_print(tmp_path, monkeypatch):
    """Numbers may differ in their last digits from machine to machine."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["run", "recipes/quickstart.yaml"], catch_exceptions=False)
    assert run.exit_code == 0
    number = re.compile(r"[+-]?\d+\.\d+%?")
    synthesised = CliRunner().invoke(app, ["synthesise", "--n-speakers", "4", "--out", "parts"])
    assert synthesised.exit_code == 0
    turns = (("f003", 3), ("m002", 3), ("f001", 5), ("f003", 6), ("m002", 5))
    parts = [soundfile.read(f"parts/{name}/{name}-test-0{test}.flac")[0] for name, test in turns]
    soundfile.write("meeting.wav", np.concatenate(parts), 16000)
    shown = list(transcripts())
    assert any(command.startswith("speechgmm gallery") for command, _ in shown)
    for command, printed in shown:
        words = [word for each in command.split()[1:] for word in expanded(tmp_path, each)]
        done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "100"})
        lines, expected = ([line.rstrip() for line in text.splitlines()] for text in (done.output, printed))
        assert [number.sub("#", line) for line in lines] == [number.sub("#", line) for line in expected], command
        for found, wanted in zip(number.findall(done.output), number.findall(printed), strict=True):
            near = 2.0 if wanted.endswith("%") else 0.05
            assert float(found.rstrip("%")) == pytest.approx(float(wanted.rstrip("%")), abs=near), command
    (lines,) = re.findall(r"```text\n(SPEAKER.*?)```", PAGE, re.DOTALL)
    written = Path("meeting.rttm").read_text()
    assert number.sub("#", written) == number.sub("#", lines)
    assert [float(each) for each in number.findall(written)] == pytest.approx(
        [float(each) for each in number.findall(lines)], abs=0.05
    )
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/gallery.md", "exec"), {})  # in the same folder, with the gallery that the commands left
    assert Gallery("team").names == ("Ann", "Cat")


def expanded(folder, word):
    """Expand a pattern as a shell does."""
    return sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else [word]
