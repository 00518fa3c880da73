"""Files that say where speech is, in the forms in which programs write them."""

import math
import sys

import pytest
from praatio import textgrid
from praatio.utilities.constants import Interval, Point

from speechgmm.errors import CorpusError, SpeechGMMError
from speechgmm.features.frames.label_formats import is_speech, read_labels, read_segments

ONE = {"": ((0.5, 1.5),)}
"""A second of speech in a file that does not name its recording."""


@pytest.fixture
def write(tmp_path):
    """Write a file of labels, and return its path."""

    def write(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding, newline="")
        return path

    return write


@pytest.mark.parametrize(
    ("name", "text", "format_", "speech"),
    [
        ("a.rttm", "SPEAKER base 1 0.50 1.00 <NA> <NA> s1\n", "NIST RTTM", {"base": ((0.5, 1.5),)}),
        ("a.rttm", "SPEAKER base 1 0.5 1 <NA> <NA> s1 <NA>\r\n", "NIST RTTM", {"base": ((0.5, 1.5),)}),
        ("a.txt", "SPEAKER base 1 .5 1 <NA> <NA> s1 0.98 <NA>\n", "NIST RTTM", {"base": ((0.5, 1.5),)}),
        ("a.rttm", "SPEAKER base 1 0.5 1 <NA> <NA> Ann B <NA> <NA>\n", "NIST RTTM", {"base": ((0.5, 1.5),)}),
        ("a.rttm", "SPEAKER base 1 0.5 1 <NA> <NA> Ann B van C 0.5 <NA>\n", "NIST RTTM", {"base": ((0.5, 1.5),)}),
        ("a.rttm", "SPEAKER my 2 talk 1 0.5 1 <NA> <NA> s <NA> <NA>\n", "NIST RTTM", {"my 2 talk": ((0.5, 1.5),)}),
        ("a.rttm", "SPEAKER 7 1 0.5 1 <NA> <NA> 3 <NA> <NA>\n", "NIST RTTM", {"7": ((0.5, 1.5),)}),
        ("a.rttm", "", "NIST RTTM", {}),
        ("a.lbl", "0.5 1.5 speech\n", "ALIZE labels", ONE),
        ("a.lbl", "0.5 1.5 spk1\n1.5 2.5 silence\n", "ALIZE labels", ONE),
        ("a.lab", "0 0.5 nonspeech\n0.5 1.0 ann lee\n1.0 1.5 bob\n2 3 <music>\n", "ALIZE labels", ONE),
        ("a.lbl", "0.5\t1.5\tspeech\n", "ALIZE labels", ONE),
        ("a.lbl", "", "ALIZE labels", {"": ()}),
        ("a.lbl", "0.5 1.5 sil\n", "ALIZE labels", {"": ()}),
        ("a.lab", "0 5000000 sil\n5000000 10000000 ax -1.5\n10000000 15000000 b -3.25 word\n", "HTK labels", ONE),
        ("a.txt", "0 5000000 !ENTER\n5000000 15000000 speech\n15000000 15000000 sp\n", "HTK labels", ONE),
        ("a.txt", "0.5\t1.5\tspeech\n", "Audacity labels", ONE),
        ("a.txt", "0.500000\t1.500000\n", "Audacity labels", ONE),
        ("a.txt", "0.5\t1.5\tann lee\n\\\t100.0\t4000.0\n1.7\t1.7\ta mark\n2\t3\tnoise\n", "Audacity labels", ONE),
        ("a.txt", "0.5\t1.5\t2 3\n", "Audacity labels", ONE),
        ("a.ctm", ";; words\nbase 1 0.5 0.25 the 0.9\nbase 1 0.75 0.75 music\n", "CTM", {"base": ((0.5, 1.5),)}),
        ("a.txt", "base A 0 .5 <eps>\nbase A .5 1 yes\nbase A 2 1 [noise]\n", "CTM", {"base": ((0.5, 1.5),)}),
        ("a.ctm", "b 1 * * <ALT_BEGIN>\nb 1 0.5 1.0 a\nb 1 * * <ALT_END>\nb 1 4 1 SIL\n", "CTM", {"b": ((0.5, 1.5),)}),
        ("x.segments", "u1 base 0.5 1.5 A\n", "Kaldi segments", {"base": ((0.5, 1.5),)}),
        ("segments", "u1 base 0.5 1.5\n", "Kaldi segments", {"base": ((0.5, 1.5),)}),
        ("a.txt", "u1 base 0.5 1.5 0\nu2 base 4 -1 0\n", "Kaldi segments", {"base": ((0.5, 1.5), (4.0, math.inf))}),
        ("a.txt", "1 100 0.5 1.5\n2 100 1.0 1.25\n", "Kaldi segments", {"100": ((0.5, 1.5),)}),
    ],
)
def test_a_format_is_recognised_by_what_the_file_holds(write, name, text, format_, speech):
    found = read_labels(write(name, text))
    assert (found.format, found.speech) == (format_, speech)


