"""Enrolment with the pieces of a recording that a file of segments gives to a speaker."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.commands import message_of, speechgmm
from helpers.voices import enrolment, spoken
from speechgmm import accumulate, extract, load_gmm
from speechgmm.errors import AudioError, GalleryError
from speechgmm.gallery.enrolment import create_gallery, enrol
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.pieces import pieces_of, record_pieces
from speechgmm.gallery.segments import Segment

RATE = 16000


@pytest.fixture
def empty(voices, tmp_path):
    return create_gallery(tmp_path / "team", voices / "results" / "ubm.safetensors")


@pytest.fixture
def meeting(voices, tmp_path, monkeypatch):
    """Turns of 2, 3, 1 and 2 s of a speaker, another, the first and the other, in the current folder."""
    monkeypatch.chdir(tmp_path)
    ann, bo = (
        np.concatenate([soundfile.read(path)[0] for path in enrolment(voices, name)]) for name in ("f001", "m002")
    )
    second = RATE
    turns = [ann[: 2 * second], bo[: 3 * second], ann[2 * second : 3 * second], bo[3 * second : 5 * second]]
    soundfile.write("a meeting.wav", np.concatenate(turns), RATE, subtype="PCM_16")
    Path("m.rttm").write_text(
        "SPEAKER a_meeting 1 0 2 <NA> <NA> Ann_Lee <NA> <NA>\nSPEAKER a_meeting 1 2 3 <NA> <NA> Bo <NA> <NA>\n"
        "SPEAKER a_meeting 1 5 1 <NA> <NA> Ann_Lee <NA> <NA>\nSPEAKER a_meeting 1 6 2 <NA> <NA> Bo <NA> <NA>\n"
        "SPEAKER other 1 0 9 <NA> <NA> Zed <NA> <NA>\n"
    )
    return Path("a meeting.wav")


def segments(*spans):
    return {"": [Segment(*span) for span in spans]}


def test_pieces_are_where_a_speaker_speaks_alone():
    given = segments((4, 6, "a"), (0, 3, "a"), (1, 1.5, "b"), (2.5, 5, "b"), (5.5, 7, "c"), (2, 3, "a"), (9, 10, "a"))
    assert pieces_of(given, Path("m.wav"), "a", Path("f.csv")) == ((0, 1), (1.5, 2.5), (5, 5.5), (9, 10))
    with pytest.raises(GalleryError, match=r"f.csv: b never speaks alone"):
        pieces_of(segments((0, 2, "a"), (1, 2, "b")), Path("m.wav"), "b", Path("f.csv"))


def test_a_recording_of_pieces_is_that_of_a_file_of_them(empty, meeting, voices):
    made = record_pieces(empty, meeting, ((0.0, 2.0), (5.0, 6.0)))
    samples = soundfile.read(meeting, dtype="float32")[0]
    joined = np.concatenate([samples[: 2 * RATE], samples[5 * RATE : 6 * RATE]])
    expected = accumulate(load_gmm(voices / "results" / "ubm.safetensors"), extract(joined))
    np.testing.assert_array_equal(made.statistics[0].first, expected.first)
    assert (made.file, made.seconds) == ("a meeting.wav", 3.0)
    digests = {
        empty.record(meeting).digest,
        made.digest,
        record_pieces(empty, meeting, ((0.0, 2.0),)).digest,
        record_pieces(empty, meeting, ((0.0, 2.0), (5.0, 6.001))).digest,
    }
    assert len(digests) == 4
    assert record_pieces(empty, meeting, ((0.0, 2.0), (5.0, 6.0))).digest == made.digest


def test_what_lies_after_the_end_is_left_out(empty, meeting):
    assert record_pieces(empty, meeting, ((6.0, 60.0), (70.0, 71.0))).seconds == 2.0
    with pytest.raises(AudioError, match=r"a meeting.wav: 8.00 s long, and all pieces to take are later"):
        record_pieces(empty, meeting, ((9.0, 10.0),))


def test_a_speaker_is_enrolled_from_a_timeline_and_recognised(empty, meeting, voices):
    done = speechgmm(*("gallery", "enrol", "team", "Ann Lee", meeting, "--from-timeline", "m.rttm"))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Ann Lee: enrolled with 1 recording, ")
    Path("m.csv").write_text("start,end,speaker\n2,5,x\n6,8,x\n")
    options = ("--from-timeline", "m.csv", "--speaker", "x")
    assert speechgmm("gallery", "enrol", "team", "Bob", meeting, *options).exit_code == 0
    recordings = [Gallery("team").speaker(name).recordings for name in ("Ann Lee", "Bob")]
    assert [[each.seconds for each in some] for some in recordings] == [[3.0], [5.0]]
    test = spoken(voices, "m002")[0]
    assert "Bob" in speechgmm("gallery", "identify", "team", test, "--closed-set", "--top", "1").stdout


def test_a_speaker_is_extended_from_a_timeline(empty, meeting, voices):
    first = enrolment(voices, "m002")[0]
    assert speechgmm("gallery", "enrol", "team", "Bo", first).exit_code == 0
    done = speechgmm("gallery", "extend", "team", "Bo", meeting, "--from-timeline", "m.rttm")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Bo: 1 added, now 2 recordings, ")
    _, added = Gallery("team").speaker("Bo").recordings
    expected = record_pieces(empty, meeting, ((2.0, 5.0), (6.0, 8.0)))
    assert (added.file, added.seconds, added.digest) == ("a meeting.wav", 5.0, expected.digest)
    np.testing.assert_array_equal(added.statistics[0].first, expected.statistics[0].first)
    again = speechgmm("gallery", "extend", "team", "Bo", meeting, "--from-timeline", "m.rttm")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "a meeting.wav: the same recording as a meeting.wav, which is there already" in message_of(again)
    Path("m.csv").write_text("start,end,speaker\n2,3,x\n")
    done = speechgmm("gallery", "extend", "team", "Bo", meeting, "--from-timeline", "m.csv", "--speaker", "x")
    assert done.stdout.startswith("Bo: 1 added, now 3 recordings, ")


@pytest.mark.parametrize("command", ["enrol", "extend"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Cat", "a meeting.wav", "--from-timeline", "m.rttm"), "no speaker Cat; expected --speaker with one of"),
        (("Cat", "b.wav", "--from-timeline", "m.rttm"), "m.rttm: of a_meeting, other; expected b"),
        (("Cat", "b.wav", "a meeting.wav", "--from-timeline", "m.rttm"), "expected one recording"),
        (("Cat", "a meeting.wav", "--speaker", "Bo"), "expected --from-timeline, whose speakers have labels"),
        (("Cat", "a meeting.wav", "--from-timeline", "none.rttm"), "none.rttm: not readable"),
        (("Zed", "other.wav", "--from-timeline", "m.rttm"), "other.wav: no such audio file"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(empty, meeting, voices, command, words, message):
    if command == "extend":
        enrol(empty, words[0], [empty.record(enrolment(voices, "f001")[0])])
    done = speechgmm("gallery", command, "team", *words)
    assert done.exit_code == 2
    assert message in message_of(done)
    assert [len(empty.speaker(name).recordings) for name in empty.names] == [1] * (command == "extend")
