"""Corpora in tables, folders and known layouts, and the protocols that are made where there are none."""

import json
import random
import re
from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError

from helpers.paths import ROOT
from speechgmm.corpus.formats.folders import (
    AudioMnistConfig,
    FolderConfig,
    FsddConfig,
    LibriSpeechConfig,
    TimitConfig,
    VoxCelebConfig,
    VoxForgeConfig,
)
from speechgmm.corpus.formats.kaldi import write_kaldi
from speechgmm.corpus.formats.tables import ColumnsConfig, CsvConfig, write_table
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.protocol import ProtocolConfig, make_trials
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError
from speechgmm.recipe.reading.loader import load_recipe


def touch(root, *names):
    """Lists don't open audio: empty files will do."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def everybody(corpus):
    return {each.id: each for role in ("background", "enrol", "test") for each in corpus.role(role)}


# Protocols


@pytest.fixture
def speakers(tmp_path):
    names = [f"{speaker}/{session}/{number}.wav" for speaker, session, number in product("abcdefgh", "12", range(3))]
    random.Random(0).shuffle(names)
    touch(tmp_path, *names)
    return tmp_path


def protocol(root, **keys):
    return read_corpus(FolderConfig(root=str(root), protocol=ProtocolConfig(**keys)))


def test_speakers_and_utterances_are_divided(speakers):
    corpus = protocol(speakers, background=0.25, n_enrol=2)
    background, enrolled = {each.speaker for each in corpus.background}, {*corpus.models}
    assert len(background) == 2
    assert background | enrolled == {*"abcdefgh"}
    assert not background & enrolled
    assert len(corpus.background) == 12
    assert len(corpus.enrol) == 6 * 2
    assert len(corpus.test) == 6 * 4
    assert not {each.id for each in corpus.enrol} & {each.id for each in corpus.test}
    trials = corpus.trials["trials"]
    assert len({(trial.model, trial.test) for trial in trials}) == len(trials) == 6 * 24
    assert all(trial.target == (trial.test[0] == trial.model) for trial in trials)
    assert corpus.warnings() == ()


def test_the_order_of_files_does_not_matter_and_the_seed_does(speakers, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    touch(other, *sorted(path.relative_to(speakers).as_posix() for path in speakers.rglob("*.wav")))

    def plan(root, seed):
        corpus = protocol(root, n_enrol=2, n_nontargets=2, seed=seed)
        return [[each.id for each in corpus.role(role)] for role in ("background", "enrol", "test")], corpus.trials

    assert plan(speakers, 3) == plan(other, 3)
    assert plan(speakers, 3) != plan(speakers, 4)


def test_the_background_is_a_share_or_a_number_or_none(speakers):
    counts = {
        share: len({each.speaker for each in protocol(speakers, background=share).background})
        for share in (None, 0, 0.5, 0.3, 1, 3, 6)
    }
    assert counts == {None: 4, 0: 0, 0.5: 4, 0.3: 2, 1: 1, 3: 3, 6: 6}
    with pytest.raises(CorpusError, match=r"8 speakers, 7 of them asked for as background, 0 with .*; expected"):
        protocol(speakers, background=7)
    with pytest.raises(CorpusError, match=r"protocol\.background 9: expected at most the 8 speakers"):
        protocol(speakers, background=9)
    with pytest.raises(ValidationError, match="expected a share below 1, or a whole number"):
        ProtocolConfig(background=1.5)


def test_sessions_are_kept_apart(speakers):
    corpus = protocol(speakers, background=0, n_enrol=2, separate_sessions=True)
    enrol = {(each.speaker, each.session) for each in corpus.enrol}
    assert len(enrol) == 8
    assert not enrol & {(each.speaker, each.session) for each in corpus.test}
    assert len(corpus.enrol) == 8 * 3
    just_enough = protocol(speakers, background=0, n_enrol=3, separate_sessions=True)
    assert len(just_enough.enrol) == 8 * 3
    with pytest.raises(CorpusError, match="8 with no utterance left for a test after 4 for enrolment"):
        protocol(speakers, background=0, n_enrol=4, separate_sessions=True)


def test_trials_are_sampled(speakers):
    corpus = protocol(speakers, background=0, n_nontargets=3)
    for test in corpus.test:
        own = [trial for trial in corpus.trials["trials"] if trial.test == test.id]
        assert sum(trial.target for trial in own) == 1
        assert len({trial.model for trial in own}) == 4
    everything = make_trials(corpus.enrol, corpus.test, 7, np.random.default_rng(0))
    assert len(everything) == 8 * len(corpus.test)


def test_who_has_too_few_utterances_is_background_or_left_out_and_named(speakers):
    touch(speakers, "zoe/1/0.wav", "zoe/1/1.wav")
    corpus = protocol(speakers, background=0, n_enrol=2)
    assert "zoe" not in {each.speaker for each in everybody(corpus).values()}
    assert corpus.warnings() == ("zoe: too few utterances for 2 in enrolment and a test; left out",)
    corpus = protocol(speakers, background=1, n_enrol=2)
    assert {each.speaker for each in corpus.background} == {"zoe"}
    assert corpus.warnings() == ()
    touch(speakers, "yan/1/0.wav")
    assert {each.speaker for each in protocol(speakers, background=1, n_enrol=2).background} == {"yan", "zoe"}
    assert len({each.speaker for each in protocol(speakers, background=3, n_enrol=2).background} - {"yan", "zoe"}) == 1


@pytest.mark.parametrize("number", range(4))
def test_the_sections_of_the_page_on_corpora_are_sections(tmp_path, number):
    text = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    given = "corpus: {kind: kaldi, root: ., input: features}\n"
    (tmp_path / "r.yaml").write_text(blocks[number] if "corpus:" in blocks[number] else given + blocks[number])
    load_recipe(tmp_path / "r.yaml")


# Folders and layouts


def test_a_folder_for_each_speaker(tmp_path):
    touch(tmp_path, *(f"{speaker}/{n}.{end}" for speaker in ("ann", "bob") for n, end in enumerate(["wav", "FLAC"])))
    touch(tmp_path, "bob/notes.txt", ".hidden/0.wav", "stray.wav", "xi/1/2/deep.ogg")
    corpus = read_corpus(FolderConfig(root=str(tmp_path), background=("xi",), protocol=ProtocolConfig(n_enrol=1)))
    assert sorted(everybody(corpus)) == ["ann/0", "ann/1", "bob/0", "bob/1", "xi/1/2/deep"]
    assert everybody(corpus)["bob/1"].path == str(tmp_path / "bob" / "1.FLAC")
    assert corpus.background == (Utterance("xi/1/2/deep", "xi", str(tmp_path / "xi/1/2/deep.ogg"), session="1"),)
    assert corpus.warnings() == ("stray.wav: not a SPEAKER/NAME.wav; left out",)


def test_who_is_background_is_said_once_and_is_there(tmp_path):
    touch(tmp_path, *(f"{speaker}/{n}.wav" for speaker in "abc" for n in range(2)))
    config = FolderConfig(root=str(tmp_path), background=("c",), protocol=ProtocolConfig(n_enrol=1, background=2))
    with pytest.raises(CorpusError, match=r"protocol\.background 2: the corpus says who is background"):
        read_corpus(config)
    with pytest.raises(CorpusError, match=r"zz: no such folder; corpus\.background names it"):
        read_corpus(config.model_copy(update={"background": ("zz",)}))


def test_two_files_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "one/0_ann_0.wav", "two/0_ann_0.wav", "two/0_bob_0.wav")
    with pytest.raises(CorpusError, match=r"one/0_ann_0\.wav and .*two/0_ann_0\.wav would share the id 0_ann_0"):
        read_corpus(FsddConfig(root=str(tmp_path)))


def test_a_folder_without_audio_as_expected_says_so(tmp_path):
    with pytest.raises(CorpusError, match=r"0 audio files, and none is a SPEAKER/NAME\.wav$"):
        read_corpus(FolderConfig(root=str(tmp_path)))
    touch(tmp_path, "a/0.wav")
    with pytest.raises(
        CorpusError, match=r"1 audio files, and none is a DIGIT_SPEAKER_TAKE\.wav: a/0\.wav, for example"
    ):
        read_corpus(FsddConfig(root=str(tmp_path)))
    with pytest.raises(CorpusError, match="no such folder; it is the root"):
        read_corpus(FolderConfig(root=str(tmp_path / "nowhere")))


SPEAKERS_TXT = """; ID |SEX| SUBSET | MINUTES | NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
103  | M | train-clean-100  | 25.03 | Some Body
"""
LAYOUTS = [
    (LibriSpeechConfig, "LibriSpeech/test-clean/{}/7/{}-7-000{}.flac", ("14", "103"), "{}-7-000{}", "7", "fm",
     {"LibriSpeech/SPEAKERS.TXT": SPEAKERS_TXT}),
    (VoxForgeConfig, "{}-20070809-de1/wav/de-{}.wav", ("ralf-h", "anna"), "{}-20070809-de1/wav/de-{}",
     "{}-20070809-de1", None, {}),
    (AudioMnistConfig, "data/{0}/7_{0}_{1}.wav", ("01", "12"), "7_{}_{}", None, "mf",
     {"audioMNIST_meta.txt": json.dumps({"01": {"age": 30, "gender": "male"}, "12": {"x": 1, "gender": "female"}})}),
    (FsddConfig, "recordings/0_{}_{}.wav", ("george", "theo"), "0_{}_{}", None, None, {}),
    (TimitConfig, "timit/TEST/DR1/{}/SX{}.WAV", ("FAKS0", "MDAB0"), "{}/SX{}", None, "fm", {}),
    (VoxCelebConfig, "vox1/wav/{}/5r0dWxy17C8/0000{}.wav", ("id10270", "id10271"), "{}/5r0dWxy17C8/0000{}",
     "5r0dWxy17C8", "mf",
     {"vox1_meta.csv": "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
      "id10270\tEartha_Kitt\tm\tUSA\ttest\nid10271\tX\tf\tUSA\ttest\n"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "path", "names", "id_", "session", "sexes", "tables"),
    LAYOUTS,
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_layouts_are_read(tmp_path, config, path, names, id_, session, sexes, tables):
    def filled(form, name, number):
        return form.format(name, number) if form.count("{}") < 3 else form.format(name, name, number)

    touch(tmp_path, *(filled(path, name, number) for name in names for number in range(3)))
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    root = tmp_path / "LibriSpeech" if config is LibriSpeechConfig else tmp_path
    corpus = read_corpus(config(root=str(root), protocol=ProtocolConfig(background=0, n_enrol=1)))
    assert corpus.notes == ()
    assert everybody(corpus) == {
        filled(id_, name, number): Utterance(
            filled(id_, name, number),
            name,
            str(tmp_path / filled(path, name, number)),
            sexes and sexes[place],
            session=session and session.format(name),
        )
        for place, name in enumerate(names)
        for number in range(3)
    }


def test_every_anonymous_submission_is_a_voice_of_its_own(tmp_path):
    folders = ["anonymous-20080425-vbv", "anonymous-20080425-xyz", "anna-20080425-a", "anna-20090101-b"]
    touch(tmp_path, *(f"{folder}/wav/{number}.wav" for folder in folders for number in range(2)))
    corpus = read_corpus(VoxForgeConfig(root=str(tmp_path), protocol=ProtocolConfig(background=0, n_enrol=1)))
    assert {*corpus.models} == {"anna", *folders[:2]}


def test_timit_is_background_and_evaluation_by_its_folders(tmp_path):
    touch(tmp_path, *(f"TRAIN/DR1/{speaker}/SA{n}.WAV" for speaker in ("FCJF0", "MABC1") for n in range(3)))
    touch(tmp_path, *(f"TEST/DR2/{speaker}/SA{n}.WAV" for speaker in ("FXYZ0", "MRST1") for n in range(3)))
    corpus = read_corpus(TimitConfig(root=str(tmp_path), background=("TRAIN",), protocol=ProtocolConfig(n_enrol=2)))
    assert {each.speaker for each in corpus.background} == {"FCJF0", "MABC1"}
    assert corpus.models == ("FXYZ0", "MRST1")
    touch(tmp_path, *(f"MORE/DR2/{speaker}/SA{n}.WAV" for speaker in ("FONE0", "MTWO1") for n in range(3)))
    some = read_corpus(
        TimitConfig(
            root=str(tmp_path), background=("TRAIN/DR1/FCJF0",), evaluation=("TEST", "MORE/DR2/FONE0")
        ).model_copy(update={"protocol": ProtocolConfig(n_enrol=2)})
    )
    assert {each.speaker for each in some.background} == {"FCJF0"}
    assert some.models == ("FONE0", "FXYZ0", "MRST1")
    assert some.warnings() == ("6 recordings in neither background nor evaluation; left out",)


@pytest.mark.parametrize(
    ("target", "nontarget"),
    [
        ("1 {0}.wav {1}.wav", "0 {0}.wav {3}.wav"),
        ("{0} {1} target", "{0} {3} nontarget"),
        ("{0}.wav {1} tgt", "{0} {3}.wav imp"),
        ("{0} {1} 1", "{0} {3} 0"),
    ],
)
def test_trial_lists_make_a_model_of_an_utterance(tmp_path, target, nontarget):
    names = [f"id1000{speaker}/v/{number}" for speaker in range(3) for number in range(2)]
    touch(tmp_path, *(f"wav/{name}.wav" for name in names))
    (tmp_path / "veri_test.txt").write_text(f"{target}\n{nontarget}\n".format(*names))
    corpus = read_corpus(VoxCelebConfig(root=str(tmp_path), trials=("veri_test.txt",)))
    assert corpus.trials == {"veri_test": (Trial(names[0], names[1], True), Trial(names[0], names[3], False))}
    assert [(each.id, each.enrols, each.speaker) for each in corpus.enrol] == [(names[0], names[0], "id10000")]
    assert {each.speaker for each in corpus.background} == {"id10002"}
    assert corpus.warnings() == (f"{names[2]}: not in any trial, though their speakers are; left out",)


def test_trials_of_what_is_not_there_are_listed(tmp_path):
    touch(tmp_path, "id10000/v/0.wav", "id10000/v/1.wav")
    (tmp_path / "t.txt").write_text("1 id10000/v/0.wav id10000/v/1.wav\n1 id10009/v/0.wav id10000/v/8.wav\n2 a b\n")
    with pytest.raises(CorpusError) as caught:
        read_corpus(VoxCelebConfig(root=str(tmp_path), trials=("t.txt", "gone.txt", "a/t.txt")))
    assert [line.partition(str(tmp_path))[2] for line in str(caught.value).splitlines()] == [
        "/t.txt:3: '2 a b'; expected 1 or 0, an enrolment and a test",
        "/gone.txt: not readable (No such file or directory)",
        "/a/t.txt: a second trial list by the name of t",
    ]
    (tmp_path / "t.txt").write_text("1 id10000/v/0.wav id10000/v/1.wav\n1 id10009/v/0.wav id10000/v/8.wav\n")
    with pytest.raises(CorpusError, match=r"t\.txt:2: unknown model .*\n.*t\.txt:2: unknown test 'id10000/v/8\.wav'"):
        read_corpus(VoxCelebConfig(root=str(tmp_path), trials=("t.txt",)))


# Tables


TABLE = """name;speaker;path;role;sex;from;to;side;age
u1;ann;a/1.wav;enrol;f;;;;30
u2;bob;b/1.wav;enrol;m;0.5;1.75;;40
u3;ann;a b/2.wav;test;;1.5;;1;
"u;4";bob;/far/2.wav;test;;;2;mean;
u5;eve;e.wav;background;;;;;
"""
NAMED = ColumnsConfig(id="name", start="from", end="to", channel="side")


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path):
    (tmp_path / "list.csv").write_text(TABLE, encoding="utf-8-sig")
    corpus = read_corpus(CsvConfig(root=str(tmp_path), table="list.csv", columns=NAMED))
    assert corpus.enrol == (
        Utterance("u1", "ann", str(tmp_path / "a/1.wav"), "f"),
        Utterance("u2", "bob", str(tmp_path / "b/1.wav"), "m", 0.5, 1.75),
    )
    assert corpus.test == (
        Utterance("u3", "ann", str(tmp_path / "a b/2.wav"), None, 1.5, None, 1),
        Utterance("u;4", "bob", "/far/2.wav", None, None, 2.0, "mean"),
    )
    assert corpus.background == (Utterance("u5", "eve", str(tmp_path / "e.wav")),)
    assert corpus.trials["trials"] == tuple(
        Trial(model, test, target)
        for model, test, target in [
            ("ann", "u3", True),
            ("bob", "u3", False),
            ("ann", "u;4", False),
            ("bob", "u;4", True),
        ]
    )


def test_a_table_of_files_and_speakers_is_enough(tmp_path):
    rows = [f"{speaker}/{number}.wav\t{speaker}\n" for speaker in "abcd" for number in range(3)]
    (tmp_path / "utterances.csv").write_text("path\tspeaker\n" + "\n".join(rows))
    corpus = read_corpus(CsvConfig(root=str(tmp_path), protocol=ProtocolConfig(n_enrol=2)))
    assert (len(corpus.background), len(corpus.enrol), len(corpus.test)) == (6, 4, 2)
    assert "a/0" in everybody(corpus)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name;speaker", "name;who", r"list\.csv:1: no column 'speaker' among name, who, path, .*columns\.speaker"),
        ("sex;from", "sex;sex", r"list\.csv:1: 2 columns are called 'sex'; expected one"),
        ("u2;bob;b/1.wav;enrol", "u2;bob;b/1.wav;enrolment", r"list\.csv:3: role 'enrolment'; expected background"),
        ("u2;bob;b/1.wav", "u2;;b/1.wav", r"list\.csv:3: no speaker"),
        ("0.5;1.75", "1.75;0.5", r"list\.csv:3: start '1\.75', end '0\.5'; expected seconds"),
        ("0.5;1.75", "0.5;soon", r"list\.csv:3: start '0\.5', end 'soon'"),
        ("0.5;1.75", "-0.5;1", r"list\.csv:3: start '-0\.5'"),
        ("0.5;1.75", "0.5;1_000", r"list\.csv:3: start '0\.5', end '1_000'; expected seconds"),
        ("0.5;1.75", "0.5;infinity", r"list\.csv:3: start '0\.5', end 'infinity'; expected seconds"),
        ("0.5;1.75", "0.5;inf", r"list\.csv:3: start '0\.5', end 'inf'; expected seconds"),
        ("0.5;1.75", "0.5;\uff11", r"list\.csv:3: start '0\.5', end '\uff11'; expected seconds"),
        ("1.5;;1;", "1.5;;\u0661;", r"list\.csv:4: channel '\u0661'; expected a number from 0 on, or mean"),
        ("name;speaker", "sep=;\nname;who", r"list\.csv:2: no column 'speaker' among name, who, path"),
        ("1.5;;1;", "1.5;;left;", r"list\.csv:4: channel 'left'; expected a number from 0 on, or mean"),
        (";;;;;\n", ";;;;;;\n", r"list\.csv:6: 10 fields; expected 9"),
        ("u2;bob", "u1;bob", r"list\.csv:3: id u1 is on line 2 as well; expected different ids"),
        ('"u;4"', '"u;4', r"list\.csv:\d: unexpected end of data"),
        (TABLE, "name;speaker;path\n", r"list\.csv: no utterances"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(tmp_path, old, new, message):
    assert old in TABLE
    (tmp_path / "list.csv").write_text(TABLE.replace(old, new))
    with pytest.raises(CorpusError, match=message):
        read_corpus(CsvConfig(root=str(tmp_path), table="list.csv", columns=NAMED))


def ids(root, text):
    (root / "utterances.csv").write_text(text)
    return list(everybody(read_corpus(CsvConfig(root=str(root), protocol=ProtocolConfig(n_enrol=1, background=0)))))


def test_parts_of_a_file_without_ids_are_called_by_their_channels_and_times(tmp_path):
    parts = ["ann,0,0.5,", "ann,0.5,1.25,1", "bob,,0.5,0", "bob,12345.678,,mean"]
    text = "path,speaker,start,end,channel\nwhole.wav,ann,0,1,\n" + "".join(f"c/calls.wav,{part}\n" for part in parts)
    assert sorted(ids(tmp_path, text)) == [
        "c/calls-00000000-00000500",
        "c/calls-ch0-00000000-00000500",
        "c/calls-ch1-00000500-00001250",
        "c/calls-mean-12345678-end",
        "whole",
    ]
    with pytest.raises(CorpusError, match=r"utterances\.csv:7: id c/calls-00000000-00000500 is on line 3 as well"):
        ids(tmp_path, text + "c/calls.wav,bob,0,0.5,\n")


def test_missing_values_and_numbers_are_read_as_pandas_and_r_write_them(tmp_path):
    lines = [
        "path,speaker,role,sex,start,end,channel",
        "a.wav,None,Enroll,NA,NaN,1.5,0.0",
        "b.wav,nan,TEST,f,0.5,,",
        "c.wav,NA,test,m,nan,<NA>,1.0",
    ]
    (tmp_path / "utterances.csv").write_text("\n".join(lines))
    (tmp_path / "trials.txt").write_text("None,b,1\nNone,c,0\n")
    corpus = read_corpus(CsvConfig(root=str(tmp_path), trials=("trials.txt",)))
    found = [(each.speaker, each.sex, each.start, each.end, each.channel) for each in (*corpus.enrol, *corpus.test)]
    assert found == [
        ("None", None, None, 1.5, 0),
        ("nan", "f", 0.5, None, None),
        ("NA", "m", None, None, 1),
    ]


def test_decimal_commas_are_named(tmp_path):
    (tmp_path / "utterances.csv").write_text("path;speaker;start;end\na.wav;ann;0,5;1,25\nb.wav;ann;1,5;2\n")
    with pytest.raises(CorpusError) as refused:
        read_corpus(CsvConfig(root=str(tmp_path), protocol=ProtocolConfig()))
    assert str(refused.value).splitlines()[:2] == [
        f"{tmp_path}/utterances.csv:2: 0,5 and 1,25: a decimal comma; expected a decimal point, as in 1.5",
        f"{tmp_path}/utterances.csv:3: 1,5: a decimal comma; expected a decimal point, as in 1.5",
    ]


def test_the_channels_of_a_call_without_ids_have_names(tmp_path):
    rows = (f"{n}.wav,{speaker},{channel}\n" for n in range(2) for channel, speaker in enumerate(("ann", "bob")))
    found = ids(tmp_path, "path,speaker,channel\n" + "".join(rows))
    assert sorted(found) == ["0-ch0", "0-ch1", "1-ch0", "1-ch1"]


def test_a_file_in_one_row_of_each_role_keeps_its_id(tmp_path):
    rows = ["a.wav,ann,enrol,0,1", "a.wav,ann,test,1,2", "b.wav,bob,test,0,1", "b.wav,bob,test,1,2"]
    (tmp_path / "utterances.csv").write_text("\n".join(["path,speaker,role,start,end", *rows]))
    corpus = read_corpus(CsvConfig(root=str(tmp_path)))
    assert [each.id for each in corpus.enrol + corpus.test] == [
        *("a", "a", "b-00000000-00001000", "b-00001000-00002000")
    ]


def test_all_bad_rows_are_listed_at_once(tmp_path):
    (tmp_path / "utterances.csv").write_text("path,speaker,role\n,,\nx,,\n,a,none\n")
    with pytest.raises(CorpusError) as caught:
        read_corpus(CsvConfig(root=str(tmp_path)))
    assert [line.partition("utterances.csv:")[2] for line in str(caught.value).splitlines()] == [
        "3: no speaker",
        "4: role 'none'; expected background, enrol, test, or nothing",
        "4: no path",
    ]


def test_a_corpus_comes_back_from_a_table_as_it_was_written(tmp_path):
    def utterance(name, speaker, **keys):
        return Utterance(name, speaker, str(tmp_path / f"{name}.wav"), **keys)

    corpus = Corpus(
        (utterance("x", "eve"), utterance("y, z", "eve", sex="f")),
        (utterance("a", "ann", model="ann-phone", session="monday"), utterance("b", "bob", start=0.1, end=1 / 3)),
        (utterance("t2", "ann", channel=1), utterance("b", "bob", channel="mean")),
        {"trials": (Trial("bob", "t2", False),), "more": (Trial("ann-phone", "t2", True),)},
    )
    write_table(corpus, tmp_path)
    assert read_corpus(CsvConfig(root=str(tmp_path), trials=("trials.txt", "more.txt"))) == corpus


def test_the_background_has_no_models_of_other_names(tmp_path):
    rows = (f"{role}-{n}.wav,{role}-ann,{role},phone\n" for role in ("background", "enrol", "test") for n in range(2))
    (tmp_path / "utterances.csv").write_text("path,speaker,role,model\n" + "".join(rows))
    corpus = read_corpus(CsvConfig(root=str(tmp_path)))
    assert {each.enrols for each in corpus.background} == {"background-ann"}
    assert corpus.models == ("phone",)


@pytest.mark.parametrize("write", [write_table, write_kaldi])
def test_names_that_a_list_cannot_hold_are_refused(tmp_path, write):
    enrol = (Utterance("a", "ann lee", str(tmp_path / "a.wav")),)
    test = (Utterance("t", "ann lee", str(tmp_path / "t.wav")),)
    with pytest.raises(ValueError, match=r"'ann lee': expected a name without white space"):
        write(Corpus((), enrol, test, {"trials": (Trial("ann lee", "t", True),)}), tmp_path)