def test_master_labels_of_htk_are_of_many_recordings(write):
    text = (
        '#!MLF!#\n"*/one.lab"\n0 5000000 sil -9.5\n5000000 15000000 sil-ah+b -100.2 abba\n.\n'
        '"C:\\data\\two 2.rec"\n0 3000000 x^a-pau+b=c@1_2/A:0\n3000000 4000000 well-known\n.\n"/d/three.lab"\n.\n'
    )
    found = read_labels(write("all.mlf", text))
    assert found.format == "HTK master labels"
    assert found.speech == {"one": ((0.5, 1.5),), "two 2": ((pytest.approx(0.3), pytest.approx(0.4)),), "three": ()}
    assert dict(found.spoken) == {"ah": 1, "well-known": 1}
    assert dict(found.silent) == {"sil": 1, "pau": 1}
    for bad, message in (
        (text.replace("two 2", "one"), r'all\.mlf:6: .*one\.rec"; expected the name of one recording'),
        (text.replace("*/one", "*/*"), r'all\.mlf:2: "\*/\*\.lab"; expected the name of one recording'),
        (text.replace('"*/one.lab"\n', ""), r"all\.mlf:2: '0 5000000 sil -9\.5'; expected a name as in"),
        (text.replace("0 3000000", "3000000"), r"all\.mlf:7: .*; expected start, stop and a label"),
    ):
        with pytest.raises(CorpusError, match=message):
            read_labels(write("all.mlf", bad))


def test_decimal_commas_are_named(write):
    with pytest.raises(CorpusError, match=r"a\.txt:1: .* has decimal commas; expected decimal points"):
        read_labels(write("a.txt", "0,500000\t1,500000\tspeech\n"))


def test_labels_of_speech_and_of_other_sounds_are_counted(write):
    found = read_labels(write("a.txt", "0\t1\tann\n1\t2\tMusic\n2\t3\tann\n3\t4\t<SIL>\n4\t5\t\n"))
    assert dict(found.spoken) == {"ann": 2, "": 1}
    assert dict(found.silent) == {"Music": 1, "<SIL>": 1}


@pytest.mark.parametrize(
    ("text", "alone", "among_words"),
    [
        ("speech", True, True),
        ("ann", True, True),
        ("", True, True),
        ("music", False, True),
        ("Background noise", False, True),
        ("[noise]", False, False),
        ("<LAUGHTER>", False, False),
        ("SIL", False, False),
        ("<eps>", False, False),
        ("h#", False, False),
        ("-", False, False),
        ("non-speech", False, True),
        ("noEnergy", False, False),
        ("silent", False, True),  # of Praat's "To TextGrid (silences)"
        ("sounding", True, True),
        ("<unk>", True, True),
    ],
)
def test_silence_and_other_sounds_are_no_speech(text, alone, among_words):
    assert (is_speech(text), is_speech(text, among_words=True)) == (alone, among_words)


@pytest.mark.parametrize(
    ("name", "lines", "of_second"),
    [
        ("l.rttm", "SPEAKER r {0} 0.2 0.3 <NA> <NA> a\nSPEAKER r {1} 0.6 0.2 <NA> <NA> b\n", "12"),
        ("l.ctm", "r {0} 0.2 0.3 a\nr {1} 0.6 0.2 b\n", "AB"),
        ("segments", "u1 r 0.2 0.5 {0}\nu2 r 0.6 0.8 {1}\n", "AB"),
        ("segments", "u1 r 0.2 0.5 {0}\nu2 r 0.6 0.8 {1}\n", "01"),
    ],
)
def test_a_channel_is_chosen(write, name, lines, of_second):
    path = write(name, lines.format(*of_second))
    for channel, expected in ((0, [(0.2, 0.5)]), (1, [(0.6, 0.8)]), ("mean", [(0.2, 0.5), (0.6, 0.8)])):
        stretches = read_labels(path, channel=channel).speech["r"]
        assert [pytest.approx(pair) for pair in stretches] == expected
    with pytest.raises(CorpusError, match=rf"{name}:2: r has channels {of_second[0]} and {of_second[1]}; .*--channel"):
        read_labels(path)


