"""Tables as spreadsheets, pandas, R and corpora write them."""

import pytest

from helpers.cases import case
from speechgmm.corpus.named_columns import named_rows, read_column_names, read_header
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError


def read(path, text):
    """The rows of a table that holds no errors, and the lines where they end."""
    path.write_bytes(text.encode())
    problems = Problems()
    rows = list(named_rows(path, problems))
    problems.check()
    return [row for _, row in rows], [number for number, _ in rows]


@pytest.fixture
def table(tmp_path):
    return tmp_path / "table.txt"


# Tabs


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quotation_mark_in_a_table_with_tabs_is_text(table, end):
    lines = ["path\tsentence\tspeaker", 'a.mp3\t"Is it so\tann', "b.mp3\tplain\tbob", 'c.mp3\tand left"\tcid']
    lines += ['d.mp3\t"\tdan', 'e.mp3\tsix" wide\teve', 'f.mp3\t"Yes," he said\tflo', 'g.mp3\t"all"\tgus']
    rows, numbers = read(table, end.join(lines))
    assert [row["path"] for row in rows] == [f"{letter}.mp3" for letter in "abcdefg"]
    assert [row["speaker"] for row in rows] == ["ann", "bob", "cid", "dan", "eve", "flo", "gus"]
    assert rows[0]["sentence"] == '"Is it so'
    assert numbers == [2, 3, 4, 5, 6, 7, 8]


def test_a_field_that_quotation_marks_wrap_may_hold_tabs_line_ends_and_marks(table):
    # as written by pandas: DataFrame.to_csv(sep="\t")
    text = (
        '\tsentence\t"the\tpath"\tspeaker\n'
        '0\t"say ""hi"""\t"a ""1"".wav"\tann\n'
        '1\t"a\tb"\tb.wav\tbob\n'
        '2\t"one\ntwo, ""three""\r\n\nfour"\tc.wav\tcid\n'
        '3\t""""\td.wav\t"dan\n"\n'
        "4\tlast\te.wav\teve\n"
    )
    rows, numbers = read(table, text)
    assert [row["the\tpath"] for row in rows] == ['a "1".wav', "b.wav", "c.wav", "d.wav", "e.wav"]
    assert [row["speaker"] for row in rows] == ["ann", "bob", "cid", "dan", "eve"]
    assert [row["sentence"] for row in rows] == ['say "hi"', "a\tb", 'one\ntwo, "three"\r\n\nfour', '"', "last"]
    assert numbers == [2, 3, 7, 9, 10]


def test_text_over_lines_may_be_the_first_column(table):
    rows, numbers = read(table, '"text"\t"path"\n"one\n\ntwo"\t"a.wav"\n"three"\t"b.wav"\n')
    assert [row["path"] for row in rows] == ["a.wav", "b.wav"]
    assert numbers == [4, 5]


def test_marks_that_open_nothing_hide_no_damage(table):
    text = 'path\ttext\tspeaker\na.wav\t"open\tann\nb.wav\tbob\nc.wav\tclosed"\tcid\n'
    with pytest.raises(CorpusError, match=r"table\.txt:3: 2 fields; expected 3, as in the first line"):
        read(table, text)


# What separates columns


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("path,speaker,a;b\n1.wav,ann,x\n", ["path", "speaker", "a;b"]),
        ("path,a;b;c\n1.wav,x\n", ["path", "a;b;c"]),
        ("path;speaker;age, years\n1.wav;ann;30\n", ["path", "speaker", "age, years"]),
        ("path;start,s;end,s\n1.wav;0,5;1,5\n", ["path", "start,s", "end,s"]),
        ('"a;b;c;d",path\n1,1.wav\n', ["a;b;c;d", "path"]),
        ('"a,b,c,d";path\n1;1.wav\n', ["a,b,c,d", "path"]),
        ('"a\tb",path,"c\td"\n1,1.wav,2\n', ["a\tb", "path", "c\td"]),
        ("path\tsentence, as read\n1.wav\tOne, two\n", ["path", "sentence, as read"]),
        ("path\ta;b;c;d\n1.wav\t5\n", ["path", "a;b;c;d"]),
        ('"path","a\nb",speaker\n', ["path", "a\nb", "speaker"]),
        ("path;speaker", ["path", "speaker"]),
        ("path", ["path"]),
        ("", []),
    ],
)
def test_the_whole_header_shows_what_separates_columns(table, text, names):
    table.write_bytes(text.encode())
    assert read_column_names(table) == names


