"""Files of segments: literal texts, and readers of others."""

import json
from pathlib import Path

import pytest

from speechgmm.errors import CorpusError, GalleryError
from speechgmm.features.frames.label_formats import read_labels
from speechgmm.gallery.segment_files import SUFFIXES, read_segments, rttm_names, write_segments
from speechgmm.gallery.segments import Segment

SEGMENTS = (
    Segment(0.2504, 3.0, "Ann Lee", 2.34567, 0.98765),
    Segment(3.0, 3.5, "unknown", None, 0.75),
    Segment(3605.0, 3606.0, 'O"Neil, 王', -0.5, None),
)
RECORDING = Path("folder/Monday meeting.wav")


def written(tmp_path, suffix, segments=SEGMENTS, facts=None):
    path = tmp_path / f"new/m{suffix}"
    write_segments(path, segments, RECORDING, facts or {})
    return path


def test_rttm_has_ten_fields_and_no_spaces_in_names(tmp_path):
    assert written(tmp_path, ".rttm").read_text(encoding="utf-8") == (
        "SPEAKER Monday_meeting 1 0.250 2.750 <NA> <NA> Ann_Lee 0.988 <NA>\n"
        "SPEAKER Monday_meeting 1 3.000 0.500 <NA> <NA> unknown 0.750 <NA>\n"
        'SPEAKER Monday_meeting 1 3605.000 1.000 <NA> <NA> O"Neil,_王 <NA> <NA>\n'
    )


def test_a_table_keeps_names_as_they_are(tmp_path):
    assert written(tmp_path, ".csv").read_text(encoding="utf-8") == (
        "start,end,speaker,score,posterior\n"
        "0.250,3.000,Ann Lee,2.3457,0.9877\n"
        "3.000,3.500,unknown,,0.7500\n"
        '3605.000,3606.000,"O""Neil, 王",-0.5000,\n'
    )


def test_labels_of_audacity_have_tabs(tmp_path):
    path = written(tmp_path, ".txt")
    assert path.read_text(encoding="utf-8") == (
        '0.250400\t3.000000\tAnn Lee\n3.000000\t3.500000\tunknown\n3605.000000\t3606.000000\tO"Neil, 王\n'
    )
    assert read_labels(path).format == "Audacity labels"


def test_json_is_one_document(tmp_path):
    path = written(tmp_path, ".json", SEGMENTS[1:2], {"duration": 4.0, "window": 1.5})
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "recording": str(RECORDING),
        "duration": 4.0,
        "window": 1.5,
        "segments": [{"start": 3.0, "end": 3.5, "speaker": "unknown", "score": None, "posterior": 0.75}],
    }


def test_rttm_and_tables_are_read_back(tmp_path):
    (found,) = read_segments(written(tmp_path, ".csv")).values()
    assert found[0] == Segment(0.25, 3.0, "Ann Lee", 2.3457, 0.9877)
    assert found[1:] == SEGMENTS[1:]
    ((recording, read),) = read_segments(written(tmp_path, ".rttm")).items()
    assert recording == "Monday_meeting"
    assert read == (
        *(Segment(0.25, 3.0, "Ann_Lee"), Segment(3.0, 3.5, "unknown"), Segment(3605.0, 3606.0, 'O"Neil,_王')),
    )


def test_rttm_of_other_programs_is_read(tmp_path):
    path = tmp_path / "other.rttm"
    path.write_text(
        ";; a comment\nSPKR-INFO a 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n"
        "SPEAKER b 1 4.5 0.5 <NA> <NA> bo <NA>\nSPEAKER a 1 0.0 1.25 <NA> <NA> ann 0.5 <NA>\n"
        "SPEAKER a 1 2 0 <NA> <NA> ann <NA> <NA>\nSPEAKER a 1 1 3 <NA> <NA> bo <NA> <NA>\n"
    )
    assert read_segments(path) == {
        "b": (Segment(4.5, 5.0, "bo"),),
        "a": (Segment(0, 1.25, "ann"), Segment(1, 4, "bo")),
    }


def test_pyannote_reads_the_same_segments(tmp_path):
    load_rttm = pytest.importorskip("pyannote.database.util").load_rttm
    ((recording, annotation),) = load_rttm(written(tmp_path, ".rttm", SEGMENTS[:2])).items()
    assert recording == "Monday_meeting"
    read = [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]
    assert read == [(0.25, 3.0, "Ann_Lee"), (3.0, 3.5, "unknown")]


def test_a_recording_without_speech_of_speakers_gives_empty_files(tmp_path):
    for suffix in (".rttm", ".txt"):
        assert written(tmp_path, suffix, ()).read_bytes() == b""
    assert read_segments(written(tmp_path, ".csv", ())) == {"": ()}


def test_names_that_would_become_one_are_refused():
    assert rttm_names(["Ann Lee", "Bo", "Bo", "a\u00a0b"]) == {"Ann Lee": "Ann_Lee", "Bo": "Bo", "a\u00a0b": "a_b"}
    with pytest.raises(GalleryError, match=r"Ann Lee and Ann_Lee are both Ann_Lee in RTTM, .*; use .csv"):
        rttm_names(["Ann Lee", "Ann_Lee"])


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(GalleryError, match=r"suffix '.docx'; segments are written to .rttm, .csv, .txt, .json"):
        written(tmp_path, ".docx")
    assert SUFFIXES == (".rttm", ".csv", ".txt", ".json")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.rttm", "SPEAKER a 1 0 x <NA> <NA> ann <NA> <NA>\n", r"a.rttm:1: .*; expected SPEAKER, recording"),
        ("a.rttm", "SPEAKER a 1 0 -1 <NA> <NA> ann <NA> <NA>\n", r"a.rttm:1: "),
        ("a.csv", "begin,end\n", r"a.csv: columns begin, end; expected start, end and speaker"),
        ("a.csv", "", r"a.csv: columns missing; expected start, end and speaker"),
        ("a.csv", "start,end,speaker\n\n2,1,ann\n", r"a.csv:3: '2,1,ann'; expected start, a later end"),
        ("a.csv", "start,end,speaker\n0,1\n", r"a.csv:2: '0,1'; expected start, a later end"),
        ("a.csv", "start,end,speaker\n0,inf,ann\n", r"a.csv:2: "),
        ("a.csv", "start,end,speaker\n0,1,\n", r"a.csv:2: "),
    ],
)
def test_malformed_lines_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises((GalleryError, CorpusError), match=message):
        read_segments(tmp_path / name)