def test_segments_keep_their_order_and_channels(write):
    path = write("segments", "\ufeffu2 long 4.5 6\nu1 long 0.25 5 B\n\nu3 short 1 -1\n")
    found = [(each.text, each.recording, each.start, each.stop, each.channel) for each in read_segments(path)]
    assert found == [("u2", "long", 4.5, 6.0, ""), ("u1", "long", 0.25, 5.0, "B"), ("u3", "short", 1.0, math.inf, "")]


GOOD = {"rttm": "SPEAKER a 1 0 1 <NA> <NA> s <NA> <NA>", "segments": "first r 0 1", "ctm": "r 1 0 1 w", "lbl": "0 1 s"}


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("rttm", "SPEAKER a 1 x 1.0 <NA> <NA> s <NA> <NA>", "expected SPEAKER, recording, channel, start"),
        ("rttm", "SPEAKER a 1 0.0 -1.0 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 -1.0 1.0 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0 inf <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0 1_0 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0 \uff11 <NA> <NA> s <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0 1.0 <NA> <NA>", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0", "expected SPEAKER"),
        ("rttm", "SPEAKER a 1 0.0 1.0 <NA> <NA> s <NA> <NA> more", "expected SPEAKER"),
        ("rttm", "TALKER a 1 0.0 1.0 <NA> <NA> s <NA> <NA>", "'TALKER a 1 .*expected SPEAKER"),
        ("segments", "u r 1.0", "expected utterance, recording, start and a later stop"),
        ("segments", "u r 1.0 1.0", "expected utterance"),
        ("segments", "u r -1.0 1.0", "expected utterance"),
        ("segments", "u r 1.0 nan", "expected utterance"),
        ("segments", "u r 1.0 2.0 0 0", "expected utterance"),
        ("segments", "u r 1.0 2.0 left", r"expected utterance.*\(A, B or its number\)"),
        ("segments", "first r 1.0 2.0", "first is on line 1 as well"),
        ("ctm", "r 1 0.5 x word", "expected recording, channel, start, duration"),
        ("ctm", "r 1 0.5 1.0", "expected recording"),
        ("lbl", "1 0.5 s", "expected start, stop and a label"),
        ("lbl", "one two s", "expected start, stop"),
        ("lbl", "1", "expected start, stop"),
        ("lbl", "0 infinity s", "expected start, stop"),
    ],
)
def test_malformed_lines_are_named(write, kind, line, message):
    path = write(f"list.{kind}", f"{GOOD[kind]}\n\n{line}\n")
    with pytest.raises(CorpusError, match=rf"list\.{kind}:3: .*{message}"):
        read_labels(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "hello world\n", r"a\.txt:1: 'hello world'; expected a line of NIST RTTM: .*or a Praat TextGrid"),
        ("a.txt", "\n", r"a\.txt: empty; expected lines of labels"),
        ("a.txt", "0\t1\t0\n1\t2\t1\n", "labels 0 and 1 may be speakers, or no speech and speech"),
        ("a.TextGrid", "ooBinaryFile\x08TextGrid", "a binary file of Praat; expected text"),
        ("a.TextGrid", "0 1 speech\n", "damaged, or no TextGrid"),
    ],
)
def test_what_is_no_labels_is_refused(write, name, text, message):
    with pytest.raises(CorpusError, match=message):
        read_labels(write(name, text))


@pytest.mark.parametrize("read", [read_labels, read_segments])
def test_unreadable_lists_are_named(tmp_path, read):
    for name in ("gone", "gone.rttm"):
        with pytest.raises(CorpusError, match=rf"{name}: not readable \(No such file"):
            read(tmp_path / name)
    (tmp_path / "latin").write_bytes(b";;\n\xe9\n")
    with pytest.raises(CorpusError, match="latin:2: not UTF-8 text"):
        read(tmp_path / "latin")