@pytest.mark.parametrize(
    ("first", "separator"),
    [("sep=;", ";"), ("sep=,", ","), ("sep=\t", "\t"), ("sep=\\t", "\t"), ('"sep=;"', ";"), ("SEP=|", "|")],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_first_line_may_name_what_separates_columns(table, first, separator, end, mark):
    lines = [first, separator.join(["path", "speaker"]), separator.join(["1.wav", "ann"])]
    rows, numbers = read(table, mark + end.join(lines) + end)
    assert rows == [{"path": "1.wav", "speaker": "ann"}]
    assert numbers == [3]
    assert read_header(table) == (2, ["path", "speaker"])
    with pytest.raises(CorpusError, match=r"table\.txt:4: 3 fields; expected 2, as in line 2"):
        read(table, end.join([*lines, separator.join("abc")]))


# Columns without a name


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_a_column_without_a_name_is_ignored(table, separator):
    for text in ("_path_speaker\n0_1.wav_ann\n", "path__speaker_\n1.wav_x_ann_\n", "path_speaker__\n1.wav_ann__\n"):
        rows, _ = read(table, text.replace("_", separator))
        assert rows == [{"path": "1.wav", "speaker": "ann"}]
        assert read_column_names(table) == ["path", "speaker"]
    rows, _ = read(table, f'""{separator}"path"\n"1"{separator}"1.wav"\n')  # as R writes it
    assert rows == [{"path": "1.wav"}]


def test_rows_may_end_in_a_separator_if_all_do(table):
    rows, _ = read(table, "path,speaker\n1.wav,ann,\n2.wav,bob,\n")
    assert rows == [{"path": "1.wav", "speaker": "ann"}, {"path": "2.wav", "speaker": "bob"}]
    with pytest.raises(CorpusError, match=r"table\.txt:3: 3 fields; expected 2"):
        read(table, "path,speaker\n1.wav,ann\n2.wav,bob,\n")
    with pytest.raises(CorpusError, match=r"table\.txt:2: 3 fields; expected 2"):
        read(table, "path,speaker\n1.wav,ann,\n2.wav,bob,x\n")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_comments_may_come_before_the_header(table, mark):
    lines = ["# made by hand", "# on Monday, by Ann, and Bob; twice", "#", f"path{mark}speaker", f"a.wav{mark}ann"]
    assert read(table, "\n".join(lines)) == ([{"path": "a.wav", "speaker": "ann"}], [5])
    assert read_header(table).line == 4
    assert read(table, f"#path{mark}speaker\r\na.wav{mark}ann") == ([{"#path": "a.wav", "speaker": "ann"}], [2])


def test_blank_rows_are_skipped(table):
    rows, numbers = read(table, "\n,,\npath,speaker\n\n1.wav,ann\n , \n")
    assert rows == [{"path": "1.wav", "speaker": "ann"}]
    assert numbers == [5]


def test_a_name_of_a_column_is_there_once(table):
    with pytest.raises(CorpusError, match=r"table\.txt:2: 2 columns are called 'path'; expected one"):
        read(table, "sep=;\npath;path\n")


def test_a_quotation_that_does_not_end_is_an_error_where_columns_have_quoting(table):
    with pytest.raises(CorpusError, match=r"table\.txt:3: unexpected end of data"):
        read(table, 'path,speaker\n1.wav,ann\n2.wav,"bob\n')


def test_the_recordings_of_every_speaker_are_in_a_table_with_stray_marks():
    rows = [row for _, row in named_rows(case("06_tsv_quote_marks") / "validated.tsv", Problems())]
    assert [row["path"] for row in rows] == [f"cv_{name}{n}.wav" for name in ("aa", "bb", "cc") for n in (1, 2, 3)]
