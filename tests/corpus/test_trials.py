"""Trial lists that are tables with column names."""

import pytest

from speechgmm.corpus.formats.folders import VoxCelebConfig
from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.trials import labelled_rows, parse_trials, trial_columns, trial_lists
from speechgmm.errors import CorpusError

TRIALS = [Trial("m1", "t1", True), Trial("m1", "t2", False), Trial("m2", "t1", False)]


def parsed(path, text):
    path.write_text(text)
    problems = Problems()
    trials = parse_trials(path, problems)
    problems.check()
    return trials


@pytest.mark.parametrize(
    "text",
    [
        "modelid\tsegmentid\tside\ttargettype\nm1\tt1\ta\ttarget\nm1\tt2\ta\tnontarget\nm2\tt1\ta\tnontarget\n",
        "enroll,test,label\nm1,t1,1\nm1,t2,0\nm2,t1,0\n",
        "Test;Model;Target\nt1;m1;True\nt2;m1;False\nt1;m2;False\n",
        "sep=,\r\nlabel,model,test\r\ntgt,m1,t1\r\nimp,m1,t2\r\nimp,m2,t1\r\n",
        ",model_id,segment_id,is_target\n0,m1,t1,1\n1,m1,t2,0\n2,m2,t1,0\n",
        "m1 t1 target\nm1 t2 nontarget\nm2 t1 nontarget\n",
        "m1\tt1\t1\nm1\tt2\t0\nm2\tt1\t0\n",
        "1 m1 t1\n0 m1 t2\n0 m2 t1\n",
    ],
)
def test_lines_and_tables_give_the_same_trials(tmp_path, text):
    assert [trial for _, trial in parsed(tmp_path / "list", text)] == TRIALS


def test_fields_and_lines_of_a_table_are_given(tmp_path):
    (tmp_path / "key.tsv").write_text("modelid\tsegmentid\tside\ttargettype\nm1\tt1\ta\tTarget\n")
    assert list(labelled_rows(tmp_path / "key.tsv", Problems())) == [
        (2, TRIALS[0], "Target", {"modelid": "m1", "segmentid": "t1", "side": "a", "targettype": "Target"})
    ]
    assert trial_columns(tmp_path / "key.tsv") == ("modelid", "segmentid", "targettype")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,test,llr\nm,t,1\n", r"list:1: no column 'label' among model, test, llr; it marks target trials"),
        ("sep=;\nmodel;test\nm;t\n", r"list:2: no column 'label' among model, test"),
        ("model,test,label\nm,t,maybe\n", r"list:2: label 'maybe'; expected one of target, nontarget"),
        ("model,test,label\nm,,1\n", r"list:2: model 'm', test ''; expected both"),
        ("model,test,label\nm,t,1\nm,t,1\n", r"list:3: trial m t is on line 2 as well; expected each trial once"),
        ("model,test,label\nm,t\n", r"list:2: 2 fields; expected 3"),
        ("model,test,label\n", r"list: no trials"),
        ("m,t,maybe\n", r"list:1: 'm,t,maybe'; expected a model, a test utterance and a label"),
        ('m,"t target\n', r"list:1: 'm,\"t target'; expected a model"),
    ],
)
def test_what_is_wrong_with_a_table_of_trials_is_named(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        parsed(tmp_path / "list", text)


def test_a_table_of_trials_gives_roles_in_a_recipe(tmp_path):
    for name in ("id10000/v/0", "id10000/v/1", "id10001/v/0", "id10002/v/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.wav").touch()
    (tmp_path / "key.csv").write_text(
        "enroll,test,target\nid10000/v/0.wav,id10000/v/1.wav,1\nid10000/v/0.wav,id10001/v/0.wav,0\n"
    )
    corpus = read_corpus(VoxCelebConfig(root=str(tmp_path), trials=("key.csv",)))
    trials = (Trial("id10000/v/0", "id10000/v/1", True), Trial("id10000/v/0", "id10001/v/0", False))
    assert corpus.trials == {"key": trials}
    assert [each.speaker for each in corpus.background] == ["id10002"]


def test_a_list_is_called_by_its_file_name(tmp_path):
    lines, table = "m t 1\n", "model,test,label\nm,t,1\n"
    names = {"a.txt": lines, "b.tsv": lines, "c.lst": lines, "d.csv": table, "e.hard.TSV": table, "f.txt": table}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    assert list(trial_lists(tmp_path, names, Problems())) == ["a", "b.tsv", "c.lst", "d", "e.hard", "f"]