# Praat

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "who ""speaks"""
        xmin = 0
        xmax = 3
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "Ann
says ""yes"""
        intervals [3]:
            xmin = 1.25
            xmax = 1.5
            text = "Zoë"
        intervals [4]:
            xmin = 1.5
            xmax = 3
            text = "sil"
    item [2]:
        class = "TextTier"
        name = "marks"
        xmin = 0
        xmax = 3
        points: size = 1
        points [1]:
            number = 2
            mark = "here"
'''.replace("\n", " \n")  # as Praat writes it, with a space at the end of lines

SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
3
<exists>
2
"IntervalTier"
"who ""speaks"""
0
3
3
0
0.5
""
0.5
1.5
"Zoë"
1.5
3
"silence"
"TextTier"
"marks"
0
3
1
2
"here"
'''


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("text", [LONG, SHORT])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_textgrid_is_read_in_any_form(write, encoding, text, newline):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = write("a.TextGrid", mark + text.replace("\n", newline), encoding)
    found = read_labels(path)
    assert (found.format, found.speech) == ('Praat TextGrid, tier who "speaks"', ONE)


def save(path, tiers, form="short_textgrid"):
    """Write a TextGrid with praatio: intervals or points by tier."""
    grid = textgrid.Textgrid(0, 4)
    for name, entries in tiers.items():
        kind = textgrid.PointTier if len(entries[0]) == 2 else textgrid.IntervalTier
        grid.addTier(kind(name, [(Point if len(each) == 2 else Interval)(*each) for each in entries], 0, 4))
    grid.save(str(path), form, includeBlankSpaces=True)
    return path


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid"])
@pytest.mark.parametrize(
    ("tiers", "tier"),
    [
        ({"notes": [(0.1, "x")], "anything": [(0.5, 1.5, "ann")]}, "anything"),
        ({"empty": [(0, 1, "sil")], "silences": [(0, 0.5, "silent"), (0.5, 1.5, "sounding")]}, "silences"),
        ({"words": [(0.5, 0.9, "no"), (0.9, 1.5, "music")], "phones": [(0.5, 0.9, "n"), (0.9, 1.5, "m")]}, "words"),
        ({"comment": [(2, 3, "odd")], "Speech": [(0.5, 1.5, "x")]}, "Speech"),
    ],
)
def test_the_tier_with_speech_is_found(tmp_path, form, tiers, tier):
    found = read_labels(save(tmp_path / "a.TextGrid", tiers, form))
    assert (found.format, found.speech) == (f"Praat TextGrid, tier {tier}", ONE)


def test_the_words_of_several_speakers_are_joined(tmp_path):
    words = {
        "ann - words": [Interval(0.5, 1, "yes")],
        "ann - phones": [Interval(0.5, 0.7, "j"), Interval(0.7, 1, "spn")],
        "bob - words": [Interval(0.9, 1.5, "no"), Interval(2, 2.5, "<eps>")],
        "bob - phones": [Interval(0.9, 1.5, "n")],
    }
    path = tmp_path / "a.TextGrid"
    save(path, words)
    assert read_labels(path).speech == ONE


def test_a_textgrid_without_speech_is_one(tmp_path):
    found = read_labels(save(tmp_path / "a.TextGrid", {"a": [(0, 1, "sil")], "b": [(0, "mark")]}))
    assert (found.speech, dict(found.silent)) == ({"": ()}, {"sil": 1})


def test_tiers_that_differ_are_named(tmp_path):
    path = save(tmp_path / "a.TextGrid", {"ann": [(0, 1, "yes")], "bob": [(2, 3, "no")]})
    with pytest.raises(CorpusError, match=r"a\.TextGrid: tiers ann, bob mark different stretches; expected one tier"):
        read_labels(path)


@pytest.mark.parametrize("text", [LONG, SHORT])
def test_a_textgrid_that_is_cut_is_never_read_as_a_shorter_one(write, text):
    for length in range(60, len(text) - 4):
        with pytest.raises(CorpusError, match=r"a\.TextGrid: "):
            read_labels(write("a.TextGrid", text[:length]))


def test_a_time_below_zero_is_refused(write):
    # praatio reads it without its sign.
    with pytest.raises(CorpusError, match="a time below 0"):
        read_labels(write("a.TextGrid", LONG.replace("xmin = 0.5", "xmin = -0.5")))


def test_the_package_for_textgrids_is_named(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "praatio", None)
    with pytest.raises(SpeechGMMError, match=r"praatio: pip install 'speechgmm\[praat\]'"):
        read_labels(write("a.TextGrid", LONG))
